//! What would cover alerts that are alike, and as little else as can be: for each program, all that its
//! alerts have in common.

use std::collections::BTreeMap;

use lang::fmt::quoted;
use serde_json::Value as Json;

use crate::render::compact::Doc;

/// Fields that say what is done by whom and to what, and that stay the same when it is done again. The first
/// one tells the groups apart.
const FIELDS: &[&str] = &[
    "process.executable",
    "process.parent.executable",
    "user.id",
    "container.image.name",
    "event.action",
    "file.path",
    "destination.ip",
    "destination.port",
    "dns.question.name",
];
/// Letters of a program in an id.
const NAME_MAX: usize = 32;

/// Alerts of one program.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// How many.
    pub(super) alerts: usize,
    /// The condition that holds for all of them.
    pub(super) condition: String,
    /// The program.
    program: String,
}

fn at<'a>(alert: &'a Json, field: &str) -> Option<&'a Json> {
    Doc(alert.as_object()?).get(field)
}

/// Groups by program, the greatest first.
pub(super) fn groups(alerts: &[Json]) -> Vec<Group> {
    let mut by_program: BTreeMap<&str, Vec<&Json>> = BTreeMap::new();
    for alert in alerts {
        let program = at(alert, "process.executable").and_then(Json::as_str).unwrap_or_default();
        by_program.entry(program).or_default().push(alert);
    }
    let mut groups: Vec<Group> =
        by_program.into_iter().map(|(program, all)| group(program, &all)).collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.alerts));
    groups
}

fn group(program: &str, all: &[&Json]) -> Group {
    let terms = FIELDS.iter().filter_map(|field| term(field, all));
    let condition = terms.collect::<Vec<_>>().join("\n  and ");
    Group { alerts: all.len(), condition, program: program.to_owned() }
}

/// What all alerts say of a field, if they agree; of paths, the directory that they have in common.
fn term(field: &str, all: &[&Json]) -> Option<String> {
    let values: Option<Vec<&Json>> = all.iter().map(|alert| at(alert, field)).collect();
    let values = values?;
    let first = *values.first()?;
    if values.iter().all(|value| *value == first) {
        return match first {
            Json::String(text) => Some(format!("{field} == {}", quoted(text.as_bytes()))),
            Json::Number(number) => Some(format!("{field} == {number}")),
            _ => None,
        };
    }
    if field != "file.path" {
        return None;
    }
    let paths: Option<Vec<&str>> = values.iter().map(|value| value.as_str()).collect();
    let directory = directory(&paths?)?;
    // A wildcard in the name itself would mean more than is known.
    let is_plain = !directory.contains(['*', '?']);
    is_plain.then(|| format!("{field} like {}", quoted(format!("{directory}/*").as_bytes())))
}

/// The deepest directory that holds all of them; the root holds everything and says nothing.
fn directory(paths: &[&str]) -> Option<String> {
    let mut common: Vec<&str> = paths.first()?.split('/').collect();
    common.pop();
    for path in paths {
        let alike = common.iter().zip(path.split('/')).take_while(|(a, b)| *a == b).count();
        common.truncate(alike);
    }
    (common.len() > 1).then(|| common.join("/"))
}

/// A suppression as it stands in a file.
pub(super) fn toml(group: &Group, rule: &str, reason: &str, day: &str) -> String {
    let name = group.program.rsplit('/').next().unwrap_or_default();
    let plain = |text: &str, most: usize| -> String {
        let letters = text.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c));
        letters.take(most).collect()
    };
    let id = format!("{}-{}", plain(rule, NAME_MAX - 2), plain(name, NAME_MAX));
    let text = |text: &str| toml::Value::from(text).to_string();
    format!(
        "# {} recent alerts\n[[suppression]]\nid = {}\nrule = {}\nwhere = {}\nreason = {}\nexpires = {day}\n\n",
        group.alerts,
        text(&id),
        text(rule),
        text(&group.condition),
        text(reason),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::Filter;
    use model::json::Document;
    use serde_json::json;

    fn alert(program: &str, parent: &str, path: &str) -> Json {
        json!({
            "rule": { "id": "shadow" }, "event": { "category": ["file"], "action": "open" },
            "process": { "executable": program, "parent": { "executable": parent } },
            "file": { "path": path }, "user": { "id": "0" },
        })
    }

    fn holds(condition: &str, alert: &Json) -> bool {
        let event = Document::lenient(alert.as_object().unwrap()).0;
        Filter::new(condition).unwrap().holds(&event)
    }

    #[test]
    fn a_suggestion_covers_its_alerts_and_not_what_differs() {
        let borg = |path: &str| alert("/usr/bin/borg \"x\\y", "/usr/sbin/cron", path);
        let alerts = [
            borg("/etc/shadow"),
            alert("/bin/cat", "/bin/bash", "/etc/shadow"),
            borg("/etc/ssh/host_key"),
        ];
        let groups = groups(&alerts);
        let sizes: Vec<_> = groups.iter().map(|group| group.alerts).collect();
        assert_eq!(sizes, [2, 1]);
        let of = &groups[0].condition;
        assert!(holds(of, &alerts[0]) && holds(of, &alerts[2]) && !holds(of, &alerts[1]), "{of}");
        let other = alert("/usr/bin/borg \"x\\y", "/bin/bash", "/etc/shadow");
        assert!(!holds(of, &other), "started by another: {of}");
        assert!(!holds(of, &borg("/root/.ssh/id")), "elsewhere: {of}");
    }

    #[test]
    fn what_is_printed_can_be_read() {
        let alerts = [alert("/usr/bin/a'b\"\n", "/p", "/x/y")];
        let text = toml(&groups(&alerts)[0], "shadow", "why \"not\"", "2027-01-01");
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.toml"), &text).unwrap();
        let now = "2026-12-01T00:00:00Z".parse::<jiff::Timestamp>().unwrap().as_second();
        let paths = [dir.path().to_owned()];
        let list = crate::suppressions::read(&paths, files::Trust::Anyone, now).unwrap();
        assert_eq!((list[0].rule.as_str(), list[0].reason.as_str()), ("shadow", "why \"not\""));
        assert!(holds(&list[0].condition, &alerts[0]), "{text}");
    }

    #[test]
    fn directories_in_common_are_whole_names() {
        assert_eq!(directory(&["/etc/a", "/etc/b/c"]).as_deref(), Some("/etc"));
        assert_eq!(directory(&["/etc/a", "/etcetera/b"]), None);
        assert_eq!(directory(&["/a/b/c", "/a/b/d"]).as_deref(), Some("/a/b"));
    }
}
