//! `kestrel fmt`: rule files in the one canonical form.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use lang::{Source, render};

use crate::output::{self, Status};

/// Rewrites files, or with `check` only names those that would change.
pub(crate) fn run(paths: &[PathBuf], check: bool) -> io::Result<Status> {
    let (texts, unread) = files::read_all(paths, "toml", files::Trust::Anyone);
    let mut status = Status::Fine;
    for error in &unread {
        output::complain(&error.to_string());
        status = Status::Findings;
    }
    let mut out = anstream::stdout().lock();
    for file in texts {
        match lang::fmt::format(&file.text) {
            Err(found) => {
                status = Status::Findings;
                let sources = [Source { name: file.name.clone(), text: file.text }];
                for mut one in found {
                    one.file.clone_from(&file.name);
                    let shown = render::text(&one, &sources, output::color_on_stderr());
                    writeln!(anstream::stderr(), "{shown}\n")?;
                }
                output::complain(&format!("{}: left as it is", file.name));
            }
            Ok(text) if text == file.text => {}
            Ok(_) if check => {
                writeln!(out, "{}", file.name)?;
                status = Status::Findings;
            }
            Ok(text) => {
                if let Err(error) = replace(Path::new(&file.name), &text) {
                    output::complain(&format!("{}: {error}", file.name));
                    status = Status::Findings;
                }
            }
        }
    }
    Ok(status)
}

/// Writes beside the file and renames, so that there is never half of it.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = path.canonicalize()?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let beside = path.with_file_name(name);
    let mode = std::fs::metadata(&path)?.permissions();
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&beside)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.set_permissions(mode))
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&beside, &path));
    if written.is_err() {
        drop(std::fs::remove_file(&beside));
    }
    written
}
