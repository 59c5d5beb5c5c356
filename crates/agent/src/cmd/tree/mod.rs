//! `aegisbpf tree`: where a process came from, what it started and what they did, out of recordings.
//!
//! | module | does |
//! |---|---|
//! | `collect` | what recordings tell of it |
//! | `text`, `html` | for a terminal, and as one page |

mod collect;
mod html;
mod text;

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use jiff::tz::TimeZone;

use crate::cli::Output;
use crate::cli::record::TreeArgs;
use crate::cmd::recorded::files;
use crate::config;
use crate::exit::{Exit, Failure};
use crate::redact::Redactor;
use collect::{Story, Wanted};

/// Shows the story of a process.
pub(crate) fn run(args: &TreeArgs) -> Result<Exit, Failure> {
    let wanted = wanted(&args.what)?;
    let recordings = files(&args.from, &args.state_dir)?;
    let redact = match &args.redact {
        None => config::of_host(None)?.args.redact,
        named => named.clone(),
    };
    let redactor = Redactor::open(redact.as_deref())?;
    let story = collect::collect(&recordings, wanted, &redactor)?;
    let zone = TimeZone::system();
    if let Some(path) = &args.html {
        return write(path, &html::page(&story, &zone));
    }
    let mut out = anstream::stdout().lock();
    match args.output {
        Output::Json => writeln!(out, "{:#}", collect::json(&story))?,
        Output::Text => out.write_all(text::show(&story, &zone).as_bytes())?,
    }
    Ok(Exit::Ok)
}

/// A pid is shorter than an identity.
fn wanted(text: &str) -> Result<Wanted, Failure> {
    let is_id = text.len() == 32;
    let id = Some(text).filter(|_| is_id).and_then(|id| u128::from_str_radix(id, 16).ok());
    let pid = Some(text).filter(|_| !is_id).and_then(|pid| pid.parse().ok());
    id.map(Wanted::Alert).or(pid.map(Wanted::Pid)).ok_or_else(|| {
        Failure::new(Exit::Usage, format!("`{text}` is neither a pid nor an alert"))
            .help("an alert is named by its `alert.id`, 32 hexadecimal digits")
    })
}

/// For root alone, and over nothing.
fn write(path: &Path, page: &str) -> Result<Exit, Failure> {
    let mut options = OpenOptions::new();
    let made = options.write(true).create_new(true).mode(0o600).open(path);
    made.and_then(|mut file| file.write_all(page.as_bytes())).map_err(|error| {
        Failure::new(Exit::Failed, format!("cannot write {}: {error}", path.display()))
    })?;
    Ok(Exit::Ok)
}

/// The members of a story by generation: how deep, and who.
fn generations(story: &Story) -> Vec<(usize, collect::Entity)> {
    let mut rows: Vec<_> = story.ancestors.iter().copied().enumerate().collect();
    let mut open = vec![(story.ancestors.len(), story.target)];
    let mut seen = std::collections::HashSet::new();
    while let Some((depth, entity)) = open.pop().filter(|_| rows.len() < ROWS_MAX) {
        if !seen.insert(entity) {
            continue;
        }
        rows.push((depth, entity));
        let mut children =
            story.nodes.get(&entity).map_or(Vec::new(), |node| node.children.clone());
        children.sort_by_key(|child| {
            let pid = story.nodes.get(child).and_then(|node| node.pid.parse::<u32>().ok());
            std::cmp::Reverse((pid, *child))
        });
        open.extend(children.into_iter().map(|child| (depth + 1, child)));
    }
    rows
}

/// Processes that are shown; a tree that is larger is searched with `kestrel hunt`.
const ROWS_MAX: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_and_an_alert_are_told_apart() {
        assert_eq!(wanted("4711").unwrap(), Wanted::Pid(4711));
        let id = "00000000000000000000000000004711";
        assert_eq!(wanted(id).unwrap(), Wanted::Alert(0x4711));
        for wrong in ["", "x", "-1", "99999999999", "0x4711"] {
            assert_eq!(wanted(wrong).unwrap_err().exit, Exit::Usage, "{wrong}");
        }
    }
}
