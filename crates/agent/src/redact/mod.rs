//! Secrets are taken out of what is shown: alerts, events, and all that the control socket tells.
//!
//! Rules see values as they are; only the document that leaves is changed, when it is made. Two ways
//! find secrets: where one stands (the argument after `--password`, the value of `PGPASSWORD=`, the
//! password of a URL), and what was found so is then taken out wherever else it stands in the same
//! document. All patterns take linear time, so nobody's arguments make it slow.
//!
//! Only what holds words of command lines is looked at ([`SHOWN`]). Names, paths and hashes stay: who
//! could have them taken out by choosing a name would hide behind the mark.
//!
//! | module | holds |
//! |---|---|
//! | `builtin` | what is known without being told |
//! | `config` | what the operator adds |
//! | `args` | lists of arguments, where one word tells what the next one is |

mod args;
mod builtin;
mod config;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use serde_json::{Map, Value as Json};

use crate::exit::{Exit, Failure};
use config::Config;

/// What stands in the place of a secret.
pub(crate) const MARK: &str = "[redacted]";
/// Bytes of a compiled pattern; all built-in ones are far smaller.
const PATTERN_MAX: usize = 1 << 20;
/// Keys of a document below which words of command lines stand, texts of scripts among them.
const SHOWN: &[&str] = &["args", "command_line", "env_vars", "message", "reason", "script"];
/// Bytes that a secret must have to be looked for elsewhere in the document: a shorter one is in too
/// many words.
const ELSEWHERE_MIN: usize = 6;
/// Bytes that it may have; what is longer is no word.
const ELSEWHERE_MAX: usize = 256;
/// What separates words: a secret with one of these is not looked for elsewhere, or whole commands could
/// be hidden by naming them once more as somebody's password.
const SEPARATORS: &[char] = &[';', '|', '&', '<', '>', '(', ')', '`', '$'];
/// Secrets of one document that are looked for elsewhere in it.
const SECRETS_MAX: usize = 64;
/// Depth of a document: ours have less than ten levels, and this is no place to run out of stack.
const DEPTH_MAX: usize = 32;

/// Takes secrets out of documents.
#[derive(Debug, Clone)]
pub(crate) struct Redactor {
    /// Which patterns a text can fit, in one pass.
    any: RegexSet,
    patterns: Arc<[Regex]>,
    options: Arc<args::Options>,
}

impl Redactor {
    /// What is known without being told.
    pub(crate) fn builtin() -> Result<Redactor, Failure> {
        Redactor::of(&Config::default(), "the built-in rules")
    }

    /// The same, and what the operator's file adds.
    pub(crate) fn open(path: Option<&Path>) -> Result<Redactor, Failure> {
        match path {
            None => Redactor::builtin(),
            Some(path) => Redactor::of(&Config::open(path)?, &path.display().to_string()),
        }
    }

    fn of(config: &Config, place: &str) -> Result<Redactor, Failure> {
        let texts: Vec<String> = builtin::patterns().chain(config.patterns()).collect();
        let wrong = |error: regex::Error| {
            Failure::new(Exit::Config, format!("{place}: a pattern cannot be used: {error}"))
                .help("write it as for the crate `regex`: no look-around, no back references")
        };
        let one = |text: &String| RegexBuilder::new(text).size_limit(PATTERN_MAX).build();
        let patterns: Result<Vec<Regex>, _> = texts.iter().map(one).collect();
        let any = RegexSetBuilder::new(&texts).size_limit(PATTERN_MAX * texts.len()).build();
        Ok(Redactor {
            any: any.map_err(wrong)?,
            patterns: patterns.map_err(wrong)?.into(),
            options: Arc::new(args::Options::new(config.options())),
        })
    }

    /// Takes secrets out of a document.
    pub(crate) fn document(&self, document: &mut Map<String, Json>) {
        let mut found = BTreeSet::new();
        self.object(document, &mut found, 0);
        if !found.is_empty() {
            // The longest first: one may be a part of another.
            let mut secrets: Vec<String> = found.into_iter().collect();
            secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
            elsewhere(document, &secrets, 0);
        }
    }

    /// Takes secrets out of a text that stands alone.
    pub(crate) fn text(&self, text: &mut String) {
        let places = self.places(text);
        if !places.is_empty() {
            *text = without(text, &places);
        }
    }

    fn object(&self, object: &mut Map<String, Json>, found: &mut BTreeSet<String>, depth: usize) {
        // The line is the arguments with spaces between them: what separates them is lost there, so it
        // is made anew from what is left of them.
        let joined = |object: &Map<String, Json>| {
            let words = object.get("args")?.as_array()?.iter().map(Json::as_str);
            words.collect::<Option<Vec<&str>>>().map(|words| words.join(" "))
        };
        let line = object.get("command_line").and_then(Json::as_str);
        let made = line.is_some() && line == joined(object).as_deref();
        for (key, value) in object.iter_mut() {
            if made && key == "command_line" {
                continue;
            }
            if let Json::Array(words) = value
                && key == "args"
            {
                for (at, range) in self.options.secrets(words) {
                    if let Some(word) = words.get_mut(at) {
                        take(word, &[range], found);
                    }
                }
            }
            let is_shown = SHOWN.contains(&key.as_str());
            self.value(value, (is_shown, depth + 1), found);
        }
        if made && let Some(line) = joined(object) {
            object.insert("command_line".to_owned(), line.into());
        }
    }

    fn value(
        &self,
        value: &mut Json,
        (is_shown, depth): (bool, usize),
        found: &mut BTreeSet<String>,
    ) {
        if depth > DEPTH_MAX {
            return;
        }
        match value {
            Json::String(text) if is_shown => {
                let places = self.places(text);
                take(value, &places, found);
            }
            Json::Array(all) => {
                for one in all {
                    self.value(one, (is_shown, depth + 1), found);
                }
            }
            Json::Object(all) if is_shown => {
                all.values_mut().for_each(|one| self.value(one, (true, depth + 1), found));
            }
            Json::Object(object) => self.object(object, found, depth + 1),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        }
    }

    /// Where secrets stand in a text, sorted and apart from each other.
    fn places(&self, text: &str) -> Vec<Range<usize>> {
        let mut places: Vec<Range<usize>> = Vec::new();
        for number in self.any.matches(text) {
            let Some(pattern) = self.patterns.get(number) else { continue };
            for captures in pattern.captures_iter(text) {
                // The last group that took part: alternatives have one each.
                let group = captures.iter().skip(1).flatten().last().or_else(|| captures.get(0));
                places.extend(group.map(|group| group.range()).filter(|range| !range.is_empty()));
            }
        }
        places.retain(|range| text.get(range.clone()) != Some(MARK));
        places.sort_by_key(|range| (range.start, range.end));
        let mut apart: Vec<Range<usize>> = Vec::new();
        for range in places {
            match apart.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => apart.push(range),
            }
        }
        apart
    }
}

/// Puts the mark in the place of these parts of a text, and notes what stood there.
fn take(value: &mut Json, places: &[Range<usize>], found: &mut BTreeSet<String>) {
    let Json::String(text) = value else { return };
    if places.is_empty() {
        return;
    }
    for range in places {
        let secret = text.get(range.clone()).unwrap_or_default();
        if is_distinct(secret) && !secret.contains(MARK) && found.len() < SECRETS_MAX {
            found.insert(secret.to_owned());
        }
    }
    *text = without(text, places);
}

/// Whether a secret can be told from words of a command: who has `curl` or a path taken out of all
/// command lines, by calling it a password once, would hide what is done.
fn is_distinct(secret: &str) -> bool {
    (ELSEWHERE_MIN..=ELSEWHERE_MAX).contains(&secret.len())
        && !secret.contains(|one: char| one.is_whitespace() || SEPARATORS.contains(&one))
        && !secret.starts_with('/')
        && !secret.contains("://")
        && secret.contains(|one: char| !one.is_ascii_lowercase() && one != '-' && one != '.')
}

fn without(text: &str, places: &[Range<usize>]) -> String {
    let (mut left, mut from) = (String::with_capacity(text.len()), 0);
    for range in places {
        left.push_str(text.get(from..range.start).unwrap_or_default());
        left.push_str(MARK);
        from = range.end;
    }
    left.push_str(text.get(from..).unwrap_or_default());
    left
}

/// Takes secrets that were found in one place out of all others where words of command lines stand.
fn elsewhere(object: &mut Map<String, Json>, secrets: &[String], depth: usize) {
    for (key, value) in object.iter_mut() {
        replace(value, secrets, (SHOWN.contains(&key.as_str()), depth));
    }
}

fn replace(value: &mut Json, secrets: &[String], (is_shown, depth): (bool, usize)) {
    if depth > DEPTH_MAX {
        return;
    }
    match value {
        Json::String(text) if is_shown => {
            for secret in secrets {
                if text.contains(secret.as_str()) {
                    *text = text.replace(secret.as_str(), MARK);
                }
            }
        }
        Json::Array(all) => {
            for one in all {
                replace(one, secrets, (is_shown, depth + 1));
            }
        }
        Json::Object(all) if is_shown => {
            all.values_mut().for_each(|one| replace(one, secrets, (true, depth + 1)));
        }
        Json::Object(object) => elsewhere(object, secrets, depth + 1),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}
