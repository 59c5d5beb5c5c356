//! A long recording: what an engine found that was fed directly is what a replay of the file finds, on
//! one thread and on eight, in any build, on any machine.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]
#![expect(clippy::print_stdout, reason = "the digests are what a reader of the test wants to see")]

#[path = "../../capture/tests/busy/mod.rs"]
mod busy;

use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use capture::Writer;
use serde_json::Value;
use sha2::Digest;

/// Events that take a debug build a minute.
const EVENTS: u64 = 200_000;
/// A release build takes as many as this, too; `cargo xtask bench record` has it run.
const MANY: u64 = 1_000_000;
/// What is found in the former: each build on each machine finds this. Another digest without another
/// engine means that something else decided than the records.
const DIGEST: &str = "d671e3460b2e6f088a9d13c1b8590dafb765a6f087121f14d18d321012cc1e82";

/// Events that each back end takes in a debug build; in a release build it is a million, too.
const ASKED: u64 = if cfg!(debug_assertions) { 20_000 } else { MANY };

/// A recording of so many events, and what an engine found that was fed directly.
struct Recorded {
    directory: tempfile::TempDir,
    alerts: u64,
    digest: String,
}

impl Recorded {
    fn new(events: u64) -> Recorded {
        let directory = tempfile::tempdir().unwrap();
        let mut live = busy::Live::new();
        let head = busy::head(&live.engine, 0, true);
        let file = File::create(directory.path().join("a.rec")).unwrap();
        let mut writer = Writer::begin(file, &head, &[]).unwrap();
        live.run(busy::stream(events), &mut |block| writer.block(block).unwrap());
        writer.end().unwrap();
        let digest = live.digest.finalize().iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        });
        assert!(live.alerts > events / 10, "{} alerts are few", live.alerts);
        Recorded { directory, alerts: live.alerts, digest }
    }

    /// A directory of rules beside it.
    fn rules(&self, name: &str, files: &[(&str, &[u8])]) -> PathBuf {
        let rules = self.directory.path().join(name);
        std::fs::create_dir(&rules).unwrap();
        for (name, bytes) in files {
            std::fs::write(rules.join(name), bytes).unwrap();
        }
        rules
    }

    /// These rules find the same in it.
    fn is_found(&self, what: &str, rules: &Path, first: &[&str], more: &[&str]) {
        let mut replay = Command::new(env!("CARGO_BIN_EXE_kestrel"));
        replay.args(first).arg("replay").arg(self.directory.path().join("a.rec"));
        replay.arg("--rules").arg(rules).args(["--verify", "-o", "ndjson"]).args(more);
        let done = replay.output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        // With other rules it says that they are, and compares all the same.
        let is_forced = more.contains(&"--force");
        assert!(done.status.success() || is_forced, "{what}: {said}");
        let verdict: Value = serde_json::from_slice(&done.stdout).unwrap();
        for side in ["live", "replayed"] {
            assert_eq!(verdict[side]["sha256"], *self.digest, "{side}, {what}: {said}");
            assert_eq!(verdict[side]["alerts"], self.alerts, "{side}, {what}");
        }
        assert_eq!((&verdict["different"], &verdict["open"]), (&0.into(), &0.into()), "{what}");
        assert_eq!(verdict["recording"]["other_rules"], u64::from(is_forced), "{what}");
        println!("{what}: {} alerts, {}", self.alerts, self.digest);
    }
}

/// Digest of the alerts of so many events, the same in all ways.
fn digest(events: u64) -> String {
    let recorded = Recorded::new(events);
    let rules = recorded.rules("rules", &[("rules.toml", busy::RULES.as_bytes())]);
    for threads in ["1", "8"] {
        let what = format!("{events} events, {threads} threads");
        recorded.is_found(&what, &rules, &[], &["--threads", threads]);
    }
    recorded.digest
}

#[test]
fn a_long_recording_gives_one_digest_live_and_from_the_file_on_any_number_of_threads() {
    assert_eq!(digest(EVENTS), DIGEST, "the same in each build and on each machine");
    if !cfg!(debug_assertions) {
        assert_ne!(digest(MANY), DIGEST, "and of a million, equal in all ways");
    }
}

/// What the rules compare, asked of a script.
const ASKING: [(&str, &str); 4] = [
    ("file.path == \"/etc/shadow\"", "own.is_shadow(file.path)"),
    ("process.name == \"one\"", "own.is_one(process.name)"),
    ("file.path == \"/tmp/a\"", "own.is_a(file.path)"),
    ("process.name == \"two\"", "own.is_two(process.name)"),
];

/// The names of what is asked, in the order of the patterns.
const NAMES: [(&str, &str); 4] =
    [("shadow", "/etc/shadow"), ("one", "one"), ("a", "/tmp/a"), ("two", "two")];

/// The same rules, which ask a script of this file instead.
fn asking(file: &str) -> String {
    let globs: Vec<String> =
        NAMES.iter().map(|(name, pattern)| format!("{name} = \"{pattern}\"")).collect();
    let table = format!(
        "[[script]]\nname = \"own\"\nfile = \"{file}\"\nglobs = {{ {} }}\n",
        globs.join(", ")
    );
    ASKING.iter().fold(table + busy::RULES, |text, (compared, asked)| {
        assert_eq!(text.matches(compared).count(), 1, "{compared}");
        text.replace(compared, asked)
    })
}

/// The script as a module, and as Luau.
fn scripts() -> (Vec<u8>, String) {
    let mut module = "(module (import \"kestrel_v1\" \"glob\" (func $glob (param i32 i32) (result \
                      i32))) (memory (export \"memory\") 1) (func (export \"kestrel_abi_v1\"))"
        .to_owned();
    let mut luau = "return {\n".to_owned();
    for (number, (name, _)) in NAMES.iter().enumerate() {
        write!(
            module,
            "(func (export \"is_{name}\") (param $it i32) (result i32) (call $glob (i32.const \
             {number}) (local.get $it)))"
        )
        .unwrap();
        writeln!(luau, "is_{name} = function(it) return glob.{name}(it) end,").unwrap();
    }
    (wat::parse_str(module + ")").unwrap(), luau + "}\n")
}

#[test]
fn each_back_end_finds_in_a_long_recording_what_was_found_live_without_a_script() {
    let recorded = Recorded::new(ASKED);
    let (module, luau) = scripts();
    let (wasm, script) = (asking("own.wasm"), asking("own.luau"));
    let wasm = recorded.rules("wasm", &[("rules.toml", wasm.as_bytes()), ("own.wasm", &module)]);
    let luau = [("rules.toml", script.as_bytes()), ("own.luau", luau.as_bytes())];
    let luau = recorded.rules("luau", &luau);
    let plain = recorded.rules("plain", &[("rules.toml", busy::RULES.as_bytes())]);
    recorded.is_found("native", &plain, &[], &[]);
    // They are other rules than those that were recorded, which find the same.
    for (what, rules, first) in [
        ("a module, compiled", &wasm, &["--wasm", "native"][..]),
        ("a module, interpreted", &wasm, &["--wasm", "pulley"]),
        ("Luau", &luau, &[]),
    ] {
        recorded.is_found(what, rules, first, &["--force"]);
    }
    // The control: a script that says something else is found out.
    let other = asking("own.luau").replace("shadow = \"/etc/shadow\"", "shadow = \"/etc/shadow?\"");
    let code = scripts().1;
    let files = [("rules.toml", other.as_bytes()), ("own.luau", code.as_bytes())];
    let rules = recorded.rules("other", &files);
    let tried = std::panic::catch_unwind(|| recorded.is_found("other", &rules, &[], &["--force"]));
    let message = tried.unwrap_err();
    let message = message.downcast_ref::<String>().unwrap();
    assert!(message.contains("replayed, other"), "{message}");
}
