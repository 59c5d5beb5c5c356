//! What libFuzzer said of one target.

use std::fmt;

/// Above the lines of reports.
pub(super) const HEAD: &str =
    "target            executions  a second  edges  features  inputs  findings";

/// Lines of the log that are shown with a finding.
const SHOWN: usize = 12;

/// One target's run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    name: String,
    /// Inputs that were tried.
    executions: u64,
    /// Of these a second.
    speed: u64,
    /// Edges of the program that an input reached.
    edges: u64,
    /// Edges, with how often and with which operands.
    features: u64,
    /// Inputs that are kept.
    inputs: u64,
    /// What was found, and where its input is.
    finding: Option<String>,
}

impl Report {
    /// Reads a log.
    pub(super) fn read(name: &str, success: bool, log: &str) -> Report {
        let mut report = Report { name: name.to_owned(), ..Report::default() };
        for line in log.lines() {
            if let Some(count) = line.strip_prefix("stat::number_of_executed_units:") {
                report.executions = count.trim().parse().unwrap_or(0);
            }
            if let Some(speed) = line.strip_prefix("stat::average_exec_per_sec:") {
                report.speed = speed.trim().parse().unwrap_or(0);
            }
            if line.starts_with('#') {
                let number = |key: &str| -> Option<u64> {
                    let (_, rest) = line.split_once(key)?;
                    let digits = rest.trim_start();
                    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
                    digits.get(..end)?.parse().ok()
                };
                report.edges = number(" cov:").unwrap_or(report.edges);
                report.features = number(" ft:").unwrap_or(report.features);
                report.inputs = number(" corp:").unwrap_or(report.inputs);
            }
        }
        if !success {
            report.finding = Some(finding(log));
        } else if report.executions == 0 {
            report.finding = Some("nothing was executed".to_owned());
        }
        report
    }

    /// Whether the target ran and nothing was found.
    pub(super) fn clean(&self) -> bool {
        self.finding.is_none()
    }
}

/// The lines that say what happened: from the panic or the fuzzer's own words to the end.
fn finding(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let first = lines.iter().position(|line| {
        line.contains("panicked at") || line.starts_with("==") || line.contains("ERROR: libFuzzer")
    });
    let start = first.unwrap_or(lines.len().saturating_sub(SHOWN));
    let artifact = lines.iter().find(|line| line.contains("Test unit written to"));
    let shown = lines.iter().skip(start).take(SHOWN).chain(artifact).copied();
    shown.collect::<Vec<_>>().join("\n  ")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { name, executions, speed, edges, features, inputs, finding } = self;
        let findings = usize::from(finding.is_some());
        write!(
            f,
            "{name:<16} {executions:>11} {speed:>9} {edges:>6} {features:>9} {inputs:>7} \
             {findings:>9}"
        )?;
        if let Some(finding) = finding {
            write!(f, "\nFAIL {name}: {finding}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAN: &str = "INFO: Seed: 1\n#2\tINITED cov: 10 ft: 11 corp: 1/1b exec/s: 0 rss: 26Mb\n\
                         #900\tREDUCE cov: 523 ft: 1999 corp: 40/1Kb lim: 4 exec/s: 300 rss: 1Mb\n\
                         Done 1000 runs in 3 second(s)\nstat::number_of_executed_units: 1000\n\
                         stat::average_exec_per_sec:     333\n";

    #[test]
    fn the_last_numbers_count() {
        let report = Report::read("one", true, CLEAN);
        assert!(report.clean());
        assert_eq!((report.executions, report.speed), (1000, 333));
        assert_eq!((report.edges, report.features, report.inputs), (523, 1999, 40));
        let columns = |line: &str| line.split_whitespace().count();
        assert_eq!(columns(&report.to_string()), 7, "{report}");
    }

    #[test]
    fn a_failing_run_is_a_finding_with_its_words() {
        let log = CLEAN.replace(
            "Done 1000 runs in 3 second(s)",
            "thread panicked at src/a.rs:1:2:\nthe reason\nTest unit written to /x/one-crash",
        );
        let report = Report::read("one", false, &log);
        assert!(!report.clean());
        let shown = report.to_string();
        assert!(shown.contains("the reason") && shown.contains("/x/one-crash"), "{shown}");
        assert!(shown.contains("\nFAIL one: "), "{shown}");
    }

    #[test]
    fn a_run_that_executed_nothing_shows_nothing() {
        assert!(!Report::read("one", true, "").clean());
    }
}
