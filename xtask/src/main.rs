//! Everything one does with this workspace beside editing it. It needs only Rust to build.
//!
//! | command | does |
//! |---|---|
//! | `run [ARGS…]` | installs what is missing, builds, starts the agent in the foreground |
//! | `test` | all checks and tests that this machine can run; what CI calls |
//! | `tidy` | the house rules that a program can check |
//! | `codegen [--check]` | Rust types from the C header, reference pages from the code |
//! | `bench NAME` | measures; see `bench` without a name |
//! | `fuzz [TARGET…] [--minutes N]` | looks for inputs that break a parser or the engine |
//! | `soak [--minutes N]` | the agent under load for long, while things change and break |
//! | `dist [PART…]` | man pages and completions; packages, an archive, bills of materials |
//! | `docs [PAGE…]` | runs the commands that the pages for people show |
//! | `guests [--fetch]` | all guests that a run of all tests has time for, or only what they boot |
//! | `vm-test [--smoke] [KERNEL…]` | the agent in guest kernels |
//! | `vm-system [NAME…]` | the Debian package in whole systems, in guests |
//! | `setup [--list]` | installs the Debian packages that are missing (`--build`: only those that the build needs), or only lists them |
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for the command line")]

mod bench;
mod codegen;
mod dist;
mod docs;
mod fuzz;
mod outcome;
mod run;
mod setup;
mod sh;
mod soak;
mod test;
mod tidy;
mod vm;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  run [ARGS…]         install what is missing, build, start the agent (detection only)
  test [STAGE…]       all checks and tests that this machine can run
  tidy                house rules that a program can check
  codegen [--check]   regenerate, or check, what is made from other files
  bench [NAME]        measure; without a name, list the benchmarks
  fuzz [TARGET…] [--minutes N]
                      look for inputs that break a parser or the engine
  soak [--minutes N | --short] [--built] [-o json]
                      the agent under load for half an hour, while rules and policies change, an output fails and
                      its worker is killed; --built takes what is built
  dist [PART…]        man pages and shell completions of the binaries; deb, rpm, tarball or sbom for those
  docs [PAGE…]        run the commands that the pages for people show, and compare what they print
  guests [--fetch]    all guests that a run of all tests has time for; --fetch gets what they boot
  vm-test [KERNEL…]   the agent in guest kernels; with --smoke what there is time for, with --only WORD
                      the tricks of that name
  vm-system [NAME…]   the Debian package in whole systems, in guests: its life, under AppArmor and
                      SELinux, and without BPF LSM
  setup [--list]      install, or only list, the Debian packages that are missing; with --build those
                      that the build needs
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[String]) -> Result<ExitCode> {
    let Some((command, rest)) = args.split_first() else { bail!("which command?\n\n{USAGE}") };
    match command.as_str() {
        "run" => run::command(rest)?,
        "test" => return test::command(rest),
        "guests" => return guests(rest),
        "vm-test" => return vm_test(rest),
        "vm-system" => return Ok(counted(vm::system::test(rest)?)),
        "bench" => return bench::command(rest),
        "fuzz" => return fuzz::command(rest),
        "soak" => return soak::command(rest),
        "codegen" => codegen::command(rest)?,
        "dist" => dist::command(rest)?,
        "docs" => return docs::command(rest),
        "tidy" => tidy::command()?,
        "setup" => setup::command(rest)?,
        "help" | "-h" | "--help" => print!("{USAGE}"),
        other => bail!("unknown command `{other}`\n\n{USAGE}"),
    }
    Ok(ExitCode::SUCCESS)
}

/// `xtask guests [--fetch]`
fn guests(args: &[String]) -> Result<ExitCode> {
    if args.first().is_some_and(|arg| arg == "--fetch") {
        vm::few::fetch()?;
        return Ok(ExitCode::SUCCESS);
    }
    Ok(counted(vm::few::test()?))
}

/// `xtask vm-test [--smoke | --only WORD] [KERNEL…]`
fn vm_test(args: &[String]) -> Result<ExitCode> {
    let outcome = match args {
        [smoke, kernels @ ..] if smoke == "--smoke" => vm::test(kernels, &vm::Extent::Smoke)?,
        [only, word, kernels @ ..] if only == "--only" => {
            vm::test(kernels, &vm::Extent::Only(word.clone()))?
        }
        kernels => vm::test(kernels, &vm::Extent::Whole)?,
    };
    Ok(counted(outcome))
}

/// The closing line, and whether all is well.
fn counted(outcome: outcome::Outcome) -> ExitCode {
    println!("{outcome}");
    if outcome.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
