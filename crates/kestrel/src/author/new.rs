//! `kestrel new`: a rule with tests that asks a script, in a language of choice.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use script::author::Language;

use crate::output::{self, Status, style};

/// Writes the files of a language into a directory that has none of them.
pub(crate) fn run(directory: &Path, language: Language) -> io::Result<Status> {
    let files = language.template();
    // Nothing is written where something is in the way.
    if let Some((name, _)) = files.iter().find(|(name, _)| directory.join(name).exists()) {
        let path = directory.join(name);
        output::complain(&format!("{}: it is there; name another directory", path.display()));
        return Ok(Status::Findings);
    }
    for (name, text) in files {
        let path = directory.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        file.write_all(text.as_bytes())?;
        let bold = style::NAME;
        writeln!(anstream::stdout(), "{bold}{}{bold:#}: written", path.display())?;
    }
    let shown = directory.display();
    let build = match language {
        Language::Luau => String::new(),
        _ => format!("kestrel build {shown} && "),
    };
    writeln!(anstream::stdout(), "next: {build}kestrel test {shown}/rules")?;
    Ok(Status::Fine)
}
