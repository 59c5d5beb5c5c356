//! One readable line for an event or an alert, made from its JSON document, so that the agent and
//! the commands that read its stream print the same.

use anstyle::{AnsiColor, Style};
use jiff::{Timestamp, tz::TimeZone};
use model::action;
use model::json::parse_time;
use model::op::Kind;
use serde_json::{Map, Value as Json};

use super::detail;
use super::escape::piece;

/// Width of the operation column: the longest name, `attributes`.
const KIND_WIDTH: usize = 10;
/// Width of the user column; most names are shorter.
const USER_WIDTH: usize = 8;
/// Width of the severity column: `critical`.
const SEVERITY_WIDTH: usize = 8;
/// Ancestors shown before the process itself.
const CHAIN_MAX: usize = 8;

const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();

/// A document that is looked into by path.
#[derive(Clone, Copy)]
pub(crate) struct Doc<'a>(pub(crate) &'a Map<String, Json>);

impl<'a> Doc<'a> {
    /// The value at a dotted name.
    pub(crate) fn get(self, name: &str) -> Option<&'a Json> {
        let (head, rest) = name.split_once('.').map_or((name, None), |(h, r)| (h, Some(r)));
        let value = self.0.get(head)?;
        match rest {
            None => Some(value),
            Some(rest) => Doc(value.as_object()?).get(rest),
        }
    }

    /// Text at a dotted name, safe to show.
    pub(crate) fn text(self, name: &str) -> Option<String> {
        match self.get(name)? {
            Json::String(text) => Some(piece(text)),
            Json::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// The list at a dotted name.
    pub(crate) fn list(self, name: &str) -> &'a [Json] {
        self.get(name).and_then(Json::as_array).map_or(&[], Vec::as_slice)
    }

    /// The operation, by `event.action`.
    pub(crate) fn kind(self) -> Option<Kind> {
        let name = self.get("event.action")?.as_str()?;
        Kind::ALL.iter().copied().find(|kind| action::of(*kind).action == name)
    }
}

/// The line of a document of either sort.
pub(crate) fn line(document: &Map<String, Json>, zone: &TimeZone) -> String {
    let doc = Doc(document);
    if doc.get("event.kind").and_then(Json::as_str) == Some("pipeline_error") {
        let (action, message) = (doc.text("event.action"), doc.text("message"));
        let [action, message] = [action, message].map(Option::unwrap_or_default);
        let yellow = severity_style("medium");
        return format!(
            "{DIM}{}{DIM:#} {yellow}agent{yellow:#}    {BOLD}{action}{BOLD:#}  {message}",
            clock(doc, zone)
        );
    }
    if doc.get("event.kind").and_then(Json::as_str) == Some("alert") {
        alert(doc, zone)
    } else {
        event(doc, zone)
    }
}

fn event(doc: Doc<'_>, zone: &TimeZone) -> String {
    let kind = doc.kind();
    let name = kind.map_or("?", Kind::name);
    let user = doc.text("user.name").or_else(|| doc.text("user.id")).unwrap_or_else(|| "?".into());
    let subject = match kind {
        Some(Kind::Exec | Kind::Fork) => {
            let parent = process(doc, "process.parent");
            parent.map_or_else(String::new, |parent| format!("{parent} > ")) + &acting(doc)
        }
        _ => acting(doc),
    };
    let mut line = format!("{DIM}{}{DIM:#} ", clock(doc, zone));
    put(&mut line, format_args!("{BOLD}{name:KIND_WIDTH$}{BOLD:#} {user:USER_WIDTH$} {subject}"));
    let detail = detail::of(doc, kind);
    if !detail.is_empty() {
        put(&mut line, format_args!("  {detail}"));
    }
    line
}

fn alert(doc: Doc<'_>, zone: &TimeZone) -> String {
    let severity = doc.text("rule.severity").unwrap_or_default();
    let colour = severity_style(&severity);
    let rule = doc.text("rule.name").or_else(|| doc.text("rule.id")).unwrap_or_default();
    let detail = denial(doc).unwrap_or_else(|| detail::of(doc, doc.kind()));
    let mut line = format!("{DIM}{}{DIM:#} ", clock(doc, zone));
    put(&mut line, format_args!("{colour}{severity:SEVERITY_WIDTH$}{colour:#} "));
    put(&mut line, format_args!("{BOLD}{rule}{BOLD:#}  {}  {detail}", chain(doc)));
    line
}

/// What a policy denied or would have denied, of what.
fn denial(doc: Doc<'_>) -> Option<String> {
    let (reason, action) = (doc.text("event.reason")?, doc.text("event.action")?);
    let peer =
        || Some(format!("{}:{}", doc.text("destination.ip")?, doc.text("destination.port")?));
    let number = || Some(format!("inode {}", doc.text("file.inode")?));
    let object = doc.text("file.path").or_else(peer).or_else(number).unwrap_or_default();
    Some(format!("{action} {object}: {reason}"))
}

fn put(line: &mut String, pieces: std::fmt::Arguments<'_>) {
    line.push_str(&pieces.to_string());
}

fn severity_style(severity: &str) -> Style {
    let colour = match severity {
        "critical" | "high" => AnsiColor::Red,
        "medium" => AnsiColor::Yellow,
        "low" => AnsiColor::Cyan,
        _ => return DIM,
    };
    let style = Style::new().fg_color(Some(colour.into()));
    if severity == "critical" { style.bold() } else { style }
}

fn clock(doc: Doc<'_>, zone: &TimeZone) -> String {
    doc.get("@timestamp")
        .and_then(Json::as_str)
        .and_then(parse_time)
        .and_then(|ns| Timestamp::from_nanosecond(ns.into()).ok())
        .map_or_else(
            || "--:--:--.---".to_owned(),
            |time| time.to_zoned(zone.clone()).strftime("%H:%M:%S.%3f").to_string(),
        )
}

/// `sshd(812) > bash(901) > x(950)`
fn chain(doc: Doc<'_>) -> String {
    let ancestors = doc.list("process.Ext.ancestors");
    let mut names: Vec<String> = ancestors
        .iter()
        .take(CHAIN_MAX)
        .filter_map(|one| process_of(Doc(one.as_object()?)))
        .collect();
    if ancestors.len() > CHAIN_MAX {
        names.push("…".to_owned());
    }
    names.reverse();
    names.push(acting(doc));
    names.join(" > ")
}

fn acting(doc: Doc<'_>) -> String {
    process(doc, "process").unwrap_or_else(|| "?".to_owned())
}

/// `name(pid)` of the process object at a dotted name.
pub(crate) fn process(doc: Doc<'_>, at: &str) -> Option<String> {
    process_of(Doc(doc.get(at)?.as_object()?))
}

fn process_of(one: Doc<'_>) -> Option<String> {
    let pid = one.text("pid")?;
    let name = one.text("name").or_else(|| one.text("title")).unwrap_or_else(|| "?".to_owned());
    Some(format!("{name}({pid})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(json: &str) -> String {
        let document: Map<String, Json> = serde_json::from_str(json).unwrap();
        anstream::adapter::strip_str(&line(&document, &TimeZone::UTC)).to_string()
    }

    #[test]
    fn an_exec_shows_parent_and_arguments() {
        let json = r#"{"@timestamp":"2023-11-14T22:13:20.123456789Z","event":{"action":"exec"},
            "user":{"name":"root"},"process":{"pid":950,"name":"cp",
            "args":["cp","/bin/sleep","/tmp/a b"],"parent":{"pid":901,"name":"bash"}}}"#;
        let expected =
            "22:13:20.123 exec       root     bash(901) > cp(950)  cp /bin/sleep '/tmp/a b'";
        assert_eq!(plain(json), expected);
    }

    #[test]
    fn an_alert_shows_severity_rule_and_chain() {
        let json = r#"{"@timestamp":"2023-11-14T22:13:20Z","event":{"kind":"alert","action":"exec"},
            "rule":{"name":"Run from /tmp","severity":"high"},
            "process":{"pid":950,"name":"x","args":["/tmp/x","1"],"Ext":{"ancestors":[
            {"pid":901,"name":"bash"},{"pid":812,"name":"sshd"}]}}}"#;
        let expected =
            "22:13:20.000 high     Run from /tmp  sshd(812) > bash(901) > x(950)  /tmp/x 1";
        assert_eq!(plain(json), expected);
    }

    #[test]
    fn a_denial_shows_what_was_asked_for() {
        let json = r#"{"@timestamp":"2023-11-14T22:13:20Z","event":{"kind":"alert","action":"connect",
            "reason":"denied"},"rule":{"name":"no-net","severity":"low"},
            "destination":{"ip":"192.0.2.1","port":9},"process":{"pid":950,"name":"x"}}"#;
        let expected = "22:13:20.000 low      no-net  x(950)  connect 192.0.2.1:9: denied";
        assert_eq!(plain(json), expected);
    }

    #[test]
    fn what_the_agent_tells_of_itself_is_shown() {
        let json = r#"{"@timestamp":"2023-11-14T22:13:20Z","message":"rule `a` is slow",
            "event":{"kind":"pipeline_error","action":"rule_slow"}}"#;
        assert_eq!(plain(json), "22:13:20.000 agent    rule_slow  rule `a` is slow");
    }

    #[test]
    fn details_of_other_operations() {
        let of = |action: &str, rest: &str| {
            let json = format!(
                r#"{{"event":{{"action":"{action}"}},"process":{{"pid":9,"name":"p"}},{rest}}}"#
            );
            plain(&json).split_once("p(9)").unwrap().1.trim().to_owned()
        };
        let path = r#""file":{"path":"/b","Ext":{"original":{"path":"/a\n"}}}"#;
        assert_eq!(of("rename", path), r"/a\n -> /b");
        assert_eq!(of("deletion", r#""file":{"path":"/b"}"#), "/b");
        let net = r#""source":{"ip":"127.0.0.1","port":4000},"destination":{"ip":"::1","port":80},"network":{"transport":"tcp"}"#;
        assert_eq!(of("connection_attempted", net), "127.0.0.1:4000 -> [::1]:80 tcp");
        let dns = r#""dns":{"question":{"name":"example.org","type":"A"}}"#;
        assert_eq!(of("lookup_requested", dns), "example.org A");
        let attr = r#""file":{"path":"/x","mode":2541,"Ext":{"changed":["mode"]}}"#;
        assert_eq!(of("attribute_change", attr), "/x mode 4755");
    }

    #[test]
    fn what_is_unknown_is_shown_as_unknown() {
        assert_eq!(plain("{}"), "--:--:--.--- ?          ?        ?");
    }
}
