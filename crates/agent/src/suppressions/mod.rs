//! What the operator has looked into and does not want to be told again: a match of a rule under a condition,
//! for a reason, until a day.
//!
//! A match that is covered raises no alert and asks for no action. It is counted, shown by `aegisbpf
//! suppressions`, and stands in recordings as it was found. A suppression always ends: what nobody
//! remembers would otherwise hide the real thing one day.

mod read;
mod watch;

use std::borrow::Cow;
use std::collections::HashMap;

use model::alert::Match;
use model::json::Document;
use model::value::Fields;
use serde_json::{Value as Json, json};

#[cfg(test)]
use read::DAYS_MAX;
pub(crate) use read::{Suppression, read};
pub(crate) use watch::{Places, Watch};

use crate::worker::Filter;

/// One suppression, ready to be asked.
#[derive(Debug)]
struct Ready {
    of: Suppression,
    filter: Filter,
    covered: u64,
    /// When it covered something last, seconds since 1970.
    last: Option<i64>,
    /// It was told that it is over.
    told: bool,
}

/// All suppressions that were read.
#[derive(Debug, Default)]
pub(crate) struct Suppressions {
    all: Vec<Ready>,
    of: HashMap<String, Vec<usize>>,
    /// Matches that were covered by those of before.
    before: u64,
}

impl Suppressions {
    /// Of what was read. Conditions were compiled once before: a condition that fails now names itself.
    pub(crate) fn new(list: Vec<Suppression>) -> Result<Suppressions, String> {
        let mut suppressions = Suppressions::default();
        for of in list {
            let filter = Filter::new(&of.condition)
                .map_err(|error| format!("{}: suppression `{}`: {error}", of.file, of.id))?;
            let number = suppressions.all.len();
            suppressions.of.entry(of.rule.clone()).or_default().push(number);
            suppressions.all.push(Ready { of, filter, covered: 0, last: None, told: false });
        }
        Ok(suppressions)
    }

    /// Whether others say the same.
    pub(crate) fn is_same(&self, other: &Suppressions) -> bool {
        let texts = |of: &Suppressions| of.all.iter().map(|one| one.of.clone()).collect::<Vec<_>>();
        texts(self) == texts(other)
    }

    /// Others are in force from now on. Those that stayed as they were keep their figures.
    pub(crate) fn replace(&mut self, mut new: Suppressions) {
        new.before = self.before;
        for old in self.all.drain(..) {
            match new.all.iter_mut().find(|one| one.of == old.of) {
                Some(same) => {
                    (same.covered, same.last, same.told) = (old.covered, old.last, old.told);
                }
                None => new.before += old.covered,
            }
        }
        *self = new;
    }

    /// The matches that no suppression covers, on the event that completed them; `now` in seconds since 1970.
    pub(crate) fn left<'m, 'a>(
        &mut self,
        event: Option<&dyn Fields>,
        matches: &'m [Match<'a>],
        now: &dyn Fn() -> i64,
    ) -> Cow<'m, [Match<'a>]> {
        if !matches.iter().any(|matched| self.of.contains_key(&matched.rule.id)) {
            return Cow::Borrowed(matches);
        }
        let now = now();
        let left = matches.iter().filter(|matched| !self.covers(event, matched, now));
        Cow::Owned(left.copied().collect())
    }

    fn covers(&mut self, event: Option<&dyn Fields>, matched: &Match<'_>, now: i64) -> bool {
        // What only time decided is about its last event.
        let earlier = matched.earlier.last().filter(|_| event.is_none());
        let earlier = earlier.map(|(_, document)| Document::lenient(document).0);
        let event = event.or(earlier.as_ref().map(|document| document as &dyn Fields));
        let Some(event) = event else { return false };
        self.covering(&matched.rule.id, event, now).is_some()
    }

    /// The id of the one that covers a match of a rule on an event.
    pub(crate) fn covering(&mut self, rule: &str, event: &dyn Fields, now: i64) -> Option<&str> {
        let numbers = self.of.get(rule)?;
        let number = numbers.iter().copied().find(|number| {
            let one = self.all.get_mut(*number);
            one.is_some_and(|one| now < one.of.expires && one.filter.holds(event))
        })?;
        let one = self.all.get_mut(number)?;
        one.covered += 1;
        one.last = Some(now);
        Some(&one.of.id)
    }

    /// Those that are over and were not told yet.
    pub(crate) fn ended(&mut self, now: i64) -> Vec<Suppression> {
        let over = |one: &&mut Ready| now >= one.of.expires && !one.told;
        let told = self.all.iter_mut().filter(over).map(|one| {
            one.told = true;
            one.of.clone()
        });
        told.collect()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Their ids.
    pub(crate) fn ids(&self) -> Vec<&str> {
        self.all.iter().map(|one| one.of.id.as_str()).collect()
    }

    /// Matches covered so far.
    pub(crate) fn covered(&self) -> u64 {
        self.before + self.all.iter().map(|one| one.covered).sum::<u64>()
    }

    /// For `aegisbpf suppressions`.
    pub(crate) fn document(&self, now: i64) -> Json {
        let time =
            |seconds| jiff::Timestamp::from_second(seconds).ok().map(|time| time.to_string());
        let one = |one: &Ready| {
            json!({
                "id": one.of.id,
                "rule": one.of.rule,
                "where": one.of.condition,
                "reason": one.of.reason,
                "file": one.of.file,
                "expires": time(one.of.expires),
                "state": if now < one.of.expires { "in force" } else { "over" },
                "covered": one.covered,
                "last": one.last.and_then(time),
            })
        };
        json!({ "suppressions": self.all.iter().map(one).collect::<Vec<_>>() })
    }
}

#[cfg(test)]
mod tests;
