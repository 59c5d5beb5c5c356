//! A long recording: what an engine found that was fed directly is what a replay of the file finds, on
//! one thread and on eight, in any build, on any machine.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

#[path = "../../capture/tests/busy/mod.rs"]
mod busy;

use std::fmt::Write as _;
use std::fs::File;
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

/// Digest of the alerts of so many events, the same in all ways.
fn digest(events: u64) -> String {
    let directory = tempfile::tempdir().unwrap();
    let [file, rules] = ["a.rec", "rules.toml"].map(|name| directory.path().join(name));
    std::fs::write(&rules, busy::RULES).unwrap();
    let mut live = busy::Live::new();
    let head = busy::head(&live.engine, 0, true);
    let mut writer = Writer::begin(File::create(&file).unwrap(), &head, &[]).unwrap();
    live.run(busy::stream(events), &mut |block| writer.block(block).unwrap());
    writer.end().unwrap();
    let digest = live.digest.finalize().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    });
    assert!(live.alerts > events / 10, "{} alerts are few", live.alerts);
    for threads in ["1", "8"] {
        let mut replay = Command::new(env!("CARGO_BIN_EXE_kestrel"));
        replay.arg("replay").arg(&file).arg("--rules").arg(&rules);
        replay.args(["--verify", "-o", "ndjson", "--threads", threads]);
        let done = replay.output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success() && said.is_empty(), "{threads} threads: {said}");
        let verdict: Value = serde_json::from_slice(&done.stdout).unwrap();
        assert!(verdict["records"].as_u64() >= Some(events), "{verdict:#}");
        for side in ["live", "replayed"] {
            assert_eq!(verdict[side]["sha256"], *digest, "{side}, {threads} threads");
            assert_eq!(verdict[side]["alerts"], live.alerts, "{side}, {threads} threads");
        }
        assert_eq!((&verdict["different"], &verdict["open"]), (&0.into(), &0.into()));
    }
    digest
}

#[test]
fn a_long_recording_gives_one_digest_live_and_from_the_file_on_any_number_of_threads() {
    assert_eq!(digest(EVENTS), DIGEST, "the same in each build and on each machine");
    if !cfg!(debug_assertions) {
        assert_ne!(digest(MANY), DIGEST, "and of a million, equal in all ways");
    }
}
