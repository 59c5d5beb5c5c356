//! `kestrel fmt`: rule files in the one canonical form.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use lang::Diagnostic;

use crate::output::{self, Status};
use crate::rules;

/// Rewrites files, or with `check` only names those that would change. What comes from standard
/// input goes to standard output.
pub(crate) fn run(paths: &[PathBuf], check: bool) -> io::Result<Status> {
    let (sigma, paths): (Vec<PathBuf>, Vec<PathBuf>) =
        paths.iter().cloned().partition(|path| path.is_file() && is_sigma(path));
    let (texts, mut unread) = rules::read(&paths, &["toml"]);
    unread.extend(
        sigma
            .iter()
            .map(|path| format!("{}: Sigma files are not laid out; only TOML is", path.display())),
    );
    let mut status = Status::Fine;
    for error in &unread {
        output::complain(error);
        status = Status::Findings;
    }
    let from_stdin = paths.iter().any(|path| path.as_os_str() == rules::STDIN);
    let mut out = anstream::stdout().lock();
    for (name, text) in texts {
        let new = match lang::fmt::format(&text) {
            Ok(new) => new,
            Err(found) => {
                complain(found, &name, &text)?;
                status = Status::Findings;
                continue;
            }
        };
        if check {
            if new != text {
                writeln!(out, "{name}")?;
                status = Status::Findings;
            }
        } else if from_stdin && name == "stdin.toml" {
            out.write_all(new.as_bytes())?;
        } else if new != text
            && let Err(error) = replace(Path::new(&name), &new)
        {
            output::complain(&format!("{name}: {error}"));
            status = Status::Findings;
        }
    }
    Ok(status)
}

fn is_sigma(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "yml" || ending == "yaml")
}

/// Shows why a file has no layout.
fn complain(found: Vec<Diagnostic>, name: &str, text: &str) -> io::Result<()> {
    rules::show_found(name, text, found)?;
    output::complain(&format!("{name}: left as it is"));
    Ok(())
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
