//! What the cases share: files, programs, a peer, and the agent that runs.
#![expect(clippy::indexing_slicing, reason = "what JSON does not have is null")]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitCode, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::build::{self, Differs};
use super::flood;
use crate::lab::{self, COVERED, FREE, LAB};

/// Loading the programs takes long where they are verified by an emulated CPU.
const PATIENCE: Duration = Duration::from_mins(10);
/// How long a denial may take to be told, before it is tried again.
const TOLD: Duration = Duration::from_secs(5);
/// How often something is looked at.
const POLL: Duration = Duration::from_millis(50);

/// Everything that the cases work with.
pub(super) struct Scene {
    program: PathBuf,
    agent: Option<Child>,
    /// Bytes of the log that were there when the case began.
    pub(super) seen: usize,
    port: u16,
}

/// What is tried.
#[derive(Debug, Clone)]
pub(super) enum Deed {
    /// Opening this file below the laboratory for reading.
    Read(&'static str),
    /// Connecting to who listens.
    Connect,
    /// The same after reading a file.
    ReadThenConnect(&'static str),
}

/// `evade attempt read FILE` and `evade attempt connect ADDRESS`: says what it came to.
pub(crate) fn attempt(words: &[&str]) -> ExitCode {
    let done = match words {
        ["read", file] => File::open(file).map(drop),
        ["read-connect", both] => match both.split_once(',') {
            Some((file, peer)) if File::open(file).is_ok() => return attempt(&["connect", peer]),
            _ => return ExitCode::from(2),
        },
        ["connect", peer] => match peer.parse::<SocketAddr>() {
            Ok(peer) => TcpStream::connect(peer).map(drop),
            Err(_) => return ExitCode::from(2),
        },
        ["send", peer] => {
            UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"text", *peer).map(drop))
        }
        ["flood", both] => {
            let denied = both.split_once(',').and_then(|(file, times)| flood::pour(file, times));
            let Some(denied) = denied else { return ExitCode::from(2) };
            println!("{denied}");
            return ExitCode::SUCCESS;
        }
        // Whoever starts it is asked once more for each line.
        ["child", rest @ ..] => {
            println!("ready");
            for _ in std::io::stdin().lines() {
                attempt(rest);
            }
            return ExitCode::SUCCESS;
        }
        // It is told what to do, one deed a line.
        ["lines"] => {
            for line in std::io::stdin().lines().map_while(Result::ok) {
                attempt(&line.split(' ').collect::<Vec<_>>());
            }
            return ExitCode::SUCCESS;
        }
        // A child is another program, whom a rule is about by its parent alone.
        ["parent", rest @ ..] => {
            let status = Command::new(FREE).args(["attempt", "child"]).args(rest).status();
            return if status.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
        _ => return ExitCode::from(2),
    };
    match done {
        Ok(()) => println!("ok"),
        Err(error) => println!("errno {}", error.raw_os_error().unwrap_or_default()),
    }
    ExitCode::SUCCESS
}

/// A path of the laboratory.
pub(super) fn at(name: &str) -> PathBuf {
    Path::new(LAB).join(name)
}

/// What a command said on both outputs.
pub(super) fn words(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|one| String::from_utf8_lossy(one));
    format!("{out}{err}")
}

/// A policy about [`COVERED`] with these rules.
pub(super) fn policy(rules: &[String]) -> String {
    let mut text = format!(
        "apiVersion: aegisbpf.io/v1\nkind: Policy\nmetadata: {{name: run}}\nspec:\n  subjects:\n    \
         covered: {{executable: {COVERED}, descendants: true}}\n  rules:\n"
    );
    for rule in rules {
        text.extend(["    - ", rule, "\n"]);
    }
    text
}

/// A rule that denies reading a file of the laboratory.
pub(super) fn no_read(id: &str, file: &str) -> String {
    format!("{{id: {id}, subject: covered, deny: read, files: {LAB}/{file}}}")
}

impl Scene {
    pub(super) fn new(program: &str) -> Result<Scene> {
        crate::lab::furnish(&[])?;
        for name in ["one", "two", "three"] {
            fs::write(at(name), "text\n")?;
        }
        fs::hard_link(at("one"), at("other-name"))?;
        for name in ["rules", "under", "under/new"] {
            fs::create_dir(at(name))?;
        }
        // An agent without any rule does not start.
        fs::write(
            at("rules/scratch.toml"),
            "[[rule]]\nid = \"scratch\"\nname = \"Nobody\"\ndescription = \"Nothing.\"\nseverity = \
             \"low\"\nattack = [\"T1204.002\"]\nquery = '''process where event.type == \"start\" and \
             process.executable == \"/nobody\"'''\n",
        )?;
        let listener = TcpListener::bind("127.0.0.1:0").context("listening")?;
        let port = listener.local_addr()?.port();
        std::thread::spawn(move || listener.incoming().for_each(drop));
        Ok(Scene { program: program.into(), agent: None, seen: 0, port })
    }

    /// A rule that denies connecting to who listens.
    pub(super) fn no_connect(&self, id: &str) -> String {
        self.no_connect_if(id, "")
    }

    /// The same with something more in it.
    pub(super) fn no_connect_if(&self, id: &str, more: &str) -> String {
        let port = self.port;
        format!("{{id: {id}, subject: covered, {more}deny: connect, peers: '127.0.0.1:{port}'}}")
    }

    /// Starts the agent, and waits until it answers.
    pub(super) fn start(&mut self, options: &[&str]) -> Result<()> {
        self.start_build(&self.program.clone(), options)
    }

    /// The same for another build.
    pub(super) fn start_build(&mut self, program: &Path, options: &[&str]) -> Result<()> {
        let log = File::options().create(true).append(true).open(at("log"))?;
        let mut command = Command::new(program);
        command.args(["run", "--no-alerts", "--rules"]).arg(at("rules")).args(options);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        self.agent = Some(child.context("starting the agent")?);
        self.answers()
    }

    /// Waits until the agent answers.
    pub(super) fn answers(&mut self) -> Result<()> {
        self.until("the agent answers", |scene| {
            if let Some(ended) = scene.agent.as_mut().and_then(|one| one.try_wait().ok()?) {
                bail!("the agent ended: {ended}");
            }
            // The worker of a killed one may not have noticed yet.
            let status = scene.ask(&["status", "-o", "json"])?.stdout;
            let status: Value = serde_json::from_slice(&status).unwrap_or_default();
            Ok(status["guard"]["pid"] == scene.guard()?)
        })
    }

    /// The path of another build.
    pub(super) fn other_build(&self, differs: Differs) -> Result<PathBuf> {
        build::other(&self.program, differs)
    }

    /// A command of the operator.
    pub(super) fn ask(&self, words: &[&str]) -> Result<Output> {
        Command::new(&self.program).args(words).output().context("starting a command")
    }

    /// A command while which nobody can read or write anything, this process included: it only waits
    /// until the command has ended, and then until files can be read again.
    pub(super) fn ask_blind(&mut self, words: &[&str]) -> Result<(ExitStatus, String)> {
        let said = at("said");
        let out = File::create(&said)?;
        let mut command = Command::new(&self.program);
        command.args(words).stdin(Stdio::null()).stderr(out.try_clone()?).stdout(out);
        let status = command.spawn().context("starting a command")?.wait()?;
        self.until("files can be read again", |_| Ok(File::open(&said).is_ok()))?;
        Ok((status, fs::read_to_string(&said)?))
    }

    /// A command that must go through; what it said.
    pub(super) fn told(&self, command: &[&str]) -> Result<String> {
        let output = self.ask(command)?;
        ensure!(output.status.success(), "{command:?}: {}", words(&output));
        Ok(words(&output))
    }

    /// What `policy show` says of the running agent.
    pub(super) fn show(&self) -> Result<Value> {
        let output = self.ask(&["policy", "show", "-o", "json"])?;
        let mut document: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("policy show: {}", words(&output)))?;
        Ok(document["agent"].take())
    }

    /// The kernel has this generation as it was given.
    pub(super) fn is_in_kernel(&self, generation: u64) -> Result<Value> {
        let shown = self.show()?;
        let kernel = &shown["in_kernel"];
        let holds = shown["tier"] == "lsm"
            && kernel["generation"] == generation
            && kernel["is_what_was_given"] == true;
        ensure!(holds, "generation {generation} is not in the kernel by LSM programs: {shown}");
        Ok(shown)
    }

    /// Process and outcome of a deed of a program.
    pub(super) fn act(&self, program: &str, deed: &Deed) -> Result<(u32, String)> {
        let mut command = Command::new(program);
        command.args(["attempt"]).args(self.deed(deed));
        crate::lab::outcome(command.stdout(Stdio::piped()).spawn()?)
    }

    pub(super) fn deed(&self, deed: &Deed) -> [String; 2] {
        match deed {
            Deed::Read(file) => ["read".into(), at(file).display().to_string()],
            Deed::Connect => ["connect".into(), format!("127.0.0.1:{}", self.port)],
            Deed::ReadThenConnect(file) => {
                let both = format!("{},127.0.0.1:{}", at(file).display(), self.port);
                ["read-connect".into(), both]
            }
        }
    }

    /// Whether it is denied to whom the rules are about; it never is to others, and for no other reason.
    pub(super) fn is_denied(&self, deed: &Deed) -> Result<bool> {
        self.verdict(deed).map(|denied| denied.is_some())
    }

    /// The process that was denied, if it was.
    fn verdict(&self, deed: &Deed) -> Result<Option<u32>> {
        let (_, free) = self.act(FREE, deed)?;
        ensure!(free == "ok", "{deed:?} by somebody whom no rule is about came to {free}");
        match self.act(COVERED, deed)? {
            (pid, said) if said == "errno 1" => Ok(Some(pid)),
            (_, said) if said == "ok" => Ok(None),
            (_, said) => bail!("{deed:?} came to {said}"),
        }
    }

    /// It is denied, and the agent tells of a process that tried with the rule. Of a flood of denials
    /// not each is told, so it is tried again.
    pub(super) fn denied(&mut self, deed: &Deed, rule: &str) -> Result<()> {
        let rule = format!("rule=\"run/{rule}\"");
        let end = Instant::now() + PATIENCE;
        loop {
            let pid = self.verdict(deed)?.with_context(|| format!("{deed:?} was not denied"))?;
            let pid = format!("pid={pid} ");
            let told = |line: &str| [" denied ", &rule, &pid].iter().all(|one| line.contains(one));
            let again = Instant::now() + TOLD;
            while Instant::now() < again {
                if self.log().lines().any(told) {
                    return Ok(());
                }
                std::thread::sleep(POLL);
            }
            ensure!(Instant::now() < end, "{deed:?} was denied, and the log tells no {rule}");
        }
    }

    /// It is allowed to both.
    pub(super) fn allowed(&self, deed: &Deed) -> Result<()> {
        ensure!(!self.is_denied(deed)?, "{deed:?} was denied");
        Ok(())
    }

    /// Waits for a line of the log with all of these.
    pub(super) fn logged(&mut self, parts: &[&str]) -> Result<()> {
        self.until(&format!("the log tells {parts:?}"), |scene| {
            let log = scene.log();
            Ok(log.lines().any(|line| parts.iter().all(|part| line.contains(part))))
        })
    }

    /// What the agent logged.
    #[expect(clippy::unused_self, reason = "it is the log of the scene")]
    pub(super) fn log(&self) -> String {
        fs::read_to_string(at("log")).unwrap_or_default()
    }

    /// Prints what the agent logged since the last time.
    pub(super) fn tell(&mut self) {
        let log = self.log();
        for line in log.get(self.seen..).unwrap_or_default().lines() {
            println!("  | {line}");
        }
        self.seen = log.len();
    }

    /// Waits until something holds.
    pub(super) fn until(
        &mut self,
        what: &str,
        holds: impl FnMut(&mut Scene) -> Result<bool>,
    ) -> Result<()> {
        lab::until(self, what, PATIENCE, holds)
    }

    /// The process number of the guard.
    pub(super) fn guard(&self) -> Result<u32> {
        self.agent.as_ref().map(Child::id).context("no agent runs")
    }

    /// Sends a signal to the guard and the worker.
    pub(super) fn signal_both(&self, worker: u32, signal: Signal) -> Result<()> {
        for pid in [worker, self.guard()?] {
            kill(Pid::from_raw(i32::try_from(pid)?), signal)?;
        }
        Ok(())
    }

    /// Sends a signal to the guard and waits for its end; what it ended with.
    pub(super) fn end(&mut self, signal: Signal) -> Result<ExitStatus> {
        kill(Pid::from_raw(i32::try_from(self.guard()?)?), signal)?;
        let mut agent = self.agent.take().context("no agent runs")?;
        agent.wait().context("waiting for the agent")
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(agent) = &mut self.agent
            && let Err(error) = agent.kill().and_then(|()| agent.wait().map(drop))
        {
            eprintln!("the agent could not be ended: {error}");
        }
    }
}

/// A process that stays, and does its deed when it is told to.
pub(super) struct Living {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Living {
    /// As `child` it does it itself, as `parent` by another program that it starts.
    pub(super) fn start(scene: &Scene, program: &str, how: &str, deed: &Deed) -> Result<Living> {
        let mut command = Command::new(program);
        command.args(["attempt", how]).args(scene.deed(deed));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut out = BufReader::new(child.stdout.take().context("no output")?);
        out.read_line(&mut String::new())?;
        Ok(Living { child, out })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What its deed comes to now.
    pub(super) fn ask(&mut self) -> Result<String> {
        writeln!(self.child.stdin.as_mut().context("no input")?)?;
        let mut line = String::new();
        self.out.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    pub(super) fn end(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        self.child.wait().context("waiting for a process").map(drop)
    }
}
