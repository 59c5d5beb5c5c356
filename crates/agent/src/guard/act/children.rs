//! Actions that take a while, done by processes of their own: commands of this same program, for which
//! the guard does not wait. They end with it, also when it is killed: whoever comes next looks at what was
//! done, and nothing may be done behind his back.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::Signal;
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

/// What such a process is called.
const NAME: &str = "aegisbpf-action";

/// If this process is one of these: it ends when the guard does.
pub(crate) fn end_with_the_guard() -> io::Result<()> {
    if std::env::args_os().next().is_none_or(|name| name != NAME) {
        return Ok(());
    }
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // Whoever took us in since is no guard. Who runs as nobody may not look, and changes nothing here.
    let parent = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    let program =
        |of: &str| fs::metadata(format!("/proc/{of}/exe")).map(|one| (one.dev(), one.ino()));
    match program(&parent.to_string()) {
        Ok(theirs) if theirs != program("self")? => Err(io::Error::other("the guard has ended")),
        _ => Ok(()),
    }
}

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
    since: Instant,
    killed: bool,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Children {
    program: PathBuf,
    limit: Duration,
    running: Vec<Running>,
    waiting: VecDeque<Job>,
}

impl Children {
    /// Those of this program.
    pub(super) fn new() -> Children {
        Children::of("/proc/self/exe".into(), LIMIT)
    }

    fn of(program: PathBuf, limit: Duration) -> Children {
        Children { program, limit, running: Vec::new(), waiting: VecDeque::new() }
    }

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
                    one.end_after(self.limit);
                    self.running.push(one);
                }
                Ok(Some(status)) => ended.push(one.end(status, self.limit)),
                Err(error) => ended.push((one.job, Err(error.to_string()))),
            }
        }
        while self.running.len() < RUNNING_MAX
            && let Some(job) = self.waiting.pop_front()
        {
            match Running::begin(&self.program, &job) {
                Ok(child) => {
                    let since = Instant::now();
                    self.running.push(Running { job, child, since, killed: false });
                }
                Err(error) => ended.push((job, Err(format!("it cannot be begun: {error}")))),
            }
        }
        ended
    }
}

impl Running {
    fn begin(program: &Path, job: &Job) -> io::Result<Child> {
        let mut command = Command::new(program);
        command.arg0(NAME);
        if job.input.is_some() {
            seccomp::child(&mut command, Kind::Post);
        }
        command.args(&job.words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if job.input.is_some() {
            as_nobody(&mut command).stdin(Stdio::piped());
        }
        let mut child = command.spawn()?;
        if let (Some(input), Some(mut pipe)) = (&job.input, child.stdin.take()) {
            fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
            pipe.write_all(input)?;
        }
        let outputs =
            [child.stdout.as_ref().map(AsFd::as_fd), child.stderr.as_ref().map(AsFd::as_fd)];
        for output in outputs.into_iter().flatten() {
            fcntl_setfl(output, OFlags::NONBLOCK)?;
        }
        Ok(child)
    }

    /// Ends it if it takes too long. What it leaves is settled by whoever comes next.
    fn end_after(&mut self, limit: Duration) {
        if self.since.elapsed() > limit && !std::mem::replace(&mut self.killed, true) {
            drop(self.child.kill());
        }
    }

    fn end(self, status: ExitStatus, limit: Duration) -> (Job, Result<Json, String>) {
        if self.killed && !status.success() {
            let seconds = limit.as_secs();
            return (self.job, Err(format!("it took more than {seconds} s and was ended")));
        }
        if status.success() {
            let said = said(self.child.stdout);
            let about = if said.is_empty() { json!({}) } else { json!({ "said": said }) };
            return (self.job, Ok(about));
        }
        let said = said(self.child.stderr);
        let reason = if said.is_empty() { format!("it ended with {status}") } else { said };
        (self.job, Err(reason))
    }
}

/// What an output holds; what is not there yet is nobody's any more.
fn said(output: Option<impl Read>) -> String {
    let mut text = Vec::new();
    drop(output.map(|output| output.take(SAID_MAX).read_to_end(&mut text)));
    let text = String::from_utf8_lossy(&text);
    text.trim().trim_start_matches("aegisbpf: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Jobs of a shell in place of this program.
    fn shell(limit: Duration) -> Children {
        Children::of("/bin/sh".into(), limit)
    }

    fn job(id: u64, script: &str) -> Job {
        let words = ["-c", script].map(OsString::from).into();
        Job { id, rule: "r".into(), verb: Verb::Quarantine, end: None, words, input: None }
    }

    /// Serves until this one has ended, and tells what came of it; others with it.
    fn outcome(children: &mut Children, id: u64) -> (Result<Json, String>, Vec<u64>) {
        let (begin, mut others) = (Instant::now(), Vec::new());
        loop {
            for (job, outcome) in children.service() {
                if job.id == id {
                    return (outcome, others);
                }
                others.push(job.id);
            }
            assert!(begin.elapsed() < Duration::from_mins(1), "{id} does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn one_that_takes_too_long_is_ended_and_says_so() {
        assert_eq!(LIMIT, Duration::from_secs(90), "as it is documented");
        let mut children = shell(Duration::from_secs(1));
        children.begin(job(1, "exec sleep 60")).unwrap();
        children.begin(job(2, "sleep 0.1")).unwrap();
        let (outcome_of_one, others) = outcome(&mut children, 1);
        assert_eq!(outcome_of_one, Err("it took more than 1 s and was ended".to_owned()));
        assert_eq!(others, [2], "the control ended by itself, before");
        assert!(!children.has(1));
    }

    #[test]
    fn so_many_run_and_wait_and_one_more_is_refused() {
        let mut children = shell(LIMIT);
        for id in 0..4 {
            children.begin(job(id, "exec sleep 60")).unwrap();
        }
        assert!(children.service().is_empty());
        for id in 4..68 {
            children.begin(job(id, "exit 0")).unwrap();
            assert!(children.service().is_empty());
        }
        let refused = children.begin(job(68, "exit 0"));
        assert_eq!(refused, Err("64 other actions wait to be done".to_owned()));
        assert!(children.has(67) && !children.has(68));
        assert_eq!((children.running.len(), children.waiting.len()), (4, 64));
        // As soon as one ends, there is room.
        children.running[0].child.kill().unwrap();
        let (killed, _) = outcome(&mut children, 0);
        assert!(killed.is_err_and(|reason| reason.contains("signal: 9")));
        assert!(children.begin(job(69, "exit 0")).is_ok());
        assert_eq!(outcome(&mut children, 69).0, Ok(json!({})));
        for one in &mut children.running {
            one.child.kill().unwrap();
            one.child.wait().unwrap();
        }
    }

    #[test]
    fn what_one_says_is_in_what_came_of_it() {
        let mut children = shell(LIMIT);
        children.begin(job(1, "echo partly; echo loudly >&2")).unwrap();
        assert_eq!(outcome(&mut children, 1).0, Ok(json!({ "said": "partly" })));
        children.begin(job(2, "echo aegisbpf: not at all >&2; exit 1")).unwrap();
        assert_eq!(outcome(&mut children, 2).0, Err("not at all".to_owned()));
    }
}
