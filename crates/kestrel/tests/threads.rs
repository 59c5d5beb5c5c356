//! The same events give the same alerts, byte for byte, on any number of threads.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const RULES: &str = r#"
[[rule]]
id = "single"
name = "A rare program starts"
description = "One event."
severity = "low"
query = 'process where event.type == "start" and process.name == "rare"'

[[rule]]
id = "download-then-run"
name = "A file is created and run"
description = "Two events of one process tree."
severity = "high"
query = '''
sequence by process.entity_id with maxspan=1h
  [file where event.type == "creation"]
  [process where event.type == "start" and process.name == "run"]
'''

[[rule]]
id = "no-end"
name = "A program starts and does not end"
description = "An event that must not happen, decided by time."
severity = "medium"
query = '''
sequence by process.entity_id with maxspan=30s
  [process where event.type == "start" and process.name == "stay"]
  ![process where event.type == "end"]
'''
"#;

/// Long enough for many blocks on each of four threads.
const EVENTS: usize = 3_000;

/// Events nearly in the order of time, with some that are no events, members far apart, and
/// objects that come again.
fn stream() -> String {
    let mut text = String::new();
    for number in 0..EVENTS {
        // Every seventh comes a little late.
        let late = if number % 7 == 0 { 40 } else { 0 };
        let time = 1_700_000_000_000_u64 + number as u64 * 10 - late;
        let process = number * 31 % 401;
        let (category, kind, name) = match number % 10 {
            0 => ("process", "start", "rare"),
            1 | 2 => ("file", "creation", "writer"),
            3 => ("process", "start", "run"),
            4 => ("process", "start", "stay"),
            5 if process % 3 > 0 => ("process", "end", "stay"),
            _ => ("process", "info", "other"),
        };
        if number % 1_000 == 999 {
            text.push_str("{broken\n");
        }
        let filler = "capability ".repeat(150 + number % 3);
        writeln!(
            text,
            r#"{{"@timestamp":{time},"event":{{"category":["{category}"],"type":["{kind}"]}},"process":{{"entity_id":"p{process}","name":"{name}","parent":{{"name":"init","note":"{filler}"}}}}}}"#
        )
        .unwrap();
    }
    text
}

fn run(directory: &Path, arguments: &[&str], input: Stdio) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kestrel"))
        .args(["run", "--rules", "rules.toml", "--output", "ndjson"])
        .args(arguments)
        .current_dir(directory)
        .stdin(input)
        .output()
        .unwrap()
}

fn count(output: &[u8], rule: &str) -> usize {
    let lines = output.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let alerts = lines.map(|line| serde_json::from_slice::<Value>(line).unwrap());
    alerts.filter(|alert| alert.pointer("/rule/id") == Some(&Value::from(rule))).count()
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    fs::write(at.join("rules.toml"), RULES).unwrap();
    fs::write(at.join("events.ndjson"), stream()).unwrap();
    let one = run(at, &["--events", "events.ndjson", "--threads", "1"], Stdio::null());
    let errors = String::from_utf8(one.stderr.clone()).unwrap();
    assert!(errors.contains("events.ndjson: 3 lines are no events, 3000 are"), "{errors}");
    for (rule, least) in [("single", 300), ("download-then-run", 20), ("no-end", 20)] {
        let found = count(&one.stdout, rule);
        assert!(found >= least, "{rule}: {found}");
    }
    for threads in ["2", "4"] {
        let many = run(at, &["--events", "events.ndjson", "--threads", threads], Stdio::null());
        assert!(one.stdout == many.stdout, "{threads} threads give other alerts");
        assert_eq!(one.stderr, many.stderr, "{threads} threads");
        assert_eq!(one.status, many.status, "{threads} threads");
    }
    // Several inputs share the threads, and come in the order in which they are named.
    let events = ["--events", "events.ndjson", "events.ndjson"];
    let twice = run(at, &[&events[..], &["--threads", "4"]].concat(), Stdio::null());
    assert!(twice.stdout == one.stdout.repeat(2), "two inputs at the same time give other alerts");
}

#[test]
fn a_pipe_gives_what_a_file_gives() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    fs::write(at.join("rules.toml"), RULES).unwrap();
    fs::write(at.join("events.ndjson"), stream()).unwrap();
    let file = run(at, &["--events", "events.ndjson"], Stdio::null());
    let input = fs::File::open(at.join("events.ndjson")).unwrap();
    let pipe = run(at, &["--events", "-"], input.into());
    let named = |output: &[u8]| String::from_utf8(output.to_vec()).unwrap();
    let renamed = named(&pipe.stdout).replace(r#""input":"-""#, r#""input":"events.ndjson""#);
    assert!(renamed == named(&file.stdout), "a pipe gives other alerts");
}

#[test]
fn the_exit_status_says_whether_something_was_found() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    fs::write(at.join("rules.toml"), RULES).unwrap();
    let event = |name: &str| {
        let mut file = fs::File::create(at.join("events.ndjson")).unwrap();
        let categories = r#"{"category":["process"],"type":["start"]}"#;
        writeln!(file, r#"{{"event":{categories},"process":{{"name":"{name}"}}}}"#).unwrap();
        run(at, &["--events", "events.ndjson"], Stdio::null())
    };
    let (found, nothing) = (event("rare"), event("usual"));
    assert_eq!((found.status.code(), count(&found.stdout, "single")), (Some(1), 1));
    assert_eq!((nothing.status.code(), nothing.stdout.as_slice()), (Some(0), &b""[..]));
    assert_eq!(run(at, &["--events"], Stdio::null()).status.code(), Some(2));
}
