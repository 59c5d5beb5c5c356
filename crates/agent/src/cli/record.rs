//! The command line of `aegisbpf record`, and what `run` says of the history.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use super::policy::duration;
use super::{Output, RUNTIME_DIR};

/// What is kept unless the operator says otherwise: a day of a quiet host, an hour of a busy one.
pub(crate) const HISTORY: &str = "256MiB,24h";
/// Nothing is kept.
const OFF: &str = "off";
/// Bytes of a history at least: two segments.
const HISTORY_MIN: u64 = 4 << 20;

/// Options of `record`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RecordArgs {
    /// Where to; must not be there yet, `-` for standard output
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// For how long, as `90s`, `10m`, `2h` or `1d` [default: until it is interrupted]
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub(crate) time: Option<Duration>,
    /// Runtime directory of the agent
    #[arg(long, value_name = "DIR", default_value = RUNTIME_DIR)]
    pub(crate) runtime_dir: PathBuf,
}

/// Options of `tree`.
#[derive(Debug, Clone, Args)]
pub(crate) struct TreeArgs {
    /// A pid (the last process that had it), or the `alert.id` of an alert
    #[arg(value_name = "PID|ALERT")]
    pub(crate) what: String,
    /// Recording, or directory of history; may be given several times [default: the history below the
    /// state directory]
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Vec<PathBuf>,
    /// Write one page that needs nothing else; must not be there yet
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Where the agent keeps its history
    #[arg(long, value_name = "DIR", default_value = crate::policy::STATE_DIR)]
    pub(crate) state_dir: PathBuf,
    /// File with more rules about what is a secret and is not shown [default: `output.redact` of the
    /// configuration]
    #[arg(long, value_name = "FILE")]
    pub(crate) redact: Option<PathBuf>,
    /// Form of the story
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    pub(crate) output: Output,
}

/// How much of the recent past is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct History {
    /// Bytes.
    pub(crate) bytes: u64,
    /// For how long.
    pub(crate) age: Duration,
}

/// The history that is wanted, if any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept(pub(crate) Option<History>);

impl FromStr for Kept {
    type Err = String;

    fn from_str(text: &str) -> Result<Kept, String> {
        if text == OFF { Ok(Kept(None)) } else { text.parse().map(|history| Kept(Some(history))) }
    }
}

impl std::fmt::Display for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(history) => history.fmt(f),
            None => f.write_str(OFF),
        }
    }
}

impl FromStr for History {
    type Err = String;

    fn from_str(text: &str) -> Result<History, String> {
        let wrong = || format!("write size and age as `{HISTORY}`, or `{OFF}`");
        let (size, age) = text.split_once(',').ok_or_else(wrong)?;
        let digits = size.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let unit: u64 = match size.get(digits.len()..) {
            Some("MiB") => 1 << 20,
            Some("GiB") => 1 << 30,
            _ => return Err(wrong()),
        };
        let count: u32 = digits.parse().map_err(|_| wrong())?;
        let (bytes, age) = (u64::from(count) * unit, duration(age)?);
        if bytes < HISTORY_MIN || age.is_zero() {
            return Err("a history has at least 4 MiB and a second".to_owned());
        }
        Ok(History { bytes, age })
    }
}

impl std::fmt::Display for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}MiB,{}s", self.bytes >> 20, self.age.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_has_a_size_and_an_age() {
        let history: History = "1GiB,2h".parse().unwrap();
        assert_eq!(history, History { bytes: 1 << 30, age: Duration::from_hours(2) });
        assert_eq!(history.to_string().parse(), Ok(history), "as the guard hands it on");
        assert_eq!("off".parse(), Ok(Kept(None)));
        for kept in [Kept(None), Kept(Some(history)), HISTORY.parse().unwrap()] {
            assert_eq!(kept.to_string().parse(), Ok(kept));
        }
        for wrong in ["", "on", "1GiB", "24h", "1GB,1h", "3MiB,1h", "1GiB,0s", "-1GiB,1h"] {
            assert!(wrong.parse::<Kept>().is_err(), "{wrong}");
        }
    }
}
