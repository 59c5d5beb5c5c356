//! How the agent fares: processes, losses, outputs, and what this kernel lets it see.

use maud::{Markup, html};
use serde_json::Value as Json;

use super::page::{Sheet, Tone, chip, code, nothing, number, pairs, part, plain, table};
use super::told::{count, is, list, object, word};
use super::{Console, Wanted};
use crate::cmd::status::span;
use crate::exit::Failure;

/// Looks at it.
pub(super) fn page(console: &Console, _: &Wanted) -> Result<Sheet, Failure> {
    let runtime = &console.args.dirs.runtime_dir;
    let (status, doctor) = (object(runtime, "/v1/status")?, object(runtime, "/v1/doctor")?);
    let body = html! {
        div .columns {
            (part("Processes", &processes(&status)))
            (part("Events", &events(&status)))
        }
        (part("Lost, by ring and cause", &lost(&status)))
        (part("Outputs", &outputs(&status)))
        (part("What this kernel lets the agent see", &operations(&doctor)))
    };
    Ok(Sheet::new("Health", body))
}

fn processes(status: &Json) -> Markup {
    let mib = |pointer: &str| format!("{} MiB", count(status, pointer).div_ceil(1024));
    let process = |name: &str| {
        html! { "pid " (word(status, &format!("/{name}/pid"))) ", " (mib(&format!("/{name}/rss_kib"))) }
    };
    let restarts = count(status, "/worker/restarts");
    html! { div .card { (pairs(&[
        ("Version", plain(&word(status, "/version"))),
        ("Kernel", plain(&word(status, "/kernel"))),
        ("Tier", plain(&word(status, "/tier"))),
        ("Running for", plain(&span(count(status, "/uptime_s")))),
        ("Guard", process("guard")),
        ("Worker", process("worker")),
        ("Restarts", chip(&restarts.to_string(), Tone::good_if(restarts == 0, Tone::Warn))),
        ("Counters", if is(status, "/kernel_counters_fresh") { html! { "of now" } } else { chip("older: the guard did not count in time", Tone::Warn) }),
    ])) } }
}

fn events(status: &Json) -> Markup {
    let names = [
        ("Handled", "events"),
        ("Malformed", "malformed"),
        ("Without a known process", "unresolved"),
        ("Processes known", "processes"),
        ("Processes forgotten", "processes_evicted"),
        ("Alerts repeated", "alerts_repeated"),
        ("Alerts only counted", "alerts_suppressed"),
        ("Lines that readers lost", "output_dropped"),
        ("Recordings", "recordings"),
        ("Lost for recordings", "recording_lost"),
        ("Lines lost for the audit log", "audit_lost"),
    ];
    let figure = |name: &str| html! { (number(count(status, &format!("/events/{name}")))) };
    let rows: Vec<(&str, Markup)> =
        names.iter().map(|(words, name)| (*words, figure(name))).collect();
    html! { div .card { (pairs(&rows)) } }
}

fn lost(status: &Json) -> Markup {
    let rings = status.pointer("/kernel_counters/lost").and_then(Json::as_object);
    let Some(rings) = rings else { return nothing("The guard has not counted yet.") };
    let Some(causes) = rings.values().next().and_then(Json::as_object) else {
        return nothing("The guard has not counted yet.");
    };
    let mut heads = vec!["ring"];
    let words: Vec<String> = causes.keys().map(|cause| cause.replace('_', " ")).collect();
    heads.extend(words.iter().map(String::as_str));
    let cell = |counts: &Json, cause: &str| {
        let lost = counts.get(cause).and_then(Json::as_u64).unwrap_or_default();
        html! { @if lost == 0 { span .muted { "0" } } @else { (chip(&number(lost), Tone::Bad)) } }
    };
    let row = |(ring, counts): (&String, &Json)| {
        let mut row = vec![plain(ring)];
        row.extend(causes.keys().map(|cause| cell(counts, cause)));
        row
    };
    let rows: Vec<Vec<Markup>> = rings.iter().map(row).collect();
    table("Lost", &heads, &rows)
}

fn outputs(status: &Json) -> Markup {
    let row = |one: &Json| {
        let state = word(one, "/state");
        vec![
            chip(&state, Tone::good_if(state == "ok", Tone::Warn)),
            code(&word(one, "/name")),
            html! { (number(count(one, "/sent"))) },
            html! { (number(count(one, "/refused"))) },
            html! { (number(count(one, "/lost"))) },
            html! { (number(count(one, "/backlog_bytes").div_ceil(1024))) " KiB" },
            plain(&word(one, "/last_error")),
        ]
    };
    let rows: Vec<Vec<Markup>> =
        list(status, "/kernel_counters/outputs/all").iter().map(row).collect();
    if rows.is_empty() {
        return nothing(
            "Nobody else is told: alerts go to standard output and to readers of the control socket.",
        );
    }
    let heads = ["state", "output", "sent", "refused", "lost", "waiting", "last fault"];
    table("Outputs", &heads, &rows)
}

fn operations(doctor: &Json) -> Markup {
    let row = |one: &Json| {
        let state = word(one, "/state");
        let tone = if state == "absent" { Tone::Warn } else { Tone::Good };
        let note = word(one, "/note");
        vec![
            html! { strong { (word(one, "/operation")) } br; span .muted { (word(one, "/meaning")) } },
            chip(&state, tone),
            html! { @if is(one, "/attached") { "yes" } @else { span .muted { "nobody asks" } } },
            html! { (word(one, "/provider")) br; code { (word(one, "/hook")) } },
            html! { @if is(one, "/taxes") { (chip("taxes every system call", Tone::Warn)) " " } (plain(&note)) },
        ]
    };
    let rows: Vec<Vec<Markup>> = list(doctor, "/operations").iter().map(row).collect();
    table("Operations", &["operation", "state", "attached", "seen by", "note"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn losses_stand_out_by_ring_and_cause() {
        let status = json!({ "kernel_counters": { "lost": {
            "life": { "ring_full": 0, "path": 0 }, "rest": { "ring_full": 7000, "path": 0 } } } });
        let text = lost(&status).into_string();
        assert_eq!(text.matches("chip bad").count(), 1, "{text}");
        assert!(text.contains("7\u{202f}000") && text.contains("Ring full"), "{text}");
        assert!(lost(&Json::Null).into_string().contains("not counted"));
    }
}
