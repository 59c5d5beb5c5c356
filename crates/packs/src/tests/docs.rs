//! The tables of `docs/packs.md` are those of the code; `UPDATE_EXPECT=1` writes them.

use std::fmt::Write;
use std::fs;

use model::capability::Capability;

use crate::Code;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/packs.md");

fn capabilities() -> String {
    let mut text = "| capability | what it allows |\n|---|---|\n".to_owned();
    for one in Capability::ALL {
        writeln!(text, "| `{}` | {} |", one.as_str(), one.doc()).unwrap();
    }
    text
}

fn codes() -> String {
    let mut text = "| code | meaning | what to do |\n|---|---|---|\n".to_owned();
    for code in Code::ALL {
        writeln!(text, "| {} | {} | {} |", code.as_str(), code.title(), code.help()).unwrap();
    }
    text
}

/// The page with a table between its marks.
fn with(page: &str, mark: &str, table: &str) -> String {
    let (begin, end) = (format!("<!-- {mark} -->\n"), format!("<!-- end of {mark} -->\n"));
    let (before, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("no mark {mark}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("no end of {mark}"));
    format!("{before}{begin}{table}{end}{after}")
}

#[test]
fn the_tables_of_the_page_are_those_of_the_code() {
    let page = fs::read_to_string(PAGE).unwrap();
    let mut expected = with(&page, "levels", &crate::table());
    expected = with(&expected, "capabilities", &capabilities());
    expected = with(&expected, "codes", &codes());
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(PAGE, &expected).unwrap();
    } else {
        assert_eq!(page, expected, "run it with UPDATE_EXPECT=1");
    }
}

#[test]
fn codes_are_in_order_and_none_is_used_twice() {
    let all: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert!(all.is_sorted_by(|a, b| a < b), "{all:?}");
    assert!(all.iter().all(|code| *code >= "E100"), "below are those of rule text");
    assert!(lang::Code::ALL.iter().all(|code| !all.contains(&code.as_str())));
}
