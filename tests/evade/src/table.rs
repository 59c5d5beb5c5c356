//! `evade table NAME=FILE…`: the table in the documentation, from what the suites printed.
//!
//! Each file is the log of one run: a guest's, or that of the host. What a run says of a case is its
//! cell; a run that says nothing of a case leaves it empty.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};

use crate::lines;

/// What runs said of cases.
struct Run {
    name: String,
    /// What the kernel is called, as the guest said.
    kernel: String,
    cells: BTreeMap<String, (String, String)>,
}

/// What the words in front of a case mean.
const WORDS: &[(&str, &str)] = &[
    ("ok   ", "denied"),
    ("FAIL ", "**FAILED**"),
    ("SKIP ", "not there"),
    ("LACK ", "no"),
    ("ELSE ", "not tried"),
];

/// `evade table NAME=FILE…`
pub(crate) fn command(words: &[&str]) -> Result<bool> {
    let runs = words.iter().map(|word| {
        let (name, file) = word.split_once('=').with_context(|| format!("what is {word}?"))?;
        let text = fs::read(file).with_context(|| format!("reading {file}"))?;
        Ok(Run::of(name, &String::from_utf8_lossy(&text)))
    });
    let runs = runs.collect::<Result<Vec<Run>>>()?;
    print!("{}", document(&runs));
    Ok(true)
}

impl Run {
    fn of(name: &str, text: &str) -> Run {
        let lines = || text.lines().map(str::trim_end);
        let kernel = lines().find_map(|line| line.strip_prefix("GUEST ")).unwrap_or_default();
        let cells = lines().filter_map(cell).collect();
        Run { name: name.to_owned(), kernel: kernel.to_owned(), cells }
    }
}

/// The case of a line, what it came to and why.
fn cell(line: &str) -> Option<(String, (String, String))> {
    let (word, rest) =
        WORDS.iter().find_map(|(word, means)| Some((*means, line.strip_prefix(word)?)))?;
    let (case, why) =
        if word == "denied" { rest.split_once("  ")? } else { rest.split_once(": ")? };
    let why = if word == "denied" { "" } else { why };
    let about_agent = ["agent/", "run/", "own/"].iter().any(|area| case.starts_with(area));
    let word = if word == "denied" && about_agent { "held" } else { word };
    Some((case.to_owned(), (word.to_owned(), why.to_owned())))
}

const HEAD: &str = "\
# What must not get through

A rule is in force, and a process that it covers tries to get around it; one that no rule covers does
the same beside it and must succeed. **denied**: with the error of the rule, and a record that names the
rule. **held**: so much is shown of the agent itself. **no**: this way of enforcing cannot, for the reason
given; the agent says so when the policy is loaded, as do `aegisbpf doctor` and `aegisbpf policy lint --tier fallback`, or [Policies](policy.md) for
a part of an operation. **not there**: nobody can do it on this kernel. **not tried**: not on a host
that does other things.

Made by `cargo xtask vm-test` from what `evade` printed; not to be edited. The columns:
";

fn document(runs: &[Run]) -> String {
    let mut text = HEAD.to_owned();
    for run in runs {
        let kernel = if run.kernel.is_empty() { "this host" } else { &run.kernel };
        text.extend([format!("- `{}`: {kernel}, {} cases\n", run.name, run.cells.len())]);
    }
    let mut area = "";
    for line in lines::all() {
        if line.area != area {
            area = line.area;
            text.extend([format!("\n## {area}\n")]);
        }
        text.extend([format!("\n### {}\n\n", line.trick)]);
        if !line.note.is_empty() {
            text.extend([format!("{}.\n\n", line.note)]);
        }
        let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
        text.extend([format!("| case | {} | why |\n", names.join(" | "))]);
        text.extend([format!("|---|{}---|\n", "---|".repeat(runs.len()))]);
        for case in line.cases {
            text.push_str(&row(case, runs));
        }
    }
    text
}

fn row(case: &str, runs: &[Run]) -> String {
    let (mut cells, mut reasons) = (Vec::new(), Vec::new());
    for run in runs {
        let (word, why) = run.cells.get(case).cloned().unwrap_or_default();
        let why = why.replace('|', "\\|");
        if !why.is_empty() && !reasons.contains(&why) {
            reasons.push(why);
        }
        cells.push(word);
    }
    format!("| {case} | {} | {} |\n", cells.join(" | "), reasons.join("; "))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Run, document, lines};

    const COMMITTED: &str = include_str!("../../../docs/evasion.md");

    /// The names in a document, line by line.
    fn names(text: &str) -> Vec<&str> {
        let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
        rows.filter(|name| *name != "case").collect()
    }

    #[test]
    fn the_table_in_the_documentation_is_that_of_these_cases() {
        let wanted: Vec<&str> = lines::all().flat_map(|line| line.cases).copied().collect();
        let help = "run `cargo xtask vm-test` and commit docs/evasion.md";
        assert_eq!(names(COMMITTED), wanted, "{help}");
        for line in lines::all() {
            assert!(COMMITTED.contains(line.trick), "{}: {help}", line.trick);
            assert!(COMMITTED.contains(line.note), "{}: {help}", line.note);
        }
    }

    #[test]
    fn nothing_in_the_documentation_failed_and_by_lsm_programs_everything_is_denied() {
        let words: BTreeSet<&str> = COMMITTED.lines().flat_map(|line| line.split(" | ")).collect();
        assert!(!words.contains("**FAILED**"), "a case of the committed table failed");
        let head = COMMITTED.lines().find(|line| line.starts_with("| case |")).unwrap();
        let guests = head.split(" | ").filter(|name| name.starts_with("lsm")).count();
        assert!(guests >= 3, "{head}");
        let rows = COMMITTED.lines().filter(|line| line.starts_with("| ") && line.contains('/'));
        for row in rows {
            for cell in row.split(" | ").skip(1).take(guests) {
                assert!(["denied", "held", "not there", ""].contains(&cell), "{row}");
            }
        }
    }

    #[test]
    fn a_cell_is_what_the_run_said_and_the_reasons_come_last() {
        let guest = Run::of("lsm 6.1", "GUEST 6.1.0\nok   file/open  errno 1, told as no-read\n");
        let host = Run::of("fallback", "LACK file/open: refused | so\n");
        let text = document(&[guest, host]);
        assert!(text.contains("| file/open | denied | no | refused \\| so |"), "{text}");
        assert!(text.contains("- `lsm 6.1`: 6.1.0, 1 cases"), "{text}");
        assert!(text.contains("| file/open through dot-dot |  |  |  |"), "nothing was said");
    }
}
