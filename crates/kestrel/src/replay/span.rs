//! The part of recorded time that is wanted.

use std::fs::File;
use std::path::{Path, PathBuf};

use capture::{Head, Piece, Reader};
use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use crate::alert::{Alert, field};

/// From when until when; ns since the Unix epoch.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Span {
    /// Only what ended since then: `90s`, `10m`, `2h`, `7d` ago, or a time in RFC 3339
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) since: Option<i64>,
    /// Only what ended until then
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) until: Option<i64>,
}

impl Span {
    /// Of these files, the oldest first, those that tell of that time. When one ended is when the next
    /// one began.
    pub(crate) fn files(self, files: Vec<PathBuf>) -> Vec<PathBuf> {
        if self.is_all() {
            return files;
        }
        let began: Vec<Option<i64>> = files.iter().map(|file| began(file)).collect();
        let ended: Vec<Option<i64>> = began.iter().copied().skip(1).chain([None]).collect();
        let told = files.into_iter().zip(began.into_iter().zip(ended));
        let is_wanted = |began: Option<i64>, ended: Option<i64>| {
            let too_old = self.since.zip(ended).is_some_and(|(since, ended)| ended < since);
            let too_new = self.until.zip(began).is_some_and(|(until, began)| began > until);
            !too_old && !too_new
        };
        told.filter(|(_, (began, ended))| is_wanted(*began, *ended)).map(|(file, _)| file).collect()
    }

    /// Whether the last event of an alert is in it. One that is known by its number alone is not left out.
    pub(crate) fn holds(self, alert: &Alert<'_>) -> bool {
        if self.is_all() {
            return true;
        }
        let last = alert.members.last().and_then(|member| member.document.as_deref());
        let last: Option<Value> = last.and_then(|document| serde_json::from_slice(document).ok());
        let time = last.as_ref().and_then(|document| field(document, "@timestamp")?.as_str());
        time.and_then(model::json::parse_time).is_none_or(|time| {
            self.since.is_none_or(|since| time >= since)
                && self.until.is_none_or(|until| time <= until)
        })
    }

    fn is_all(self) -> bool {
        self.since.is_none() && self.until.is_none()
    }
}

/// When a recording began; `None` if it does not tell, and is then read.
fn began(file: &Path) -> Option<i64> {
    let mut reader = Reader::open(File::open(file).ok()?).ok()?;
    let Ok(Some(Piece::Frame(frame))) = reader.next_piece() else { return None };
    Some(Head::of(&frame).ok()?.began)
}

/// A time, or how long ago.
fn time(text: &str) -> Result<i64, String> {
    if let Some(time) = model::json::parse_time(text) {
        return Ok(time);
    }
    let wrong = || "write `90s`, `10m`, `2h`, `7d` or `2026-01-31T12:00:00Z`".to_owned();
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let seconds: i64 = match text.get(digits.len()..) {
        Some("s") => 1,
        Some("m") => 60,
        Some("h") => 60 * 60,
        Some("d") => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    let count: u32 = digits.parse().map_err(|_| wrong())?;
    let ago = i64::from(count).saturating_mul(seconds).saturating_mul(1_000_000_000);
    let now = i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
    Ok(now.saturating_sub(ago))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_given_or_counted_back_from_now() {
        assert_eq!(time("1970-01-01T00:00:01Z"), Ok(1_000_000_000));
        let now = i64::try_from(Timestamp::now().as_nanosecond()).unwrap();
        let hour = now - time("1h").unwrap();
        assert!((3_590..3_610).contains(&(hour / 1_000_000_000)), "{hour}");
        for wrong in ["", "h", "1w", "-1h", "yesterday"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
