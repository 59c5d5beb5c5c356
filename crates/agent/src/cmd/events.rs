//! `aegisbpf events` and `aegisbpf alerts`: what the running agent sees.

use std::collections::VecDeque;
use std::io::Write;

use jiff::tz::TimeZone;
use serde_json::Value as Json;

use crate::cli::{AlertsArgs, EventsArgs, Format, StreamArgs};
use crate::client::{self, Answer};
use crate::exit::{Exit, Failure};
use crate::render::{compact, export};

/// Shows events.
pub(crate) fn run(args: &EventsArgs) -> Result<Exit, Failure> {
    let mut query = Vec::new();
    if !args.kinds.is_empty() {
        query.push(("kinds", args.kinds.join(",")));
    }
    if let Some(condition) = &args.r#where {
        query.push(("where", condition.clone()));
    }
    if !args.stream.output.is_for_events() {
        let message = "events have the forms `compact` and `json`; OCSF and CEF are for alerts";
        return Err(Failure::new(Exit::Usage, message));
    }
    show("/v1/events", query, &args.stream)
}

/// Shows alerts.
pub(crate) fn alerts(args: &AlertsArgs) -> Result<Exit, Failure> {
    show("/v1/alerts", Vec::new(), &args.stream)
}

fn show(path: &str, mut query: Vec<(&str, String)>, args: &StreamArgs) -> Result<Exit, Failure> {
    if args.follow {
        query.push(("follow", "true".to_owned()));
    }
    let mut answer = client::get(&args.runtime_dir, path, &query)?;
    answer.wait_for_ever()?;
    let zone = TimeZone::system();
    let mut out = anstream::stdout().lock();
    let mut left = args.lines.unwrap_or(u64::MAX);
    if !args.follow {
        for line in newest(&mut answer, left)? {
            writeln!(out, "{}", printed(&line, args.output, &zone))?;
        }
        return Ok(Exit::Ok);
    }
    while left > 0
        && let Some(line) = answer.line()?
    {
        writeln!(out, "{}", printed(&line, args.output, &zone))?;
        out.flush()?;
        left -= 1;
    }
    if left > 0 {
        let message = "the agent has ended the stream";
        return Err(Failure::new(Exit::Unreachable, message).help("it was stopped or restarted"));
    }
    Ok(Exit::Ok)
}

/// The last lines of an answer, at most so many. The agent keeps few enough for all to be read.
fn newest(answer: &mut Answer, most: u64) -> Result<VecDeque<String>, Failure> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut lines = VecDeque::new();
    while let Some(line) = answer.line()? {
        lines.push_back(line);
        if lines.len() > most {
            lines.pop_front();
        }
    }
    Ok(lines)
}

fn printed(line: &str, form: Format, zone: &TimeZone) -> String {
    let document = match form {
        Format::Json => return line.to_owned(),
        _ => serde_json::from_str::<serde_json::Map<String, Json>>(line),
    };
    match document {
        Ok(document) => match (document.get("lost").and_then(Json::as_u64), form) {
            (Some(lost), Format::Cef) => export::cef_notice(lost),
            (Some(_), Format::Ocsf) => line.to_owned(),
            (Some(lost), _) => format!("... {lost} lost: this reader was too slow"),
            (None, Format::Ocsf) => export::ocsf(&document).to_string(),
            (None, Format::Cef) => export::cef(&document),
            (None, _) => compact::line(&document, zone),
        },
        Err(_) => crate::render::escape::piece(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_shown_to_people_too() {
        let text = printed(r#"{"lost":12}"#, Format::Compact, &TimeZone::UTC);
        assert!(text.contains("12 lost"), "{text}");
        assert_eq!(printed("{}", Format::Json, &TimeZone::UTC), "{}");
    }
}
