//! What the operator adds to the rules of redaction.
//!
//! ```toml
//! options = ["--licence-key"]         # the next argument, or what follows `=`
//! variables = ["ACME_PIN"]            # the value of NAME=value
//! patterns = ['acme-([0-9a-f]{32})']  # the last group that takes part, or all of it
//! ```

use std::path::Path;

use serde::Deserialize;

use super::builtin::VALUE;
use crate::exit::{Exit, Failure};

/// Bytes of the file.
const FILE_MAX: u64 = 256 << 10;
/// Entries of each list: every pattern costs a little of each text that is shown.
const ENTRIES_MAX: usize = 256;

/// The operator's file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Config {
    options: Vec<String>,
    variables: Vec<String>,
    patterns: Vec<String>,
}

impl Config {
    /// Reads the file; nobody but root and the agent's user may be able to write it.
    pub(super) fn open(path: &Path) -> Result<Config, Failure> {
        let wrong = |message: String| {
            Failure::new(Exit::Config, format!("cannot use the rules of redaction: {message}"))
                .help("the file has `options`, `variables` and `patterns`; docs/redaction.md")
        };
        let bytes = files::read_bytes(path, FILE_MAX, files::Trust::Owner)
            .map_err(|error| wrong(error.to_string()))?;
        let named = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
        let text = str::from_utf8(&bytes).map_err(|error| wrong(named(&error)))?;
        let config: Config = toml::from_str(text).map_err(|error| wrong(named(&error)))?;
        for (name, list) in [
            ("options", &config.options),
            ("variables", &config.variables),
            ("patterns", &config.patterns),
        ] {
            if list.len() > ENTRIES_MAX {
                return Err(wrong(named(&format!("`{name}` has more than {ENTRIES_MAX} entries"))));
            }
            if list.iter().any(String::is_empty) {
                return Err(wrong(named(&format!("`{name}` has an empty entry"))));
            }
        }
        Ok(config)
    }

    /// Options whose next argument is a secret.
    pub(super) fn options(&self) -> impl Iterator<Item = String> {
        self.options.clone().into_iter()
    }

    /// All of it as patterns.
    pub(super) fn patterns(&self) -> impl Iterator<Item = String> {
        let after = |name: &String| {
            let name = regex::escape(name);
            [
                format!(r"(?:^|\s){name}(?:=|\s+){VALUE}"),
                format!("^{name}=(.+)$"),
                format!("['\"]{name}=([^'\"]+)['\"]"),
            ]
        };
        let options = self.options.iter().flat_map(after);
        let within = |name: &String| {
            let name = regex::escape(name);
            [
                format!("^{name}=(.+)$"),
                format!(r"\b{name}={VALUE}"),
                format!("['\"]{name}=([^'\"]+)['\"]"),
            ]
        };
        let variables = self.variables.iter().flat_map(within);
        let all: Vec<String> = options.chain(variables).chain(self.patterns.clone()).collect();
        all.into_iter()
    }
}
