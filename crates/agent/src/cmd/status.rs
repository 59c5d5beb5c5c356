//! `aegisbpf status`: whether an agent runs, what it sees, and what it lost.

use std::io::Write;

use serde_json::Value as Json;

use crate::cli::{ClientArgs, Output};
use crate::client;
use crate::exit::{Exit, Failure};
use crate::render::escape::piece;

/// Rules named in one line; `aegisbpf rules` names all.
const NAMED_MAX: usize = 5;

/// Shows it; "not running" is an answer too, with an exit code of its own.
pub(crate) fn run(args: &ClientArgs) -> Result<Exit, Failure> {
    let mut out = anstream::stdout().lock();
    let status = match client::get(&args.runtime_dir, "/v1/status", &[]) {
        Ok(answer) => answer.json()?,
        Err(failure) if failure.exit == Exit::NotRunning && args.output == Output::Json => {
            writeln!(out, "{}", serde_json::json!({ "running": false }))?;
            return Ok(Exit::NotRunning);
        }
        Err(failure) => return Err(failure),
    };
    match args.output {
        Output::Json => writeln!(out, "{status:#}")?,
        Output::Text => write!(out, "{}", text(&status))?,
    }
    Ok(Exit::Ok)
}

fn text(status: &Json) -> String {
    let at = |pointer: &str| match status.pointer(pointer) {
        Some(Json::String(text)) => piece(text),
        Some(Json::Null) | None => "?".to_owned(),
        Some(other) => other.to_string(),
    };
    let mib = |pointer: &str| {
        let kib = status.pointer(pointer).and_then(Json::as_u64);
        kib.map_or_else(|| "?".to_owned(), |kib| format!("{} MiB", kib.div_ceil(1024)))
    };
    let uptime = status.pointer("/uptime_s").and_then(Json::as_u64).map_or_else(String::new, span);
    let rules = rules(status);
    let lines = [
        (
            "agent",
            format!("running for {uptime}, version {}, tier {}", at("/version"), at("/tier")),
        ),
        ("kernel", at("/kernel")),
        ("guard", format!("pid {}, {}", at("/guard/pid"), mib("/guard/rss_kib"))),
        (
            "worker",
            format!(
                "pid {}, user {}, {}, {} restarts",
                at("/worker/pid"),
                at("/worker/user"),
                mib("/worker/rss_kib"),
                at("/worker/restarts")
            ),
        ),
        ("rules", rules),
        ("processes", at("/events/processes")),
        (
            "alerts",
            format!(
                "{}, {} repeated, {} only counted",
                at("/events/alerts"),
                at("/events/alerts_repeated"),
                at("/events/alerts_suppressed")
            ),
        ),
        (
            "events",
            format!("{} handled, {} malformed", at("/events/events"), at("/events/malformed")),
        ),
        ("lost", losses(status)),
        ("output", format!("{} lines dropped", at("/events/output_dropped"))),
        ("forwarded", outputs(status)),
        ("clients", at("/events/clients")),
        ("policy", policy(status)),
    ];
    let shown = lines.iter().map(|(name, value)| format!("{name:10} {value}"));
    shown.collect::<Vec<_>>().join("\n") + "\n"
}

/// What became of alerts at each output.
fn outputs(status: &Json) -> String {
    let all = status.pointer("/kernel_counters/outputs/all").and_then(Json::as_array);
    let lost = status.pointer("/events/spool_dropped").and_then(Json::as_u64).unwrap_or_default();
    let mut parts: Vec<String> = all.into_iter().flatten().map(output).collect();
    if parts.is_empty() {
        return "to nobody else".to_owned();
    }
    if lost > 0 {
        parts.push(format!("{lost} lines that the disk was too slow for"));
    }
    parts.join("; ")
}

fn output(one: &Json) -> String {
    let word = |name: &str| one.get(name).and_then(Json::as_str).map(piece).unwrap_or_default();
    let count = |name: &str| one.get(name).and_then(Json::as_u64).unwrap_or_default();
    let mut parts = vec![format!("{} {}, {} sent", word("name"), word("state"), count("sent"))];
    for (name, what) in [("refused", "refused"), ("lost", "lost"), ("failures", "failed tries")] {
        if count(name) > 0 {
            parts.push(format!("{} {what}", count(name)));
        }
    }
    if count("backlog_bytes") > 0 {
        parts.push(format!("{} KiB wait", count("backlog_bytes").div_ceil(1024)));
    }
    let text = parts.join(", ");
    if word("state") == "ok" { text } else { format!("{text} ({})", word("last_error")) }
}

/// Which policies are in force and what came of them.
fn policy(status: &Json) -> String {
    let at = |pointer: &str| status.pointer(&format!("/kernel_counters/policy/{pointer}"));
    let count =
        |name: &str| at(&format!("verdicts/{name}")).map_or_else(|| "?".into(), Json::to_string);
    if at("disabled") == Some(&Json::Bool(true)) {
        return "enforcement is switched off".to_owned();
    }
    let Some(generation) = at("generation").and_then(Json::as_u64) else {
        return "none in force".to_owned();
    };
    let word = |name: &str| at(name).and_then(Json::as_str).map_or_else(|| "?".into(), piece);
    format!(
        "generation {generation}, {}, tier {}; {} denied, {} ended, {} would be denied, {} reported, {} \
         only counted",
        word("mode"),
        word("tier"),
        count("denied"),
        count("killed"),
        count("would_deny"),
        count("reported"),
        count("untold"),
    )
}

/// How many run, what is wrong with some, and why the last reading failed, if it did.
fn rules(status: &Json) -> String {
    let at = |pointer: &str| status.pointer(pointer);
    let mut parts = vec![at("/rules/loaded").map_or_else(|| "?".to_owned(), Json::to_string)];
    if let Some(refused) = at("/rules/refused").and_then(Json::as_u64).filter(|count| *count > 0) {
        parts.push(format!("{refused} refused"));
    }
    if at("/rules/generation").is_some_and(Json::is_object) {
        parts.push(generation(status));
    }
    for (pointer, word) in
        [("/events/rules_slow", "too slow"), ("/events/rules_noisy", "too noisy")]
    {
        let ids = at(pointer).and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
        let names = ids.iter().take(NAMED_MAX).filter_map(Json::as_str).map(piece);
        let names = names.collect::<Vec<_>>().join(", ");
        match ids.len() {
            0 => {}
            count if count > NAMED_MAX => parts.push(format!("{count} {word}: {names} …")),
            _ => parts.push(format!("{word}: {names}")),
        }
    }
    if let Some(error) = at("/rules/reload/error").and_then(Json::as_str) {
        let time = at("/rules/reload/time").and_then(Json::as_str).unwrap_or("?");
        parts.push(format!("not replaced at {}: {}", piece(time), piece(error)));
    }
    parts.join("; ")
}

/// Which generation of rules runs, and what is held back.
fn generation(status: &Json) -> String {
    let at = |name: &str| status.pointer(&format!("/rules/generation/{name}"));
    let word = |name: &str| at(name).and_then(Json::as_str).map(piece).unwrap_or_default();
    let number = at("number").and_then(Json::as_u64);
    let mut parts =
        vec![number.map_or_else(|| "not kept".to_owned(), |number| format!("generation {number}"))];
    if let Some(left) = at("trial_left_s").and_then(Json::as_u64) {
        parts.push(format!("on trial for {} more", span(left)));
    }
    if at("held").is_some_and(Json::is_object) {
        parts.push(format!("held by a {} at {}", word("held/why"), word("held/since")));
        if at("changed") == Some(&Json::Bool(true)) {
            parts.push("the files have changed since".to_owned());
        }
    }
    parts.join(", ")
}

/// `nothing`, or what was lost by ring and cause.
pub(super) fn losses(status: &Json) -> String {
    let rings = status.pointer("/kernel_counters/lost").and_then(Json::as_object);
    let mut parts = Vec::new();
    for (ring, causes) in rings.into_iter().flatten() {
        for (cause, count) in causes.as_object().into_iter().flatten() {
            if count.as_u64() != Some(0) {
                parts.push(format!("{ring} {cause} {count}"));
            }
        }
    }
    if rings.is_none() {
        return "?".to_owned();
    }
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}

/// `2 d 3 h`, `3 h 4 min`, `4 min 5 s`
pub(super) fn span(seconds: u64) -> String {
    let parts = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let first = parts.iter().position(|(unit, _)| seconds >= *unit).unwrap_or(3);
    let shown = parts.iter().enumerate().skip(first).take(2);
    let shown: Vec<String> = shown
        .map(|(index, (unit, name))| {
            let above = if index == 0 { u64::MAX } else { parts.get(index - 1).map_or(1, |p| p.0) };
            format!("{} {name}", seconds % above / unit)
        })
        .collect();
    shown.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_show_two_units() {
        assert_eq!(span(0), "0 s");
        assert_eq!(span(59), "59 s");
        assert_eq!(span(125), "2 min 5 s");
        assert_eq!(span(3 * 3600 + 240), "3 h 4 min");
        assert_eq!(span(100 * 86_400 + 3600), "100 d 1 h");
    }

    #[test]
    fn what_is_wrong_with_rules_is_shown() {
        let shown = |json: Json| rules(&json);
        assert_eq!(shown(serde_json::json!({ "rules": { "loaded": 3, "refused": 0 } })), "3");
        let json = serde_json::json!({
            "rules": { "loaded": 3, "refused": 1, "reload": { "time": "t", "error": "broken" } },
            "events": { "rules_slow": [], "rules_noisy": ["a", "b"] },
        });
        assert_eq!(shown(json), "3; 1 refused; too noisy: a, b; not replaced at t: broken");
        let mut json = serde_json::json!({ "rules": { "loaded": 3, "generation": {
            "number": 7, "trial_left_s": 61, "held": null, "changed": false,
        } } });
        assert_eq!(shown(json.clone()), "3; generation 7, on trial for 1 min 1 s more");
        json["rules"]["generation"] = serde_json::json!({
            "number": 6, "trial_left_s": null, "changed": true,
            "held": { "why": "rollback", "since": "t" },
        });
        let expected = "3; generation 6, held by a rollback at t, the files have changed since";
        assert_eq!(shown(json), expected);
    }

    #[test]
    fn policies_are_shown_with_what_came_of_them() {
        assert_eq!(policy(&Json::Null), "none in force");
        let mut status = serde_json::json!({ "kernel_counters": { "policy": {
            "mode": "enforce", "tier": "lsm", "generation": 4, "disabled": false,
            "verdicts": { "denied": 5, "would_deny": 6, "reported": 7, "killed": 8, "untold": 9 },
        } } });
        assert_eq!(
            policy(&status),
            "generation 4, enforce, tier lsm; 5 denied, 8 ended, 6 would be denied, 7 reported, 9 only \
             counted"
        );
        status["kernel_counters"]["policy"]["disabled"] = true.into();
        assert_eq!(policy(&status), "enforcement is switched off");
    }

    #[test]
    fn an_output_shows_what_waits_and_why() {
        let all = serde_json::json!([
            { "name": "a", "state": "ok", "sent": 3, "backlog_bytes": 0 },
            { "name": "b", "state": "retrying", "sent": 1, "backlog_bytes": 1025, "failures": 2,
              "last_error": "refused" },
        ]);
        let status = serde_json::json!({ "kernel_counters": { "outputs": { "all": all } } });
        let expected = "a ok, 3 sent; b retrying, 1 sent, 2 failed tries, 2 KiB wait (refused)";
        assert_eq!(outputs(&status), expected);
        assert_eq!(outputs(&Json::Null), "to nobody else");
    }

    #[test]
    fn losses_are_shown_by_ring_and_cause() {
        let status = serde_json::json!({ "kernel_counters": { "lost": {
            "life": { "ring_full": 0 }, "rest": { "ring_full": 7, "path": 0 } } } });
        assert_eq!(losses(&status), "rest ring_full 7");
        assert_eq!(losses(&serde_json::json!({ "kernel_counters": { "lost": {} } })), "nothing");
        assert_eq!(losses(&Json::Null), "?");
        assert!(text(&status).contains("lost       rest ring_full 7\n"));
    }
}
