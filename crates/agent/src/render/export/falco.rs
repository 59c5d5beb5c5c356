//! An alert as Falco would say it: the JSON that Falcosidekick reads, with Falco's names of fields, so that
//! whoever has its routes and templates can keep them.

use serde_json::{Map, Value as Json, json};

use super::{at, text};

/// Fields by Falco's name, and where in an alert they come from.
const FIELDS: &[(&str, &str)] = &[
    ("evt.type", "event.action"),
    ("proc.name", "process.name"),
    ("proc.pid", "process.pid"),
    ("proc.exepath", "process.executable"),
    ("proc.cmdline", "process.command_line"),
    ("proc.cwd", "process.working_directory"),
    ("proc.pname", "process.parent.name"),
    ("proc.ppid", "process.parent.pid"),
    ("user.name", "user.name"),
    ("user.uid", "user.id"),
    ("fd.name", "file.path"),
    ("fd.rip", "destination.ip"),
    ("fd.rport", "destination.port"),
    ("container.id", "container.id"),
    ("container.name", "container.name"),
    ("container.image.repository", "container.image.name"),
    ("k8s.ns.name", "orchestrator.namespace"),
    ("k8s.pod.name", "orchestrator.resource.name"),
];

/// An alert; `id` is its identity.
pub(crate) fn document(document: &Map<String, Json>, id: &str) -> Json {
    let mut fields: Map<String, Json> = FIELDS
        .iter()
        .filter_map(|(name, path)| Some(((*name).to_owned(), at(document, path)?.clone())))
        .collect();
    fields.insert("alert.id".to_owned(), id.into());
    let tags = ["rule.tags", "threat.tactic.id", "threat.technique.id"];
    let tags = tags.iter().filter_map(|path| at(document, path)?.as_array());
    let message = text(document, "message").unwrap_or_default();
    json!({
        "uuid": id,
        "output": message,
        "priority": priority(text(document, "severity").as_deref()),
        // What the agent tells of itself is about no rule.
        "rule": text(document, "rule.name").or_else(|| text(document, "event.action")),
        "time": text(document, "@timestamp"),
        "output_fields": fields,
        "source": "syscall",
        "tags": tags.flatten().collect::<Vec<_>>(),
        "hostname": text(document, "host.name"),
    })
}

/// Severities in Falco's words.
fn priority(word: Option<&str>) -> &'static str {
    match word {
        Some("critical") => "Critical",
        Some("high") => "Error",
        Some("low") => "Notice",
        Some("informational") => "Informational",
        _ => "Warning",
    }
}
