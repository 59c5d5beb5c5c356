//! CEF, version 0: a line for tools that read ArcSight's Common Event Format.
//!
//! In the head `\` and `|` are escaped, in values `\` and `=`; ends of lines become `\n` and `\r`.

use serde_json::{Map, Value as Json};

use super::{PRODUCT, VENDOR, millis, outcome, text};

/// Keys of the extension, and where in an alert they come from.
const KEYS: &[(&str, &str)] = &[
    ("externalId", "alert.id"),
    ("dvchost", "host.name"),
    ("dvc", "host.ip"),
    ("deviceExternalId", "host.id"),
    ("cat", "event.category"),
    ("act", "event.action"),
    ("outcome", "event.outcome"),
    ("sproc", "process.executable"),
    ("spid", "process.pid"),
    ("suser", "user.name"),
    ("suid", "user.id"),
    ("src", "source.ip"),
    ("spt", "source.port"),
    ("dst", "destination.ip"),
    ("dpt", "destination.port"),
    ("dhost", "destination.domain"),
    ("proto", "network.transport"),
    ("filePath", "file.path"),
    ("fname", "file.name"),
];
/// Texts that have no key of their own, with the label that says what they are.
const LABELLED: &[(&str, &str)] = &[
    ("command line", "process.command_line"),
    ("parent", "process.parent.executable"),
    ("technique", "threat.technique.id"),
    ("container", "container.name"),
];

/// An alert as a line; `document` has ECS names.
pub(crate) fn line(document: &Map<String, Json>) -> String {
    let rule = text(document, "rule.id").or_else(|| text(document, "event.action"));
    let severity = severity(&text(document, "severity").unwrap_or_default());
    let name = text(document, "message").unwrap_or_default();
    let mut line = format!(
        "CEF:0|{VENDOR}|{PRODUCT}|{}|{}|{}|{severity}|",
        env!("CARGO_PKG_VERSION"),
        head(&rule.unwrap_or_default()),
        head(&name),
    );
    let mut first = true;
    let mut add = |key: &str, value: &str| {
        let space = if std::mem::take(&mut first) { "" } else { " " };
        line.extend([space, key, "=", &extension(value)]);
    };
    if let Some(time) = millis(document, "@timestamp") {
        add("rt", &time.to_string());
    }
    for (key, path) in KEYS {
        if let Some(value) = text(document, path) {
            add(key, &value);
        }
    }
    if let Some(reason) = outcome(document) {
        add("reason", reason);
    }
    for (number, (label, path)) in (1..).zip(LABELLED) {
        if let Some(value) = text(document, path) {
            add(&format!("cs{number}Label"), label);
            add(&format!("cs{number}"), &value);
        }
    }
    line
}

/// The line that tells of lost ones.
pub(crate) fn notice(lost: u64) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "CEF:0|{VENDOR}|{PRODUCT}|{version}|lines-lost|lines were lost: the reader is too slow|5|cnt={lost}"
    )
}

/// 0 to 10.
fn severity(word: &str) -> u8 {
    match word {
        "informational" => 1,
        "low" => 3,
        "high" => 8,
        "critical" => 10,
        _ => 5,
    }
}

fn head(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('|', "\\|");
    text.replace(['\n', '\r'], " ")
}

fn extension(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('=', "\\=");
    text.replace('\n', "\\n").replace('\r', "\\r")
}
