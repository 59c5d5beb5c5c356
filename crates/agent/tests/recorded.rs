//! One recording of real processes, and the same rule in every form: EQL, a module compiled and
//! interpreted, and Luau. The alerts are the same, byte by byte.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::lab::{AGENT, Lab, root};
use crate::scripts::module;

/// Whatever a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the programs run: some hundred events.
const TURNS: usize = 20;

/// Two rules that hang on a condition: about a process from its start to its end, and about one event.
fn rules(condition: &str) -> String {
    let rule = |id: &str, query: &str| {
        format!(
            "[[rule]]\nid = \"{id}\"\nname = \"{id}\"\ndescription = \"A test.\"\n\
             severity = \"low\"\nquery = '''\n{query}\n'''\n"
        )
    };
    rule(
        "from-start-to-end",
        &format!(
            "sequence by process.entity_id with maxspan=1h\n  \
             [process where event.action == \"exec\" and {condition}]\n  \
             [process where event.type == \"end\"]"
        ),
    ) + &rule("not-it", &format!("process where event.action == \"exec\" and not {condition}"))
}

const MODULE: &str = r#"(import "kestrel_v1" "glob" (func $glob (param i32 i32) (result i32)))
  (import "kestrel_v1" "field" (func $field (param i32) (result i32)))
  (func (export "is_it") (param $path i32) (result i32)
    (i32.and
      (call $glob (i32.const 0) (local.get $path))
      (call $glob (i32.const 0) (call $field (i32.const 0)))))"#;
const LUAU: &str = "return { is_it = function(path)\n  return glob.it(path) and \
                    glob.it(event.field(\"process.executable\"))\nend }\n";

/// What the agent sees of real programs of the lab, as `kestrel` reads it.
fn record(lab: &Lab) -> String {
    let agent = lab.start_with(&["--events"]);
    for name in ["one", "two"] {
        fs::copy("/bin/true", lab.path(name)).unwrap();
    }
    for _ in 0..TURNS {
        let words = "./one; ./two a b; ./one c; : | ./two; (./one) & wait; exec ./two";
        let shell = Command::new("/bin/sh").args(["-c", words]).current_dir(lab.path("")).status();
        assert!(shell.unwrap().success());
    }
    let (marker, lines) = agent.alert_and_lines(lab.run_scratch("x"), PATIENCE);
    marker.expect("what came before it has been told");
    assert!(agent.stop().success());
    let is_event = |line: &&str| {
        let document: Value = serde_json::from_str(line).unwrap();
        document["event"]["kind"] == "event"
    };
    lines.lines().filter(is_event).flat_map(|line| [line, "\n"]).collect()
}

/// `kestrel` as it was built beside the agent.
fn kestrel() -> PathBuf {
    PathBuf::from(AGENT).with_file_name("kestrel")
}

#[test]
fn a_recording_of_real_processes_gives_the_same_bytes_by_every_back_end() {
    let name = "a_recording_of_real_processes_gives_the_same_bytes_by_every_back_end";
    if !root(name) {
        return;
    }
    if !kestrel().exists() {
        println!("SKIP {name}: {} is not built", kestrel().display());
        return;
    }
    let lab = Lab::new();
    let events = record(&lab);
    let count = events.lines().count();
    assert!(count > TURNS * 10, "{count} events");
    let native = rules("process.executable like \"*/one\"");
    let asks = |file: &str| {
        format!(
            "[[script]]\nname = \"own\"\nfile = \"{file}\"\nfields = [\"process.executable\"]\n\
             globs = {{ it = \"*/one\" }}\n"
        ) + &rules("own.is_it(process.executable)")
    };
    let module = module(MODULE);
    let (wasm, luau) = (asks("own.wasm"), asks("own.luau"));
    let forms: [(&str, &str, Option<&str>); 4] = [
        ("EQL", &native, None),
        ("compiled", &wasm, Some("native")),
        ("interpreted", &wasm, Some("pulley")),
        ("Luau", &luau, None),
    ];
    let mut first: Option<Vec<u8>> = None;
    for (form, rules, backend) in forms {
        let directory = lab.path(form);
        fs::create_dir(&directory).unwrap();
        for (file, bytes) in [
            ("events.ndjson", events.as_bytes()),
            ("rules.toml", rules.as_bytes()),
            ("own.wasm", &module),
            ("own.luau", LUAU.as_bytes()),
        ] {
            fs::write(directory.join(file), bytes).unwrap();
        }
        for threads in ["1", "4"] {
            let mut command = Command::new(kestrel());
            command.args(backend.iter().flat_map(|backend| ["--wasm", *backend]));
            command.args(["run", "--rules", "rules.toml", "--events", "events.ndjson"]);
            command.args(["-o", "ndjson", "--threads", threads]).current_dir(&directory);
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.is_empty(), "{form}: {said}");
            let alerts = output.stdout;
            let of = |id: &str| {
                let text = String::from_utf8_lossy(&alerts);
                text.matches(&format!("\"rule\":{{\"id\":\"{id}\"")).count()
            };
            // `one` ran thrice a turn; `two` as often, and shells and the marker beside it.
            assert_eq!(of("from-start-to-end"), 3 * TURNS, "{form}");
            assert!(of("not-it") >= 3 * TURNS, "{form}: {}", of("not-it"));
            match &first {
                None => first = Some(alerts),
                Some(first) => assert!(*first == alerts, "{form} with {threads} threads differs"),
            }
        }
    }
}
