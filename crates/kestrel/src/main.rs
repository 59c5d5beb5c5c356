//! `kestrel`: checks, tests and explains detection rules. Needs no privilege.
#![forbid(unsafe_code)]

mod check;
mod cli;
mod fields;
mod output;
mod rules;
mod test;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use output::Status;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Check { paths, output } => check::run(&paths, output),
        Command::Test { paths, output } => test::run(&paths, output),
        Command::Fields { output } => fields::run(output),
    };
    match done {
        Ok(status) => status.into(),
        // The reader of our output has gone: nothing is left to say.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Status::Fine.into(),
        Err(error) => {
            output::complain(&format!("cannot write the output: {error}"));
            Status::Findings.into()
        }
    }
}
