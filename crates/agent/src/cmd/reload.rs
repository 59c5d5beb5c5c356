//! `aegisbpf reload`: the running agent reads its rules again.

use std::io::Write;

use crate::cli::{ClientArgs, Output};
use crate::client;
use crate::exit::{Exit, Failure};

/// Asks for it, and waits until the new rules run; the old ones stay if anything is wrong.
pub(crate) fn run(args: &ClientArgs) -> Result<Exit, Failure> {
    let rules = client::post(&args.runtime_dir, "/v1/reload")?.json()?;
    let mut out = anstream::stdout().lock();
    match args.output {
        Output::Json => writeln!(out, "{rules:#}")?,
        Output::Text => {
            let count = |name: &str| rules.get(name).and_then(serde_json::Value::as_u64);
            let loaded = count("loaded").unwrap_or_default();
            match count("refused").unwrap_or_default() {
                0 => writeln!(out, "{loaded} rules run")?,
                refused => writeln!(out, "{loaded} rules run, {refused} refused")?,
            }
        }
    }
    Ok(Exit::Ok)
}
