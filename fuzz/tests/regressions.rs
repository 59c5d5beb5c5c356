//! Inputs that once failed, and a few that reach each target, as ordinary tests; and inputs made to
//! take long.

use std::path::Path;
use std::time::{Duration, Instant};

/// Seconds that one input may take on a busy machine, without optimisation.
const SLOWEST: Duration = Duration::from_secs(20);

#[test]
fn each_regression_passes_its_target() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    for (name, target) in fuzz::TARGETS {
        let inputs: Vec<_> = std::fs::read_dir(directory.join(name))
            .unwrap_or_else(|error| panic!("{name}: {error}"))
            .map(|entry| entry.unwrap().path())
            .collect();
        assert!(!inputs.is_empty(), "{name} has no input");
        for input in inputs {
            // The name of the file shows in the output of a failing test.
            println!("{}", input.display());
            target(&std::fs::read(&input).unwrap());
        }
    }
}

#[test]
fn each_directory_of_inputs_belongs_to_a_target() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    for entry in std::fs::read_dir(directory).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(fuzz::TARGETS.iter().any(|(known, _)| *known == name), "no target {name}");
    }
}

/// Each target answers each of these within the bound, also inside of a rule.
fn bounded(texts: &[String]) {
    for (name, target) in fuzz::TARGETS {
        for text in texts {
            let rule = format!("[[rule]]\nid='a'\nname='a'\nquery='''{text}'''");
            let sigma = format!("title: a\ndetection:\n  a: {text}\n  condition: a");
            let condition = format!("title: a\ndetection:\n  a: b\n  condition: {text}");
            for whole in [text, &rule, &sigma, &condition] {
                let start = Instant::now();
                target(whole.as_bytes());
                let took = start.elapsed();
                let begin: String = whole.chars().take(60).collect();
                assert!(took < SLOWEST, "{name} took {took:?} for {begin:?}");
            }
        }
    }
}

#[test]
fn what_is_nested_is_refused_in_bounded_time() {
    let opens = ["(", "[", "{", "not ", "-", "- ", "? ", "child of [any where ", "length(", "a+"];
    bounded(&opens.map(|open| open.repeat(100_000 / open.len())));
    bounded(&["process where ".to_owned() + &"not ".repeat(15_000) + "true"]);
    bounded(&[format!("{{\"a\":{}", "[".repeat(100_000))]);
}

#[test]
fn what_is_long_is_refused_in_bounded_time() {
    bounded(&[
        format!("process where process.pid in ({}1)", "1,".repeat(50_000)),
        format!("process where process.pid in ({}1)", "1,".repeat(4_000)),
        format!("process where process.pid == {}", "9".repeat(100_000)),
        format!("process where process.name == \"{}\"", "a".repeat(60_000)),
        format!("process where process.name : \"{}\"", "*a".repeat(30_000)),
        format!("process where stringContains(process.name, \"{}\")", "a".repeat(60_000)),
        format!("sequence {}", "[any where true] ".repeat(5_000)),
        format!("any where true{}", " | head 1".repeat(10_000)),
        format!("any where {}true", "a == 1 and ".repeat(5_000)),
        "`a`.".repeat(20_000),
    ]);
}

#[test]
fn expressions_that_grow_are_refused_in_bounded_time() {
    let regex = |text: &str| format!("any where process.name regex ({text}\"a\")");
    bounded(&[
        regex(&"\"(a{100}){100}\",".repeat(800)),
        regex(&"\"[^a]{90}\",".repeat(800)),
        regex(&format!("\"{}\",", "(".repeat(60_000))),
        regex(&format!("\"{}\",", "a?".repeat(30_000))),
    ]);
}

#[test]
fn bytes_that_are_no_text_are_answered() {
    for (name, target) in fuzz::TARGETS {
        println!("{name}");
        target(b"process where process.name == \"\xff\xfe\"");
        target(b"\xef\xbb\xbf[[rule]]\nid = \"\xc3\x28\"\n");
        target(&[0xff; 1000]);
    }
}

#[test]
fn a_large_file_is_refused_at_once() {
    let large = "# a comment, and nothing else\n".repeat(10 << 20 >> 5);
    assert!(large.len() > 9 << 20);
    for name in ["a.toml", "a.yml"] {
        let start = Instant::now();
        let loaded = lang::load([(name.to_owned(), large.clone())]);
        let codes: Vec<&str> = loaded.diagnostics.iter().map(|one| one.code.as_str()).collect();
        assert_eq!(codes, ["E005"], "{name}");
        assert!(start.elapsed() < SLOWEST, "{name} took {:?}", start.elapsed());
    }
}
