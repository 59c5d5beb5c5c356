//! What pages for people promise: places that links name, tests that hold a claim, a line for each alert, a place in
//! the index.

use std::collections::BTreeSet;

use super::text::{resolve, targets};
use super::{File, Finding, Tree};

/// The pages of claims with their tests.
const CLAIMS: [&str; 2] = ["docs/guarantees.md", "docs/faults.md"];
/// Where these tests are.
const TESTS: &str = "crates/agent/tests/";
/// Alerts, and the page that says what to do on each.
const ALERTS: (&str, &str) = ("config/prometheus/alerts.yml", "docs/operating.md");
/// The order in which pages are read.
const INDEX: &str = "docs/README.md";

/// Links that name a place in a page name a heading of it.
pub(super) fn anchors(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for page in tree.ending(".md") {
        let inside = targets(page).filter(|target| !target.contains("://"));
        for (target, anchor) in
            inside.filter_map(|target| Some((target, target.split_once('#')?.1)))
        {
            let path = match target.split_once('#') {
                Some(("", _)) | None => page.path.clone(),
                Some((other, _)) => resolve(&page.path, other),
            };
            let Some(other) = tree.ending(".md").find(|page| page.path == path) else { continue };
            if !headings(&other.text).contains(anchor) {
                findings.push(format!("{}: {path} has no heading for #{anchor}", page.path));
            }
        }
    }
    findings
}

/// The names that code hosts give to the headings of a page.
fn headings(text: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let mut names = BTreeSet::new();
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        let title = line.trim_start_matches('#');
        if fenced || title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let name: String = title
            .trim()
            .to_lowercase()
            .chars()
            .filter(|one| one.is_alphanumeric() || [' ', '-', '_'].contains(one))
            .map(|one| if one == ' ' { '-' } else { one })
            .collect();
        // A name that is there already gets a number.
        let numbered = (1..).map(|number| format!("{name}-{number}"));
        let free = std::iter::once(name.clone()).chain(numbered).find(|name| !names.contains(name));
        names.extend(free);
    }
    names
}

/// A test that is named beside a claim is there: `file::test`.
pub(super) fn claims(tree: &Tree) -> Vec<Finding> {
    let named = CLAIMS.iter().flat_map(|page| {
        let text = tree.get(page).unwrap_or_default();
        let codes = text.split('`').skip(1).step_by(2);
        codes.filter_map(|code| code.split_once("::")).map(move |claim| (page, claim))
    });
    let is_there = |file: &str, test: &str| {
        let file = tree.get(&format!("{TESTS}{file}.rs")).unwrap_or_default();
        file.contains(&format!("fn {test}("))
    };
    named
        .filter(|(_, (file, test))| *file != "file" && !is_there(file, test))
        .map(|(page, (file, test))| format!("{page}: there is no test {file}::{test}"))
        .collect()
}

/// Who is alerted finds what to do.
pub(super) fn alerts(tree: &Tree) -> Vec<Finding> {
    let (rules, page) = ALERTS;
    let lines = tree.get(rules).unwrap_or_default().lines();
    let names = lines.filter_map(|line| line.trim().strip_prefix("- alert: "));
    let text = tree.get(page).unwrap_or_default();
    names
        .filter(|name| !text.contains(&format!("| `{name}` |")))
        .map(|name| format!("{page}: no line on what to do on {name}"))
        .collect()
}

/// Each page is in the index.
pub(super) fn index(tree: &Tree) -> Vec<Finding> {
    let text = tree.get(INDEX).unwrap_or_default().to_owned();
    let linked = File { path: INDEX.into(), text };
    let linked: BTreeSet<String> = targets(&linked)
        .map(|target| resolve(INDEX, target.split('#').next().unwrap_or(target)))
        .collect();
    let pages =
        tree.ending(".md").filter(|page| page.path.starts_with("docs/") && page.path != INDEX);
    pages
        .filter(|page| !linked.contains(&page.path))
        .map(|page| format!("{INDEX}: no link to {}", page.path))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_without_its_heading_is_found() {
        let page = "# One, `two`\n```sh\n# three\n```\n[a](#one-two) [b](#three) [c](b.md#x-y-1)\n";
        let tree = Tree::of(&[("docs/a.md", page), ("docs/b.md", "# X y\n## X Y\n")]);
        assert_eq!(anchors(&tree), ["docs/a.md: docs/a.md has no heading for #three"]);
    }

    #[test]
    fn a_claim_without_its_test_is_found() {
        let page = "`file::test` | `life::it_lives` | `life::it_dies`\n";
        let tests = "#[test]\nfn it_lives() {}\n";
        let tree = Tree::of(&[(CLAIMS[0], page), ("crates/agent/tests/life.rs", tests)]);
        assert_eq!(claims(&tree), ["docs/guarantees.md: there is no test life::it_dies"]);
    }

    #[test]
    fn an_alert_without_advice_is_found() {
        let rules = "      - alert: Down\n      - alert: Lost\n";
        let tree = Tree::of(&[(ALERTS.0, rules), (ALERTS.1, "| `Down` | look | mend |\n")]);
        assert_eq!(alerts(&tree), ["docs/operating.md: no line on what to do on Lost"]);
    }

    #[test]
    fn a_page_that_nobody_leads_to_is_found() {
        let tree = Tree::of(&[
            (INDEX, "[a](a.md#x)\n"),
            ("docs/a.md", "# x\n"),
            ("docs/reference/b.md", "\n"),
        ]);
        assert_eq!(index(&tree), ["docs/README.md: no link to docs/reference/b.md"]);
    }
}
