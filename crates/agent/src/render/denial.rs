//! The JSON document of something that a policy denied, would have denied, or reports: an alert in ECS
//! names, with the rule and who asked for what.
#![expect(clippy::indexing_slicing, reason = "what JSON does not have is null")]

use model::policy::Operation;
use serde_json::{Map, Value as Json, json};

/// From what the guard tells.
pub(crate) fn document(denial: &Json) -> Map<String, Json> {
    let text = |name: &str| denial[name].as_str();
    let operation = text("operation").unwrap_or("?");
    let outcome = text("outcome").unwrap_or("denied");
    let (ruleset, id) = text("rule").and_then(|rule| rule.split_once('/')).unwrap_or(("", "none"));
    let (file, line) = text("place").and_then(|place| place.rsplit_once(':')).unwrap_or_default();
    let severity = text("severity").unwrap_or("medium");
    let denied = outcome == "denied";
    let (kind, result) = if denied { ("denied", "failure") } else { ("allowed", "success") };
    let object = text("object").unwrap_or("?");
    let mut document = json!({
        "@timestamp": denial["time"],
        "event": {
            "kind": "alert",
            "category": [category(operation)],
            "type": [kind],
            "action": operation,
            "outcome": result,
            "reason": outcome,
        },
        "message": text("message").map_or_else(|| format!("{operation} {object}: {outcome}"), str::to_owned),
        "alert": { "id": denial["id"] },
        "rule": {
            "id": id,
            "name": id,
            "ruleset": ruleset,
            "severity": severity,
            "file": file,
            "line": line.parse::<u64>().ok(),
            "version": denial["generation"].to_string(),
        },
        "severity": severity,
        "process": { "pid": denial["pid"], "executable": denial["executable"], "name": name(denial) },
        "user": { "id": denial["uid"].to_string() },
    });
    if let [address, port, protocol] = denial["peer"].as_array().map_or(&[][..], Vec::as_slice) {
        document["destination"] = json!({ "ip": address, "port": port });
        let known = protocol.as_u64().and_then(transport);
        document["network"] = json!({ "transport": known, "iana_number": protocol.to_string() });
    } else if let Some([device, inode]) = denial["file"].as_array().map(Vec::as_slice) {
        document["file"] = json!({ "inode": inode.to_string(), "device": device.to_string() });
    } else if !denial["object"].is_null() {
        document["file"] = json!({ "path": denial["object"] });
    }
    let mut document = match document {
        Json::Object(document) => document,
        _ => Map::new(),
    };
    for of in document.values_mut().filter_map(Json::as_object_mut) {
        of.retain(|_, value| !value.is_null());
    }
    document
}

/// The name of the program.
fn name(denial: &Json) -> Option<&str> {
    denial["executable"].as_str()?.rsplit('/').next()
}

fn category(operation: &str) -> &'static str {
    let known = Operation::ALL.iter().copied().find(|one| one.name() == operation);
    match known {
        Some(
            Operation::Connect
            | Operation::Bind
            | Operation::Listen
            | Operation::Accept
            | Operation::Send
            | Operation::Receive
            | Operation::RawSocket,
        ) => "network",
        Some(
            Operation::Read
            | Operation::Write
            | Operation::Create
            | Operation::Delete
            | Operation::Rename
            | Operation::Link
            | Operation::Attributes
            | Operation::MapCode,
        ) => "file",
        Some(Operation::LoadModule) => "driver",
        Some(Operation::Mount) => "configuration",
        _ => "process",
    }
}

fn transport(protocol: u64) -> Option<&'static str> {
    match protocol {
        1 => Some("icmp"),
        6 => Some("tcp"),
        17 => Some("udp"),
        58 => Some("ipv6-icmp"),
        132 => Some("sctp"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial() -> Json {
        json!({
            "id": "3-17", "time": "2026-01-02T03:04:05Z", "outcome": "denied", "operation": "connect",
            "object": "192.0.2.1:443/6", "peer": ["192.0.2.1", 443, 6], "file": null, "pid": 7,
            "uid": 33, "executable": "/usr/sbin/nginx", "generation": 3, "rule": "web/no-net",
            "place": "/etc/p.yaml:12", "severity": "high", "message": null,
        })
    }

    #[test]
    fn who_asked_for_what_and_which_rule_said_no() {
        let document = Json::from(document(&denial()));
        for (at, expected) in [
            ("/event/kind", json!("alert")),
            ("/event/category", json!(["network"])),
            ("/event/type", json!(["denied"])),
            ("/event/action", json!("connect")),
            ("/event/outcome", json!("failure")),
            ("/alert/id", json!("3-17")),
            ("/rule/id", json!("no-net")),
            ("/rule/ruleset", json!("web")),
            ("/rule/file", json!("/etc/p.yaml")),
            ("/rule/line", json!(12)),
            ("/severity", json!("high")),
            ("/process/pid", json!(7)),
            ("/process/name", json!("nginx")),
            ("/user/id", json!("33")),
            ("/destination/ip", json!("192.0.2.1")),
            ("/destination/port", json!(443)),
            ("/network/transport", json!("tcp")),
            ("/message", json!("connect 192.0.2.1:443/6: denied")),
        ] {
            assert_eq!(document.pointer(at), Some(&expected), "{at}");
        }
        assert!(document.get("file").is_none());
    }

    #[test]
    fn what_was_let_through_says_so_and_a_rule_has_the_last_word() {
        let mut denial = denial();
        denial["outcome"] = "would be denied".into();
        denial["message"] = "Ask the web team.".into();
        (denial["peer"], denial["file"]) = (Json::Null, json!([2049, 12]));
        denial["operation"] = "read".into();
        let document = Json::from(document(&denial));
        assert_eq!(document["event"]["outcome"], "success");
        assert_eq!(document["event"]["reason"], "would be denied");
        assert_eq!(document["event"]["category"], json!(["file"]));
        assert_eq!(document["file"], json!({ "inode": "12", "device": "2049" }));
        assert_eq!(document["message"], "Ask the web team.");
        assert!(document.get("destination").is_none());
    }
}
