//! The process that has the network: a command of this program that runs as nobody, with nothing of ours.
//!
//! | standard input | |
//! |---|---|
//! | first line | an [`Order`]: where to, with what stands in files that nobody may read |
//! | then, again and again | items, one a line, and an empty line |
//!
//! After each empty line it answers one line on standard output: how many have arrived, and why no more.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use files::Trust;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};

use super::item::Item;
use super::sink::{self, Refusal, Sent, Sink};
use super::spool::LINE_MAX;
use super::target::Target;
use crate::exit::{Exit, Failure};
use crate::guard::as_nobody;
use crate::seccomp::{self, Kind};

/// Bytes of a file with certificates: a whole bundle of a distribution.
const CA_MAX: u64 = 1 << 20;
/// Bytes of a file with a secret.
const TOKEN_MAX: u64 = 16 << 10;
/// Bytes of an answer.
const ANSWER_MAX: u64 = 4 << 10;
/// Letters of a reason.
const REASON_MAX: usize = 512;
/// How long a sender may take for a batch, in seconds: sinks have limits of their own, so one that takes longer is
/// stuck.
const PATIENCE: i64 = 120;

/// What a sender is told first.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// The output, as the operator wrote it.
    pub(crate) target: String,
    /// Whom to trust, as PEM.
    pub(crate) ca: Option<String>,
    /// What to show of oneself.
    pub(crate) token: Option<String>,
}

impl Order {
    /// Reads what nobody may read.
    fn of(target: &Target) -> Result<Order, String> {
        let read = |path: &Option<std::path::PathBuf>, limit, trust| {
            let bytes = path.as_ref().map(|path| files::read_bytes(path, limit, trust));
            let bytes = bytes.transpose().map_err(|error| error.to_string())?;
            let text =
                bytes.map(|bytes| String::from_utf8(bytes).map_err(|error| error.to_string()));
            text.transpose()
        };
        let token = read(&target.token, TOKEN_MAX, Trust::Private)?;
        let token = token.map(|token| token.trim().to_owned());
        let ca = read(&target.ca, CA_MAX, Trust::Owner)?;
        Ok(Order { target: target.to_string(), ca, token })
    }
}

/// An answer.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    done: usize,
    later: Option<String>,
    never: Option<String>,
}

impl From<Sent> for Answer {
    fn from(sent: Sent) -> Answer {
        let (later, never) = match sent.refusal {
            Some(Refusal::Later(why)) => (Some(why), None),
            Some(Refusal::Never(why)) => (None, Some(why)),
            None => (None, None),
        };
        let short = |why: Option<String>| why.map(|why| why.chars().take(REASON_MAX).collect());
        Answer { done: sent.done, later: short(later), never: short(never) }
    }
}

/// `aegisbpf send`: until standard input ends.
pub(crate) fn run() -> Result<Exit, Failure> {
    let failed = |why: String| Failure::new(Exit::Failed, why);
    let mut input = BufReader::new(std::io::stdin().lock());
    let first = line(&mut input)?.unwrap_or_default();
    let order: Order = serde_json::from_str(&first).map_err(|error| failed(error.to_string()))?;
    let mut sink = sink::remote(&order).map_err(failed)?;
    let mut items = Vec::new();
    while let Some(text) = line(&mut input)? {
        if !text.is_empty() {
            items.extend(Item::of(&text));
            continue;
        }
        let answer = Answer::from(sink.send(&std::mem::take(&mut items)));
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", serde_json::json!(answer))?;
        out.flush()?;
    }
    Ok(Exit::Ok)
}

fn line(input: &mut impl BufRead) -> Result<Option<String>, Failure> {
    let mut text = String::new();
    let limit = (LINE_MAX + 2) as u64;
    let got = input.take(limit).read_line(&mut text);
    let got = got.map_err(|error| Failure::new(Exit::Failed, format!("cannot read: {error}")))?;
    Ok((got > 0).then(|| text.trim_end_matches('\n').to_owned()))
}

/// The forwarder's end of a sender. It is started when there is something to send, and again when it has ended.
#[derive(Debug)]
pub(super) struct Remote {
    target: Target,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Remote {
    pub(super) fn new(target: Target) -> Remote {
        Remote { target, running: None }
    }

    fn exchange(&mut self, items: &[Item]) -> Result<Sent, String> {
        let mut running = match self.running.take() {
            Some(running) => running,
            None => Running::start(&Order::of(&self.target)?)?,
        };
        let answer = running.ask(items)?;
        self.running = Some(running);
        let refusal = answer.never.map(Refusal::Never).or(answer.later.map(Refusal::Later));
        Ok(Sent { done: answer.done.min(items.len()), refusal })
    }
}

impl Sink for Remote {
    fn send(&mut self, items: &[Item]) -> Sent {
        self.exchange(items).unwrap_or_else(|why| Sent::all(items.len(), Err(why)))
    }
}

impl Running {
    fn start(order: &Order) -> Result<Running, String> {
        let wrong = |error: std::io::Error| format!("the sender cannot be started: {error}");
        let mut command = Command::new("/proc/self/exe");
        command.arg0(Kind::Sender.name());
        seccomp::child(&mut command, Kind::Sender).arg("send");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = as_nobody(&mut command).spawn().map_err(wrong)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("the sender has no pipes".to_owned());
        };
        let mut running = Running { child, input, output: BufReader::new(output) };
        let text = serde_json::json!(order).to_string();
        writeln!(running.input, "{text}").map_err(|_| running.reason())?;
        Ok(running)
    }

    fn ask(&mut self, items: &[Item]) -> Result<Answer, String> {
        let mut text = String::new();
        for item in items {
            text.push_str(&serde_json::json!(item.document).to_string());
            text.push('\n');
        }
        text.push('\n');
        self.input.write_all(text.as_bytes()).map_err(|_| self.reason())?;
        let limit = Timespec { tv_sec: PATIENCE, tv_nsec: 0 };
        let mut fds = [PollFd::new(self.output.get_ref(), PollFlags::IN)];
        let ready = rustix::io::retry_on_intr(|| poll(&mut fds, Some(&limit)));
        if ready.unwrap_or_default() == 0 {
            return Err(format!("the sender is stuck for {PATIENCE} s and is ended"));
        }
        let mut answer = String::new();
        let read = (&mut self.output).take(ANSWER_MAX).read_line(&mut answer);
        if read.unwrap_or_default() == 0 {
            return Err(self.reason());
        }
        serde_json::from_str(&answer).map_err(|error| format!("the sender's answer: {error}"))
    }

    /// Why it ended.
    fn reason(&mut self) -> String {
        drop(self.child.kill());
        let mut said = String::new();
        if let Some(stderr) = self.child.stderr.take() {
            drop(stderr.take(ANSWER_MAX).read_to_string(&mut said));
        }
        let said: String =
            said.trim().trim_start_matches("aegisbpf: ").chars().take(REASON_MAX).collect();
        if said.is_empty() { "the sender has ended".to_owned() } else { said }
    }
}

/// A sender that nobody asks any more ends.
impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
