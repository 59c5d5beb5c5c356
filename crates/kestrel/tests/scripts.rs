//! Rules that ask scripts, from the command line: every back end gives the same alerts, byte by byte,
//! and what is wrong with a script is told at its table.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// The rule of each kind has this text but for its condition.
fn rule(condition: &str) -> String {
    format!(
        "[[rule]]\nid = \"from-tmp\"\nname = \"a program below /tmp\"\ndescription = \"d\"\n\
         severity = \"low\"\nquery = '''\nsequence by process.entity_id with maxspan=1h\n  \
         [process where event.action == \"exec\" and {condition}]\n  \
         [network where event.action == \"connection_attempted\"]\n'''\n\
         [[rule]]\nid = \"one\"\nname = \"one event\"\ndescription = \"d\"\nseverity = \"high\"\n\
         query = '''process where not {condition} and process.pid == 7'''\n"
    )
}

const WAT: &str = r#"(module
  (import "kestrel_v1" "glob" (func $glob (param i32 i32) (result i32)))
  (import "kestrel_v1" "field" (func $field (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "kestrel_abi_v1"))
  (func (export "below") (param $path i32) (result i32)
    (i32.and
      (call $glob (i32.const 0) (local.get $path))
      (call $glob (i32.const 0) (call $field (i32.const 0))))))"#;

const LUAU: &str = "return {\n    below = function(path)\n        return glob.tmp(path) and \
                    glob.tmp(event.field(\"process.executable\"))\n    end,\n}\n";

const EVENTS: usize = 2_000;
const PATHS: [&str; 4] = ["/tmp/x", "/usr/bin/x", "/tmpx", "/tmp/a b"];

fn events() -> String {
    let mut text = String::new();
    for number in 0..EVENTS {
        let (process, place) = (number * 7 % 61, PATHS.get(number % 4).copied().unwrap());
        let time = 1_700_000_000_000_u64 + number as u64 * 13;
        let (category, action) =
            if number % 3 == 2 { ("network", "connection_attempted") } else { ("process", "exec") };
        let executable =
            if number % 11 == 0 { String::new() } else { format!(",\"executable\":\"{place}\"") };
        writeln!(
            text,
            "{{\"@timestamp\":{time},\"event\":{{\"category\":\"{category}\",\"action\":\"{action}\"}},\
             \"process\":{{\"entity_id\":\"{process}\",\"pid\":{}{executable}}}}}",
            number % 13
        )
        .unwrap();
    }
    text
}

fn kestrel(directory: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kestrel"));
    command.args(args).current_dir(directory).env("NO_COLOR", "1").output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A directory with a rule file and whatever it names.
fn directory(rules: &str, files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("rules.toml"), rules).unwrap();
    for (name, bytes) in files {
        fs::write(directory.path().join(name), bytes).unwrap();
    }
    directory
}

fn table(file: &str) -> String {
    format!(
        "[[script]]\nname = \"own\"\nfile = \"{file}\"\nfields = [\"process.executable\"]\n\
         globs = {{ tmp = \"/tmp/*\" }}\n"
    )
}

#[test]
fn a_native_rule_wasm_on_both_back_ends_and_luau_give_the_same_bytes() {
    let native = rule("process.executable like \"/tmp/*\"");
    let asks = rule("own.below(process.executable)");
    let module = wat::parse_str(WAT).unwrap();
    let all = [
        ("native", native, vec![], vec![]),
        (
            "compiled",
            table("own.wasm") + &asks,
            vec![("own.wasm", module.as_slice())],
            vec!["--wasm", "native"],
        ),
        (
            "pulley",
            table("own.wasm") + &asks,
            vec![("own.wasm", module.as_slice())],
            vec!["--wasm", "pulley"],
        ),
        ("luau", table("own.luau") + &asks, vec![("own.luau", LUAU.as_bytes())], vec![]),
    ];
    let mut first: Option<Vec<u8>> = None;
    for (name, rules, files, options) in all {
        let directory = directory(&rules, &files);
        fs::write(directory.path().join("events.ndjson"), events()).unwrap();
        for threads in ["1", "2"] {
            let mut args = options.clone();
            args.extend(["run", "--rules", "rules.toml", "--events", "events.ndjson"]);
            args.extend(["-o", "ndjson", "--threads", threads]);
            let output = kestrel(directory.path(), &args);
            assert!(output.stderr.is_empty(), "{name}: {}", said(&output));
            let alerts = output.stdout;
            let count = alerts.split(|byte| *byte == b'\n').count() - 1;
            assert!(count > 100 && count < EVENTS, "{name}: {count} alerts");
            match &first {
                None => first = Some(alerts),
                Some(first) => assert!(*first == alerts, "{name} with {threads} threads differs"),
            }
        }
    }
}

#[test]
fn a_script_that_is_refused_is_told_at_its_table_and_takes_only_its_rules_along() {
    let control = "[[rule]]\nid = \"fine\"\nname = \"n\"\ndescription = \"d\"\nseverity = \"low\"\n\
                   query = 'process where process.name == \"x\"'\n";
    let rules = table("own.wasm") + &rule("own.below(process.executable)") + control;
    let check = |files: &[(&str, &[u8])]| {
        let directory = directory(&rules, files);
        said(&kestrel(directory.path(), &["check", "rules.toml"]))
    };
    let module = wat::parse_str(WAT).unwrap();
    let sound = check(&[("own.wasm", &module)]);
    assert!(sound.contains("3 rules in 1 files: 0 errors"), "the control: {sound}");
    let wasi =
        wat::parse_str(r#"(module (import "wasi_snapshot_preview1" "fd_write" (func)))"#).unwrap();
    for (files, code) in [
        (vec![], "cannot be read"),
        (vec![("own.wasm", b"no module".as_slice())], "S003"),
        (vec![("own.wasm", wasi.as_slice())], "S005"),
    ] {
        let told = check(&files);
        assert!(told.contains(code), "{code}: {told}");
        assert!(told.contains("--> rules.toml:3:8"), "at the value of `file`: {told}");
        assert!(told.contains("the script `own` is not run"), "{told}");
        assert!(told.contains("fine: ") && told.contains("1 rules in 1 files: 3 errors"), "{told}");
    }
    // A link is not followed, wherever it leads.
    let linked = directory(&rules, &[("real.wasm", &module)]);
    std::os::unix::fs::symlink("real.wasm", linked.path().join("own.wasm")).unwrap();
    let told = said(&kestrel(linked.path(), &["check", "rules.toml"]));
    assert!(told.contains("not a regular file"), "{told}");
}

#[test]
fn what_a_script_says_goes_with_the_alert_of_the_rule_that_asked() {
    let script = "return {\n    f = function(name)\n        emit(\"seen \" .. name .. \"\\27[2J\", \"critical\", { \
                  size = #name })\n        request(\"kill\")\n        return name == \"nc\"\n    end,\n}\n";
    let table = "[[script]]\nname = \"own\"\nfile = \"own.luau\"\n";
    let ask = |id: &str, more: &str| {
        format!(
            "[[rule]]\nid = \"{id}\"\nname = \"{id}\"\ndescription = \"d\"\nseverity = \"low\"\n\
                 query = '''process where {more}'''\n"
        )
    };
    let rules = table.to_owned()
        + &ask("asks", "own.f(process.name)")
        + &ask("asks-not", "process.pid == 1");
    let directory = directory(&rules, &[("own.luau", script.as_bytes())]);
    let event = "{\"event\":{\"category\":\"process\"},\"process\":{\"name\":\"nc\",\"pid\":1}}\n";
    fs::write(directory.path().join("e.ndjson"), event).unwrap();
    let run = |form: &str| {
        kestrel(
            directory.path(),
            &["run", "--rules", "rules.toml", "--events", "e.ndjson", "-o", form],
        )
    };
    let output = run("ndjson");
    let lines: Vec<serde_json::Value> = String::from_utf8(output.stdout.clone())
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let expected = serde_json::json!({ "script": [
        { "message": "seen nc\\u{1b}[2J", "severity": "critical", "fields": { "size": 2 } },
        { "request": "kill", "granted": false },
    ] });
    let of = |id: &str| lines.iter().find(|line| line["rule"]["id"] == id).unwrap();
    assert_eq!(of("asks")["kestrel"], expected, "{}", said(&output));
    assert_eq!(of("asks-not").get("kestrel"), None, "the neighbour's is its own");
    assert!(
        said(&output).contains("script `own`: refused"),
        "the request is told: {}",
        said(&output)
    );
    let text = said(&run("text"));
    assert!(text.contains(r"[seen nc\u{1b}[2J]") && text.contains("[may not kill]"), "{text}");
}

/// Gets what a build lacks as it says, where that needs no root.
fn got(told: &str, directory: &Path) -> bool {
    let Some((_, words)) = told.split_once(": npm ") else { return false };
    let mut npm = Command::new("npm");
    npm.args(words.split_whitespace()).args(["--silent", "--no-audit", "--no-fund"]);
    npm.current_dir(directory).status().is_ok_and(|status| status.success())
}

#[test]
fn what_new_writes_is_sound_and_passes_its_tests_once_it_is_built() {
    for language in ["luau", "wat", "c", "rust", "assemblyscript"] {
        let directory = tempfile::tempdir().unwrap();
        let run = |args: &[&str]| {
            let output = kestrel(directory.path(), args);
            (output.status.success(), said(&output))
        };
        let (fine, told) = run(&["new", "own", "--language", language]);
        assert!(fine, "{told}");
        if language != "luau" {
            let (fine, told) = run(&["test", "own/rules"]);
            assert!(!fine && told.contains("cannot be read"), "before it is built: {told}");
            let (mut fine, mut told) = run(&["build", "own"]);
            if !fine && got(&told, directory.path()) {
                (fine, told) = run(&["build", "own"]);
            }
            if !fine && told.contains(" is missing to build ") {
                println!("SKIP scripts in {language}: {}", told.trim());
                continue;
            }
            assert!(fine, "{told}");
        }
        let (fine, told) = run(&["check", "own/rules"]);
        assert!(fine && told.contains("1 rules in 1 files: 0 errors, 0 warnings"), "{told}");
        let (fine, told) = run(&["test", "own/rules"]);
        assert!(fine && told.contains("2 tests: 2 passed"), "{told}");
        let (fine, told) = run(&["new", "own", "--language", language]);
        assert!(!fine && told.contains("it is there"), "nothing is written over: {told}");
    }
}

#[test]
fn what_a_compiler_lacks_is_said_with_how_to_get_it() {
    let directory = tempfile::tempdir().unwrap();
    assert!(kestrel(directory.path(), &["new", "own", "--language", "c"]).status.success());
    let mut command = Command::new(env!("CARGO_BIN_EXE_kestrel"));
    command.args(["build", "own"]).current_dir(directory.path()).env("NO_COLOR", "1");
    let told = said(&command.env("PATH", "").output().unwrap());
    assert!(told.contains("clang is missing") && told.contains("apt-get install clang"), "{told}");
}
