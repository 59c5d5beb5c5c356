//! The command line of `aegisbpf audit`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};

use super::Output;
use crate::policy::STATE_DIR;

/// How much of the log is kept unless the operator says otherwise: some hundred thousand lines.
pub(crate) const KEPT: &str = "256MiB";
/// At least: some lines in each file.
const KEPT_MIN: u64 = 64 << 10;
/// At most. Commands begin new files at that size, too, and would take away what is kept beyond it.
const KEPT_MAX: u64 = 256 << 20;

/// Bytes of the log that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        let wrong = || format!("write a size between 64KiB and {KEPT}");
        let units = [("KiB", 1 << 10), ("MiB", 1 << 20)];
        let read = |(unit, bytes): &(&str, u64)| {
            text.strip_suffix(unit)?.parse::<u32>().ok().map(|count| u64::from(count) * bytes)
        };
        let bytes = units.iter().find_map(read).ok_or_else(wrong)?;
        if (KEPT_MIN..=KEPT_MAX).contains(&bytes) { Ok(Size(bytes)) } else { Err(wrong()) }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}KiB", self.0 >> 10)
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Find whether a line was changed, removed, moved or added, and where that begins
    Verify(VerifyArgs),
    /// Print the newest lines
    Tail(TailArgs),
}

/// Options of `audit verify`.
#[derive(Debug, Clone, Args)]
pub(crate) struct VerifyArgs {
    /// Directory of the log
    #[arg(long, value_name = "DIR", default_value = STATE_DIR)]
    pub(crate) state_dir: PathBuf,
    /// Public key that must have signed the log: that of `run --audit-key`
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Form of the report
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    pub(crate) output: Output,
}

/// Options of `audit tail`.
#[derive(Debug, Clone, Args)]
pub(crate) struct TailArgs {
    /// Directory of the log
    #[arg(long, value_name = "DIR", default_value = STATE_DIR)]
    pub(crate) state_dir: PathBuf,
    /// How many lines
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub(crate) lines: usize,
    /// Go on with what is added
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Form of the lines; JSON is as they are in the log
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    pub(crate) output: Output,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_has_a_size_within_bounds() {
        assert_eq!(KEPT.parse(), Ok(Size(KEPT_MAX)));
        assert_eq!("64KiB".parse(), Ok(Size(KEPT_MIN)));
        assert_eq!(
            Size(3 << 20).to_string().parse(),
            Ok(Size(3 << 20)),
            "as the guard hands it on"
        );
        for wrong in ["", "63KiB", "257MiB", "64", "1GiB", "-1MiB", "MiB"] {
            assert!(wrong.parse::<Size>().is_err_and(|why| why.contains("64KiB")), "{wrong}");
        }
    }
}
