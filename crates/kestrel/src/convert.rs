//! `kestrel convert`: Sigma rules as EQL text.

use std::io::{self, Write};
use std::path::PathBuf;

use lang::Level;

use crate::output::Status;
use crate::rules::Rules;

/// Prints each rule with its id, name and author, as the licence of the rules asks.
pub(crate) fn run(paths: &[PathBuf]) -> io::Result<Status> {
    let rules = Rules::load(paths, None);
    rules.show_errors()?;
    let mut out = anstream::stdout().lock();
    let program = &rules.loaded.program;
    let mut complete = rules.count(Level::Error) == 0;
    for rule in &program.rules {
        let meta = &rule.meta;
        writeln!(out, "// {} ({})", crate::alert::escaped(&meta.name), meta.id)?;
        if !meta.author.is_empty() {
            let author = meta.author.join(", ");
            writeln!(out, "// by {}", crate::alert::escaped(&author))?;
        }
        if let Some(text) = lang::fmt::rule(rule, program) {
            writeln!(out, "{}\n", text.trim_end())?;
        } else {
            complete = false;
            writeln!(out, "// has no equivalent in EQL\n")?;
        }
    }
    Ok(if complete { Status::Fine } else { Status::Findings })
}
