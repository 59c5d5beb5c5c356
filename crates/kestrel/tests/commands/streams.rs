//! What goes where: channels, colours, pipes, standard input, exit codes.

use std::io::Read;
use std::process::Stdio;

use super::{Place, QUERY, SIGMA, rule};

const COMMANDS: &[&str] = &[
    "check", "fmt", "test", "run", "replay", "hunt", "query", "explain", "bench", "convert",
    "fields",
];

#[test]
fn wrong_usage_is_two_and_help_has_examples() {
    let place = Place::with(&[]);
    for args in [&[][..], &["nonsense"], &["check"], &["fields", "-o", "xml"], &["query", "x"]] {
        let done = place.kestrel(args);
        assert!(done.code == 2 && done.out.is_empty() && done.err.contains("--help"), "{args:?}");
    }
    for command in COMMANDS {
        for flag in ["-h", "--help"] {
            let done = place.kestrel(&[command, flag]);
            assert_eq!((done.code, done.err.as_str()), (0, ""));
            let example = format!("Examples:\n  kestrel {command} ");
            let piped = format!("| kestrel {command} ");
            assert!(done.out.contains(&example) || done.out.contains(&piped), "{}", done.out);
        }
    }
}

#[test]
fn colours_are_for_terminals_unless_asked_for() {
    let place = Place::with(&[("r.toml", &rule("r", "process where nope == 1")), ("s.yml", SIGMA)]);
    for args in [&["check", "."][..], &["fields"], &["explain", "s.yml"]] {
        let coloured = |name: &str| {
            let done = place.command(args).env(name, "1").output().unwrap();
            done.stdout.contains(&0x1b) || done.stderr.contains(&0x1b)
        };
        assert!(!coloured("UNRELATED"), "{args:?}: nobody reads colours in a pipe");
        assert!(coloured("CLICOLOR_FORCE"), "{args:?}: the control");
        assert!(!coloured("NO_COLOR"), "{args:?}");
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let rules: String = (0..800).map(|n| rule(&format!("r{n}"), QUERY)).collect();
    let place = Place::with(&[("r.toml", &rules)]);
    for args in [
        &["fields"][..],
        &["fields", "-o", "json"],
        &["check", "."],
        &["convert", "."],
        &["explain", "."],
    ] {
        let mut command = place.command(args);
        let errors = std::fs::File::create(place.path().join("errors.txt")).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(errors).spawn().unwrap();
        let mut byte = [0];
        child.stdout.take().unwrap().read_exact(&mut byte).unwrap();
        let status = child.wait().unwrap();
        let err = place.read("errors.txt");
        assert!(!err.contains("panicked") && !err.contains("roken pipe"), "{args:?}: {err}");
        assert!(status.code().is_some_and(|code| code < 2), "{args:?}: {status:?}");
    }
}

#[test]
fn rules_come_from_standard_input_in_any_format() {
    let place = Place::with(&[]);
    let own = place.fed(&["check", "-"], &rule("own", QUERY));
    assert!(own.code == 0 && own.out.starts_with("kernel  own: "), "{}{}", own.out, own.err);
    let tested = place.fed(&["test", "-"], &rule("own", QUERY));
    assert!(tested.code == 0 && tested.out.contains("2 passed, 0 failed"), "{}", tested.out);
    let sigma = place.fed(&["check", "-"], SIGMA);
    assert!(sigma.code == 0 && sigma.out.contains("5f0e2f1c"), "{}{}", sigma.out, sigma.err);
}

#[test]
fn what_cannot_be_read_is_named_with_the_reason() {
    let place = Place::with(&[("r.toml", &rule("r", QUERY)), ("empty/notes.txt", "")]);
    std::fs::write(place.path().join("huge.toml"), vec![b'#'; 5 << 20]).unwrap();
    std::fs::write(place.path().join("bytes.toml"), b"a = \xff").unwrap();
    let command = ["check", "gone", "empty", "huge.toml", "bytes.toml", "r.toml"];
    let done = place.kestrel(&command);
    assert_eq!(done.code, 1);
    assert!(done.out.starts_with("kernel  r: "), "the others are checked: {}", done.out);
    for reason in [
        "error: gone: No such file or directory",
        "error: empty: no rule file (*.toml, *.yml, *.yaml)",
        "error: huge.toml: more than 4194304 bytes",
        "error: bytes.toml: not UTF-8 (byte 4)",
    ] {
        assert!(done.err.contains(reason), "{reason}: {}", done.err);
    }
    let report = place.kestrel(&[&command[..], &["-o", "json"]].concat());
    assert_eq!((report.json()["unread"].as_array().unwrap().len(), report.err.as_str()), (4, ""));
}
