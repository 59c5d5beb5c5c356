//! `aegisbpf`: the host agent and the commands that talk to it.
//!
//! | module | holds |
//! |---|---|
//! | [`audit`] | who was let in with what, and what was refused |
//! | [`cli`], [`cmd`] | the command line, one file a command |
//! | [`guard`] | the privileged half: sensors, supervision of the worker |
//! | [`worker`] | the other half: rings, engine, outputs, control socket |
//! | [`landlock`] | which files a process of the agent may reach |
//! | [`operator`] | whose word is enough for packs and policies |
//! | [`outputs`] | alerts on their way to other machines and programs |
//! | [`policy`] | policies on their way from files to what is enforced |
//! | [`proto`] | the only messages that the two exchange |
//! | [`client`] | how commands reach a running agent |
//! | [`connection`] | one HTTP connection to the agent or the console, within limits |
//! | [`metrics`] | the figures that Prometheus reads |
//! | [`config`] | what files and environment say of the options of `run` |
//! | [`redact`] | takes secrets out of what is shown |
//! | [`render`] | lines and tables for people |
//! | [`rules`] | generations of rules on disk |
//! | [`suppressions`] | what the operator does not want to be told again |
//! | [`seccomp`] | what the kernel lets a process of the agent do |
//! | [`exit`] | exit codes |
//! | [`http`] | the client with which others are told |
//! | [`incidents`] | alerts of one tree of processes, put together |
#![forbid(unsafe_code)]

mod audit;
mod cli;
mod client;
mod cmd;
mod config;
mod connection;
mod exit;
mod guard;
#[cfg(test)]
mod hostile;
mod http;
mod incidents;
mod landlock;
mod metrics;
mod operator;
mod outputs;
mod policy;
mod proto;
mod redact;
mod render;
mod rules;
mod seccomp;
mod state;
mod suppressions;
mod worker;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    if let Err(error) = guard::end_with_the_guard() {
        drop(writeln!(anstream::stderr(), "aegisbpf: {error}"));
        return ExitCode::FAILURE;
    }
    match cmd::run(cli::Cli::parse()) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            if !failure.is_silent() {
                // Nothing is left to do when standard error is gone too.
                drop(writeln!(anstream::stderr(), "aegisbpf: {failure}"));
            }
            failure.exit.into()
        }
    }
}
