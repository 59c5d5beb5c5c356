//! Reading a guest's serial log: which cases passed, and what the kernel came to.

use std::time::Duration;

use crate::outcome::Outcome;

/// What one kernel came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Every case passed; the text is the closing line.
    Passed(String),
    /// Why not.
    Failed(String),
    /// It could not be tried here; why.
    Skipped(String),
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// Kernel as it was asked for.
    kernel: String,
    /// Release, tier and the like, as the guest printed it.
    facts: String,
    /// Lines of failed cases and of a kernel's death.
    details: Vec<String>,
    verdict: Verdict,
}

/// A finished guest.
#[derive(Debug, Clone)]
pub(super) struct Log {
    /// All that came over the serial line.
    pub(super) text: String,
    /// Where it is kept.
    pub(super) path: String,
    /// How long the guest ran.
    pub(super) took: Duration,
    /// Whether it was ended for taking too long.
    pub(super) timed_out: bool,
}

impl Row {
    /// A row without a log.
    pub(super) fn new(kernel: &str, verdict: Verdict) -> Row {
        Row { kernel: kernel.to_owned(), facts: String::new(), details: Vec::new(), verdict }
    }

    /// The row and the details below it.
    pub(super) fn line(&self) -> String {
        let (word, why) = match &self.verdict {
            Verdict::Passed(text) => ("ok", text),
            Verdict::Failed(text) => ("FAIL", text),
            Verdict::Skipped(text) => ("SKIP", text),
        };
        let mut line = format!("{word:<4} {:<6} {}  {why}", self.kernel, self.facts);
        for detail in &self.details {
            line.push_str("\n       ");
            line.push_str(detail);
        }
        line
    }
}

/// The verdict over a guest's log: only as many `RESULT ok` pass as there were suites.
pub(super) fn judge(kernel: &str, log: &Log, suites: usize) -> Row {
    let lines: Vec<&str> = log.text.lines().map(str::trim_end).collect();
    let find = |prefix: &str| lines.iter().rev().find_map(|l| l.strip_prefix(prefix));
    let details = details(&lines);
    let release = find("GUEST ").unwrap_or("did not boot");
    let tier = find("TIER ").unwrap_or("unknown");
    let seconds = log.took.as_secs_f32();
    let results: Vec<&str> = lines.iter().filter_map(|l| l.strip_prefix("RESULT ")).collect();
    let all_ok = results.len() == suites && results.iter().all(|one| one.starts_with("ok"));
    let verdict = match results.last() {
        Some(_) if all_ok && details.is_empty() => Verdict::Passed(results.join("; ")),
        Some(_) => {
            let of = format!("{} of {suites} results", results.len());
            Verdict::Failed(format!("{}, {of}, log {}", results.join("; "), log.path))
        }
        None if log.timed_out => Verdict::Failed(format!("timed out, log {}", log.path)),
        None => Verdict::Failed(format!("ended without a result, log {}", log.path)),
    };
    let facts = format!("{release}  tier {tier}  {seconds:.1} s");
    Row { kernel: kernel.to_owned(), facts, details, verdict }
}

/// Lines of a failure that are shown: what a script looked at, and what the agent said before.
const SHOWN: usize = 40;

/// What failed or died, with what is told of it up to the next case.
fn details(lines: &[&str]) -> Vec<String> {
    let (mut details, mut more) = (Vec::new(), 0);
    for line in lines {
        let died = line.contains("Kernel panic") || line.contains("panicked");
        let is_next = ["ok ", "SKIP ", "RESULT ", "GUEST ", "TIER "];
        if line.starts_with("FAIL ") || died {
            more = SHOWN;
        } else if is_next.iter().any(|word| line.starts_with(word)) {
            more = 0;
        }
        if more > 0 {
            details.push((*line).to_owned());
            more -= 1;
        }
    }
    details
}

/// Counts the rows and prints the closing line.
pub(super) fn table(command: &str, rows: &[Row]) -> Outcome {
    let count = |row: &Row| match row.verdict {
        Verdict::Passed(_) => Outcome::PASS,
        Verdict::Failed(_) => Outcome::FAIL,
        Verdict::Skipped(_) => Outcome::SKIP,
    };
    let sum: Outcome = rows.iter().map(count).sum();
    println!("{command}: {sum} (guests)");
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(text: &str, timed_out: bool) -> Log {
        let took = Duration::from_secs(1);
        Log { text: text.to_owned(), path: "x.log".to_owned(), took, timed_out }
    }

    #[test]
    fn only_a_closing_ok_without_failed_cases_passes() {
        let ok = judge(
            "6.1",
            &log("GUEST 6.1.0\r\nTIER lsm\r\nok exec\r\nRESULT ok 1 passed", false),
            1,
        );
        assert_eq!(ok.verdict, Verdict::Passed("ok 1 passed".to_owned()));
        let lied = judge("6.1", &log("FAIL exec: expected a, got b\nRESULT ok 1 passed", false), 1);
        assert!(matches!(lied.verdict, Verdict::Failed(_)));
        assert_eq!(lied.details, ["FAIL exec: expected a, got b"]);
        let why = "ok a\nnoise\nFAIL b: not done: id what\n1 deny\n  agent | refused\nok c\nnoise\nRESULT FAIL";
        let told = judge("life", &log(why, false), 1).details;
        assert_eq!(told, ["FAIL b: not done: id what", "1 deny", "  agent | refused"]);
    }

    #[test]
    fn a_suite_that_did_not_end_or_failed_is_a_failure_whatever_the_others_say() {
        let one = judge("6.1", &log("GUEST 6.1.0\nRESULT ok 1 passed", false), 2);
        assert!(matches!(&one.verdict, Verdict::Failed(why) if why.contains("1 of 2")), "{one:?}");
        let first = log("GUEST 6.1.0\nRESULT fail 1 failed\nRESULT ok 1 passed", false);
        assert!(matches!(judge("6.1", &first, 2).verdict, Verdict::Failed(_)));
        let both = log("GUEST 6.1.0\nRESULT ok 1 passed\nRESULT ok 84 cases", false);
        let passed = Verdict::Passed("ok 1 passed; ok 84 cases".to_owned());
        assert_eq!(judge("6.1", &both, 2).verdict, passed);
    }

    #[test]
    fn silence_is_a_failure_that_says_why() {
        let died = judge("6.1", &log("GUEST 6.1.0\nKernel panic - not syncing", false), 1);
        assert_eq!(died.verdict, Verdict::Failed("ended without a result, log x.log".to_owned()));
        let slow = judge("6.1", &log("GUEST 6.1.0", true), 1);
        assert_eq!(slow.verdict, Verdict::Failed("timed out, log x.log".to_owned()));
    }
}
