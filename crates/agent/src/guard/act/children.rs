//! Actions that take a while, done by processes of their own: commands of this same program, for which
//! the guard does not wait.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_setfl};
use serde_json::{Value as Json, json};

use crate::guard::prevent::as_nobody;
use crate::proto::Verb;
use crate::seccomp::{self, Kind};

/// How long one may take: the copy of the largest file, behind another one.
pub(super) const LIMIT: Duration = Duration::from_secs(90);
/// Those that run at the same time: most wait for the same lock anyway.
const RUNNING_MAX: usize = 4;
/// Those that wait; limits of rules let no more pass in a minute unless the operator said so.
const WAITING_MAX: usize = 64;
/// Bytes of what one says that go into the audit log.
const SAID_MAX: u64 = 1_024;

/// Something to be done or undone.
#[derive(Debug)]
pub(super) struct Job {
    /// Number of the decision.
    pub(super) id: u64,
    /// Who wanted it.
    pub(super) rule: String,
    /// What it is.
    pub(super) verb: Verb,
    /// The word for how it ends, if it is undone.
    pub(super) end: Option<&'static str>,
    /// The command.
    pub(super) words: Vec<OsString>,
    /// What it is to read; then it runs as nobody, with nothing of ours. Less than a pipe holds.
    pub(super) input: Option<Vec<u8>>,
}

#[derive(Debug)]
struct Running {
    job: Job,
    child: Child,
    said: Option<ChildStderr>,
    since: Instant,
    killed: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Children {
    running: Vec<Running>,
    waiting: VecDeque<Job>,
}

impl Children {
    /// Does this as soon as there is room.
    pub(super) fn begin(&mut self, job: Job) -> Result<(), String> {
        if self.waiting.len() >= WAITING_MAX {
            return Err(format!("{WAITING_MAX} other actions wait to be done"));
        }
        self.waiting.push_back(job);
        Ok(())
    }

    /// Whether this action is being done or undone.
    pub(super) fn has(&self, id: u64) -> bool {
        let mut all = self.running.iter().map(|one| &one.job).chain(&self.waiting);
        all.any(|job| job.id == id)
    }

    /// Begins what waits, and takes what has ended, with what came of it.
    pub(super) fn service(&mut self) -> Vec<(Job, Result<Json, String>)> {
        let mut ended = Vec::new();
        for mut one in std::mem::take(&mut self.running) {
            match one.child.try_wait() {
                Ok(None) => {
                    one.limit();
                    self.running.push(one);
                }
                Ok(Some(status)) => ended.push(one.end(status)),
                Err(error) => ended.push((one.job, Err(error.to_string()))),
            }
        }
        while self.running.len() < RUNNING_MAX
            && let Some(job) = self.waiting.pop_front()
        {
            match Running::begin(&job) {
                Ok((child, said)) => {
                    let since = Instant::now();
                    self.running.push(Running { job, child, said, since, killed: false });
                }
                Err(error) => ended.push((job, Err(format!("it cannot be begun: {error}")))),
            }
        }
        ended
    }
}

impl Running {
    fn begin(job: &Job) -> std::io::Result<(Child, Option<ChildStderr>)> {
        let mut command = Command::new("/proc/self/exe");
        command.arg0("aegisbpf-action");
        if job.input.is_some() {
            seccomp::child(&mut command, Kind::Post);
        }
        command.args(&job.words);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        if job.input.is_some() {
            as_nobody(&mut command).stdin(Stdio::piped());
        }
        let mut child = command.spawn()?;
        if let (Some(input), Some(mut pipe)) = (&job.input, child.stdin.take()) {
            fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
            pipe.write_all(input)?;
        }
        let said = child.stderr.take();
        if let Some(said) = &said {
            fcntl_setfl(said, OFlags::NONBLOCK)?;
        }
        Ok((child, said))
    }

    /// Ends it if it takes too long. What it leaves is settled by whoever comes next.
    fn limit(&mut self) {
        if self.since.elapsed() > LIMIT && !std::mem::replace(&mut self.killed, true) {
            drop(self.child.kill());
        }
    }

    fn end(self, status: ExitStatus) -> (Job, Result<Json, String>) {
        if status.success() {
            return (self.job, Ok(json!({})));
        }
        if self.killed {
            let seconds = LIMIT.as_secs();
            return (self.job, Err(format!("it took more than {seconds} s and was ended")));
        }
        let mut text = Vec::new();
        // What is not there yet is nobody's any more.
        drop(self.said.map(|said| said.take(SAID_MAX).read_to_end(&mut text)));
        let text = String::from_utf8_lossy(&text);
        let text = text.trim().trim_start_matches("aegisbpf: ");
        let reason =
            if text.is_empty() { format!("it ended with {status}") } else { text.to_owned() };
        (self.job, Err(reason))
    }
}
