//! `evade count`: what an open and close costs, in a guest whose clock counts instructions.
//!
//! Boot it with one CPU and `-accel tcg -icount shift=0,sleep=off`: then a nanosecond is an
//! instruction. Elsewhere the numbers are times.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::lab::{self, COVERED, FREE, LAB, Lab};

/// Opens in a batch, and batches, of which the cheapest counts: the others were interrupted.
const OPENS: u32 = 200;
const BATCHES: u32 = 60;

/// `evade time FILE`: the cost of one open and close.
pub(crate) fn time(file: &Path) -> Result<bool> {
    let mut best = u128::MAX;
    for _ in 0..BATCHES {
        let begin = Instant::now();
        for _ in 0..OPENS {
            File::open(file)?;
        }
        best = best.min(begin.elapsed().as_nanos() / u128::from(OPENS));
    }
    println!("{best}");
    Ok(true)
}

/// Rules that deny, and nothing that is only reported: that would be asked of every process.
const POLICY: &str = r#"
apiVersion: aegisbpf.io/v1
kind: Policy
metadata: {name: count}
spec:
  mode: enforce
  subjects:
    covered: {executable: /lab/bin/covered, descendants: true}
  rules:
    - {id: no-read, subject: covered, deny: read, files: ["/lab/*/unreadable/**"]}
    - {id: no-write, subject: covered, deny: write, files: ["/lab/*/unwritable/**"]}
"#;

fn measure(what: &str, program: &str, file: &Path) -> Result<u64> {
    let said = Command::new(program).arg("time").arg(file).output()?.stdout;
    let cost = String::from_utf8_lossy(&said).trim().parse().context("no number")?;
    println!("COUNT {what}: {cost}");
    Ok(cost)
}

/// Before the programs are there, and with a policy in force.
pub(crate) fn command() -> Result<bool> {
    lab::furnish(&[])?;
    let at = Path::new(LAB).join("count");
    for below in ["unwritable", "open"] {
        std::fs::create_dir_all(at.join(below))?;
        std::fs::write(at.join(below).join("f"), "text\n")?;
    }
    let [labelled, plain] = ["unwritable/f", "open/f"].map(|file| at.join(file));
    let base = measure("nothing loaded", COVERED, &labelled)?;
    let lab = Lab::with(POLICY)?;
    for (what, program, file) in [
        ("no rule is about the process", FREE, &labelled),
        ("a rule is about the process, none about the file", COVERED, &plain),
        ("rules are about both, the file has its label", COVERED, &labelled),
    ] {
        let cost = measure(what, program, file)?;
        println!("ADDED {what}: {}", cost.saturating_sub(base));
    }
    lab.enforcer.release()?;
    println!("RESULT ok");
    Ok(true)
}
