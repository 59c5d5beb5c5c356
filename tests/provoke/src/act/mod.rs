//! The operations, each done by a process of its own: `provoke act OPERATION ARGS…`.
//!
//! What the other side cannot know (a port that the kernel chose, the pid of a child) is printed
//! as `name=value`. A line on standard input means "go on" where an operation waits.

mod file;
mod kernel;
mod net;
mod process;

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Arguments of an operation.
struct Args<'a> {
    words: &'a [OsString],
}

impl Args<'_> {
    /// The argument at that position.
    fn os(&self, index: usize) -> Result<&OsStr> {
        let word = self.words.get(index).with_context(|| format!("argument {index} is missing"))?;
        Ok(word.as_os_str())
    }

    /// All arguments from that position on.
    fn from(&self, index: usize) -> &[OsString] {
        self.words.get(index..).unwrap_or_default()
    }

    fn path(&self, index: usize) -> Result<&Path> {
        self.os(index).map(Path::new)
    }

    fn text(&self, index: usize) -> Result<&str> {
        self.os(index)?.to_str().with_context(|| format!("argument {index} is not UTF-8"))
    }

    fn number<T: std::str::FromStr>(&self, index: usize) -> Result<T> {
        let text = self.text(index)?;
        text.parse().ok().with_context(|| format!("`{text}` is not a number"))
    }
}

/// Performs one operation.
pub(crate) fn perform(words: &[OsString]) -> Result<()> {
    let Some((name, rest)) = words.split_first() else { bail!("which operation?") };
    let name = name.to_str().context("the operation is not UTF-8")?;
    let args = Args { words: rest };
    let families = [process::perform, file::perform, net::perform, kernel::perform];
    for family in families {
        if let Some(result) = family(name, &args) {
            return result.with_context(|| format!("operation {name}"));
        }
    }
    bail!("no operation is called `{name}`")
}

/// Tells the other side something.
fn tell(name: &str, value: impl std::fmt::Display) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{name}={value}").and_then(|()| out.flush()).context("writing to stdout")
}

/// Waits for a line, or the end, of standard input.
fn wait() -> Result<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("reading stdin")?;
    Ok(line)
}
