//! A line on its way, and the forms that it can have.

use clap::ValueEnum;
use model::program::Severity;
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};

use super::spool::Place;
use super::target::severity;
use crate::render::{export, health};

/// Bytes of the hash of a line that has no identity of its own.
const ID_BYTES: usize = 16;

/// Form of what outputs hand over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// As `run -o json` prints it: ECS names and all that is known
    Json,
    /// The Elastic Common Schema alone; what has no field there is below `aegisbpf`
    Ecs,
    /// An OCSF Detection Finding
    Ocsf,
    /// A line of ArcSight's Common Event Format
    Cef,
    /// What Falco would say, as Falcosidekick reads it
    Falco,
}

impl Form {
    /// An item in this form.
    pub(super) fn of(self, item: &Item) -> String {
        let document = &item.document;
        match self {
            Form::Json => json!(document).to_string(),
            Form::Ecs => export::ecs(document, &item.id).to_string(),
            Form::Ocsf => export::ocsf(document).to_string(),
            Form::Cef => export::cef(document),
            Form::Falco => export::falco(document, &item.id).to_string(),
        }
    }

    /// What HTTP calls it.
    pub(super) fn media_type(self) -> &'static str {
        if self == Form::Cef { "text/plain; charset=utf-8" } else { "application/json" }
    }
}

/// Something that is told.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// The same whenever it is told again.
    pub(crate) id: String,
    /// What it says.
    pub(crate) document: Map<String, Json>,
}

impl Item {
    /// The item in a line; none if the line is damaged.
    pub(crate) fn of(line: &str) -> Option<Item> {
        let document: Map<String, Json> = serde_json::from_str(line).ok()?;
        let id = document.get("alert").and_then(|alert| alert.get("id")).and_then(Json::as_str);
        // What the agent tells of itself has none; the time in it tells it from others.
        let id = id.map_or_else(|| hash(line), str::to_owned);
        Some(Item { id, document })
    }

    /// It says that the spool ran over, and what that cost.
    pub(super) fn lost(output: &str, lines: u64, place: Place) -> Item {
        let message = format!(
            "output `{output}` was behind for so long that {lines} lines in the spool were given up"
        );
        let details = json!({ "output": output, "lost": lines });
        let mut document = health::document("output_lost", &message, None, &details);
        // No line of the spool is behind it whose text would identify it.
        let id = hash(&format!("{output} {place} {lines}"));
        document.insert("alert".to_owned(), json!({ "id": id }));
        Item { id, document }
    }

    /// What an operator may have a minimum for. What the agent tells of itself is always told.
    pub(super) fn severity(&self) -> Severity {
        let word = self.text("/severity").and_then(severity);
        word.filter(|_| !self.is_health()).unwrap_or(Severity::Critical)
    }

    /// Whether the agent tells it of itself.
    pub(super) fn is_health(&self) -> bool {
        self.text("/event/kind") == Some("pipeline_error")
    }

    /// A text, by its JSON pointer.
    pub(super) fn text(&self, pointer: &str) -> Option<&str> {
        let mut names = pointer.split('/').skip(1);
        let first = self.document.get(names.next()?)?;
        names.try_fold(first, |value, name| value.get(name))?.as_str()
    }
}

fn hash(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    let start = hash.first_chunk::<ID_BYTES>().copied().unwrap_or_default();
    format!("{:032x}", u128::from_be_bytes(start))
}

/// The severity of syslog (RFC 5424, 6.2.1), which journald and OTLP know, too.
pub(super) fn syslog_severity(item: &Item) -> u8 {
    match (item.is_health(), item.severity()) {
        (true, _) | (false, Severity::Medium) => 4,
        (false, Severity::Critical) => 2,
        (false, Severity::High) => 3,
        (false, Severity::Low) => 5,
        (false, Severity::Informational) => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_known_by_its_alert_or_by_what_it_says() {
        let alert =
            Item::of(r#"{"alert":{"id":"7f"},"severity":"low","event":{"kind":"alert"}}"#).unwrap();
        assert_eq!((alert.id.as_str(), alert.severity()), ("7f", Severity::Low));
        let line = r#"{"event":{"kind":"pipeline_error"},"severity":"low","@timestamp":"t"}"#;
        let health = Item::of(line).unwrap();
        assert_eq!(health.id, Item::of(line).unwrap().id, "the same when it is told again");
        assert_eq!((health.id.len(), health.severity()), (32, Severity::Critical));
        assert!(Item::of(r#"{"alert":"#).is_none());
    }

    #[test]
    fn what_the_spool_gave_up_is_told() {
        let item = Item::lost("siem", 7, Place::default());
        assert_eq!(item.text("/event/action"), Some("output_lost"));
        assert_eq!(item.document["aegisbpf"]["health"], json!({ "output": "siem", "lost": 7 }));
    }
}
