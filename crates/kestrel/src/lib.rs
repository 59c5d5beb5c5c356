//! The `kestrel` command as a library, so that its parser of events can be fuzzed and measured.
//!
//! | module | does |
//! |---|---|
//! | `cli` | the command line |
//! | `input` | events from files |
//! | `rules` | rule files of all formats |
//! | `stream` | events through rules |
//! | `alert`, `output` | what is printed |
//! | `predicates` | the parts of a condition, for `explain` and `test` |
//! | `replay`, `hunt` | recordings of the agent through rules, or one query |
//! | `check`, `fmt`, `test`, `run`, `query`, `explain`, `bench`, `convert`, `fields` | one command each |
//! | `pack` | signed packs of rules |
//! | `manual` | completions and man pages |
//! | `inflate` | more rules than there are, for `bench` |
#![forbid(unsafe_code)]

mod alert;
mod author;
mod bench;
mod check;
mod cli;
mod convert;
mod explain;
mod fields;
mod fmt;
mod hunt;
mod inflate;
mod input;
mod manual;
mod output;
mod pack;
mod predicates;
mod query;
mod replay;
mod rules;
mod run;
mod scripts;
#[cfg(test)]
mod statements;
mod stream;
mod test;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

use cli::{Cli, Command, Recorded};
use output::Status;

/// Runs the command that the arguments of this process name.
pub fn main() -> ExitCode {
    let Cli { wasm, command: given } = Cli::parse();
    scripts::choose(wasm.map(Into::into));
    match command(given) {
        Ok(status) => status.into(),
        // The reader of our output has gone: nothing is left to say.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Status::Fine.into(),
        Err(error) => {
            output::complain(&error.to_string());
            Status::Findings.into()
        }
    }
}

fn command(command: Command) -> io::Result<Status> {
    match command {
        Command::Check { rules, output } => check::run(&rules, output),
        Command::Fmt { paths, check } => fmt::run(&paths, check),
        Command::Test { rules, output } => test::run(&rules, output),
        Command::Run { recorded: Recorded { rules, events, dialect }, output, threads } => {
            run::run(&rules, &events, dialect.of_rules, output, threads)
        }
        Command::Replay(given) => replay::run(&replay::Options {
            recording: &given.recording,
            span: given.span,
            rules: &given.rules,
            dialect: given.dialect.of_rules,
            form: given.output,
            threads: given.threads,
            verify: given.verify,
            force: given.force,
        }),
        Command::Hunt(hunt) => hunt::run(&hunt),
        Command::Query(query) => query::run(&query),
        Command::Explain { rule, id, event, dialect, output } => {
            explain::run(&rule, id.as_deref(), event.as_deref(), dialect.of_rules, output)
        }
        Command::Bench { recorded, threads, inflate, output } => bench::run(&bench::Options {
            rules: &recorded.rules,
            events: &recorded.events,
            dialect: recorded.dialect.of_rules,
            threads,
            inflate,
            form: output,
        }),
        Command::Convert { paths, output } => convert::run(&paths, output),
        Command::New { directory, language } => author::new(&directory, language.into()),
        Command::Build { directory } => author::build(&directory),
        Command::Pack(given) => pack::run(given),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { directory } => manual::man(&directory),
        Command::Fields { prefix, output } => fields::run(&prefix, output),
    }
}

/// Reads a document as an event and visits what it holds: for fuzzing. Tells whether it is one.
///
/// It is read thrice: alone, and by a decoder that learns its objects and then knows them.
pub fn read_document(document: &[u8]) -> bool {
    let names = Arc::new(input::Names::new(&["a".to_owned(), "a.b".to_owned()], |_| true));
    let mut alone = input::Event::new(Arc::clone(&names));
    let read = alone.read(document);
    let mut decoder = input::Decoder::new(Arc::clone(&names));
    for _ in 0..3 {
        let mut event = input::Event::new(Arc::clone(&names));
        assert_eq!(event.read_with(&mut decoder, document), read, "another verdict");
        for id in (0..names.count()).filter_map(|id| u16::try_from(id).ok()) {
            let id = model::field::FieldId(id);
            let [value, expected] = [&event, &alone].map(|it| model::value::Fields::get(it, id));
            assert!(value.each().count() <= document.len() + 1, "more values than bytes");
            let shown = [value, expected].map(|value| format!("{value:?}"));
            assert!(read.is_err() || shown[0] == shown[1], "{shown:?}");
        }
    }
    read.is_ok()
}
