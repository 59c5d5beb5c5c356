//! `kestrel check`

use std::io::{self, Write};
use std::path::PathBuf;

use lang::Level;
use serde_json::json;

use crate::cli::Format;
use crate::output::{self, Status};
use crate::rules::Rules;

/// Shows what is wrong; warnings count as findings, since someone asked.
pub(crate) fn run(paths: &[PathBuf], format: Format) -> io::Result<Status> {
    let rules = Rules::load(paths);
    let (errors, warnings) = (rules.count(Level::Error), rules.count(Level::Warning));
    let sound = rules.loaded.program.rules.len();
    match format {
        Format::Json => output::json(&json!({
            "rules": sound,
            "errors": errors,
            "warnings": warnings,
            "unread": rules.unread_json(),
            "diagnostics": rules.json(),
        }))?,
        Format::Text => {
            rules.show()?;
            let files = rules.loaded.sources.len();
            writeln!(
                anstream::stdout(),
                "{sound} rules in {files} files: {errors} errors, {warnings} warnings"
            )?;
        }
    }
    Ok(if errors + warnings == 0 { Status::Fine } else { Status::Findings })
}
