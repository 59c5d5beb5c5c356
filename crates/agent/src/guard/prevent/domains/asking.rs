//! Asks the host's own resolver (`/etc/hosts`, name servers, whatever the host uses), by a process of
//! its own: it runs as nobody, so what a name server answers is parsed without any privilege, and a
//! resolver that hangs holds up nothing. It is the hidden command `resolve`, which prints an address a
//! line.

use std::io::{self, Read, Write};
use std::net::ToSocketAddrs;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use super::{ADDRESSES_MAX, KNOWN_MAX};
use crate::guard::user::NOBODY;
use crate::seccomp::{self, Kind};

/// How long the resolver may take for all names.
const PATIENCE: Duration = Duration::from_secs(12);
/// Bytes of an answer: that many addresses of the longest names.
const ANSWER_MAX: usize = KNOWN_MAX * 320;

/// A question on its way.
#[derive(Debug)]
pub(super) struct Asking {
    process: Child,
    stdout: ChildStdout,
    text: Vec<u8>,
    since: Instant,
}

/// A command of this program that runs as nobody and has nothing of ours.
pub(super) fn helper(kind: Kind, words: &[&str]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0(kind.name());
    seccomp::child(&mut command, kind).args(words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    as_nobody(&mut command);
    command
}

/// A command runs as nobody, and without an environment.
pub(crate) fn as_nobody(command: &mut Command) -> &mut Command {
    command.env_clear().current_dir("/");
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// From now on who uses this end of a pipe is not kept waiting.
pub(super) fn unblock(pipe: impl std::os::fd::AsFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(&pipe)?;
    Ok(rustix::fs::fcntl_setfl(&pipe, flags | OFlags::NONBLOCK)?)
}

impl Asking {
    /// Asks for all of these names.
    pub(super) fn begin(names: &[&str], now: Instant) -> io::Result<Asking> {
        let mut command = helper(Kind::Resolve, &["resolve", "--"]);
        let mut process = command.args(names).spawn()?;
        let stdout = process.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        unblock(&stdout)?;
        Ok(Asking { process, stdout, text: Vec::new(), since: now })
    }

    /// What was answered, once that is complete.
    pub(super) fn answer(&mut self, now: Instant) -> io::Result<Option<String>> {
        let mut buffer = [0; 4_096];
        loop {
            match self.stdout.read(&mut buffer) {
                Ok(0) => break,
                Ok(len) => self.text.extend_from_slice(buffer.get(..len).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if now.saturating_duration_since(self.since) > PATIENCE {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
            if self.text.len() > ANSWER_MAX {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
        }
        let text = std::mem::take(&mut self.text);
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// `aegisbpf resolve NAME…`: prints the addresses of names, for the guard.
pub(crate) fn resolve(names: &[String]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for name in names {
        // A name that has no address now may have one later.
        let Ok(addresses) = (name.as_str(), 0).to_socket_addrs() else { continue };
        for address in addresses.take(ADDRESSES_MAX) {
            writeln!(out, "{name} {}", address.ip())?;
        }
    }
    out.flush()
}
