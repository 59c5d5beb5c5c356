//! A flood of opens of a watched file by one process must not cost another process's events.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::agent::{self, Agent};
use crate::sh;

/// Opens in the flood.
const OPENS: u64 = 1_000_000;
/// Processes started meanwhile; each raises one alert.
const MARKS: u64 = 2_000;
/// First argument of those processes, followed by a number; alone it stands in the command line of
/// the load itself, which does not count.
pub(crate) const MARK: &str = "bench-mark-";
/// The last alert comes soon after the last process.
pub(super) const ALERT_LIMIT: Duration = Duration::from_secs(20);

/// Writes rules that alert on marked processes and watch a file, and returns their directory and
/// that file.
pub(crate) fn rules(dir: &Path) -> Result<(PathBuf, PathBuf)> {
    let rules = dir.join("rules");
    std::fs::create_dir_all(&rules)?;
    let watched = dir.join("watched");
    std::fs::write(&watched, "watched\n")?;
    let text = format!(
        r#"[[rule]]
id = "bench-mark"
name = "Process of the benchmark"
description = "Counts the processes that the benchmark starts."
severity = "informational"
attack = []
tags = []
references = []
query = """
process where event.action == "exec" and process.args like "{MARK}?*"
"""

[[rule]]
id = "bench-flood"
name = "File of the benchmark"
description = "Makes the sensors deliver each open of a file; never matches."
severity = "informational"
attack = []
tags = []
references = []
query = """
file where event.action == "open" and file.path == "{}" and process.name == "nobody"
"""
"#,
        watched.display()
    );
    std::fs::write(rules.join("bench.toml"), text)?;
    Ok((rules, watched))
}

/// Alerts on marked processes.
pub(super) fn marks(alerts: &str) -> u64 {
    let count = alerts.lines().filter(|line| line.contains("\"bench-mark\"")).count();
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Starts marked processes.
pub(super) fn mark(count: u64) -> Result<()> {
    let mut command = sh::cmd(sh::release("bench-load"));
    sh::capture(command.args(["exec", &count.to_string(), MARK])).map(drop)
}

/// `xtask bench flood`
pub(super) fn command() -> Result<()> {
    run(OPENS, MARKS)
}

/// A flood and, until it ends, processes.
pub(super) fn run(opens: u64, marked: u64) -> Result<()> {
    let dir = agent::scratch("flood")?;
    let (rules, watched) = rules(&dir)?;
    let agent = Agent::start(&dir, Some(&rules))?;
    let before = losses(&agent.status()?);
    let start = Instant::now();
    let mut flood = sh::cmd(sh::release("bench-load"));
    flood.arg("open").arg(&watched).arg(opens.to_string());
    let mut flood = flood.stdout(std::process::Stdio::null()).spawn()?;
    mark(marked)?;
    let during = flood.try_wait()?.is_none();
    let status = flood.wait()?;
    let seconds = start.elapsed().as_secs_f64();
    let seen = || agent.alerts().map(|alerts| marks(&alerts));
    agent::until(ALERT_LIMIT, || seen().is_ok_and(|seen| seen >= marked));
    let (seen, text) = (seen()?, agent.status()?);
    agent.stop()?;
    println!("{opens} opens of a watched file in {seconds:.1} s; meanwhile {marked} processes");
    println!("process events seen: {seen} of {marked}");
    if !during {
        println!("the flood ended before the last process started");
    }
    println!("losses before: {before}\nlosses after: {}", losses(&text));
    if !status.success() || seen != marked {
        bail!("{} of {marked} process events were lost", marked.saturating_sub(seen));
    }
    std::fs::remove_dir_all(&dir).context("scratch directory")
}

/// The part of the status that tells of losses.
pub(super) fn losses(status: &str) -> String {
    let tail = status.split_once("\"lost\"").map_or("unknown", |(_, tail)| tail);
    let mut depth = 0_i32;
    let mut out = String::new();
    for c in tail.chars().skip_while(|c| *c != '{').filter(|c| !c.is_whitespace()) {
        depth += i32::from(c == '{') - i32::from(c == '}');
        out.push(c);
        if depth == 0 {
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_marked_processes_are_counted() {
        let alerts = "{\"rule\":{\"id\":\"bench-mark\"}}\n{\"rule\":{\"id\":\"other\"}}\n\
                      {\"rule\":{\"id\":\"bench-mark\"}}\n";
        assert_eq!(marks(alerts), 2);
    }

    #[test]
    fn losses_are_cut_out_of_the_status() {
        let status = "{ \"a\": 1, \"lost\": { \"life\": { \"ring_full\": 0 } }, \"b\": {} }";
        assert_eq!(losses(status), "{\"life\":{\"ring_full\":0}}");
        assert_eq!(losses("{}"), "");
    }
}
