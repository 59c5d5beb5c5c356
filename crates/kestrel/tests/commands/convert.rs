//! `kestrel convert`

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Place, QUERY, SIGMA, rule};

#[test]
fn name_id_and_author_stay_with_the_query() {
    let place = Place::with(&[("s.yml", SIGMA)]);
    let done = place.kestrel(&["convert", "s.yml"]);
    let query = "process where (event.type in (\"start\", \"process_started\") and event.action != \
                 \"fork\") and endsWith~(process.executable, \"/nc\")";
    let head = "// Netcat (5f0e2f1c-7a52-4a0e-9c5c-0a4f7c1b2d3e)\n// by A. Nonymous\n";
    assert_eq!((done.code, done.out), (0, format!("{head}{query}\n\n")));
    let all = place.fed(&["convert", "-", "-o", "json"], SIGMA).json();
    assert_eq!(all[0]["dialect"], "elastic");
    let fields = SIGMA.replace("Image|endswith: /nc", "Image|fieldref: ParentImage");
    let done = place.fed(&["convert", "-"], &fields);
    assert!(done.out.contains("\n// dialect: endpoint\nprocess where "), "{}", done.out);
    assert_eq!((&all[0]["query"], &all[0]["license"]), (&json!(query), &json!("DRL 1.1")));
    assert_eq!(
        (&all[0]["author"], &all[0]["attack"]),
        (&json!(["A. Nonymous"]), &json!(["T1059.004"]))
    );
}

#[test]
fn what_cannot_be_converted_is_said() {
    let correlation = "---\ntitle: C\nid: c\ncorrelation:\n  type: event_count\n  rules: \
                       [5f0e2f1c-7a52-4a0e-9c5c-0a4f7c1b2d3e]\n  timespan: 1m\n  condition: {gte: 2}\n";
    let place = Place::with(&[("s.yml", &format!("{SIGMA}{correlation}"))]);
    let done = place.kestrel(&["convert", "s.yml"]);
    assert!(
        done.code == 1 && done.out.ends_with("// C (c)\n// has no equivalent in EQL\n\n"),
        "{}",
        done.out
    );
    let done = place.fed(&["convert", "-"], &SIGMA.replace("linux", "windows"));
    assert_eq!((done.code, done.out.as_str()), (1, ""));
    assert!(done.err.contains("error[E043]"), "{}", done.err);
    let own = Place::with(&[("r.toml", &rule("r", QUERY))]);
    assert!(own.kestrel(&["convert", "."]).out.ends_with(&format!("{QUERY}\n\n")));
}

/// Conditions of all kinds; each is converted, read again and compared on events.
const DETECTIONS: &[&str] = &[
    "CommandLine: 'a*b?'",
    r"CommandLine: 'a\*b'",
    r"CommandLine|contains: 'x\*y*z'",
    "CommandLine|re: '^a[0-9]+\\.b$'",
    "CommandLine|re|i: 'A\"b'",
    "CommandLine|cased: Ab",
    "CommandLine|contains|all: [a, b]",
    "CommandLine: null",
    "CommandLine|exists: true",
    "CommandLine|windash|contains: ' -f'",
    "CommandLine|base64offset|contains: curl",
    "Image|fieldref: ParentImage",
    "Image|fieldref|endswith: ParentImage",
    "ProcessId|gte: 7",
    "ProcessId: 7",
    "CommandLine|contains: 'ü'",
];

/// Command lines of which each condition has some and not others.
const LINES: &[&str] = &[
    "aXbY", "a*b", r"a\*b", "x*y-z", "x-y-z", "a12.b", "a12xb", "a\"B", "Ab", "ab", "", "x -f",
    "x /f", "IGN1cmwg", "7", "Ü", "ü",
];

#[test]
fn the_query_read_again_gives_the_same_verdicts() {
    let rules = DETECTIONS.iter().enumerate().fold(String::new(), |mut text, (number, item)| {
        let rule = SIGMA.replace("5f0e2f1c-7a52-4a0e-9c5c-0a4f7c1b2d3e", &format!("r{number}"));
        writeln!(text, "{}---", rule.replace("Image|endswith: /nc", item)).unwrap();
        text
    });
    let mut events = String::new();
    for (number, line) in LINES.iter().map(Some).chain([None]).enumerate() {
        let mut event = json!({
            "event.category": "process", "event.type": "start", "process.pid": number,
            "process.executable": "/bin/a", "process.parent.executable": if number % 2 == 0 { "/bin/a" } else { "x" },
        });
        if let Some(line) = line {
            event["process.command_line"] = json!(line);
        }
        writeln!(events, "{event}").unwrap();
    }
    let place = Place::with(&[("s.yml", &rules), ("e.ndjson", &events)]);
    let alerts =
        place.kestrel(&["run", "--rules", "s.yml", "--events", "e.ndjson", "-o", "ndjson"]);
    let alerts: Vec<Value> =
        alerts.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let converted = place.kestrel(&["convert", "s.yml", "-o", "json"]).json();
    assert_eq!(converted.as_array().unwrap().len(), DETECTIONS.len());
    for (rule, item) in converted.as_array().unwrap().iter().zip(DETECTIONS) {
        let direct: Vec<String> = alerts
            .iter()
            .filter(|alert| alert["rule"]["id"] == rule["id"])
            .map(|alert| alert["events"][0]["position"].to_string())
            .collect();
        assert!(!direct.is_empty() && direct.len() < LINES.len() + 1, "{item} decides nothing");
        let query = rule["query"].as_str().unwrap();
        let dialect = rule["dialect"].as_str().unwrap();
        let done = ["query", query, "--dialect", dialect, "--events", "e.ndjson", "-o", "ids"];
        let done = place.kestrel(&done);
        assert!(!done.err.contains("error"), "{query}: {}", done.err);
        assert_eq!(done.out.lines().collect::<Vec<_>>(), direct, "{item}: {query}");
    }
}
