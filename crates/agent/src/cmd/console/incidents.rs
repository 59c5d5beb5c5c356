//! Incidents: the list, and one of them with its tree of processes and what happened when.

use maud::{Markup, html};
use serde_json::Value as Json;

use super::page::{
    Sheet, Tone, chip, code, many, nothing, number, pairs, part, plain, severity, table, time,
};
use super::told::{alerts, count, first, is, list, object, word};
use super::{Console, Wanted};
use crate::cmd::actions;
use crate::exit::{Exit, Failure};

/// Width of the picture of a span of time.
const SPAN: i128 = 160;

/// The list, or the one that is asked for.
pub(super) fn page(console: &Console, wanted: &Wanted) -> Result<Sheet, Failure> {
    let known = object(&console.args.dirs.runtime_dir, "/v1/incidents")?;
    let all = list(&known, "/incidents");
    let Some(id) = &wanted.id else { return Ok(Sheet::new("Incidents", overview(&known, all))) };
    let Some(one) = all.iter().find(|one| one["id"] == **id) else {
        let message = "there is no such incident: it may have been forgotten for want of room";
        return Err(Failure::new(Exit::Failed, message));
    };
    let told = alerts(&console.args.dirs.runtime_dir)?;
    // The audit log is root's, and nothing without it is wrong.
    let done = actions::documents(&console.args.dirs.state_dir).unwrap_or_default();
    Ok(Sheet::new(format!("Incident {}", short(one)), story(one, &told, &done)))
}

fn overview(known: &Json, all: &[Json]) -> Markup {
    let newest: Vec<&Json> = all.iter().rev().collect();
    let forgotten = count(known, "/forgotten");
    html! {
        p .lead { "Alerts of one tree of processes, put together." }
        @if newest.is_empty() { (nothing("No incident is known.")) } @else { (list_of(&newest)) }
        @if forgotten > 0 { p .muted { (many(forgotten, "older one")) " forgotten for want of room" } }
    }
}

fn short(one: &Json) -> String {
    word(one, "/id").chars().take(12).collect()
}

/// What the tree begins with; of a denial only the number is known.
fn root(one: &Json) -> String {
    let is_root = |process: &&Json| process["entity_id"] == one["root"];
    let Some(root) = list(one, "/processes").iter().find(is_root) else { return String::new() };
    let (name, pid) = (word(root, "/name"), word(root, "/pid"));
    if name.is_empty() { format!("process {pid}") } else { format!("{name} ({pid})") }
}

/// The worst that was found, in words.
fn worst(one: &Json) -> String {
    let is_worst = |finding: &&Json| finding["severity"] == one["severity"];
    list(one, "/findings").iter().find(is_worst).map_or_else(String::new, |it| word(it, "/name"))
}

fn state(one: &Json) -> Markup {
    if is(one, "/open") { chip("open", Tone::Warn) } else { chip("over", Tone::Plain) }
}

/// Incidents as a table.
pub(super) fn list_of(all: &[&Json]) -> Markup {
    let row = |one: &&Json| {
        let id = word(one, "/id");
        vec![
            severity(&word(one, "/severity")),
            html! { a href={ "/incidents?id=" (id) } { (plain(&worst(one))) } },
            state(one),
            time(&word(one, "/last")),
            html! { (number(count(one, "/alerts"))) },
            html! { (number(count(one, "/denied"))) },
            plain(&root(one)),
        ]
    };
    let rows: Vec<Vec<Markup>> = all.iter().map(row).collect();
    let heads = ["severity", "what", "state", "last", "alerts", "denied", "began with"];
    table("Incidents", &heads, &rows)
}

fn names(one: &Json, pointer: &str) -> Markup {
    let names: Vec<String> = list(one, pointer).iter().map(|name| word(name, "")).collect();
    html! {
        @if names.is_empty() { span .muted { "–" } }
        @for name in &names { span .tag { (name) } " " }
    }
}

fn story(one: &Json, told: &[Json], done: &[Json]) -> Markup {
    let about = pairs(&[
        ("Severity", severity(&word(one, "/severity"))),
        ("State", state(one)),
        ("First", time(&word(one, "/first"))),
        ("Last", time(&word(one, "/last"))),
        ("Alerts", html! { (number(count(one, "/alerts"))) }),
        ("Denied", html! { (number(count(one, "/denied"))) }),
        ("Users", names(one, "/users")),
        ("Containers", names(one, "/containers")),
        ("ATT&CK", names(one, "/attack")),
    ]);
    html! {
        p .lead { (worst(one)) }
        div .card { (about) }
        (part("What was found", &findings(one)))
        div .columns {
            (part("Processes", &tree(one)))
            (part("Timeline", &timeline(one, told, done)))
        }
    }
}

fn instant(text: &str) -> Option<i128> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_nanosecond)
}

/// From when to when of the whole incident.
fn bar(one: &Json, of: &Json) -> Markup {
    let at = |json: &Json, pointer: &str| instant(&word(json, pointer)).unwrap_or_default();
    let (begin, end) = (at(one, "/first"), at(one, "/last"));
    let all = (end - begin).max(1);
    let place = |time: i128| ((time - begin) * SPAN / all).clamp(0, SPAN);
    let (from, to) = (place(at(of, "/first")), place(at(of, "/last")));
    html! {
        svg .span viewBox={ "-4 0 " (SPAN + 8) " 12" } width=(SPAN + 8) height="12" aria-hidden="true" {
            rect .ground x="0" y="5" width=(SPAN) height="2" rx="1" {}
            rect .severe x=(from - 3) y="2" width=(to - from + 6) height="8" rx="4" {}
        }
    }
}

fn findings(one: &Json) -> Markup {
    let row = |finding: &Json| {
        vec![
            severity(&word(finding, "/severity")),
            html! { (word(finding, "/name")) " " a .muted href={ "/alerts?rule=" (word(finding, "/rule")) } { (word(finding, "/rule")) } },
            code(&word(finding, "/executable")),
            html! { (number(count(finding, "/count"))) },
            plain(&word(finding, "/outcome")),
            bar(one, finding),
        ]
    };
    let rows: Vec<Vec<Markup>> = list(one, "/findings").iter().map(row).collect();
    let more = count(one, "/findings_left_out");
    let heads = ["severity", "rule", "program", "count", "outcome", "when"];
    html! {
        (table("What was found", &heads, &rows))
        @if more > 0 { p .muted { (many(more, "more alert")) " of other rules and programs" } }
    }
}

/// The processes with alerts, and the way to them.
fn tree(one: &Json) -> Markup {
    let all = list(one, "/processes");
    let is_known = |id: &Json| all.iter().any(|process| process["entity_id"] == *id);
    // Whose parent is not in the tree stands for itself.
    let roots = all.iter().filter(|process| !is_known(&process["parent"]));
    let more = count(one, "/processes_left_out");
    html! {
        div .card { ul .tree { @for root in roots { (branch(all, root, 0)) } } }
        @if more > 0 { p .muted { (number(more)) " more processes" } }
    }
}

/// A process and what came from it. A tree is at most as deep as it has processes.
fn branch(all: &[Json], process: &Json, depth: usize) -> Markup {
    let id = &process["entity_id"];
    let is_child = |one: &&Json| one["parent"] == *id && one["entity_id"] != *id;
    let children: Vec<&Json> =
        if depth > all.len() { Vec::new() } else { all.iter().filter(is_child).collect() };
    let told = count(process, "/alerts");
    let name = first(process, &["/name", "/executable"]);
    html! {
        li {
            div .process.told[told > 0] {
                strong { (name) } " " span .muted { (word(process, "/pid")) }
                @let user = word(process, "/user");
                @if !user.is_empty() { " " span .tag { (user) } }
                @if told > 0 { " " (chip(&many(told, "alert"), Tone::Bad)) }
                @let line = first(process, &["/command_line", "/executable"]);
                @if line != name { br; code { (line) } }
            }
            @if !children.is_empty() {
                ul .only[children.len() == 1 && told == 0] { @for child in children { (branch(all, child, depth + 1)) } }
            }
        }
    }
}

/// Alerts that the agent still remembers, and what was done because of them, in their order.
fn timeline(one: &Json, told: &[Json], done: &[Json]) -> Markup {
    let mut all: Vec<(String, Markup)> = Vec::new();
    for alert in told.iter().filter(|alert| alert.pointer("/incident/id") == one.get("id")) {
        let outcome = word(alert, "/event/reason");
        let line = html! {
            (severity(&word(alert, "/severity"))) " " (first(alert, &["/rule/name", "/message"]))
            @if !outcome.is_empty() { " " (chip(&outcome, Tone::Bad)) }
            br; code { (subject(alert)) }
        };
        all.push((word(alert, "/@timestamp"), line));
    }
    let ids = list(one, "/alert_ids");
    for action in
        done.iter().filter(|it| it.pointer("/decision/alert").is_some_and(|id| ids.contains(id)))
    {
        let line = html! {
            (chip("response", Tone::Good)) " " (word(action, "/decision/response")) ": " (word(action, "/outcome"))
            br; code { (word(action, "/decision/executable")) " " (word(action, "/decision/pid")) }
        };
        all.push((word(action, "/decision/@timestamp"), line));
    }
    all.sort_by_key(|one| instant(&one.0));
    let left = count(one, "/alerts").saturating_sub(u64::try_from(all.len()).unwrap_or(u64::MAX));
    html! {
        @if all.is_empty() { (nothing("The agent does not remember these alerts one by one any more.")) }
        @else {
            @if left > 0 { p .muted { (many(left, "earlier alert")) " not remembered one by one" } }
            ol .timeline { @for (at, line) in &all { li { (time(at)) div { (line) } } } }
        }
    }
}

/// Who did what, as short as can be.
pub(super) fn subject(alert: &Json) -> String {
    let who = first(alert, &["/process/command_line", "/process/executable", "/process/name"]);
    let who = if who.is_empty() { format!("process {}", word(alert, "/process/pid")) } else { who };
    let object = first(alert, &["/file/path", "/destination/address", "/destination/ip"]);
    if object.is_empty() {
        return who;
    }
    format!("{who} → {object}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn process(id: &str, parent: Option<&str>, alerts: u64) -> Json {
        json!({ "entity_id": id, "parent": parent, "pid": 1, "name": id, "alerts": alerts, "command_line": id })
    }

    #[test]
    fn a_tree_has_each_process_once_below_its_parent() {
        let processes = [
            process("a", None, 0),
            process("b", Some("a"), 1),
            process("c", Some("b"), 2),
            process("d", Some("gone"), 1),
        ];
        let text = tree(&json!({ "processes": processes })).into_string();
        let at = |name: &str| text.find(&format!("<strong>{name}</strong>")).unwrap();
        assert!(at("a") < at("b") && at("b") < at("c") && at("c") < at("d"), "{text}");
        assert_eq!(text.matches("<strong>").count(), 4);
        assert_eq!(text.matches("<ul").count(), 3, "b is below a, c below b, d stands for itself");
        assert_eq!(text.matches(r#"class="only""#).count(), 1, "a only leads to b: {text}");
    }

    #[test]
    fn processes_that_are_each_others_parents_end() {
        let processes = [process("a", Some("b"), 0), process("b", Some("a"), 0)];
        assert!(!tree(&json!({ "processes": processes })).into_string().contains("<strong>"));
        let own = [process("a", None, 0), process("a", Some("a"), 0)];
        assert!(tree(&json!({ "processes": own })).into_string().len() < 10_000);
    }

    #[test]
    fn the_timeline_has_alerts_and_what_was_done_in_their_order() {
        let one = json!({ "id": "i", "alert_ids": ["x"], "alerts": 3 });
        let told = [
            json!({ "@timestamp": "2026-01-01T00:00:03Z", "incident": { "id": "i" }, "rule": { "name": "third" } }),
            json!({ "@timestamp": "2026-01-01T00:00:01Z", "incident": { "id": "i" }, "rule": { "name": "first" } }),
            json!({ "@timestamp": "2026-01-01T00:00:01Z", "incident": { "id": "j" }, "rule": { "name": "other" } }),
        ];
        let action = |alert: &str, verb: &str| json!({ "decision": { "alert": alert, "response": verb, "@timestamp": "2026-01-01T00:00:02Z" }, "outcome": "done" });
        let text = timeline(&one, &told, &[action("x", "kill"), action("y", "stop")]).into_string();
        let at = |word: &str| text.find(word);
        assert!(at("first") < at("kill: done") && at("kill: done") < at("third"), "{text}");
        assert!(!text.contains("other") && !text.contains("stop"), "{text}");
    }
}
