//! Inputs that once failed, and a few that reach each target, as ordinary tests.

use std::path::Path;

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
fn what_is_nested_or_long_is_refused_in_bounded_time() {
    let start = std::time::Instant::now();
    for (name, target) in fuzz::TARGETS {
        for text in [
            "(".repeat(100_000),
            "[".repeat(100_000),
            format!("process where process.pid in ({})", "1,".repeat(50_000)),
            format!("process where process.pid == {}", "9".repeat(100_000)),
            format!("{}true", "not ".repeat(100_000)),
            format!("{{\"a\":{}", "[".repeat(100_000)),
        ] {
            println!("{name}: {}", text.get(..20).unwrap());
            target(text.as_bytes());
            target(format!("[[rule]]\nid='a'\nname='a'\nquery='''{text}'''").as_bytes());
            target(format!("title: a\ndetection:\n  a: {text}\n  condition: a").as_bytes());
        }
    }
    assert!(start.elapsed().as_secs() < 60, "took {:?}", start.elapsed());
}
