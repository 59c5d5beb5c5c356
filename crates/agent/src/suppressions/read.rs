//! Files of suppressions: TOML, in a directory of the operator's.
//!
//! ```toml
//! [[suppression]]
//! id = "borg-reads-shadow"
//! rule = "shadow-read"
//! where = 'process.executable == "/usr/bin/borg"'
//! reason = "the nightly backup reads everything"
//! expires = 2027-01-31
//! ```

use std::collections::HashSet;
use std::path::PathBuf;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::worker::Filter;

/// Suppressions in all files. Each that is about a rule is asked at each match of that rule.
const SUPPRESSIONS_MAX: usize = 1_000;
/// Letters of an id.
const ID_MAX: usize = 64;
/// Letters of a reason.
const REASON_MAX: usize = 1_000;
/// Days that one may be in force from now on. Who still wants it then looks at it again.
pub(super) const DAYS_MAX: i64 = 366;
/// Endings of files that are read.
pub(super) const EXTENSIONS: &[&str] = &["toml"];

/// A match of a rule that is not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Suppression {
    /// Its name.
    pub(crate) id: String,
    /// The id of the rule.
    pub(crate) rule: String,
    /// What must hold of the event that completed the match: EQL.
    pub(crate) condition: String,
    /// Why.
    pub(crate) reason: String,
    /// From when on it is over, seconds since 1970.
    pub(crate) expires: i64,
    /// Where it was read.
    pub(crate) file: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    suppression: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    rule: String,
    r#where: String,
    reason: String,
    expires: toml::value::Datetime,
}

/// All suppressions in these directories and files, `now` in seconds since 1970; or all that is wrong.
pub(crate) fn read(
    paths: &[PathBuf],
    trust: files::Trust,
    now: i64,
) -> Result<Vec<Suppression>, Vec<String>> {
    let (texts, errors) = files::read_all(paths, EXTENSIONS, trust);
    let mut wrong: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let (mut all, mut ids) = (Vec::new(), HashSet::new());
    for text in texts {
        let file: File = match toml::from_str(&text.text) {
            Ok(file) => file,
            Err(error) => {
                wrong.push(format!("{}: {}", text.name, error.to_string().trim_end()));
                continue;
            }
        };
        for entry in file.suppression {
            let at = format!("{}: suppression `{}`", text.name, entry.id);
            if !ids.insert(entry.id.clone()) {
                wrong.push(format!("{at}: there is another one with this id"));
                continue;
            }
            match checked(entry, &text.name, now) {
                Ok(one) => all.push(one),
                Err(error) => wrong.push(format!("{at}: {error}")),
            }
        }
    }
    if all.len() > SUPPRESSIONS_MAX {
        wrong.push(format!("there are more than {SUPPRESSIONS_MAX} suppressions: {}", all.len()));
    }
    if wrong.is_empty() { Ok(all) } else { Err(wrong) }
}

fn checked(entry: Entry, file: &str, now: i64) -> Result<Suppression, String> {
    let Entry { id, rule, r#where: condition, reason, expires } = entry;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if id.is_empty() || id.len() > ID_MAX || !id.chars().all(plain) {
        return Err(format!("an id has 1 to {ID_MAX} letters, digits, `-`, `_` or `.`"));
    }
    if rule.is_empty() {
        return Err("`rule` names the rule whose matches are meant by its id".to_owned());
    }
    if reason.trim().is_empty() || reason.chars().count() > REASON_MAX {
        return Err(format!("`reason` says why, in at most {REASON_MAX} letters"));
    }
    Filter::new(&condition).map_err(|error| format!("`where`: {error}"))?;
    let expires = seconds(&expires).ok_or("`expires` is a day, or a time with its offset")?;
    if expires.saturating_sub(now) > DAYS_MAX * 24 * 60 * 60 {
        return Err(format!("`expires` is more than {DAYS_MAX} days away"));
    }
    Ok(Suppression { id, rule, condition, reason, expires, file: file.to_owned() })
}

/// A day ends when it is over here; a time is that time.
fn seconds(when: &toml::value::Datetime) -> Option<i64> {
    let text = when.to_string();
    if when.offset.is_some() {
        return Some(text.parse::<Timestamp>().ok()?.as_second());
    }
    if when.time.is_some() {
        return None;
    }
    let begin = text.parse::<Date>().ok()?.to_zoned(TimeZone::system()).ok()?;
    let end = begin.timestamp().checked_add(SignedDuration::from_hours(24)).ok()?;
    Some(end.as_second())
}
