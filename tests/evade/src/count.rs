//! `evade count`: what prevention costs, in a guest whose clock counts instructions.
//!
//! Boot it with one CPU and `-accel tcg -icount shift=0,sleep=off`: then a nanosecond is an
//! instruction. Elsewhere the numbers are times. Tables are made beforehand (`evade compile RULES FILE`), since a
//! guest would take minutes.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use kernel::enforce::{Enforcer, Generation, Options};

use crate::lab::{self, COVERED, FREE, LAB};
use crate::tables;

/// What is measured: how it is called, who does it, what, and to which file.
const DEEDS: &[(&str, &str, &str, &str)] = &[
    ("open of a file with a label", COVERED, "open", "unreadable/f"),
    ("open of a file with a label for another operation", COVERED, "open", "unwritable/f"),
    ("open of a file without a label", COVERED, "open", "open/f"),
    ("open by whom no rule is about", FREE, "open", "unreadable/f"),
    ("exec", COVERED, "exec", "/bin/busybox"),
    ("connect", COVERED, "connect", "127.0.0.1"),
];

/// The rules that say something about what is measured; those that follow are about other things.
const FIRST: &str = r#"
apiVersion: aegisbpf.io/v1
kind: Policy
metadata: {name: count}
spec:
  mode: enforce
  subjects:
    covered: {executable: /lab/bin/covered, descendants: true}
    other: {executable: /usr/bin/program-0}
  rules:
    - {id: no-write, subject: covered, deny: write, files: ["/lab/*/unwritable/**"]}
    - {id: no-read, subject: other, deny: read, files: ["/lab/*/unreadable/**"]}
    - {id: no-read-either, subject: covered, deny: read, files: ["/lab/*/secret/**"]}
    - {id: no-run, subject: covered, deny: execute, files: ["/lab/*/unrunnable/**"]}
    - {id: no-host, subject: other, deny: connect, peers: ["127.0.0.1"]}
    - {id: no-peer, subject: covered, deny: connect, peers: ["127.0.0.2"]}
"#;

/// A policy with so many rules.
fn policy(rules: usize) -> String {
    let mut text = FIRST.to_owned();
    for n in FIRST.matches("- {id").count()..rules {
        let dir = format!("/srv/data{}/unit{}/part{}", n % 7, n % 211, n * 2_654_435_761 % 9_973);
        let object = match n % 6 {
            0 => format!("files: \"{dir}/file{n}\""),
            1 => format!("files: \"{dir}/dir{n}/**\""),
            2 => format!("files: \"{dir}/*/name{n}.conf\""),
            3 => format!("files: \"/home/*/dir{n}/secret\""),
            4 => format!("peers: \"10.{}.{}.0/24:{}\"", n / 250 % 250, n % 250, 1000 + n % 50_000),
            _ if n % 50 == 5 => format!("files: \"**/*.ext{n}\""),
            _ => format!("files: \"{dir}/program{n}\""),
        };
        let verb = ["read", "write", "[read, write]", "read", "connect", "execute"].get(n % 6);
        let subject = n % 40;
        // Writing to a string cannot fail.
        let _written = writeln!(
            text,
            "    - {{id: r{n}, subject: {{executable: /usr/bin/program-{subject}}}, deny: {}, {object}}}",
            verb.unwrap_or(&"read")
        );
    }
    text
}

/// `evade compile RULES FILE`: the tables of a policy with so many rules.
pub(crate) fn compile(rules: &str, file: &Path) -> Result<bool> {
    let compiled = tables::compiled(&policy(rules.parse().context("no number")?), 1)?;
    fs::write(file, compiled.tables.encode()?)?;
    Ok(true)
}

/// Repetitions in a batch, and batches, of which the cheapest counts: the others were interrupted.
fn repetitions(deed: &str) -> (u32, u32) {
    match deed {
        "open" => (200, 40),
        "connect" => (20, 20),
        _ => (2, 12),
    }
}

/// `evade time DEED OBJECT`: the cost of one.
pub(crate) fn time(deed: &str, object: &str) -> Result<bool> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let once = || -> Result<()> {
        match deed {
            "open" => drop(File::open(object)?),
            "connect" => {
                let begun = TcpStream::connect((object, listener.local_addr()?.port()))?;
                let (mut accepted, _) = listener.accept()?;
                drop(begun);
                // To the end, so that both have closed before the next one.
                accepted.read_to_end(&mut Vec::new())?;
            }
            "exec" => drop(Command::new(object).arg("true").status()?),
            other => bail!("nothing is called {other}"),
        }
        Ok(())
    };
    let (in_batch, batches) = repetitions(deed);
    let mut best = u128::MAX;
    for _ in 0..batches {
        let begin = Instant::now();
        for _ in 0..in_batch {
            once()?;
        }
        best = best.min(begin.elapsed().as_nanos() / u128::from(in_batch));
    }
    println!("{best}");
    Ok(true)
}

/// All deeds, as lines of what, under which rules, and the cost.
fn measure(rules: &str) -> Result<()> {
    for (what, program, deed, object) in DEEDS {
        let file = Path::new(LAB).join("count").join(object);
        let object = if *deed == "connect" { Path::new(object) } else { &file };
        let said = Command::new(program).args(["time", deed]).arg(object).output()?;
        let cost = String::from_utf8_lossy(&said.stdout);
        let cost: u64 = cost.trim().parse().with_context(|| format!("{what}: {said:?}"))?;
        println!("COUNT {rules}|{what}|{cost}");
    }
    Ok(())
}

/// `evade count FILE…`: before the programs are there, with nothing in force, and with each of the
/// tables, which are called by their number of rules.
pub(crate) fn command(files: &[&str]) -> Result<bool> {
    lab::furnish(&[])?;
    for below in ["unwritable", "unreadable", "open"] {
        let at = Path::new(LAB).join("count").join(below);
        fs::create_dir_all(&at)?;
        fs::write(at.join("f"), "text\n")?;
    }
    measure("none")?;
    let mut enforcer = Enforcer::open(Options::default()).context("loading the programs")?;
    measure("0")?;
    for file in files {
        let bytes = fs::read(file).with_context(|| format!("reading {file}"))?;
        let tables = policy::Tables::parse(&bytes)?;
        let mounts = tables::mounts(&tables)?;
        let begin = Instant::now();
        enforcer.apply(&Generation { tables: &bytes, mounts, ..Generation::default() })?;
        let name = Path::new(file).file_name().unwrap_or_default().to_string_lossy();
        println!("APPLIED {name}|{}|{}", bytes.len(), begin.elapsed().as_micros());
        measure(&name)?;
    }
    enforcer.release()?;
    println!("RESULT ok {} counted", files.len() + 2);
    Ok(true)
}
