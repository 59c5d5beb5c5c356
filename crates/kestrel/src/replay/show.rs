//! Alerts and verdicts as text.

use std::collections::HashMap;
use std::io::{self, Write};

use capture::Verdict;
use engine::View;
use model::alert::Match;
use model::field;
use model::value::{Fields, Value};
use serde_json::json;

use crate::alert::{Alert, Head, Member};
use crate::cli::RunForm;
use crate::output;
use crate::replay::span::Span;

/// Bytes that are written at once.
const CHUNK: usize = 64 << 10;

/// Alerts on their way to standard output.
pub(super) struct Alerts {
    form: RunForm,
    span: Span,
    silent: bool,
    heads: HashMap<String, Head>,
    text: Vec<u8>,
    count: u64,
}

impl Alerts {
    pub(super) fn new(form: RunForm, span: Span, silent: bool) -> Alerts {
        Alerts { form, span, silent, heads: HashMap::new(), text: Vec::new(), count: 0 }
    }

    /// How many were shown.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Adds what was found, if it is of the time that is wanted.
    pub(super) fn add(
        &mut self,
        file: &str,
        view: Option<&View<'_>>,
        matched: &Match<'_>,
    ) -> io::Result<()> {
        if self.silent {
            return Ok(());
        }
        let rule = matched.rule;
        let head = self.heads.entry(rule.id.clone()).or_insert_with(|| Head::new(rule));
        let alert = alert(head, view, matched);
        if !self.span.holds(&alert) {
            return Ok(());
        }
        self.count += 1;
        match self.form {
            RunForm::Text => alert.text(file, &mut self.text)?,
            RunForm::Ndjson => alert.ndjson(file, &mut self.text)?,
        }
        if self.text.len() > CHUNK { self.flush() } else { Ok(()) }
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        let mut out = anstream::stdout().lock();
        out.write_all(&std::mem::take(&mut self.text))?;
        out.flush()
    }
}

/// What was found, ready to be shown; its events have their numbers as positions.
pub(crate) fn alert<'a>(head: &'a Head, view: Option<&View<'_>>, matched: &Match<'a>) -> Alert<'a> {
    let here = view.and_then(|view| {
        let Value::Int(number) = view.get(field::EVENT_SEQUENCE) else { return None };
        Some((u64::try_from(number).ok()?, view))
    });
    let member = |number: &u64| {
        let document = if let Some((_, view)) = here.filter(|(here, _)| here == number) {
            serde_json::to_vec(&model::json::document(view)).ok()
        } else {
            let earlier = matched.earlier.iter().find(|(known, _)| known == number);
            earlier.and_then(|(_, document)| serde_json::to_vec(&**document).ok())
        };
        Member { position: *number, document: document.map(Into::into) }
    };
    let members = matched.members.iter().map(member).collect();
    let (rule, id, said) = (matched.rule, matched.id, matched.said);
    Alert { rule, head, id, members, count: None, said }
}

/// Says what is missing in a recording; false if something is.
pub(crate) fn losses(verdict: &Verdict) -> bool {
    if verdict.lost.items > 0 {
        let items = verdict.lost.items;
        output::complain(&format!("{items} items could not be recorded: the disk was too slow"));
    }
    if verdict.gaps > 0 {
        output::complain(&format!("frames are missing at {} places", verdict.gaps));
    }
    if verdict.malformed > 0 {
        output::complain(&format!("{} items cannot be understood", verdict.malformed));
    }
    if !verdict.closed {
        output::note("the recording was not closed: whoever wrote it was killed, or writes still");
    }
    verdict.lost.items == 0 && verdict.gaps == 0
}

/// How the alerts of a replay compare with those that were found live.
pub(super) fn verdict(verdict: &Verdict, form: RunForm) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    let equal = verdict.different == 0;
    if form == RunForm::Ndjson {
        let lost: serde_json::Value = serde_json::from_str(&verdict.counters).unwrap_or_default();
        let tally = |alerts: u64, digest: &str| json!({ "alerts": alerts, "sha256": digest });
        let document = json!({
            "equal": equal,
            "live": tally(verdict.live, &verdict.live_digest),
            "replayed": tally(verdict.replayed, &verdict.replayed_digest),
            "different": verdict.different,
            "differences": verdict.differences,
            "open": verdict.open,
            "records": verdict.records,
            "recording": {
                "whole": verdict.whole,
                "closed": verdict.closed,
                "lost_items": verdict.lost.items,
                "gaps": verdict.gaps,
                "malformed": verdict.malformed,
                "other_rules": verdict.other_rules,
            },
            "lost_by_kernel": lost,
        });
        return writeln!(out, "{document}");
    }
    writeln!(out, "live      {:>9} alerts  sha256 {}", verdict.live, verdict.live_digest)?;
    writeln!(out, "replayed  {:>9} alerts  sha256 {}", verdict.replayed, verdict.replayed_digest)?;
    for difference in &verdict.differences {
        writeln!(out, "  {difference}")?;
    }
    if verdict.open > 0 {
        let what = if verdict.whole { "a gap" } else { "what was before the recording" };
        writeln!(out, "{} more depend on {what} and are not compared", verdict.open)?;
    }
    let records = verdict.records;
    let word = if equal { "equal" } else { "different" };
    writeln!(out, "{word}: {records} records, {} differences", verdict.different)
}
