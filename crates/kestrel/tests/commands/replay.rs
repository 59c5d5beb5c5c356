//! `kestrel replay`: what it prints, compares and refuses. The recordings are made as the agent makes
//! them; those of a real agent are replayed by the agent's own tests.

use std::fs;
use std::sync::Arc;

use capture::{Block, Head, RuleSet, Writer};
use engine::{Engine, Host, Limits};
use model::program::Program;
use model::wire::{Builder, KIND_OPEN, RecFile, RecHeader, Record, WIRE_VERSION};
use serde_json::Value;
use zerocopy::FromZeros;

use super::Place;

/// Opens of one of two files; the second is what the rule looks for.
const EVENTS: u64 = 400;

const RULE: &str = "[[rule]]\nid = \"r\"\nname = \"Shadow\"\ndescription = \"D.\"\n\
                    severity = \"low\"\nquery = 'file where file.path == \"/etc/shadow\"'\n";

fn open(number: u64) -> Vec<u8> {
    let mut tail = Builder::<RecFile>::new();
    let h = RecHeader {
        kind: u16::try_from(KIND_OPEN).unwrap(),
        pid: 7,
        start: 1,
        time: (number + 1) * 2_000_000_000,
        ..RecHeader::new_zeroed()
    };
    let mut fixed = RecFile { h, ..RecFile::new_zeroed() };
    fixed.path = tail.push(if number.is_multiple_of(8) { b"/etc/shadow" } else { b"/etc/passwd" });
    tail.finish(&fixed)
}

fn program() -> Program {
    lang::load([("r.toml".to_owned(), RULE.to_owned())]).program
}

fn head() -> Head {
    Head {
        wire: WIRE_VERSION,
        little_endian: cfg!(target_endian = "little"),
        agent: "test".to_owned(),
        kernel: "6.1".to_owned(),
        session: "s".to_owned(),
        first_frame: 0,
        events_before: 0,
        whole: true,
        began: 0,
        host: (&Host::default()).into(),
        rows: Limits::default().rows,
        rules: RuleSet::of(&program(), [("r.toml", RULE)].into_iter()),
    }
}

/// A recording in many frames, and the ids of the alerts in it.
fn recording(head: &Head) -> (Vec<u8>, Vec<String>) {
    let mut engine = Engine::new(Arc::new(program()), Host::default()).unwrap();
    let mut writer = Writer::begin(Vec::new(), head, &[]).unwrap();
    let (mut block, mut ids) = (Block::new(), Vec::new());
    for number in 0..EVENTS {
        let bytes = open(number);
        let record = Record::parse(&bytes).unwrap();
        block.record(record.as_bytes());
        engine.push(&record, &mut |_, matches| {
            for matched in matches {
                block.matched(matched.id, &matched.rule.id, matched.members);
                ids.push(format!("{:032x}", matched.id));
            }
        });
        if number % 10 == 9 {
            writer.block(&block).unwrap();
            block.clear();
        }
    }
    (writer.end().unwrap(), ids)
}

fn place(bytes: &[u8]) -> Place {
    let place = Place::with(&[("r.toml", RULE)]);
    fs::write(place.path().join("a.rec"), bytes).unwrap();
    place
}

#[test]
fn alerts_are_those_of_the_engine_on_any_number_of_threads() {
    let (bytes, ids) = recording(&head());
    let place = place(&bytes);
    let mut outputs = Vec::new();
    for threads in ["1", "2", "8"] {
        let args = ["replay", "a.rec", "--rules", "r.toml", "-o", "ndjson", "--threads", threads];
        let done = place.kestrel(&args);
        assert_eq!(done.code, 1, "alerts are findings: {}", done.err);
        outputs.push(done.out);
    }
    assert!(outputs.iter().all(|output| *output == outputs[0]));
    let alerts: Vec<Value> =
        outputs[0].lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let found: Vec<&str> = alerts.iter().map(|one| one["alert"]["id"].as_str().unwrap()).collect();
    assert_eq!(found, ids);
    let event = &alerts[1]["events"][0];
    assert_eq!(event["document"]["file"]["path"], "/etc/shadow");
    assert_eq!((&event["position"], &alerts[1]["input"]), (&9.into(), &"a.rec".into()));
    let text = place.kestrel(&["replay", "a.rec", "--rules", "r.toml"]);
    assert_eq!(text.out.lines().count(), ids.len(), "{}", text.out);
    assert!(text.err.contains(&format!("1 rules: {} alerts", ids.len())), "{}", text.err);
}

#[test]
fn a_recording_is_compared_with_what_was_found_live() {
    let (bytes, ids) = recording(&head());
    let place = place(&bytes);
    let done = place.kestrel(&["replay", "a.rec", "--rules", "r.toml", "--verify"]);
    assert_eq!((done.code, done.err.as_str()), (0, ""), "{}", done.out);
    assert!(done.out.ends_with("equal: 400 records, 0 differences\n"), "{}", done.out);
    let args = ["replay", "a.rec", "--rules", "r.toml", "--verify", "-o", "ndjson"];
    let json = place.kestrel(&args).json();
    assert_eq!((&json["equal"], &json["live"]), (&true.into(), &json["replayed"]));
    assert_eq!((&json["live"]["alerts"], &json["open"]), (&ids.len().into(), &0.into()));
    // Torn at the end: what is sound is equal.
    fs::write(place.path().join("a.rec"), &bytes[..bytes.len() * 3 / 4]).unwrap();
    let done = place.kestrel(&args);
    let json = done.json();
    assert_eq!((done.code, &json["equal"]), (0, &true.into()), "{}", done.err);
    assert!(done.err.contains("it is sound up to byte") && done.err.contains("was not closed"));
    let alerts = json["live"]["alerts"].as_u64().unwrap();
    assert!((10..ids.len() as u64).contains(&alerts), "{alerts}");
    // Damaged in the middle: what can be read is, and that something is missing is a finding.
    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 1;
    fs::write(place.path().join("a.rec"), damaged).unwrap();
    let done = place.kestrel(&args);
    let json = done.json();
    assert_eq!((done.code, &json["different"]), (1, &0.into()), "{}", done.err);
    assert_eq!(json["records"], EVENTS - 10, "one frame is lost");
    assert!(done.err.contains("[checksum]"), "{}", done.err);
}

#[test]
fn other_rules_are_refused_unless_they_are_wanted() {
    let (bytes, ids) = recording(&head());
    let place = place(&bytes);
    let other = RULE.replace("/etc/shadow", "/etc/passwd");
    fs::write(place.path().join("other.toml"), &other).unwrap();
    let done = place.kestrel(&["replay", "a.rec", "--rules", "other.toml"]);
    assert_eq!((done.code, done.out.as_str()), (1, ""));
    for part in ["[other-rules]", "r.toml as it was recorded is not given", "--force"] {
        assert!(done.err.contains(part), "{part}: {}", done.err);
    }
    let args = ["replay", "a.rec", "--rules", "other.toml", "--force", "--verify", "-o", "ndjson"];
    let done = place.kestrel(&args);
    let json = done.json();
    assert_eq!((done.code, &json["equal"]), (1, &false.into()));
    assert_eq!(json["live"]["alerts"], ids.len());
    assert_eq!(json["replayed"]["alerts"], EVENTS - ids.len() as u64);
    assert_eq!(json["recording"]["other_rules"], 1);
}

#[test]
fn each_refusal_has_its_code() {
    let of = |head: &Head| recording(head).0;
    let sound = of(&head());
    let mut headless = sound.clone();
    headless[50] ^= 1;
    let mut version = sound.clone();
    version[8] = 9;
    let cases: [(&str, Vec<u8>); 6] = [
        ("no-recording", b"{\"event\": 1}\n".repeat(9)),
        ("no-recording", sound[..30].to_vec()),
        ("version", version),
        ("wire-version", of(&Head { wire: 99, ..head() })),
        ("byte-order", of(&Head { little_endian: cfg!(target_endian = "big"), ..head() })),
        ("head", headless),
    ];
    for (code, bytes) in cases {
        let place = place(&bytes);
        let done = place.kestrel(&["replay", "a.rec", "--rules", "r.toml"]);
        assert_eq!((done.code, done.out.as_str()), (1, ""), "{code}");
        assert!(done.err.contains(&format!("a.rec: [{code}] ")), "{code}: {}", done.err);
    }
    let place = place(&sound);
    let done = place.kestrel(&["replay", "nothing.rec", "--rules", "r.toml"]);
    assert!(done.code == 1 && done.err.contains("[unreadable]"), "{}", done.err);
    fs::create_dir(place.path().join("empty")).unwrap();
    let done = place.kestrel(&["replay", "empty", "--rules", "r.toml"]);
    assert!(done.code == 1 && done.err.contains("no recording (*.rec)"), "{}", done.err);
}
