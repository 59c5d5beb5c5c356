//! `docs/scripts.md` says what the tables of the code say. `UPDATE_EXPECT=1` writes them into it.

use std::path::Path;

use script::reference::TABLES;

#[test]
fn the_document_has_the_tables_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/scripts.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut wanted = text.clone();
    for (name, table) in TABLES {
        let (begin, end) = (format!("<!-- table: {name} -->\n"), "<!-- end -->");
        let (head, rest) =
            wanted.split_once(&begin).unwrap_or_else(|| panic!("no place for {name}"));
        let (_, tail) = rest.split_once(end).unwrap_or_else(|| panic!("{name} has no end"));
        wanted = format!("{head}{begin}{}{end}{tail}", table());
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    } else {
        assert!(
            text == wanted,
            "docs/scripts.md is out of date: run this test with UPDATE_EXPECT=1"
        );
    }
    assert_eq!(text.matches("<!-- table: ").count(), TABLES.len(), "no table that nobody makes");
}
