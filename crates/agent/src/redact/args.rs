//! Lists of arguments: the word after `--password` is a secret, whatever it looks like.

use std::collections::HashSet;
use std::ops::Range;

use regex::Regex;
use serde_json::Value as Json;

use super::builtin::{NAMES, PROGRAMS};

/// Options whose value is the next argument.
#[derive(Debug)]
pub(super) struct Options {
    /// None only if the pattern could not be compiled, which a test excludes.
    name: Option<Regex>,
    more: HashSet<String>,
}

impl Options {
    /// The known ones, and these.
    pub(super) fn new(more: impl Iterator<Item = String>) -> Options {
        let name = format!(r"(?i)^--?(?:[a-z0-9]+[-_.])*(?:{NAMES}|pass|passin|passout)$");
        Options { name: Regex::new(&name).ok(), more: more.collect() }
    }

    /// Which parts of which arguments are secrets because of the one before, or of the program.
    pub(super) fn secrets(&self, words: &[Json]) -> Vec<(usize, Range<usize>)> {
        let word = |at: usize| words.get(at).and_then(Json::as_str).unwrap_or_default();
        let program = word(0).rsplit('/').next().unwrap_or_default();
        let special: Vec<(&str, bool)> = PROGRAMS
            .iter()
            .filter(|(names, ..)| names.contains(&program))
            .map(|(_, option, colon)| (*option, *colon))
            .collect();
        let mut found = Vec::new();
        for at in 1..words.len() {
            let (before, this) = (word(at - 1), word(at));
            if at > 1 && self.is_option(before) {
                found.push((at, 0..this.len()));
            }
            for (option, colon) in &special {
                let from = match this.strip_prefix(option) {
                    // Behind the option itself: `-psecret`, `--user=name:secret`.
                    Some(rest) if !rest.is_empty() && is_behind(option, rest) => {
                        this.len() - rest.strip_prefix('=').unwrap_or(rest).len()
                    }
                    // `mysql -p` asks for it, so its next word is another thing.
                    _ if at > 1 && before == *option && !asks(program) => 0,
                    _ => continue,
                };
                let text = this.get(from..).unwrap_or_default();
                match (colon, text.find(':')) {
                    (false, _) => found.push((at, from..this.len())),
                    (true, Some(colon)) => found.push((at, from + colon + 1..this.len())),
                    (true, None) => {}
                }
            }
        }
        found.retain(|(_, range)| !range.is_empty());
        // Two reasons for one argument: the wider one counts.
        found.sort_by_key(|(at, range)| (*at, range.start));
        found.dedup_by_key(|(at, _)| *at);
        found
    }

    fn is_option(&self, word: &str) -> bool {
        self.more.contains(word) || self.name.as_ref().is_some_and(|name| name.is_match(word))
    }
}

/// A long option needs `=` before its value, a short one does not.
fn is_behind(option: &str, rest: &str) -> bool {
    !option.starts_with("--") || rest.starts_with('=')
}

/// Whether the program asks for the password when the option stands alone.
fn asks(program: &str) -> bool {
    program.starts_with("mysql") || program.starts_with("mariadb")
}
