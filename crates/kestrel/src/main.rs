//! `kestrel`: checks, tests, runs and explains detection rules. Needs no privilege.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    kestrel::main()
}
