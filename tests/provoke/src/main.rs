//! Provokes what the sensors watch, and checks the events that come of it.
//!
//! `provoke host --agent PATH` starts the agent, asks `doctor` what it sees here, and for each
//! operation that is seen lets a child process (`provoke act …`) do it and compares the event
//! field by field; then a neighbouring operation that must give no such event. An operation that
//! `doctor` calls absent must give none.
//!
//! `provoke rules --agent PATH --rules DIR` does the same with rules: it does what each forbids.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

mod act;
mod agent;
mod cases;
mod event;
mod expect;
mod host;
mod lab;
mod promise;
mod rules;

use std::process::ExitCode;

const USAGE: &str = "usage: provoke host --agent PATH [--runtime-dir DIR] [--only KIND,…] \
                     [--module FILE] [--tier TIER] [--require KIND,…|all]\n       \
                     provoke rules --agent PATH --rules DIR [--only ID,…]\n       \
                     provoke act OPERATION [ARGS…]";

fn main() -> ExitCode {
    let args: Vec<std::ffi::OsString> = std::env::args_os().skip(1).collect();
    let result = match args.split_first() {
        Some((command, rest)) if command == "host" => host::command(rest),
        Some((command, rest)) if command == "rules" => rules::command(rest),
        Some((command, rest)) if command == "act" => act::perform(rest).map(|()| true),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("provoke: {error:#}");
            ExitCode::FAILURE
        }
    }
}
