//! What a page asks to be run. Fenced blocks, by the words behind the fence:
//!
//! | block | is |
//! |---|---|
//! | `sh` | a script; it must succeed |
//! | `console` | commands behind `# ` or `$ `, and what each prints; one that shows nothing must succeed |
//! | … `no-run="REASON"` | not run, and why |
//! | … `terminal=NAME` | run in another terminal, in which it goes on; what ran there before is ended as by ^C. Without a command: what that terminal shows by now, among other lines |
//! | any with `file=PATH` | a file with this text |
//!
//! A block within a comment of the page is run like any other: that is what readers have done before, such as installing
//! the package. Any other block must not begin a line with a command of ours.

use anyhow::{Context, Result, bail};

/// One page.
#[derive(Debug)]
pub(super) struct Page {
    /// Where it is, below the top directory.
    pub(super) path: String,
    /// In their order.
    pub(super) blocks: Vec<Block>,
}

/// One block.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// Line of its fence.
    pub(super) line: usize,
    /// Why it is not run.
    pub(super) no_run: Option<String>,
    /// Another terminal than the first.
    pub(super) terminal: Option<String>,
    /// What is done.
    pub(super) act: Act,
}

/// What a block is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// A file is written.
    File { path: String, text: String },
    /// A script is run.
    Script(String),
    /// Commands are run.
    Session(Vec<Step>),
    /// What a terminal shows.
    Shown(Vec<String>),
}

/// A command and what it prints.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Line of the prompt.
    pub(super) line: usize,
    /// All of it, without the prompt.
    pub(super) command: String,
    /// What the page says that it prints; empty: nothing is said.
    pub(super) shown: Vec<String>,
}

/// Blocks that may hold commands as well as anything else; others are data.
const ANYTHING: &[&str] = &["", "text", "bash", "shell"];
/// Commands that must not hide in such a block, which is not run.
const OURS: &[&str] =
    &["aegisbpf ", "kestrel ", "cargo xtask ", "# aegisbpf ", "$ kestrel ", "sudo "];

/// The blocks of a page.
pub(super) fn read(path: &str, text: &str) -> Result<Page> {
    let mut blocks = Vec::new();
    let mut lines = (1..).zip(text.lines());
    while let Some((line, fence)) = lines.next() {
        let Some(info) = fence.trim_start().strip_prefix("```") else { continue };
        let inside: Vec<(usize, &str)> =
            lines.by_ref().take_while(|(_, inside)| inside.trim() != "```").collect();
        let block =
            block(line, info, &inside).with_context(|| format!("line {line}: ```{info}"))?;
        blocks.extend(block);
    }
    Ok(Page { path: path.to_owned(), blocks })
}

fn block(line: usize, info: &str, inside: &[(usize, &str)]) -> Result<Option<Block>> {
    let (language, mut no_run, mut terminal, mut file) =
        (info.split(' ').next().unwrap_or_default(), None, None, None);
    let mut rest = info.get(language.len()..).unwrap_or_default().trim();
    while !rest.is_empty() {
        let (word, after) = word(rest);
        match word.split_once('=') {
            Some(("no-run", reason)) => no_run = Some(reason.trim_matches('"').to_owned()),
            Some(("terminal", name)) => terminal = Some(name.to_owned()),
            Some(("file", path)) => file = Some(path.to_owned()),
            _ => bail!("`{word}` means nothing here"),
        }
        rest = after.trim_start();
    }
    if no_run.as_ref().is_some_and(|reason| reason.len() < 10) {
        bail!("a block that is not run says why");
    }
    let text = || inside.iter().flat_map(|(_, line)| [*line, "\n"]).collect::<String>();
    let act = match (file, language) {
        (Some(path), _) => Act::File { path, text: text() },
        (None, "sh") => Act::Script(text()),
        (None, "console") => session(inside)?,
        _ => {
            let is_data = !ANYTHING.contains(&language);
            let is_command = |line: &str| OURS.iter().any(|word| line.starts_with(word));
            if let Some((at, line)) = inside.iter().find(|(_, line)| !is_data && is_command(line)) {
                bail!(
                    "line {at}: `{line}` is a command: commands stand in blocks of `sh` or `console`"
                );
            }
            return Ok(None);
        }
    };
    if matches!(act, Act::Shown(_)) && terminal.is_none() && no_run.is_none() {
        bail!("a block of `console` without a command, and no terminal whose it is");
    }
    Ok(Some(Block { line, no_run, terminal, act }))
}

/// The first word, in which quotes hold spaces together, and what follows.
fn word(text: &str) -> (&str, &str) {
    let mut quoted = false;
    let end = text.find(|one: char| {
        quoted ^= one == '"';
        one == ' ' && !quoted
    });
    text.split_at(end.unwrap_or(text.len()))
}

fn session(inside: &[(usize, &str)]) -> Result<Act> {
    let mut steps: Vec<Step> = Vec::new();
    let mut before = Vec::new();
    for (line, text) in inside {
        let goes_on =
            steps.last().is_some_and(|step| step.shown.is_empty() && step.command.ends_with('\\'));
        if let (true, Some(step)) = (goes_on, steps.last_mut()) {
            step.command.extend(["\n", text]);
        } else if let Some(command) = text.strip_prefix("# ").or_else(|| text.strip_prefix("$ ")) {
            steps.push(Step { line: *line, command: command.to_owned(), shown: Vec::new() });
        } else if let Some(step) = steps.last_mut() {
            step.shown.push((*text).to_owned());
        } else {
            before.push((*text).to_owned());
        }
    }
    match (steps.is_empty(), before.is_empty()) {
        (true, false) => Ok(Act::Shown(before)),
        (false, true) => Ok(Act::Session(steps)),
        _ => bail!("commands stand behind `# ` or `$ `, and what they print below them"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Block {
        read("p.md", text).unwrap().blocks.remove(0)
    }

    fn refused(text: &str) -> String {
        format!("{:#}", read("p.md", text).unwrap_err())
    }

    #[test]
    fn commands_and_what_they_print_are_told_apart() {
        let block = one("x\n```console terminal=one\n# a \\\n  b\n1\n2\n$ c\n```\n");
        assert_eq!(block.terminal.as_deref(), Some("one"));
        let Act::Session(steps) = block.act else { panic!("{block:?}") };
        assert_eq!(steps[0].command, "a \\\n  b");
        assert_eq!(
            (steps[0].line, steps[0].shown.as_slice()),
            (3, ["1".to_owned(), "2".into()].as_slice())
        );
        assert_eq!((steps[1].command.as_str(), steps[1].shown.len()), ("c", 0));
    }

    #[test]
    fn blocks_in_comments_are_run_too() {
        let block = one("<!--\n```sh\nmkdir x\n```\n-->\n");
        assert_eq!(block.act, Act::Script("mkdir x\n".into()));
    }

    #[test]
    fn files_are_written_whatever_their_language() {
        let block = one("```toml file=/etc/aegisbpf/x.toml\na = 1\n```\n");
        assert_eq!(
            block.act,
            Act::File { path: "/etc/aegisbpf/x.toml".into(), text: "a = 1\n".into() }
        );
    }

    #[test]
    fn who_does_not_run_says_why() {
        assert_eq!(
            one("```sh no-run=\"needs a cluster\"\nhelm x\n```\n").no_run.as_deref(),
            Some("needs a cluster")
        );
        assert!(refused("```sh no-run=\"\"\nhelm x\n```\n").contains("says why"));
        assert!(refused("```sh no-run\nhelm x\n```\n").contains("`no-run` means nothing here"));
    }

    #[test]
    fn commands_do_not_hide_in_other_blocks() {
        let said = refused("a\n```\nnot a command\naegisbpf status\n```\n");
        assert!(said.contains("line 4: `aegisbpf status` is a command"), "{said}");
        assert!(read("p.md", "```toml\nx = \"aegisbpf run\"\n```\n").unwrap().blocks.is_empty());
    }

    #[test]
    fn output_belongs_to_a_command_or_a_terminal() {
        assert!(refused("```console\nsome output\n```\n").contains("no terminal whose it is"));
        assert_eq!(
            one("```console terminal=1\nshown\n```\n").act,
            Act::Shown(vec!["shown".into()])
        );
    }
}
