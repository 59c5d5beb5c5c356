//! The commands.

mod actions;
mod adhoc;
mod audit;
mod config;
mod console;
mod doctor;
mod emergency;
mod events;
mod fields;
mod incidents;
mod isolate;
mod manual;
mod metrics;
mod policy;
mod post;
mod quarantine;
mod record;
mod recorded;
mod reload;
mod rules;
mod status;
mod suppressions;
mod top;
mod tree;
mod why;

use std::io::Write;

use crate::cli::{Cli, Command};
use crate::exit::{Exit, Failure};
use crate::{config as settings, guard, landlock, outputs, seccomp, worker};

/// Runs the command that was asked for.
pub(crate) fn run(cli: Cli) -> Result<Exit, Failure> {
    if let Some(kind) = cli.confine {
        confine(kind)?;
    }
    match cli.command {
        Command::Run(args) => {
            log();
            // Files of the configuration may be root's alone.
            guard::privilege()?;
            guard::run(&settings::of_this_process(&args)?)
        }
        Command::Resolve { names } => {
            guard::resolve(&names)
                .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
            Ok(Exit::Ok)
        }
        Command::Post => post::run(),
        Command::Forward(args) => {
            log();
            // ^C reaches the whole process group; only the guard's word ends it.
            let _signals = guard::block_signals()?;
            outputs::forward(&args)
        }
        Command::Send => outputs::send(),
        Command::ReadAnswers => {
            guard::read_answers().map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
            Ok(Exit::Ok)
        }
        Command::Grants(args) => guard::print_grants(&args),
        Command::Worker(args) => {
            log();
            worker::run(&args)
        }
        Command::Doctor(args) => doctor::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Rules(args) => rules::run(&args),
        Command::Reload(args) => reload::run(&args),
        Command::Policy(command) => policy::run(&command),
        Command::Block(command) => adhoc::block(&command),
        Command::Allow(command) => adhoc::allow(&command),
        Command::Why(args) => why::run(&args),
        Command::Emergency(command) => emergency::run(&command),
        Command::Actions(args) => actions::run(&args),
        Command::Isolate(command) => isolate::run(&command),
        Command::Quarantine(command) => quarantine::run(&command),
        Command::Audit(command) => audit::run(&command),
        Command::Config(command) => config::run(&command),
        Command::Events(args) => events::run(&args),
        Command::Alerts(args) => events::alerts(&args),
        Command::Incidents(args) => incidents::run(&args),
        Command::Suppressions(args) => suppressions::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Console(args) => console::run(args),
        Command::Metrics(args) => metrics::run(&args),
        Command::Record(args) => record::run(&args),
        Command::Tree(args) => tree::run(&args),
        Command::Fields(args) => fields::run(&args),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { directory } => manual::man(&directory),
        Command::Version { objects } => {
            let text = format!("aegisbpf {}\n", env!("CARGO_PKG_VERSION"));
            let text = if objects { kernel::embedded::list() } else { text };
            write!(anstream::stdout(), "{text}")?;
            Ok(Exit::Ok)
        }
    }
}

/// A process that a confined agent has started takes the name and the list of its kind.
fn confine(kind: seccomp::Kind) -> Result<(), Failure> {
    let name = std::ffi::CString::new(kind.name()).unwrap_or_default();
    // Only for those who look.
    if let Err(error) = rustix::thread::set_name(&name) {
        tracing::debug!(%error, "the process keeps its name");
    }
    // It writes the files that operators name as outputs, which it is told later.
    if kind != seccomp::Kind::Forward {
        landlock::nobody(kind)?;
    }
    seccomp::process(kind)
}

/// Log lines go to standard error; `AEGISBPF_LOG=debug` shows more of them.
fn log() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("AEGISBPF_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(false)
        // Else a log that cannot be written, as on a full disk, would end the process.
        .log_internal_errors(false)
        .init();
}
