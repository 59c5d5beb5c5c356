//! Reads how many cases ran from what the test runners print.

use crate::outcome::Outcome;

/// Counts of a log of `cargo nextest run` or `cargo test`; a test that prints a line
/// `SKIP name: reason` and returns is counted as skipped.
///
/// Tests that a filter left out are nobody's: they run in another stage.
pub(super) fn cases(log: &str) -> Outcome {
    let mut counts: Outcome = log.lines().filter_map(summary).sum();
    let skips = skips(log).count().min(counts.passed);
    counts.passed -= skips;
    counts.skipped += skips;
    counts
}

/// The last line `N passed, N failed, N skipped` of one of our own commands.
pub(super) fn closing(log: &str) -> Option<Outcome> {
    log.lines().rev().find_map(|line| {
        let mut counts = line.split(", ");
        let mut next = |noun| counts.next()?.strip_suffix(noun)?.trim().parse::<usize>().ok();
        let (passed, failed, skipped) = (next("passed")?, next("failed")?, next("skipped")?);
        Some(Outcome { passed, failed, skipped })
    })
}

/// `RESULT ok 30 passed, 0 failed, 4 absent` of each run of `provoke`: what this kernel cannot show
/// is skipped.
pub(super) fn provoked(log: &str) -> Option<Outcome> {
    let counts = log.lines().filter_map(|line| line.strip_prefix("RESULT ")?.split_once(' '));
    let runs: Vec<Outcome> =
        counts.filter_map(|(_, counts)| closing(&counts.replace("absent", "skipped"))).collect();
    (!runs.is_empty()).then(|| runs.into_iter().sum())
}

/// `ok: 8 rules, 27 tests: 27 passed, 0 failed; 0 errors, 0 warnings` of `kestrel test`.
pub(super) fn rule_tests(log: &str) -> Option<Outcome> {
    let (_, counts) = log.lines().rev().find_map(|line| line.split_once(" tests: "))?;
    let (counts, _) = counts.split_once(';')?;
    closing(&format!("{counts}, 0 skipped"))
}

/// Lines in which tests say what they could not do here.
pub(super) fn skips(log: &str) -> impl Iterator<Item = &str> {
    log.lines().map(str::trim).filter(|line| line.starts_with("SKIP ") && line.contains(": "))
}

/// Lines of cargo that say how far it is, and would hide in what it was stopped.
pub(super) fn is_progress(line: &str) -> bool {
    let verb = line.trim_start().split(' ').next().unwrap_or_default();
    line.starts_with(' ') && ["Compiling", "Checking", "Downloaded", "Downloading"].contains(&verb)
}

/// Lines that name what failed, each once: of `provoke`, of compilers and the like at the start of a
/// line, of the test runners wherever they put it. What a test prints is indented, and is not meant.
pub(super) fn failures(log: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = Vec::new();
    for line in log.lines() {
        let own =
            ["FAIL ", "not ok ", "error: ", "error["].iter().any(|word| line.starts_with(word));
        if (own || names_failure(line.trim())) && !lines.contains(&line.trim()) {
            lines.push(line.trim());
        }
    }
    lines
}

/// `FAIL [   1.2s] (3/9) crate test`, `TIMEOUT [`, `SIGSEGV [` of nextest; `test name ... FAILED`
/// of the standard harness.
fn names_failure(line: &str) -> bool {
    let status = line.split_once(" [").map_or("", |(word, _)| word);
    let is_signal = status.starts_with("SIG") && status.chars().all(|c| c.is_ascii_uppercase());
    ["FAIL", "TIMEOUT", "ABORT"].contains(&status)
        || is_signal
        || (line.starts_with("test ") && line.ends_with("... FAILED"))
}

/// `Summary [   1.2s] 5 tests run: 4 passed (1 slow), 1 failed, 2 skipped` of nextest, or
/// `test result: ok. 3 passed; 0 failed; 1 ignored; …` of the standard harness. What a single test says of itself
/// when nextest runs it is indented, and is one of those that nextest counts.
fn summary(line: &str) -> Option<Outcome> {
    let counts = if line.trim_start().starts_with("Summary [") {
        line.split_once("run: ")?.1
    } else {
        line.strip_prefix("test result: ")?.split_once(". ")?.1
    };
    let words: Vec<&str> = counts.split([' ', ',', ';']).filter(|word| !word.is_empty()).collect();
    let before = |noun: &str| {
        let at = words.iter().position(|word| *word == noun)?;
        words.get(at.checked_sub(1)?)?.parse::<usize>().ok()
    };
    // "1 failed", "1 timed out", "1 exec failed"
    let failed = ["failed", "timed", "exec"].iter().filter_map(|noun| before(noun)).sum();
    let skipped = before("ignored").unwrap_or(0);
    Some(Outcome { passed: before("passed").unwrap_or(0), failed, skipped })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nextest_is_counted_and_filtered_tests_are_not() {
        let log =
            "     Summary [   0.420s] 45 tests run: 44 passed (1 slow), 1 failed, 7 skipped\n";
        assert_eq!(cases(log), Outcome { passed: 44, failed: 1, skipped: 0 });
        let of_one =
            "    test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out\n";
        assert_eq!(cases(&[of_one, log].concat()), Outcome { passed: 44, failed: 1, skipped: 0 });
    }

    #[test]
    fn a_time_out_is_a_failure() {
        let log = "Summary [ 60.1s] 3 tests run: 2 passed, 1 timed out, 0 skipped";
        assert_eq!(cases(log), Outcome { passed: 2, failed: 1, skipped: 0 });
    }

    #[test]
    fn the_standard_harness_is_counted_for_each_binary() {
        let log = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n\
                   test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 5 filtered out";
        assert_eq!(cases(log), Outcome { passed: 4, failed: 2, skipped: 1 });
    }

    #[test]
    fn a_test_that_says_skip_did_not_pass() {
        let log = "    SKIP lsm: the kernel refuses such programs\nSummary [1s] 2 tests run: 2 passed, 0 skipped";
        assert_eq!(cases(log), Outcome { passed: 1, failed: 0, skipped: 1 });
    }

    #[test]
    fn how_far_cargo_is_hides_nothing() {
        assert!(is_progress("   Compiling boon v0.6.1"));
        assert!(!is_progress("  No space left on device (os error 28)"));
        assert!(!is_progress("Compiling"));
    }

    #[test]
    fn what_failed_is_named_once_and_what_tests_print_is_not_meant() {
        let log = "ok exec/program\nFAIL attributes/times: expected nothing, got: [\n    FAIL self-test\n\
                   \x20  FAIL [ 1.2s] (3/9) agent::agent reload\n   TIMEOUT [ 60s] (4/9) fuzz x\n\
                   SIGABRT [ 0.1s] (5/9) lang y\n   FAIL [ 1.2s] (3/9) agent::agent reload\n\
                   test tests::a ... FAILED\ntest tests::b ... ok\nFAILED: a [b]\n\
                   error: could not compile `boon`\n  error: said by a test\n";
        let expected = [
            "FAIL attributes/times: expected nothing, got: [",
            "FAIL [ 1.2s] (3/9) agent::agent reload",
            "TIMEOUT [ 60s] (4/9) fuzz x",
            "SIGABRT [ 0.1s] (5/9) lang y",
            "test tests::a ... FAILED",
            "error: could not compile `boon`",
        ];
        assert_eq!(failures(log), expected);
    }

    #[test]
    fn our_own_closing_line_is_read_back() {
        let outcome = Outcome { passed: 12, failed: 3, skipped: 4 };
        assert_eq!(
            closing(&format!("1 passed, 0 failed, 0 skipped\n{outcome}\nend\n")),
            Some(outcome)
        );
        assert_eq!(closing("12 passed, 3 failed\n"), None);
    }

    #[test]
    fn what_a_kernel_cannot_show_is_skipped() {
        let log = "ok exec\nRESULT fail 30 passed, 1 failed, 4 absent\n";
        assert_eq!(provoked(log), Some(Outcome { passed: 30, failed: 1, skipped: 4 }));
        let twice = format!("{log}RESULT ok 2 passed, 0 failed, 3 absent\n");
        assert_eq!(provoked(&twice), Some(Outcome { passed: 32, failed: 1, skipped: 7 }));
        assert_eq!(provoked("ok exec\n"), None);
    }

    #[test]
    fn tests_of_rules_are_counted() {
        let log = "failed: 8 rules, 27 tests: 26 passed, 1 failed; 0 errors, 0 warnings\n";
        assert_eq!(rule_tests(log), Some(Outcome { passed: 26, failed: 1, skipped: 0 }));
        assert_eq!(rule_tests("80 rules in 9 files: 0 errors, 0 warnings\n"), None);
    }

    #[test]
    fn other_output_counts_nothing() {
        assert_eq!(cases("thread panicked: 3 passed, 4 failed\n"), Outcome::default());
    }
}
