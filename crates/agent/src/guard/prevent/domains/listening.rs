//! Learns from answers that this host really got. The kernel copies them (`kernel::answers`), a process
//! that runs as nobody reads them, and here only its lines are understood: a name, an address, seconds.
//!
//! Nothing of it is waited for: what the process cannot take at once stays where it is, and what then finds
//! no room in the kernel's ring is counted and lost.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use kernel::answers::Answers;
use serde_json::{Value as Json, json};

use super::asking::{helper, unblock};
use super::message::UNFIT;
use super::servers::Servers;
use crate::seccomp::Kind;

/// Before something that failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// The same where the kernel refuses the programs.
const REFUSED_PAUSE: Duration = Duration::from_mins(1);
/// Bytes of lines that are read in one turn, which is more than one message makes.
const READ_MAX: usize = 64 * 1024;

/// What an answer said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Heard {
    /// The name that was asked for, in lower case.
    pub(super) name: String,
    pub(super) address: IpAddr,
    /// How long it holds, as the name server says.
    pub(super) ttl: Duration,
}

/// The programs and the reader, while they are needed.
#[derive(Debug, Default)]
pub(super) struct Listener {
    answers: Option<Answers>,
    reader: Option<Reader>,
    servers: Servers,
    retry: Option<Instant>,
    /// Whether it failed and that was said.
    failed: bool,
    /// Messages that the reader had no room for yet: at most what is read at once.
    waiting: VecDeque<Vec<u8>>,
    /// Messages that say nothing to rely on.
    unfit: u64,
}

impl Listener {
    /// Nobody wants to know any more.
    pub(super) fn end(&mut self) {
        if self.answers.is_some() {
            *self = Listener::default();
        }
    }

    /// What was heard since the last call.
    pub(super) fn follow(&mut self, now: Instant) -> Vec<Heard> {
        if self.retry.is_some_and(|retry| now < retry) {
            return Vec::new();
        }
        self.retry = None;
        let (error, pause) = match self.begin(now) {
            Err(error) => (error.to_string(), REFUSED_PAUSE),
            Ok(()) => match self.pass_on() {
                Ok(heard) => {
                    // It works again, so the next failure is news.
                    self.failed &= heard.is_empty();
                    return heard;
                }
                Err(error) => {
                    self.reader = None;
                    (format!("they cannot be read: {error}"), PAUSE)
                }
            },
        };
        self.retry = Some(now + pause);
        if !std::mem::replace(&mut self.failed, true) {
            tracing::warn!(error, "nothing is learned from answers of name servers, for now");
        }
        Vec::new()
    }

    /// What is worth a turn as soon as it can be read.
    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        // While nobody takes more, what waits in the ring is no reason to hurry.
        let ready = self.retry.is_none();
        let takes = ready && self.waiting.is_empty();
        let answers = self.answers.as_ref().filter(|_| takes).map(Answers::fd);
        let lines = self.reader.as_ref().filter(|_| ready).map(|reader| reader.stdout.as_fd());
        answers.into_iter().chain(lines)
    }

    /// For `policy show`: what became of answers; nothing if none are looked at.
    pub(super) fn document(&self) -> Json {
        let Some(answers) = &self.answers else { return Json::Null };
        match answers.counters() {
            Ok(counters) => json!({
                "taken": counters.taken,
                "unasked": counters.unasked,
                "too_long": counters.too_long,
                "lost": counters.no_room,
                "unfit": self.unfit,
            }),
            Err(error) => json!({ "error": error.to_string() }),
        }
    }

    fn begin(&mut self, now: Instant) -> Result<(), kernel::Error> {
        if self.answers.is_none() {
            self.answers = Some(Answers::open()?);
            self.servers = Servers::default();
        }
        if let (Some(answers), Some(servers)) = (&mut self.answers, self.servers.follow(now)) {
            answers.listen_to(servers)?;
            tracing::info!(?servers, "answers of these name servers count for domains of policies");
        }
        Ok(())
    }

    fn pass_on(&mut self) -> io::Result<Vec<Heard>> {
        let Some(answers) = &self.answers else { return Ok(Vec::new()) };
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(Reader::start()?),
        };
        if self.waiting.is_empty() {
            self.waiting = answers.next().map_err(io::Error::other)?.into();
        }
        while let Some(message) = self.waiting.front() {
            if !reader.give(message)? {
                break;
            }
            self.waiting.pop_front();
        }
        let (heard, unfit) = reader.take()?;
        self.unfit += unfit;
        Ok(heard)
    }
}

/// The process that reads messages.
#[derive(Debug)]
struct Reader {
    process: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    text: Vec<u8>,
}

impl Reader {
    fn start() -> io::Result<Reader> {
        let mut command = helper(Kind::Answers, &["read-answers"]);
        let mut process = command.stdin(Stdio::piped()).spawn()?;
        let pipes = process.stdin.take().zip(process.stdout.take());
        let (stdin, stdout) = pipes.ok_or(io::ErrorKind::BrokenPipe)?;
        let reader = Reader { process, stdin, stdout, text: Vec::new() };
        unblock(&reader.stdin)?;
        unblock(&reader.stdout)?;
        Ok(reader)
    }

    /// Gives it a message; false if it has no room for it now. The message is shorter than what a pipe
    /// takes as a whole or not at all.
    fn give(&mut self, message: &[u8]) -> io::Result<bool> {
        let len = u16::try_from(message.len()).map_err(io::Error::other)?;
        let framed = [&len.to_le_bytes(), message].concat();
        match self.stdin.write(&framed) {
            Ok(written) if written == framed.len() => Ok(true),
            Ok(_) => Err(io::ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What it said since, and of how many messages that nothing is to be learned from them.
    fn take(&mut self) -> io::Result<(Vec<Heard>, u64)> {
        let mut buffer = [0; 4_096];
        while self.text.len() < READ_MAX {
            match self.stdout.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(len) => self.text.extend_from_slice(buffer.get(..len).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let Some(end) = self.text.iter().rposition(|byte| *byte == b'\n') else {
            let full = self.text.len() >= READ_MAX;
            return if full { Err(io::ErrorKind::InvalidData.into()) } else { Ok((Vec::new(), 0)) };
        };
        let lines: Vec<u8> = self.text.drain(..=end).collect();
        let lines = String::from_utf8_lossy(&lines);
        let unfit = lines.lines().filter(|line| *line == UNFIT).count();
        Ok((lines.lines().filter_map(heard).collect(), u64::try_from(unfit).unwrap_or(u64::MAX)))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// What a line says.
fn heard(line: &str) -> Option<Heard> {
    let mut words = line.split(' ');
    let (name, address, ttl) = (words.next()?, words.next()?, words.next()?);
    let (address, ttl) = (address.parse().ok()?, ttl.parse::<u32>().ok()?);
    let one = Heard { name: name.to_owned(), address, ttl: Duration::from_secs(ttl.into()) };
    words.next().is_none().then_some(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_are_understood() {
        let one = heard("www.a.test 192.0.2.1 30").unwrap();
        assert_eq!((one.name.as_str(), one.ttl), ("www.a.test", Duration::from_secs(30)));
        for line in ["", "-", "a.test", "a.test 192.0.2.1", "a.test x 30", "a.test 192.0.2.1 -1"] {
            assert_eq!(heard(line), None, "{line}");
        }
        assert_eq!(heard("a.test 192.0.2.1 30 more"), None);
        assert_eq!(heard("a.test 192.0.2.1 4294967296"), None);
    }
}
