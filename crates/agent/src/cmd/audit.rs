//! `aegisbpf audit`: the log of all that was changed, done or refused.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::time::Duration;

use capture::audit::{self, Lines, Link, LogError, Options, Read, Report, Verifier, head};
use serde_json::{Value as Json, json};

use crate::cli::Output;
use crate::cli::audit::{AuditCommand, TailArgs, VerifyArgs};
use crate::exit::{Exit, Failure};
use crate::render::escape::piece;
use crate::render::seconds;

/// Lines that `tail` keeps in memory at most.
const TAIL_MAX: usize = 100_000;
/// How often `tail --follow` looks for more.
const LOOK: Duration = Duration::from_millis(250);
/// What every line begins with; the text form has them in columns of their own.
const COLUMNS: [&str; 5] = ["seq", "@timestamp", "action", "prev", "hash"];

/// Runs the command that was asked for.
pub(crate) fn run(command: &AuditCommand) -> Result<Exit, Failure> {
    match command {
        AuditCommand::Verify(args) => verify(args),
        AuditCommand::Tail(args) => tail(args),
    }
}

fn failure(error: &LogError) -> Failure {
    let denied = matches!(error, LogError::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied);
    let exit = if denied { Exit::Permission } else { Exit::Failed };
    let failure = Failure::new(exit, error.to_string());
    if denied { failure.help("the audit log is root's; run it with sudo") } else { failure }
}

fn verify(args: &VerifyArgs) -> Result<Exit, Failure> {
    let key = args.key.as_deref().map(Verifier::read).transpose();
    let key = key.map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    let every = Options::default().signed_every;
    let report = audit::verify(&args.state_dir, key.as_ref(), every, |_| {});
    let report = report.map_err(|error| failure(&error))?;
    let mut out = anstream::stdout().lock();
    match args.output {
        Output::Json => writeln!(out, "{:#}", document(&report))?,
        Output::Text => write!(out, "{}", text(&report))?,
    }
    Ok(if report.findings.is_empty() { Exit::Ok } else { Exit::Failed })
}

fn document(report: &Report) -> Json {
    let finding = |one: &audit::Finding| {
        json!({
            "code": one.kind.code(), "file": one.file, "line": one.line, "seq": one.seq,
            "message": one.message,
        })
    };
    json!({
        "sound": report.findings.is_empty(),
        "lines": report.lines,
        "first": report.first,
        "last": { "seq": report.last.seq, "hash": report.last.hash.to_string() },
        "signed": report.signed,
        "torn": report.torn,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "more": report.more,
    })
}

fn text(report: &Report) -> String {
    let finding = |one: &audit::Finding| {
        let place = piece(&format!("{}:{}", one.file.display(), one.line));
        format!("{} {place}: line {} of the log: {}\n", one.kind.code(), one.seq, one.message)
    };
    let more = match report.more {
        0 => String::new(),
        more => format!("and {more} more\n"),
    };
    let torn = match report.torn {
        0 => String::new(),
        torn => {
            format!("{torn} bytes of a line that a crash cut; the agent says so when it writes\n")
        }
    };
    let Report { lines, first, last: Link { seq, hash }, .. } = report;
    let sum = match (report.findings.is_empty(), report.signed) {
        (true, _) if *lines == 0 => "the log is empty\n".to_owned(),
        (true, None) => format!("sound: {lines} lines, {first} to {seq}, {hash}\n"),
        (true, Some(signed)) => {
            format!("sound: {lines} lines, {first} to {seq}, signed up to {signed}, {hash}\n")
        }
        (false, _) => format!("not sound: {lines} lines, {first} to {seq}\n"),
    };
    report.findings.iter().map(finding).chain([more, torn, sum]).collect()
}

fn tail(args: &TailArgs) -> Result<Exit, Failure> {
    let mut out = anstream::stdout().lock();
    let (mut kept, mut known) = (VecDeque::new(), None);
    let most = args.lines.min(TAIL_MAX);
    for line in Lines::of(&args.state_dir).map_err(|error| failure(&error))? {
        let (_, _, read) = line.map_err(|error| failure(&error))?;
        let Read::Line(bytes) = read else { continue };
        known = seq(&bytes).or(known);
        kept.push_back(bytes);
        if kept.len() > most {
            kept.pop_front();
        }
    }
    for bytes in &kept {
        write!(out, "{}", shown(bytes, args.output))?;
    }
    if args.follow {
        return follow(args, known.unwrap_or_default(), &mut out);
    }
    Ok(Exit::Ok)
}

/// Prints what is added, until nobody reads it any more.
fn follow(args: &TailArgs, mut known: u64, out: &mut impl Write) -> Result<Exit, Failure> {
    loop {
        out.flush()?;
        std::thread::sleep(LOOK);
        let end = head(&args.state_dir).map_err(|error| failure(&error))?;
        if end.is_none_or(|end| end.seq <= known) {
            continue;
        }
        for line in Lines::behind(&args.state_dir, known).map_err(|error| failure(&error))? {
            let (_, _, read) = line.map_err(|error| failure(&error))?;
            if let Read::Line(bytes) = read
                && let Some(number) = seq(&bytes).filter(|number| *number > known)
            {
                known = number;
                write!(out, "{}", shown(&bytes, args.output))?;
            }
        }
    }
}

fn seq(line: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Json>(line).ok()?.get("seq")?.as_u64()
}

/// A line for people, or as it is.
pub(super) fn shown(line: &[u8], output: Output) -> String {
    let raw = || format!("{}\n", String::from_utf8_lossy(line));
    let Output::Text = output else { return raw() };
    let Ok(Json::Object(fields)) = serde_json::from_slice(line) else {
        return piece(&raw()) + "\n";
    };
    let of = |name: &str| fields.get(name).and_then(Json::as_str).unwrap_or_default();
    let time = seconds(of("@timestamp"));
    let number = fields.get("seq").and_then(Json::as_u64).unwrap_or_default();
    let heading = format!("{} {number} {}", piece(&time), piece(of("action")));
    let words = fields.iter().filter(|(name, _)| !COLUMNS.contains(&name.as_str()));
    let words = words.filter_map(|(name, value)| {
        let value = match value {
            Json::Null => return None,
            Json::String(value) => piece(value),
            other => piece(&other.to_string()),
        };
        Some(format!("{}={value}", piece(name)))
    });
    let all: Vec<String> = std::iter::once(heading).chain(words).collect();
    format!("{}\n", all.join(" "))
}
