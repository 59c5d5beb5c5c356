//! Logs that are written, rotated, killed and tampered with.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value as Json, json};
use tempfile::TempDir;

use super::*;

const TIME: &str = "2026-01-02T03:04:05Z";

fn add(log: &Log, number: u64) -> Link {
    let Json::Object(about) = json!({ "rule": "r", "pid": number }) else { unreachable!() };
    log.append(TIME, "kill", &about).unwrap()
}

fn add_all(log: &Log, lines: u64) {
    for number in 1..=lines {
        add(log, number);
    }
}

/// A key pair as `ssh-keygen` makes it.
fn keys(directory: &Path) -> (PathBuf, PathBuf) {
    let path = directory.join("key");
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"]).arg(&path);
    assert!(command.status().unwrap().success());
    (path.clone(), path.with_extension("pub"))
}

/// A log of some lines in one file.
fn log_of(lines: u64) -> (TempDir, Log) {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::at(directory.path(), Options::default(), None);
    for number in 1..=lines {
        assert_eq!(add(&log, number).seq, number);
    }
    (directory, log)
}

fn found(directory: &Path) -> Report {
    verify(directory, None, 100, |_| {}).unwrap()
}

fn text(directory: &Path) -> Vec<String> {
    let text = fs::read_to_string(directory.join("audit.jsonl")).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn put(directory: &Path, lines: &[String]) {
    let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    fs::write(directory.join("audit.jsonl"), text).unwrap();
}

/// A line with another content and the hash that fits it.
fn forged(line: &str, from: &str, to: &str) -> String {
    use sha2::Digest;
    let (body, _) = line.split_once(",\"hash\":\"").unwrap();
    let body = body.replace(from, to);
    assert!(!line.starts_with(&body), "something was changed");
    let hash = Hash(sha2::Sha256::digest(body.as_bytes()).into());
    format!("{body},\"hash\":\"{hash}\"}}")
}

#[test]
fn a_log_that_nobody_touched_is_sound() {
    let (directory, _log) = log_of(7);
    let report = found(directory.path());
    assert_eq!((report.lines, report.first, report.last.seq), (7, 1, 7));
    assert_eq!((report.findings.as_slice(), report.torn), (&[][..], 0));
    for file in ["audit.jsonl", "audit.head"] {
        let mode = fs::metadata(directory.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

/// What somebody does to the lines of a log of seven, and what is found where.
type Deed = (&'static str, fn(&mut Vec<String>), &'static [(Kind, u64)]);

#[test]
fn each_kind_of_tampering_is_found_where_it_begins() {
    let deeds: &[Deed] = &[
        (
            "a value is changed",
            |l| l[2] = l[2].replace("\"pid\":3", "\"pid\":9"),
            &[(Kind::Changed, 3)],
        ),
        (
            "a line is changed and its hash made anew",
            |l| l[2] = forged(&l[2], "\"pid\":3", "\"pid\":9"),
            &[(Kind::Rewritten, 4)],
        ),
        ("a line is removed", |l| drop(l.remove(2)), &[(Kind::Missing, 3)]),
        ("the first lines are removed", |l| drop(l.drain(..2)), &[(Kind::Headless, 1)]),
        ("the last lines are removed", |l| l.truncate(5), &[(Kind::Cut, 6)]),
        (
            "two lines change places",
            |l| l.swap(2, 3),
            &[(Kind::Missing, 3), (Kind::Moved, 4), (Kind::Missing, 5)],
        ),
        ("a line comes twice", |l| l.insert(3, l[2].clone()), &[(Kind::Moved, 4)]),
        (
            "a line is put in",
            |l| l.insert(3, l[2].replace("\"pid\":3", "\"pid\":9")),
            &[(Kind::Changed, 4), (Kind::Moved, 4)],
        ),
        ("nonsense is put in", |l| l.insert(3, "\0\0 nothing".to_owned()), &[(Kind::Foreign, 4)]),
        (
            "a line of another log is put in",
            |l| {
                let (other, _) = log_of(4);
                l[3] = text(other.path())[3].replace("kill", "look");
            },
            &[(Kind::Changed, 4)],
        ),
        (
            "the last line is written anew",
            |l| l[6] = forged(&l[6], "\"pid\":7", "\"pid\":9"),
            &[(Kind::Rewritten, 7)],
        ),
        (
            "ends of lines are changed",
            |l| l[2].push('\r'),
            &[(Kind::Foreign, 3), (Kind::Missing, 4)],
        ),
        (
            "a number is changed",
            |l| l[2] = forged(&l[2], "\"seq\":3", "\"seq\":33"),
            &[(Kind::Missing, 3), (Kind::Moved, 4)],
        ),
    ];
    for (what, deed, expected) in deeds {
        let (directory, _log) = log_of(7);
        let mut lines = text(directory.path());
        deed(&mut lines);
        put(directory.path(), &lines);
        let report = found(directory.path());
        let kinds: Vec<_> = report.findings.iter().map(|one| (one.kind, one.line)).collect();
        assert_eq!(kinds, *expected, "{what}: {report:#?}");
        assert!(report.findings.iter().all(|one| one.file.ends_with("audit.jsonl")), "{what}");
    }
}

#[test]
fn files_that_go_or_come_back_are_found() {
    let make = || {
        let directory = tempfile::tempdir().unwrap();
        let options = Options { file_bytes: 1024, files: 100, signed_every: 100 };
        let log = Log::at(directory.path(), options, None);
        add_all(&log, 30);
        let files = files::all(directory.path()).unwrap();
        assert!(files.len() > 4 && found(directory.path()).findings.is_empty());
        (directory, files)
    };
    let first = |directory: &TempDir| found(directory.path()).findings.first().cloned().unwrap();
    let (directory, files) = make();
    fs::remove_file(&files[1]).unwrap();
    assert_eq!((first(&directory).kind, &first(&directory).file), (Kind::Missing, &files[2]));
    let (directory, files) = make();
    fs::remove_file(&files[0]).unwrap();
    assert_eq!((first(&directory).kind, &first(&directory).file), (Kind::Headless, &files[1]));
    let (directory, files) = make();
    fs::copy(&files[0], files.last().unwrap()).unwrap();
    assert_eq!(first(&directory).kind, Kind::Moved, "an older file in the place of the newest");
    let (directory, _files) = make();
    fs::remove_file(directory.path().join("audit.head")).unwrap();
    assert_eq!(first(&directory).kind, Kind::NoHead);
    let (directory, files) = make();
    for file in &files {
        fs::remove_file(file).unwrap();
    }
    assert_eq!(first(&directory).kind, Kind::Cut, "all of it");
}

#[test]
fn what_is_too_old_goes_with_a_line_about_it() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { file_bytes: 1024, files: 3, signed_every: 100 };
    let log = Log::at(directory.path(), options, None);
    add_all(&log, 60);
    let report = found(directory.path());
    assert_eq!(report.findings, []);
    assert!(report.first > 1 && report.lines < 60, "{report:?}");
    assert_eq!(files::all(directory.path()).unwrap().len(), 3);
}

#[test]
fn what_a_crash_left_is_cut_and_said() {
    let (directory, log) = log_of(3);
    let path = directory.path().join("audit.jsonl");
    let whole = fs::read(&path).unwrap();
    let mut next = fs::read(&path).unwrap();
    add(&log, 4);
    let with = fs::read(&path).unwrap();
    let line = &with[whole.len()..];
    for torn in 1..line.len() {
        // As it is after a kill in the middle of the write: neither synced nor in the head.
        let (directory, log) = log_of(3);
        let path = directory.path().join("audit.jsonl");
        next.truncate(whole.len());
        next.extend(&line[..torn]);
        fs::write(&path, &next).unwrap();
        let report = found(directory.path());
        assert_eq!((report.torn, report.findings.len()), (torn as u64, 0), "cut after {torn}");
        assert_eq!(add(&log, 5).seq, 5);
        let lines = text(directory.path());
        let said: Json = serde_json::from_str(&lines[3]).unwrap();
        assert_eq!((&said["action"], &said["bytes"]), (&"audit-torn".into(), &torn.into()));
        assert_eq!(found(directory.path()).findings, []);
    }
    // A line that is whole although the head does not know it was written.
    let (directory, log) = log_of(3);
    let head = fs::read(directory.path().join("audit.head")).unwrap();
    add(&log, 4);
    fs::write(directory.path().join("audit.head"), head).unwrap();
    assert_eq!(found(directory.path()).findings, []);
    assert_eq!(add(&log, 5).seq, 5);
    assert_eq!(found(directory.path()).findings, []);
}

#[test]
fn an_agent_that_finds_its_log_cut_says_so_and_goes_on() {
    let (directory, log) = log_of(7);
    let mut lines = text(directory.path());
    lines.truncate(4);
    put(directory.path(), &lines);
    assert_eq!(add(&log, 8).seq, 9);
    let lines = text(directory.path());
    assert!(
        lines[4].contains("audit-damaged") && lines[4].starts_with("{\"seq\":8,"),
        "{}",
        lines[4]
    );
    let kinds: Vec<_> =
        found(directory.path()).findings.iter().map(|one| (one.kind, one.line)).collect();
    assert_eq!(kinds, [(Kind::Missing, 5)], "for ever after");
}

#[test]
fn several_writers_keep_one_chain() {
    let (directory, _log) = log_of(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let log = Log::at(directory.path(), Options::default(), None);
                add_all(&log, 25);
            });
        }
    });
    let report = found(directory.path());
    assert_eq!((report.lines, report.findings.len()), (100, 0));
}

fn signer(key: &Path) -> Result<Signer, LogError> {
    Signer::new(&fs::read_to_string(key).unwrap(), key)
}

#[test]
fn a_log_that_was_written_anew_is_not_signed() {
    let directory = tempfile::tempdir().unwrap();
    let (private, public) = keys(directory.path());
    let verifier = Verifier::read(&public).unwrap();
    let options = Options { signed_every: 4, ..Options::default() };
    let make = |name: &str, signer: Option<Signer>| {
        let log = Log::at(&directory.path().join(name), options, signer);
        add_all(&log, 10);
        log.checkpoint(TIME).unwrap();
        verify(&directory.path().join(name), Some(&verifier), options.signed_every, |_| {}).unwrap()
    };
    let signed = make("signed", Some(signer(&private).unwrap()));
    assert_eq!(signed.findings, []);
    assert!(signed.signed >= Some(10), "{signed:?}");
    let unsigned = make("unsigned", None);
    assert_eq!(unsigned.findings.first().map(|one| one.kind), Some(Kind::Unsigned));
    fs::create_dir(directory.path().join("other")).unwrap();
    let (other, _) = keys(&directory.path().join("other"));
    let wrong = make("wrong", Some(signer(&other).unwrap()));
    assert_eq!(wrong.findings.first().map(|one| one.kind), Some(Kind::Signature));
    assert!(matches!(signer(&public), Err(LogError::Key { .. })));
}

#[test]
fn what_openssh_signs_is_what_we_sign() {
    let directory = tempfile::tempdir().unwrap();
    let (private, public) = keys(directory.path());
    let link = Link { seq: 3, hash: Hash([5; 32]) };
    let signature = signer(&private).unwrap().sign(&link).unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("sig"), &signature).unwrap();
    let key = fs::read_to_string(&public).unwrap();
    fs::write(at("signers"), format!("agent {key}")).unwrap();
    let check = |message: &str| {
        let mut command = Command::new("ssh-keygen");
        command.args(["-Y", "verify", "-n", "aegisbpf-audit", "-I", "agent", "-f"]);
        command.arg(at("signers")).arg("-s").arg(at("sig"));
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
        let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(message.as_bytes()).unwrap();
        child.wait().unwrap().success()
    };
    let hash = "05".repeat(32);
    assert!(check(&format!("aegisbpf audit log, line 3, SHA-256 {hash}\n")));
    assert!(!check(&format!("aegisbpf audit log, line 4, SHA-256 {hash}\n")));
}

#[test]
fn a_full_disk_leaves_no_half_line() {
    if !rustix::process::geteuid().is_root() {
        println!("SKIP a_full_disk_leaves_no_half_line: mounting a small disk needs root");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mount = |words: &[&str]| {
        let status = Command::new(words[0]).args(&words[1..]).arg(directory.path()).status();
        assert!(status.unwrap().success(), "{words:?}");
    };
    mount(&["mount", "-t", "tmpfs", "-o", "size=64k", "none"]);
    let log = Log::at(directory.path(), Options::default(), None);
    let about = Map::from_iter([("text".to_owned(), Json::from("x".repeat(4_000)))]);
    let mut lines = 0;
    let error = loop {
        match log.append(TIME, "kill", &about) {
            Ok(_) => lines += 1,
            Err(error) => break error,
        }
    };
    let report = found(directory.path());
    mount(&["umount"]);
    assert!(error.is_full(), "{error}");
    assert_eq!((report.lines, report.torn, report.findings.len()), (lines, 0, 0));
}

#[test]
fn a_log_that_goes_on_while_it_is_read_is_sound_although_files_end_and_go() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { file_bytes: 1 << 10, files: 2, ..Options::default() };
    let log = Log::at(directory.path(), options, None);
    add(&log, 0);
    let done = std::sync::atomic::AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let writes = scope.spawn(|| {
            let mut written = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                written = add(&log, written).seq;
            }
            written
        });
        let (mut reports, mut first) = (Vec::new(), 0);
        // Until it has begun anew many times.
        while first < 200 && reports.len() < 100_000 {
            let report = found(directory.path());
            first = report.first;
            reports.push(report);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        for report in &reports {
            assert_eq!(report.findings, [], "{report:?}");
        }
        assert!(first >= 200, "{first}");
        writes.join().unwrap()
    });
    assert!(written > 200, "{written} lines");
}
