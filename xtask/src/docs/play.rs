//! Runs the blocks of a page in their order, as a person at terminals does.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::page::{Act, Block, Page, Step};
use super::said;
use crate::outcome::Outcome;
use crate::sh;

/// Most that a command may take: seconds, but for those that wait until a kernel has verified what enforces.
const COMMAND: Duration = Duration::from_mins(3);
/// Until an agent answers: it loads its programs first.
const START: Duration = Duration::from_mins(2);
/// Until another terminal shows what it is said to show.
const SHOW: Duration = Duration::from_secs(30);
/// Until what a terminal runs has ended after ^C, and how often that is tried: a shell that waits for a program which ends
/// by itself in this moment goes on with its loop.
const END: Duration = Duration::from_secs(5);
const TRIES: usize = 4;
/// How often it is looked whether one of these has come true.
const LOOK: Duration = Duration::from_millis(50);
/// Bytes of output that are shown of a command that fails.
const TAIL: usize = 2000;

/// Plays a page; prints a line for each block that holds, and what is wrong with each that does not.
pub(super) fn page(page: &Page) -> Result<Outcome> {
    let mut desk = Desk::new(&page.path)?;
    let mut total = Outcome::default();
    for block in page.blocks.iter().filter(|block| block.no_run.is_none()) {
        let name = format!("{}:{}", page.path, block.line);
        match desk.play(block) {
            Ok(()) => {
                println!("ok {name}");
                total += Outcome::PASS;
            }
            Err(error) => {
                println!("FAIL {name}: {error:#}");
                total += Outcome::FAIL;
                // What follows builds on it, and would only hide what is wrong.
                break;
            }
        }
    }
    desk.clear()?;
    Ok(total)
}

/// A directory to work in, and the other terminals.
struct Desk {
    place: PathBuf,
    terminals: BTreeMap<String, Terminal>,
}

/// What runs in another terminal.
struct Terminal {
    child: Child,
    output: PathBuf,
}

impl Desk {
    fn new(page: &str) -> Result<Desk> {
        Desk::at(Path::new("/srv").join(page.replace(['/', '.'], "-")))
    }

    fn at(place: PathBuf) -> Result<Desk> {
        std::fs::create_dir_all(&place)?;
        Ok(Desk { place, terminals: BTreeMap::new() })
    }

    fn play(&mut self, block: &Block) -> Result<()> {
        match (&block.act, &block.terminal) {
            (Act::File { path, text }, _) => self.write(path, text),
            (Act::Script(text), None) => self.script(text),
            (Act::Session(steps), None) => steps.iter().try_for_each(|step| self.step(step)),
            (Act::Shown(lines), Some(name)) => self.shows(name, lines),
            (Act::Script(text), Some(name)) => self.open(name, text),
            (Act::Session(steps), Some(name)) => self.session_in(name, steps),
            (Act::Shown(_), None) => bail!("no terminal"),
        }
    }

    fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.place.join(path);
        let parent = path.parent().context("no directory")?;
        std::fs::create_dir_all(parent)?;
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    fn script(&self, text: &str) -> Result<()> {
        let (status, output) = self.run(&format!("set -eu\n{text}"))?;
        if !status.success() {
            bail!("it ended with {status}:\n{}", tail(&output));
        }
        Ok(())
    }

    fn step(&self, step: &Step) -> Result<()> {
        let (status, output) = self.run(&step.command)?;
        let Step { line, command, shown } = step;
        if shown.is_empty() && !status.success() {
            bail!("line {line}: `{command}` ended with {status}:\n{}", tail(&output));
        }
        if !shown.is_empty() && !said::is_shown(shown, &output) {
            bail!("line {line}: `{command}` prints, other than shown:\n{}", tail(&output));
        }
        Ok(())
    }

    /// A command as the shell of a terminal runs it.
    fn shell(&self, text: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", text]).current_dir(&self.place).env_clear();
        for (name, value) in
            [("PATH", super::path()), ("HOME", "/root".into()), ("LC_ALL", "C.UTF-8".into())]
        {
            command.env(name, value);
        }
        command.env("NO_COLOR", "1").stdin(Stdio::null()).process_group(0);
        command
    }

    fn run(&self, text: &str) -> Result<(ExitStatus, String)> {
        let path = self.place.join(".output");
        let file = File::create(&path)?;
        let mut shell = self.shell(text);
        let mut child = shell.stdout(file.try_clone()?).stderr(file).spawn()?;
        let status = within(COMMAND, || Ok(child.try_wait()?))?;
        let output = String::from_utf8_lossy(&std::fs::read(path)?).into_owned();
        if let Some(status) = status {
            if !status.success() {
                // What a script that fails has left in the background; most have left nothing.
                let _nobody = interrupt("KILL", &child);
            }
            return Ok((status, output));
        }
        interrupt("KILL", &child)?;
        child.wait()?;
        bail!("not done within {} s:\n{}", COMMAND.as_secs(), tail(&output))
    }

    /// Runs a script in another terminal; it goes on there.
    fn open(&mut self, name: &str, text: &str) -> Result<()> {
        self.close(name)?;
        let output = self.place.join(format!(".terminal-{name}"));
        let file = File::create(&output)?;
        let mut shell = self.shell(text);
        let child = shell.stdout(file.try_clone()?).stderr(file).spawn()?;
        let is_agent = text.contains("aegisbpf run");
        self.terminals.insert(name.to_owned(), Terminal { child, output });
        if is_agent { self.ready(name) } else { Ok(()) }
    }

    /// Waits until the agent in that terminal answers.
    fn ready(&mut self, name: &str) -> Result<()> {
        let mut ask = self.shell("aegisbpf status");
        ask.stdout(Stdio::null()).stderr(Stdio::null());
        let terminal = self.terminals.get_mut(name).context("no such terminal")?;
        let answers = within(START, || {
            if let Some(status) = terminal.child.try_wait()? {
                let said = std::fs::read_to_string(&terminal.output).unwrap_or_default();
                bail!("it ended with {status}:\n{}", tail(&said));
            }
            Ok(ask.status()?.success().then_some(()))
        })?;
        answers.context("the agent does not answer")
    }

    fn session_in(&mut self, name: &str, steps: &[Step]) -> Result<()> {
        let [step] = steps else { bail!("one command at a time goes on in another terminal") };
        self.open(name, &step.command)?;
        if step.shown.is_empty() { Ok(()) } else { self.shows(name, &step.shown) }
    }

    /// Waits until all these lines are among those that the terminal shows.
    fn shows(&mut self, name: &str, lines: &[String]) -> Result<()> {
        let terminal =
            self.terminals.get(name).with_context(|| format!("nothing runs in terminal {name}"))?;
        let read = || -> Result<String> {
            Ok(String::from_utf8_lossy(&std::fs::read(&terminal.output)?).into_owned())
        };
        let shown = within(SHOW, || Ok(said::missing(lines, &read()?).is_none().then_some(())))?;
        if shown.is_some() {
            return Ok(());
        }
        let output = read()?;
        match said::missing(lines, &output) {
            Some(line) => bail!("terminal {name} never shows `{line}`, but:\n{}", tail(&output)),
            None => Ok(()),
        }
    }

    /// ^C in that terminal, if anything runs there.
    fn close(&mut self, name: &str) -> Result<()> {
        let Some(mut terminal) = self.terminals.remove(name) else { return Ok(()) };
        if terminal.child.try_wait()?.is_some() {
            return Ok(());
        }
        for _ in 0..TRIES {
            interrupt("INT", &terminal.child)?;
            if within(END, || Ok(terminal.child.try_wait()?))?.is_some() {
                return Ok(());
            }
        }
        interrupt("KILL", &terminal.child)?;
        terminal.child.wait()?;
        bail!("what runs in terminal {name} does not end on ^C");
    }

    /// Ends what still runs; the next page begins with empty places.
    fn clear(&mut self) -> Result<()> {
        let names: Vec<String> = self.terminals.keys().cloned().collect();
        for name in names {
            self.close(&name)?;
        }
        let made = "rm -rf /srv/* /tmp/* /run/aegisbpf/* /var/lib/aegisbpf/* /sys/fs/bpf/aegisbpf* \
                    /etc/aegisbpf/*.toml /etc/aegisbpf/*/*";
        sh::run(super::tool("sh").args(["-c", made]))
    }
}

/// Signals a command and all that it started, as a terminal does.
fn interrupt(signal: &str, child: &Child) -> Result<()> {
    sh::run(
        super::tool("kill")
            .stderr(Stdio::null())
            .args(["-s", signal, "--"])
            .arg(format!("-{}", child.id())),
    )
}

/// Looks again and again, until something is there or the time is over.
fn within<T>(time: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<Option<T>> {
    let start = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(Some(found));
        }
        if start.elapsed() > time {
            return Ok(None);
        }
        std::thread::sleep(LOOK);
    }
}

fn tail(text: &str) -> &str {
    let from = text.len().saturating_sub(TAIL);
    let from = (from..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(from);
    text.get(from..).unwrap_or_default().trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docs::page;

    /// What playing the blocks of a page comes to: nothing, or what is wrong with the first that does not hold.
    fn played(name: &str, text: &str) -> (Desk, Result<()>) {
        let mut desk = Desk::at(sh::target().join("docs-test").join(name)).unwrap();
        let page = page::read("p.md", text).unwrap();
        let result = page.blocks.iter().try_for_each(|block| desk.play(block));
        (desk, result)
    }

    fn wrong(name: &str, text: &str) -> String {
        format!("{:#}", played(name, text).1.unwrap_err())
    }

    #[test]
    fn files_are_there_for_commands_and_what_they_print_is_compared() {
        let page = "```text file=a/b\nhello\n```\n```console\n$ cat a/b\nhello\n$ cat a/c\ncat: a/c: …\n```\n";
        played("sound", page).1.unwrap();
        let said = wrong("false", &page.replace("\nhello\n$", "\ngoodbye\n$"));
        assert!(said.contains("line 5: `cat a/b` prints, other than shown:\nhello"), "{said}");
    }

    #[test]
    fn what_fails_is_told_with_its_words() {
        let said = wrong("script", "```sh\necho the reason >&2; false\necho not here\n```\n");
        assert!(said.contains("the reason") && !said.contains("not here"), "{said}");
        let said = wrong("command", "```console\n$ echo the reason; exit 4\n```\n");
        assert!(said.contains("exit status: 4") && said.contains("the reason"), "{said}");
    }

    #[test]
    fn a_terminal_shows_what_comes_later_and_ends_as_by_an_interrupt() {
        let page = "```sh terminal=one\ntrap 'echo ended > end; exit' INT\nsleep 0.2; echo 7 shown\n\
                    while :; do sleep 0.1; done\n```\n```console terminal=one\n5 shown\n```\n";
        let (mut desk, result) = played("terminal", page);
        result.unwrap();
        desk.close("one").unwrap();
        assert_eq!(std::fs::read_to_string(desk.place.join("end")).unwrap(), "ended\n");
    }
}
