//! A process that adds lines to a log is killed, over and over, at moments of chance: what it was told is
//! written is there, and the log is sound.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use capture::audit::{Log, Options, verify};
use serde_json::{Map, Value as Json};

/// Where the process that is killed finds its directory; others are no such process.
const DIRECTORY: &str = "CAPTURE_TEST_KILLED";
const KILLS: u64 = 200;
/// The longest that a process may live, in microseconds: some die before their first line.
const LIFE_US: u64 = 12_000;

/// Small files, so that kills meet their changes too, and all of them are kept.
const OPTIONS: Options = Options { file_bytes: 2_000, files: 10_000, signed_every: 100 };

/// Adds lines until it is killed; says of each that it is written.
fn write(directory: &Path) -> ! {
    let log = Log::at(directory, OPTIONS, None);
    let mut out = std::io::stdout().lock();
    loop {
        let about = Map::from_iter([("pid".to_owned(), Json::from(std::process::id()))]);
        let link = log.append("2026-01-02T03:04:05Z", "kill", &about).unwrap();
        writeln!(out, "written {}", link.seq).unwrap();
    }
}

/// A sequence of numbers that looks like chance, the same in each run.
fn next(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

#[test]
fn what_is_written_stays_whenever_its_writer_is_killed() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        write(Path::new(&directory));
    }
    let directory = tempfile::tempdir().unwrap();
    let (mut seed, mut told, mut torn, mut wrote) = (0x9e37_79b9_7f4a_7c15_u64, 0, 0, 0);
    for kill in 0..KILLS {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--nocapture", "what_is_written_stays_whenever_its_writer_is_killed"]);
        command.env(DIRECTORY, directory.path());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // The harness of tests speaks first. From the first line on it is a matter of chance.
        let first = lines.by_ref().map_while(Result::ok).find(|line| line.contains("written"));
        std::thread::sleep(Duration::from_micros(next(&mut seed) % LIFE_US));
        child.kill().unwrap();
        child.wait().unwrap();
        let later = lines.map_while(Result::ok);
        let said = first.into_iter().chain(later).filter_map(|line| {
            line.rsplit_once("written ").and_then(|(_, number)| number.parse::<u64>().ok())
        });
        let last = said.max().unwrap_or(told);
        wrote += last - told;
        told = last;
        let report = verify(directory.path(), None, OPTIONS.signed_every, |_| {}).unwrap();
        assert_eq!(report.findings, [], "kill {kill}");
        // What was not told may be there; what was told must be.
        assert!(report.last.seq >= told, "kill {kill}: {told} was written, {report:?}");
        torn += u64::from(report.torn > 0);
    }
    assert!(wrote > KILLS, "the writers wrote {wrote} lines");
    println!("{KILLS} kills, {wrote} lines, {torn} of them torn");
}
