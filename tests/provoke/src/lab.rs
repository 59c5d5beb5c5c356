//! Where the cases work: a scratch directory, the running agent, and actors that do the deeds.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use model::op::Kind;

use crate::agent::{Agent, Doctor};
use crate::event::Event;

/// How long an event may take to arrive; emulated guests are slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A cgroup that is named as a container's; it is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct ContainerCgroup {
    /// Where it is.
    pub(crate) directory: PathBuf,
    /// Its path below the root of the hierarchy.
    pub(crate) path: String,
    /// Id of the container.
    pub(crate) container: String,
}

impl ContainerCgroup {
    /// In the hierarchy of version 2, if there is one.
    pub(crate) fn find() -> Option<ContainerCgroup> {
        let mounts = fs::read_to_string("/proc/mounts").ok()?;
        let root = mounts.lines().find_map(|line| {
            let mut words = line.split(' ').skip(1);
            let (place, kind) = (words.next()?, words.next()?);
            (kind == "cgroup2").then(|| PathBuf::from(place))
        })?;
        let container = format!("{:064x}", std::process::id());
        let path = format!("/docker/{container}");
        let directory = root.join("docker").join(&container);
        Some(ContainerCgroup { directory, path, container })
    }
}

impl Drop for ContainerCgroup {
    fn drop(&mut self) {
        if self.directory.is_dir() && fs::remove_dir(&self.directory).is_err() {
            eprintln!("provoke: {} could not be removed", self.directory.display());
        }
        // That of a real docker is not empty and stays.
        _ = self.directory.parent().map(fs::remove_dir);
    }
}

/// Everything a case needs.
#[derive(Debug)]
pub(crate) struct Lab {
    /// Directory that belongs to the cases alone.
    pub(crate) scratch: PathBuf,
    /// This program, which is also the actor.
    pub(crate) exe: String,
    /// A program with many faces.
    pub(crate) busybox: PathBuf,
    /// A kernel module that may be loaded.
    pub(crate) module: Option<PathBuf>,
    /// The agent under test.
    pub(crate) agent: Agent,
    /// What it says it sees.
    pub(crate) doctor: Doctor,
    /// For actors that look like those of a container.
    pub(crate) cgroup: Option<ContainerCgroup>,
    /// An actor that was there before the agent.
    pub(crate) veteran: Actor,
}

/// A running actor.
#[derive(Debug)]
pub(crate) struct Actor {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    done: Done,
}

/// What an actor was and did; the event is compared with it.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    /// Pid of the process whose event is expected.
    pub(crate) pid: u32,
    /// Its parent.
    pub(crate) parent: u32,
    /// Executable.
    pub(crate) exe: String,
    /// Arguments.
    pub(crate) args: Vec<String>,
    /// Effective user id at the time of the event.
    pub(crate) uid: u32,
    /// Effective group id at the time of the event.
    pub(crate) gid: u32,
    /// What the actor told, and what the case adds for its expectations.
    pub(crate) facts: BTreeMap<String, String>,
    /// How the actor ended.
    pub(crate) status: Option<ExitStatus>,
}

impl Done {
    /// A fact; empty if it was not told.
    pub(crate) fn fact(&self, name: &str) -> &str {
        self.facts.get(name).map_or("", String::as_str)
    }

    /// Adds a fact.
    #[expect(clippy::needless_pass_by_value, reason = "numbers and literals read best")]
    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Done {
        self.facts.insert(name.to_owned(), value.to_string());
        self
    }
}

impl Actor {
    /// Starts `provoke act WORDS…` in `directory`.
    pub(crate) fn start<S: AsRef<OsStr>>(
        exe: &str,
        directory: &Path,
        words: &[S],
    ) -> Result<Actor> {
        let mut command = Command::new(exe);
        command.arg("act").args(words).current_dir(directory);
        Actor::spawn(command)
    }

    /// Starts any program as an actor.
    pub(crate) fn spawn(mut command: Command) -> Result<Actor> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let args: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
        let exe = args.first().cloned().unwrap_or_default();
        let mut child = command.spawn().with_context(|| format!("starting {args:?}"))?;
        let done = Done {
            pid: child.id(),
            parent: std::process::id(),
            exe,
            args,
            uid: 0,
            gid: 0,
            facts: BTreeMap::new(),
            status: None,
        };
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().context("an actor has no stdout")?);
        Ok(Actor { child, stdin, stdout, done })
    }

    /// Its pid.
    pub(crate) fn pid(&self) -> u32 {
        self.done.pid
    }

    /// What it is.
    pub(crate) fn done(&self) -> &Done {
        &self.done
    }

    /// Waits until the actor tells a fact of that name.
    pub(crate) fn fact(&mut self, name: &str) -> Result<String> {
        loop {
            let mut line = String::new();
            if self.stdout.read_line(&mut line).context("reading from an actor")? == 0 {
                bail!("the actor {:?} ended without telling `{name}`", self.done.args);
            }
            if let Some((key, value)) = line.trim_end().split_once('=') {
                self.done.facts.insert(key.to_owned(), value.to_owned());
                if key == name {
                    return Ok(value.to_owned());
                }
            }
        }
    }

    /// Lets an actor that waits take its next step.
    pub(crate) fn go_on(&mut self) -> Result<()> {
        let stdin = self.stdin.as_mut().context("the actor's stdin is closed")?;
        stdin.write_all(b"\n").and_then(|()| stdin.flush()).context("writing to an actor")
    }

    /// Closes its standard input and waits for its end, however it ends.
    pub(crate) fn end(mut self) -> Result<Done> {
        drop(self.stdin.take());
        let mut line = String::new();
        while self.stdout.read_line(&mut line).context("reading from an actor")? != 0 {
            if let Some((key, value)) = line.trim_end().split_once('=') {
                self.done.facts.insert(key.to_owned(), value.to_owned());
            }
            line.clear();
        }
        self.done.status = Some(self.child.wait().context("waiting for an actor")?);
        Ok(self.done)
    }

    /// The same, for an actor that must succeed.
    pub(crate) fn finish(self) -> Result<Done> {
        let done = self.end()?;
        match done.status {
            Some(status) if status.success() => Ok(done),
            status => bail!("the actor {:?} failed: {status:?}", done.args),
        }
    }
}

impl Lab {
    /// Lets an actor do one thing to its end.
    pub(crate) fn act<S: AsRef<OsStr>>(&self, words: &[S]) -> Result<Done> {
        self.start(words)?.finish()
    }

    /// Starts an actor.
    pub(crate) fn start<S: AsRef<OsStr>>(&self, words: &[S]) -> Result<Actor> {
        Actor::start(&self.exe, &self.scratch, words)
    }

    /// An actor that does nothing until it is told to go on.
    ///
    /// It has told that it runs: a parent is let go on before the kernel has finished an exec, and
    /// who is killed in between has never been that program.
    pub(crate) fn waiting(&self) -> Result<Actor> {
        let mut actor = self.start(&["wait"])?;
        actor.fact("ready")?;
        Ok(actor)
    }

    /// A path below the scratch directory.
    pub(crate) fn path(&self, name: &str) -> String {
        self.scratch.join(name).display().to_string()
    }

    /// A new file with a line in it, and its path.
    pub(crate) fn file(&self, name: &str) -> Result<String> {
        let path = self.path(name);
        fs::write(&path, "provoke\n").with_context(|| format!("writing {path}"))?;
        Ok(path)
    }

    /// A copy of busybox, and its path.
    pub(crate) fn program(&self, name: &str) -> Result<String> {
        let path = self.path(name);
        fs::copy(&self.busybox, &path).with_context(|| format!("copying to {path}"))?;
        Ok(path)
    }

    /// Where doctor says that events of that kind come from.
    pub(crate) fn provider(&self, kind: Kind) -> &str {
        self.doctor.operations.get(&kind).map_or("", |row| row.provider.as_str())
    }

    /// An event of that process with that action, if it is there already.
    pub(crate) fn seen(&self, pid: u32, action: &str) -> Vec<Event> {
        self.agent.events.all(|event| of(event, pid, action))
    }

    /// Waits for an event of that process with that action.
    pub(crate) fn wait(&self, pid: u32, action: &str) -> Option<Event> {
        self.agent.events.wait(PATIENCE, |event| of(event, pid, action))
    }
}

/// Whether it is an event of that process with that action.
pub(crate) fn of(event: &Event, pid: u32, action: &str) -> bool {
    event.text("process.pid") == Some(pid.to_string())
        && event.text("event.action").as_deref() == Some(action)
}
