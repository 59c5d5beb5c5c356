//! `aegisbpf record`: a recording of what the kernel delivers, written by whoever asks for it.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use capture::frame::{HEADER, Header, Kind, Packer};
use nix::sys::signalfd::SignalFd;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::cli::record::RecordArgs;
use crate::client::{self, Answer};
use crate::exit::{Exit, Failure};
use crate::guard;

/// How long after its time the last frame is waited for: the agent gives one on each second.
const LAST: Duration = Duration::from_secs(3);

/// Records until the time is over, a signal comes or the agent ends.
pub(crate) fn run(args: &RecordArgs) -> Result<Exit, Failure> {
    let signals = guard::block_signals()?;
    let answer = client::get(&args.runtime_dir, "/v1/record", &[])?;
    answer.wait_for_ever()?;
    let is_stdout = args.file.as_os_str() == "-";
    let mut out: Box<dyn Write> =
        if is_stdout { Box::new(std::io::stdout().lock()) } else { Box::new(create(&args.file)?) };
    let mut recording = Recording {
        answer,
        signals,
        end: args.time.map(|time| Instant::now() + time),
        frames: 0,
        bytes: 0,
    };
    let ended = recording.copy(&mut out);
    out.flush()?;
    let (frames, bytes) = (recording.frames, recording.bytes);
    let place = args.file.display();
    writeln!(anstream::stderr(), "{place}: {bytes} bytes in {frames} frames")?;
    match ended? {
        Ended::Asked => Ok(Exit::Ok),
        Ended::Agent if recording.frames > 0 => Err(Failure::new(
            Exit::Unreachable,
            "the agent has ended the recording; what was written can be replayed",
        )),
        Ended::Agent => Err(Failure::new(Exit::Unreachable, "the agent has sent nothing")),
    }
}

/// A new file for root alone: it holds command lines, with the secrets in them.
fn create(path: &std::path::Path) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path).map_err(|error| {
        let failure =
            Failure::new(Exit::Failed, format!("cannot write {}: {error}", path.display()));
        match error.kind() {
            ErrorKind::AlreadyExists => failure.help("a recording is never written over another"),
            _ => failure,
        }
    })
}

/// Why it ended.
enum Ended {
    /// Time or a signal.
    Asked,
    /// The agent has gone.
    Agent,
}

struct Recording {
    answer: Answer,
    signals: SignalFd,
    end: Option<Instant>,
    frames: u64,
    bytes: u64,
}

impl Recording {
    /// Copies whole frames only, and writes an end when all was read that was asked for.
    fn copy(&mut self, out: &mut dyn Write) -> Result<Ended, Failure> {
        let mut next = 0;
        loop {
            let is_over = self.wait()?;
            if is_over && !self.wait_for_last()? {
                break;
            }
            let Some((header, frame)) = self.frame()? else { return Ok(Ended::Agent) };
            out.write_all(&frame)?;
            self.frames += 1;
            self.bytes += frame.len() as u64;
            match header.kind {
                Kind::End => return Ok(Ended::Agent),
                Kind::Items => {
                    next = header.number + 1;
                    if is_over {
                        break;
                    }
                }
                Kind::Head => next = header.number,
                Kind::State => {}
            }
        }
        let end = Packer::new()?.block(Kind::End, next, &capture::Block::default())?;
        out.write_all(&end)?;
        self.bytes += end.len() as u64;
        Ok(Ended::Asked)
    }

    /// Waits for the next frame; true when it is time to end.
    fn wait(&mut self) -> Result<bool, Failure> {
        if self.answer.has_bytes() {
            return Ok(self.end.is_some_and(|end| Instant::now() >= end));
        }
        let left = self.end.map(|end| end.saturating_duration_since(Instant::now()));
        let mut fds = [
            PollFd::from_borrowed_fd(self.answer.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
        ];
        wait_for(&mut fds, left)?;
        let is_signal = !fds[1].revents().is_empty();
        if is_signal {
            self.end = Some(Instant::now());
        }
        Ok(self.end.is_some_and(|end| Instant::now() >= end))
    }

    /// What happened until now is in a frame that is still to come.
    fn wait_for_last(&self) -> Result<bool, Failure> {
        if self.answer.has_bytes() {
            return Ok(true);
        }
        let mut fds = [PollFd::from_borrowed_fd(self.answer.as_fd(), PollFlags::IN)];
        wait_for(&mut fds, Some(LAST))
    }

    /// The next whole frame; `None` when the agent has gone.
    fn frame(&mut self) -> Result<Option<(Header, Vec<u8>)>, Failure> {
        let mut frame = vec![0; HEADER];
        if !fill(&mut self.answer, &mut frame)? {
            return Ok(None);
        }
        let nonsense = |error: &dyn std::fmt::Display| {
            Failure::new(Exit::Unreachable, format!("the agent sends no recording: {error}"))
        };
        let header = frame.first_chunk().map(Header::parse);
        let header = header.ok_or_else(|| nonsense(&"a frame is short"))?;
        let header = header.map_err(|error| nonsense(&error))?;
        frame.resize(HEADER + header.len, 0);
        let whole = fill(&mut self.answer, frame.get_mut(HEADER..).unwrap_or_default())?;
        Ok(whole.then_some((header, frame)))
    }
}

/// Whether one of them is ready in time.
fn wait_for(fds: &mut [PollFd<'_>], left: Option<Duration>) -> Result<bool, Failure> {
    let limit = left.map(|left| Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos().into(),
    });
    let ready = rustix::io::retry_on_intr(|| poll(fds, limit.as_ref()));
    let ready = ready.map_err(|e| Failure::new(Exit::Internal, format!("cannot wait: {e}")))?;
    Ok(ready > 0)
}

/// Reads as much as there is room for; false at the end.
fn fill(answer: &mut Answer, room: &mut [u8]) -> Result<bool, Failure> {
    match answer.read_exact(room) {
        Ok(()) => Ok(true),
        Err(error)
            if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) =>
        {
            Ok(false)
        }
        Err(error) => Err(Failure::new(Exit::Unreachable, format!("the agent is gone: {error}"))),
    }
}
