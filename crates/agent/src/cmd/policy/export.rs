//! `aegisbpf policy export`

use std::io::Write;

use lang::policy::write;
use serde_json::Value as Json;

use crate::cli::policy::{Documents, ExportArgs};
use crate::exit::{Exit, Failure};
use crate::policy::load::Ready;

/// Prints policies as they are understood.
pub(crate) fn run(args: &ExportArgs) -> Result<Exit, Failure> {
    let ready = Ready::look(&args.files.paths, &args.files.vouch()).map_err(super::told)?;
    let documents: Vec<Json> = ready.loaded.policies.iter().map(write::document).collect();
    let mut out = anstream::stdout().lock();
    match args.output {
        Documents::Yaml => write!(out, "{}", write::yaml(&documents))?,
        Documents::Json => {
            for document in &documents {
                writeln!(out, "{document}")?;
            }
        }
    }
    Ok(Exit::Ok)
}
