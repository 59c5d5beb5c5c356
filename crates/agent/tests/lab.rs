//! An agent of a test, in a directory of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// The program under test.
pub(crate) const AGENT: &str = env!("CARGO_BIN_EXE_aegisbpf");
/// Loading the programs takes seconds on a busy machine.
const START: Duration = Duration::from_mins(3);

/// Whether the test can run; says so when it cannot.
pub(crate) fn root(test: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        println!("SKIP {test}: loading sensors needs root");
    }
    root
}

/// A scratch directory with a rule about programs that run from it.
pub(crate) struct Lab {
    dir: TempDir,
}

impl Lab {
    pub(crate) fn new() -> Lab {
        let lab =
            Lab { dir: tempfile::Builder::new().prefix("agent-").tempdir_in("/tmp").unwrap() };
        fs::create_dir(lab.path("rules")).unwrap();
        lab.rule("scratch", &lab.path("x").display().to_string());
        lab
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A rule that matches the start of this executable.
    pub(crate) fn rule(&self, id: &str, executable: &str) {
        let text = format!(
            "[[rule]]\nid = \"{id}\"\nname = \"Scratch program\"\ndescription = \"A test.\"\n\
             severity = \"high\"\nattack = [\"T1204.002\"]\n\
             query = '''process where event.type == \"start\" and process.executable == \
             \"{executable}\"'''\n"
        );
        fs::write(self.path("rules").join(format!("{id}.toml")), text).unwrap();
    }

    /// A command of the agent that talks to this lab's instance.
    pub(crate) fn ask(&self, words: &[&str]) -> Output {
        let runtime = self.path("run");
        Command::new(AGENT).args(words).arg("--runtime-dir").arg(runtime).output().unwrap()
    }

    /// `status -o json`, if an agent answers.
    pub(crate) fn status(&self) -> Option<Value> {
        let output = self.ask(&["status", "-o", "json"]);
        let json = serde_json::from_slice(&output.stdout).ok()?;
        output.status.success().then_some(json)
    }

    /// `run` as a command, with the lab's rules and runtime directory.
    pub(crate) fn command(&self) -> Command {
        let mut command = self.bare();
        command.arg("--rules").arg(self.path("rules"));
        command
    }

    /// The same without rules.
    pub(crate) fn bare(&self) -> Command {
        let mut command = Command::new(AGENT);
        // What is configured on this host is none of the test's business.
        command.args(["run", "-o", "json", "--config", "/dev/null"]);
        // What is missing on the lists of system calls is found by all tests together.
        command.arg("--seccomp");
        command.arg("--runtime-dir").arg(self.path("run"));
        command.stdin(Stdio::null());
        command
    }

    /// Starts the agent and waits until it answers.
    pub(crate) fn start(&self) -> Agent {
        self.start_with(&[])
    }

    /// The same with more options.
    pub(crate) fn start_with(&self, options: &[&str]) -> Agent {
        let mut command = self.command();
        command.args(options);
        self.launch(command)
    }

    /// Starts such a command and waits until the agent answers.
    pub(crate) fn launch(&self, mut command: Command) -> Agent {
        let log = fs::File::create(self.path("log")).unwrap();
        // Agents of different tests must not share what they keep.
        if !command.get_args().any(|word| word == "--state-dir") {
            command.arg("--state-dir").arg(self.path("state"));
        }
        let mut guard = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let lines = lines(guard.stdout.take().unwrap());
        let mut agent = Agent { guard, lines };
        let start = Instant::now();
        while self.status().is_none() {
            let ended = agent.guard.try_wait().unwrap();
            let log = || fs::read_to_string(self.path("log")).unwrap_or_default();
            assert!(ended.is_none(), "the agent ended with {ended:?}:\n{}", log());
            assert!(start.elapsed() < START, "the agent does not answer:\n{}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
        agent
    }

    /// Copies sleep to `x` in the lab and runs it; returns its pid.
    pub(crate) fn run_scratch(&self, name: &str) -> u32 {
        let program = self.path(name);
        if !program.exists() {
            fs::copy("/bin/sleep", &program).unwrap();
        }
        let mut child = Command::new(program).arg("0.01").spawn().unwrap();
        child.wait().unwrap();
        child.id()
    }
}

/// A running agent; killed with this value.
pub(crate) struct Agent {
    guard: Child,
    lines: Receiver<String>,
}

impl Agent {
    pub(crate) fn guard(&self) -> u32 {
        self.guard.id()
    }

    /// The alert about that process, if it comes in time.
    pub(crate) fn alert(&self, pid: u32, limit: Duration) -> Option<Value> {
        let end = Instant::now() + limit;
        loop {
            let alert = self.next(end.saturating_duration_since(Instant::now()))?;
            if alert.pointer("/process/pid").and_then(Value::as_u64) == Some(pid.into()) {
                return Some(alert);
            }
        }
    }

    /// The same, and all lines up to it.
    pub(crate) fn alert_and_lines(&self, pid: u32, limit: Duration) -> (Option<Value>, String) {
        let (end, mut all) = (Instant::now() + limit, String::new());
        while let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            all.extend([line.as_str(), "\n"]);
            let Ok(document) = serde_json::from_str::<Value>(&line) else { continue };
            let is_its =
                document.pointer("/process/pid").and_then(Value::as_u64) == Some(pid.into());
            if is_its && document["event"]["kind"] == "alert" {
                return (Some(document), all);
            }
        }
        (None, all)
    }

    /// The next alert, if it comes in time.
    pub(crate) fn next(&self, limit: Duration) -> Option<Value> {
        let end = Instant::now() + limit;
        loop {
            let document = self.document(end.saturating_duration_since(Instant::now()))?;
            if document["event"]["kind"] == "alert" {
                return Some(document);
            }
        }
    }

    /// What the agent tells of itself with that action, if it comes in time; alerts before it are
    /// passed over.
    pub(crate) fn notice(&self, action: &str, limit: Duration) -> Option<Value> {
        let end = Instant::now() + limit;
        loop {
            let document = self.document(end.saturating_duration_since(Instant::now()))?;
            if document["event"]["kind"] == "pipeline_error"
                && document["event"]["action"] == action
            {
                return Some(document);
            }
        }
    }

    /// The next document of either sort, if it comes in time.
    fn document(&self, limit: Duration) -> Option<Value> {
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).ok()?;
            match serde_json::from_str(&line) {
                Ok(document) => return Some(document),
                // A worker that is killed may leave a torn line; its successor ends it.
                Err(_) if line.is_empty() => {}
                Err(error) if error.is_eof() => println!("torn: {line:.80}"),
                Err(error) => panic!("{error}: {line}"),
            }
        }
    }

    /// Sends SIGTERM and waits.
    pub(crate) fn stop(mut self) -> ExitStatus {
        signal(self.guard(), Signal::SIGTERM);
        self.guard.wait().unwrap()
    }

    /// Sends SIGKILL to the guard and waits.
    pub(crate) fn kill(mut self) {
        self.guard.kill().unwrap();
        self.guard.wait().unwrap();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Ok(None) = self.guard.try_wait() {
            self.guard.kill().unwrap();
            self.guard.wait().unwrap();
        }
    }
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal).unwrap();
}

pub(crate) fn alive(pid: u64) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Waits until something holds, and tells how long that took.
pub(crate) fn until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
    start.elapsed()
}

fn lines(out: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
