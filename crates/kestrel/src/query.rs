//! `kestrel query`: one query over recorded events.

use std::io::{self, Write};

use lang::{CaseMode, Dialect, Schema, Unknown};
use model::program::{Program, RuleMeta};
use serde_json::Value;

use crate::alert::{Alert, Member};
use crate::cli::{Case, DialectName, Query, QueryForm};
use crate::input::Order;
use crate::output::{self, Status, style};
use crate::rules;
use crate::stream::{Clock, Sink, Stream, WINDOW_MAX};

/// What diagnostics call the query.
const NAME: &str = "query";

pub(crate) fn run(query: &Query) -> io::Result<Status> {
    let Some(program) = compile(query)? else { return Ok(Status::Findings) };
    let Some(compiled) = rules::compile(program) else { return Ok(Status::Findings) };
    let names = rules::names(&compiled);
    // The classic engine took events as they came.
    let order = match query.dialect {
        DialectName::Classic => Order::Input,
        DialectName::Elastic | DialectName::Endpoint => Order::Time(WINDOW_MAX),
    };
    let threads = std::thread::available_parallelism().map_or(1, Into::into);
    let stream = Stream { compiled, names, order, threads, clock: Clock::Off };
    let mut out = anstream::stdout().lock();
    let ended = stream.run(&query.events, &mut Shown { query, number: 0, out: &mut out })?;
    out.flush()?;
    let report = &ended.report;
    for (position, bad) in &report.first_bad {
        output::complain(&format!("{}:{position}: {bad}", query.events.display()));
    }
    if report.bad > 0 {
        output::complain(&format!("{} lines are no events, {} are", report.bad, report.events));
    }
    Ok(if report.bad == 0 { Status::Fine } else { Status::Findings })
}

/// Shows results as they come.
struct Shown<'q> {
    query: &'q Query,
    number: u64,
    out: &'q mut dyn Write,
}

impl Sink for Shown<'_> {
    fn alert(&mut self, alert: &Alert<'_>) -> io::Result<()> {
        self.number += 1;
        show(self.query, self.number, alert, self.out)
    }
}

/// The query as a program of one rule; what is wrong with it goes to standard error.
fn compile(query: &Query) -> io::Result<Option<Program>> {
    let dialect = Dialect::from(query.dialect);
    let fold = match query.case {
        Some(case) => case == Case::Insensitive,
        None => query.dialect == DialectName::Classic,
    };
    let case = if fold { CaseMode::Insensitive } else { CaseMode::Sensitive };
    let mut schema = Schema::new(Unknown::Document);
    let (compiled, found) = lang::query(&query.text, dialect, case, &mut schema);
    rules::show_found(NAME, &query.text, found)?;
    Ok(compiled.map(|compiled| Program {
        rules: vec![compiled.rule(RuleMeta { id: NAME.to_owned(), ..RuleMeta::default() })],
        fields: schema.fields().to_vec(),
        lineages: schema.lineages,
        ..Program::default()
    }))
}

fn show(query: &Query, number: u64, alert: &Alert<'_>, out: &mut dyn Write) -> io::Result<()> {
    let id = |member: &Member<'_>| identity(member, query.id_field.as_deref());
    match query.output {
        QueryForm::Ids => {
            for member in &alert.members {
                writeln!(out, "{}", id(member))?;
            }
            Ok(())
        }
        QueryForm::Ndjson => {
            let mut text = Vec::new();
            alert.ndjson("", &mut text)?;
            out.write_all(&text)
        }
        QueryForm::Table => {
            let ids: Vec<String> = alert.members.iter().map(id).collect();
            let name = style::NAME;
            write!(out, "{name}{number:>5}{name:#}  {}", ids.join(", "))?;
            if let Some(count) = &alert.count {
                write!(out, "  {count}")?;
            }
            let last = alert.members.last().and_then(|member| member.document.as_deref());
            match last.and_then(crate::alert::summary) {
                Some(summary) => writeln!(out, "  {summary}"),
                None => writeln!(out),
            }
        }
    }
}

/// The value of the field that identifies events, or the position.
fn identity(member: &Member<'_>, field: Option<&str>) -> String {
    let value = field.zip(member.document.as_deref()).and_then(|(field, document)| {
        let document: Value = serde_json::from_slice(document).ok()?;
        crate::alert::field(&document, field).cloned()
    });
    match value {
        Some(Value::String(text)) => crate::alert::escaped(&text).to_string(),
        Some(Value::Null) | None => member.position.to_string(),
        Some(other) => other.to_string(),
    }
}
