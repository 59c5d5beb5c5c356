//! `kestrel hunt`: one query over what the agent recorded.
//!
//! The query becomes a rule and the recording is replayed with it: what a hunt finds is what that rule
//! would have found live, and nothing else.

use std::io::{self, Write};

use capture::{Player, RuleSet};
use engine::NoScripts;
use lang::{CaseMode, Dialect, Level, Schema, Unknown};
use model::program::{Program, RuleMeta};
use model::script::Scripts;
use serde_json::Value;

use crate::alert::{Alert, Head, escaped, field};
use crate::cli::{Hunt, RunForm};
use crate::output::{self, Status};
use crate::replay::Stop;
use crate::replay::feed::{self, Fed, What};
use crate::replay::show;
use crate::rules;

/// What diagnostics call the query.
const NAME: &str = "hunt";

/// Replays and prints what was found. Results are what was asked for, and no finding.
pub(crate) fn run(hunt: &Hunt) -> io::Result<Status> {
    let Some(program) = compile(&hunt.text)? else { return Ok(Status::Findings) };
    let files = match feed::files(&hunt.recording) {
        Ok(files) => hunt.span.files(files),
        Err(error) => {
            output::complain(&error);
            return Ok(Status::Findings);
        }
    };
    let threads = hunt
        .threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    let mut search = Search {
        hunt,
        head: program.rules.first().map(|rule| Head::new(&rule.meta)),
        program,
        player: None,
        sound: true,
        out: Vec::new(),
    };
    match feed::feed(&files, threads, &mut |fed| search.take(fed)) {
        Ok(()) => {}
        Err(Stop::Io(error)) => return Err(error),
        Err(Stop::Refused(why)) => {
            search.flush()?;
            output::complain(&why);
            return Ok(Status::Findings);
        }
    }
    search.flush()?;
    let whole = search.player.is_none_or(|player| show::losses(&player.finish()));
    Ok(if search.sound && whole { Status::Fine } else { Status::Findings })
}

/// The query as a program of one rule; what is wrong with it goes to standard error.
fn compile(text: &str) -> io::Result<Option<Program>> {
    // Records have the fields of the table and no others: another name is a typing error.
    let mut schema = Schema::new(Unknown::Error);
    let mut query =
        |text: &str| lang::query(text, Dialect::Elastic, CaseMode::Sensitive, &mut schema);
    let condition = format!("any where {text}");
    let (shown, (compiled, found)) = match query(text) {
        (None, _) if !text.contains(" where ") => (condition.as_str(), query(&condition)),
        whole => (text, whole),
    };
    let found = found.into_iter().filter(|one| one.code.level() == Level::Error).collect();
    rules::show_found(NAME, shown, found)?;
    Ok(compiled.map(|compiled| {
        let rule = compiled.rule(RuleMeta { id: NAME.to_owned(), ..RuleMeta::default() });
        Program { rules: vec![rule], lineages: schema.lineages, ..Program::default() }
    }))
}

fn no_scripts(_: &Program) -> Box<dyn Scripts> {
    Box::new(NoScripts)
}

struct Search<'h> {
    hunt: &'h Hunt,
    head: Option<Head>,
    program: Program,
    player: Option<Player<'static>>,
    sound: bool,
    out: Vec<u8>,
}

impl Search<'_> {
    fn take(&mut self, Fed { file, what }: Fed<'_>) -> Result<(), Stop> {
        let unsound = |error: engine::eval::CompileError| Stop::Refused(error.to_string());
        match (what, &mut self.player) {
            (What::Head(head), Some(player)) => player.head(*head).map_err(unsound)?,
            (What::Head(head), None) => {
                let (program, rules) = (self.program.clone(), RuleSet::default());
                let player = Player::new(*head, program, rules, &no_scripts);
                self.player = Some(player.map_err(unsound)?);
            }
            (What::State(block), Some(player)) => player.state(&block),
            (What::Items(number, block), Some(player)) => {
                let (head, hunt, out) = (self.head.as_ref(), self.hunt, &mut self.out);
                let mut written = Ok(());
                let played = player.items(number, &block, &mut |heard| {
                    let shown = heard.found(&mut |view, matched| {
                        let Some(head) = head else { return Ok(()) };
                        let alert = show::alert(head, view, matched);
                        if hunt.span.holds(&alert) {
                            show(&alert, hunt.output, out)
                        } else {
                            Ok(())
                        }
                    });
                    if written.is_ok() {
                        written = shown;
                    }
                });
                played.map_err(unsound)?;
                written?;
                self.flush()?;
            }
            (What::End, Some(player)) => player.end(),
            (What::End, None) => {}
            (What::Missing(why), player) => {
                self.sound = false;
                output::complain(&format!("{}: {why}", file.display()));
                if let Some(player) = player {
                    player.gap();
                }
            }
            (What::Torn(what), _) => output::note(&format!("{}: {what}", file.display())),
            (What::Refused(why), _) => {
                return Err(Stop::Refused(format!("{}: {why}", file.display())));
            }
            (What::State(_) | What::Items(..), None) => {
                let what = "[head] the head of the recording is damaged";
                return Err(Stop::Refused(format!("{}: {what}", file.display())));
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut out = anstream::stdout().lock();
        out.write_all(&std::mem::take(&mut self.out))?;
        out.flush()
    }
}

/// One line an event, the later ones of a sequence below the first.
fn show(alert: &Alert<'_>, form: RunForm, out: &mut Vec<u8>) -> io::Result<()> {
    if form == RunForm::Ndjson {
        return alert.ndjson("", out);
    }
    for (number, member) in alert.members.iter().enumerate() {
        let document: Value = member
            .document
            .as_deref()
            .and_then(|document| serde_json::from_slice(document).ok())
            .unwrap_or_default();
        let text = |name: &str| match field(&document, name) {
            Some(Value::String(text)) => escaped(text).to_string(),
            Some(Value::Null) | None => "?".to_owned(),
            Some(other) => other.to_string(),
        };
        let before = if number == 0 { "" } else { "  then " };
        let what = crate::alert::summary(member.document.as_deref().unwrap_or_default());
        writeln!(
            out,
            "{before}{}  {:<12} {:>7} {}  {}",
            text("@timestamp"),
            text("event.action"),
            text("process.pid"),
            text("process.executable"),
            what.unwrap_or_default(),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_a_query_and_an_unknown_field_is_none() {
        assert!(compile("process.name == \"nc\"").unwrap().is_some());
        assert!(compile("process where process.name == \"nc\"").unwrap().is_some());
        assert!(compile("process where proces.name == \"nc\"").unwrap().is_none());
        assert!(compile("proces.name == \"nc\"").unwrap().is_none());
    }
}
