//! OTLP logs over HTTP, in the JSON encoding: any OpenTelemetry collector takes them at `/v1/logs`.
//!
//! Names are those of `opentelemetry/proto/logs/v1/logs.proto` in their JSON form.

use serde_json::{Map, Value as Json, json};

use super::http::Client;
use super::{Refusal, Sent, Sink};
use crate::outputs::item::{Form, Item, syslog_severity};
use crate::outputs::sender::Order;
use crate::outputs::target::Target;

/// Attributes of a record, and where in an alert they come from.
const ATTRIBUTES: &[(&str, &str)] = &[
    ("rule.id", "/rule/id"),
    ("event.action", "/event/action"),
    ("event.kind", "/event/kind"),
    ("process.executable.path", "/process/executable"),
    ("user.name", "/user/name"),
    ("container.id", "/container/id"),
];

/// A collector.
pub(super) struct Otlp {
    client: Client,
    form: Form,
}

impl Otlp {
    pub(super) fn new(target: &Target, order: &Order) -> Result<Otlp, String> {
        Ok(Otlp { client: Client::new(target, order)?, form: target.form })
    }
}

impl Sink for Otlp {
    fn send(&mut self, items: &[Item]) -> Sent {
        if items.is_empty() {
            return Sent { done: 0, refusal: None };
        }
        let body = request(items, self.form).to_string();
        match self.client.post("application/json", None, &body) {
            Ok(answer) => Sent { done: items.len(), refusal: rejected(&answer) },
            // Which of them it does not want is not said: one after the other.
            Err(Refusal::Never(why)) if items.len() == 1 => {
                Sent { done: 0, refusal: Some(Refusal::Never(why)) }
            }
            Err(Refusal::Never(_)) => {
                items.first().map_or(Sent { done: 0, refusal: None }, |one| {
                    self.send(std::slice::from_ref(one))
                })
            }
            Err(later) => Sent { done: 0, refusal: Some(later) },
        }
    }
}

/// What a collector says that took only some. It must not be told them again.
fn rejected(answer: &str) -> Option<Refusal> {
    let answer: Json = serde_json::from_str(answer).ok()?;
    let partial = answer.get("partialSuccess")?;
    let count = match partial.get("rejectedLogRecords")? {
        Json::String(text) => text.parse().ok()?,
        number => number.as_u64()?,
    };
    (count > 0).then(|| {
        Refusal::Later(format!("the collector rejected {count} records of the last request"))
    })
}

/// One `ExportLogsServiceRequest`.
fn request(items: &[Item], form: Form) -> Json {
    let host = items.first().and_then(|item| item.text("/host/name")).unwrap_or_default();
    let resource = [("service.name", "aegisbpf"), ("host.name", host)];
    let resource: Vec<Json> = resource
        .iter()
        .filter(|one| !one.1.is_empty())
        .map(|(key, value)| text(key, value))
        .collect();
    let records: Vec<Json> = items.iter().map(|item| record(item, form)).collect();
    json!({ "resourceLogs": [{
        "resource": { "attributes": resource },
        "scopeLogs": [{
            "scope": { "name": "aegisbpf", "version": env!("CARGO_PKG_VERSION") },
            "logRecords": records,
        }],
    }] })
}

fn record(item: &Item, form: Form) -> Json {
    let mut attributes = vec![text("log.record.uid", &item.id)];
    let more = ATTRIBUTES.iter().filter_map(|(key, at)| Some(text(key, item.text(at)?)));
    attributes.extend(more);
    let (number, word) = severity(item);
    let body = if form == Form::Cef {
        json!({ "stringValue": form.of(item) })
    } else {
        value(&serde_json::from_str(&form.of(item)).unwrap_or_default())
    };
    json!({
        // 64 bits are text in the JSON of protocol buffers.
        "timeUnixNano": nanoseconds(item).to_string(),
        "observedTimeUnixNano": nanoseconds(item).to_string(),
        "severityNumber": number,
        "severityText": word,
        "eventName": item.text("/event/action"),
        "body": body,
        "attributes": attributes,
    })
}

fn text(key: &str, value: &str) -> Json {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// A value as an `AnyValue`.
fn value(json: &Json) -> Json {
    match json {
        Json::Null => json!({}),
        Json::Bool(is) => json!({ "boolValue": is }),
        Json::Number(number) => match number.as_f64() {
            _ if number.is_i64() => json!({ "intValue": number.to_string() }),
            Some(double) => json!({ "doubleValue": double }),
            None => json!({ "stringValue": number.to_string() }),
        },
        Json::String(text) => json!({ "stringValue": text }),
        Json::Array(all) => {
            json!({ "arrayValue": { "values": all.iter().map(value).collect::<Vec<_>>() } })
        }
        Json::Object(all) => json!({ "kvlistValue": { "values": pairs(all) } }),
    }
}

fn pairs(all: &Map<String, Json>) -> Vec<Json> {
    all.iter().map(|(key, one)| json!({ "key": key, "value": value(one) })).collect()
}

/// Severities of syslog in the numbers of OTLP, as its specification maps them.
fn severity(item: &Item) -> (u8, &'static str) {
    match syslog_severity(item) {
        2 => (21, "critical"),
        3 => (17, "high"),
        4 => (13, "medium"),
        5 => (10, "low"),
        _ => (9, "informational"),
    }
}

/// When it was, since 1970.
fn nanoseconds(item: &Item) -> u64 {
    let time = item.text("/@timestamp").and_then(|time| time.parse::<jiff::Timestamp>().ok());
    time.and_then(|time| u64::try_from(time.as_nanosecond()).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};

    use super::*;

    /// The official definition, packaged for Python.
    const DEFINITION: &str = "opentelemetry-proto==1.45.2";
    /// Reads a request strictly, and prints what it understood.
    const READ: &str = "import json, sys
from google.protobuf.json_format import Parse, MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
print(json.dumps(MessageToDict(Parse(sys.stdin.read(), ExportLogsServiceRequest()))))";

    fn items() -> Vec<Item> {
        let alert = r#"{"@timestamp":"2026-11-23T11:45:41.002944260Z","host":{"name":"vm"},"severity":"high",
            "alert":{"id":"ab"},"event":{"kind":"alert","action":"exec","sequence":18446744073709551615},
            "process":{"pid":7,"args":["x",""],"Ext":{"trusted":true,"none":null,"part":0.5}},
            "rule":{"id":"r"}}"#;
        let health = r#"{"event":{"kind":"pipeline_error","action":"rule_slow"},"message":"m"}"#;
        [alert, health].map(|line| Item::of(&line.replace('\n', " ")).unwrap()).into()
    }

    /// Python with the definition, or why there is none.
    fn python() -> Result<PathBuf, String> {
        let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/otlp");
        let python = home.join("bin/python");
        let run = |command: &mut Command| match command.output() {
            Ok(done) if done.status.success() => Ok(()),
            Ok(done) => Err(String::from_utf8_lossy(&done.stderr).into_owned()),
            Err(error) => Err(error.to_string()),
        };
        if run(Command::new(&python).args(["-c", "import opentelemetry.proto.logs.v1"])).is_err() {
            run(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
            let quick = ["--disable-pip-version-check", "--retries", "1", "--timeout", "20"];
            run(Command::new(&python)
                .args(["-m", "pip", "install", "-q", DEFINITION])
                .args(quick))?;
        }
        Ok(python)
    }

    /// What the official definition makes of a request; an error if it is none.
    fn read(python: &Path, request: &Json) -> Result<Json, String> {
        let mut command = Command::new(python);
        command
            .args(["-c", READ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(request.to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        serde_json::from_slice(&output.stdout)
            .map_err(|_| String::from_utf8_lossy(&output.stderr).into_owned())
    }

    #[test]
    fn a_request_is_one_by_the_official_definition() {
        let python = match python() {
            Ok(python) => python,
            Err(reason) => {
                println!(
                    "SKIP a_request_is_one_by_the_official_definition: no definition: {reason}"
                );
                return;
            }
        };
        let understood = read(&python, &request(&items(), Form::Json)).unwrap();
        let records = &understood["resourceLogs"][0]["scopeLogs"][0]["logRecords"];
        let first = &records[0];
        assert_eq!(first["timeUnixNano"], "1795434341002944260");
        assert_eq!(
            (&first["severityNumber"], &first["eventName"]),
            (&"SEVERITY_NUMBER_ERROR".into(), &"exec".into())
        );
        assert_eq!(first["attributes"][0], text("log.record.uid", "ab"));
        assert_eq!(records[1]["eventName"], "rule_slow");
        let text = first["body"].to_string();
        assert!(text.contains(r#"{"key":"pid","value":{"intValue":"7"}}"#), "{text}");
        let cef = read(&python, &request(&items(), Form::Cef)).unwrap();
        assert!(cef.to_string().contains("CEF:0|"), "{cef}");

        let mut broken = request(&items(), Form::Json);
        broken["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["body"] = json!("text");
        assert!(read(&python, &broken).is_err(), "the control");
    }

    #[test]
    fn what_a_collector_rejects_is_told() {
        let answer = r#"{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"no"}}"#;
        let Some(Refusal::Later(why)) = rejected(answer) else { panic!() };
        assert!(why.contains("rejected 2 records"), "{why}");
        for fine in [
            "",
            "{}",
            r#"{"partialSuccess":{}}"#,
            r#"{"partialSuccess":{"rejectedLogRecords":"0"}}"#,
        ] {
            assert_eq!(rejected(fine), None, "{fine}");
        }
    }
}
