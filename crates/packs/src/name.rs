//! Names of files in a pack: few forms, so that no two systems read one in two ways.
//!
//! ASCII alone makes questions of normalisation go away, and letters of equal names in another case
//! are refused, since some filesystems take them for one.

use std::collections::HashMap;

use crate::code::{Code, Refusal};
use crate::limits::{MAX_DEPTH, MAX_NAME};

/// The manifest; what begins with its name are its signatures.
pub const MANIFEST: &str = "manifest.json";

/// Refuses names that are not plain, or that differ only in case.
pub(crate) fn check<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), Refusal> {
    // For each part of a way with letters folded: how it is written, and whether it is a file.
    let mut known: HashMap<String, (&str, bool)> = HashMap::new();
    for name in names {
        plain(name)?;
        let ends = name.match_indices('/').map(|(at, _)| at).chain([name.len()]);
        for end in ends {
            let part = name.get(..end).unwrap_or_default();
            let is_file = end == name.len();
            let first = *known.entry(part.to_ascii_lowercase()).or_insert((part, is_file));
            if first != (part, is_file) {
                let what = format!("`{}` is there, too", first.0);
                return Err(Refusal::new(Code::Folded, name, what));
            }
        }
    }
    Ok(())
}

fn plain(name: &str) -> Result<(), Refusal> {
    let refuse = |code, what: &str| Err(Refusal::new(code, name, what));
    if name.len() > MAX_NAME || name.split('/').count() > MAX_DEPTH {
        let short: String = name.chars().take(MAX_NAME).collect();
        let what = format!("more than {MAX_NAME} bytes or {MAX_DEPTH} parts");
        return Err(Refusal::new(Code::LongName, &short, what));
    }
    if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return refuse(Code::Traversal, "a part of it is empty, `.` or `..`");
    }
    if !name.is_ascii() {
        return refuse(Code::NotAscii, "not ASCII");
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    if !name.bytes().all(allowed) {
        return refuse(Code::Character, "not all of it are letters, digits, `.`, `_`, `-` and `/`");
    }
    // Hidden files are not seen by who reviews a directory; a hyphen begins an option.
    if name.split('/').any(|part| part.starts_with(['.', '-'])) {
        return refuse(Code::Character, "a part of it begins with `.` or `-`");
    }
    let begin = name.get(..MANIFEST.len());
    if begin.is_some_and(|begin| begin.eq_ignore_ascii_case(MANIFEST)) {
        return refuse(Code::Reserved, "begins with `manifest.json`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(names: &[&str]) -> Option<Code> {
        check(names.iter().copied()).err().map(|refusal| refusal.code)
    }

    #[test]
    fn each_trick_with_names_has_its_code() {
        let long = "a".repeat(MAX_NAME + 1);
        let deep = "a/".repeat(MAX_DEPTH) + "a";
        let cases: &[(&[&str], Option<Code>)] = &[
            (&["rules/a.toml", "rules/b.toml", "README.md"], None),
            (&["../a"], Some(Code::Traversal)),
            (&["a/../b"], Some(Code::Traversal)),
            (&["/etc/passwd"], Some(Code::Traversal)),
            (&["a//b"], Some(Code::Traversal)),
            (&["a/"], Some(Code::Traversal)),
            (&[""], Some(Code::Traversal)),
            (&["a/./b"], Some(Code::Traversal)),
            (&["a\\..\\b"], Some(Code::Character)),
            (&["a\0b"], Some(Code::Character)),
            (&["a\nb"], Some(Code::Character)),
            (&["a\u{1b}[2J"], Some(Code::Character)),
            (&["C:a"], Some(Code::Character)),
            (&[".hidden"], Some(Code::Character)),
            (&["-rf"], Some(Code::Character)),
            (&["e\u{301}.toml"], Some(Code::NotAscii)),
            (&["\u{e9}.toml"], Some(Code::NotAscii)),
            (&["a\u{202e}lmot"], Some(Code::NotAscii)),
            (&["rules/a.toml", "rules/A.toml"], Some(Code::Folded)),
            (&["rules/a.toml", "Rules/b.toml"], Some(Code::Folded)),
            (&["a", "a/b"], Some(Code::Folded)),
            (&["a", "a"], None),
            (&["manifest.json"], Some(Code::Reserved)),
            (&["Manifest.JSON.x"], Some(Code::Reserved)),
            (&["rules/manifest.json"], None),
            (&[&long], Some(Code::LongName)),
            (&[&deep], Some(Code::LongName)),
        ];
        for (names, code) in cases {
            assert_eq!(refused(names), *code, "{names:?}");
        }
    }
}
