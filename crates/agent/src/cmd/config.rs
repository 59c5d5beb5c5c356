//! `aegisbpf config`: what is configured, and whether it can be used.

use std::io::Write;

use serde_json::{Map, Value as Json, json};

use crate::cli::Output;
use crate::cli::config::{ConfigArgs, ConfigCommand, ShowArgs};
use crate::config::{self, Kind, Layers, Setting};
use crate::exit::{Exit, Failure};
use crate::guard;
use crate::render::escape::piece;
use crate::render::table;

/// Runs the command that was asked for.
pub(crate) fn run(command: &ConfigCommand) -> Result<Exit, Failure> {
    match command {
        ConfigCommand::Check(args) => check(args),
        ConfigCommand::Show(args) => show(args),
        ConfigCommand::Schema => {
            writeln!(anstream::stdout(), "{:#}", config::schema())?;
            Ok(Exit::Ok)
        }
    }
}

fn check(args: &ConfigArgs) -> Result<Exit, Failure> {
    let mut effective = config::of_host(args.config.as_deref())?;
    if !rustix::process::geteuid().is_root() && effective.args.audit_key.take().is_some() {
        let mut err = anstream::stderr();
        writeln!(err, "the key of the audit log is root's: it is looked at by root only")?;
    }
    guard::check(&effective)?;
    if let Some(missing) = effective.missing() {
        return Err(missing);
    }
    let files = Layers::of(args.config.as_deref()).files()?;
    let mut out = anstream::stdout().lock();
    for file in &files {
        writeln!(out, "{}", piece(&file.display().to_string()))?;
    }
    match files.len() {
        0 => writeln!(out, "no file: everything is as it is without one")?,
        1 => writeln!(out, "the file is sound")?,
        count => writeln!(out, "all {count} files are sound")?,
    }
    Ok(Exit::Ok)
}

fn show(args: &ShowArgs) -> Result<Exit, Failure> {
    let effective = config::of_host(args.files.config.as_deref())?;
    let mut out = anstream::stdout().lock();
    if args.output == Output::Json {
        writeln!(out, "{:#}", document(&effective.settings, args.origin))?;
        return Ok(Exit::Ok);
    }
    let row = |one: &Setting| {
        let mut row = vec![one.key.to_string(), piece(&value(one).to_string())];
        row.extend(args.origin.then(|| piece(&one.origin.to_string())));
        row
    };
    let heading: &[&str] = if args.origin { &["key", "value", "from"] } else { &["key", "value"] };
    write!(out, "{}", table::plain(heading, effective.settings.iter().map(row)))?;
    Ok(Exit::Ok)
}

/// By tables; with origins, a value is an object with `value` and `origin`.
fn document(settings: &[Setting], origin: bool) -> Json {
    let mut sections: Map<String, Json> = Map::new();
    for one in settings {
        let shown = if origin {
            json!({ "value": value(one), "origin": one.origin.to_string() })
        } else {
            value(one)
        };
        let section = sections.entry(one.key.section).or_insert_with(|| json!({}));
        if let Some(section) = section.as_object_mut() {
            section.insert(one.key.name.to_owned(), shown);
        }
    }
    Json::Object(sections)
}

fn value(one: &Setting) -> Json {
    let first = one.values.first();
    match one.key.kind() {
        Kind::Switch => json!(first.is_some_and(|value| value == "true")),
        Kind::Number => first.and_then(|value| value.parse::<u64>().ok()).into(),
        Kind::List => json!(one.values),
        Kind::Choice(_) | Kind::Text => json!(first),
    }
}
