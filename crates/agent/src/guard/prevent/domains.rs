//! Which addresses the names of policies have now.
//!
//! The host's own resolver is asked (`/etc/hosts`, name servers, whatever the host uses), by a process
//! of its own: it runs as nobody, so what a name server answers is parsed without any privilege, and
//! a resolver that hangs holds up nothing. It is the hidden command `resolve`, which prints an address
//! a line.
//!
//! An address counts for an hour after it was given last: names with many addresses give some of
//! them at a time.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, ToSocketAddrs};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

/// Between two questions for all names.
const PERIOD: Duration = Duration::from_secs(15);
/// How long the resolver may take for all names.
const PATIENCE: Duration = Duration::from_secs(12);
/// How long an address counts that is not given any more.
const KEPT: Duration = Duration::from_hours(1);
/// Addresses of one name that are taken.
const ADDRESSES_MAX: usize = 64;
/// Addresses of all names that count at the same time; the oldest go first.
const KNOWN_MAX: usize = 4_096;
/// Bytes of an answer: that many addresses of the longest names.
const ANSWER_MAX: usize = KNOWN_MAX * 320;
/// User and group of who asks: nobody.
const NOBODY: u32 = 65_534;

/// Addresses of names.
#[derive(Debug, Default)]
pub(super) struct Domains {
    wanted: Vec<String>,
    known: BTreeMap<(String, IpAddr), Instant>,
    asking: Option<Asking>,
    next: Option<Instant>,
}

/// A question on its way.
#[derive(Debug)]
struct Asking {
    process: Child,
    stdout: ChildStdout,
    text: Vec<u8>,
    since: Instant,
}

impl Domains {
    /// From now on these names are asked for, and no others.
    pub(super) fn want<'n>(&mut self, names: impl Iterator<Item = &'n str> + Clone) {
        // Asked several times a second, and nearly always for the same.
        if !names.clone().eq(self.wanted.iter().map(String::as_str)) {
            self.wanted = names.map(str::to_owned).collect();
            self.known.retain(|(name, _), _| self.wanted.contains(name));
            self.asking = None;
            self.next = None;
        }
    }

    /// The addresses of a name that count now.
    pub(super) fn of(&self, name: &str) -> impl Iterator<Item = IpAddr> {
        self.known.keys().filter(move |known| known.0 == name).map(|known| known.1)
    }

    /// Asks when it is time to. Whether other addresses count than before.
    pub(super) fn follow(&mut self, now: Instant) -> bool {
        if self.wanted.is_empty() {
            return false;
        }
        if let Some(mut asking) = self.asking.take() {
            match asking.answer(now) {
                Ok(Some(text)) => return self.take(&text, now),
                Ok(None) => self.asking = Some(asking),
                Err(error) => tracing::warn!(%error, "names of policies are not resolved"),
            }
        } else if self.next.is_none_or(|next| next <= now) {
            self.next = Some(now + PERIOD);
            match Asking::begin(&self.wanted, now) {
                Ok(asking) => self.asking = Some(asking),
                Err(error) => tracing::warn!(%error, "names of policies cannot be resolved"),
            }
        }
        false
    }

    /// Takes an answer: a line is a name and an address.
    fn take(&mut self, text: &str, now: Instant) -> bool {
        let before: Vec<(String, IpAddr)> = self.known.keys().cloned().collect();
        for (name, address) in text.lines().filter_map(|line| line.split_once(' ')) {
            let Ok(address) = address.parse::<IpAddr>() else { continue };
            if self.wanted.iter().any(|wanted| wanted == name) {
                self.known.insert((name.to_owned(), address), now);
            }
        }
        self.known.retain(|_, seen| now.saturating_duration_since(*seen) < KEPT);
        while self.known.len() > KNOWN_MAX {
            let oldest =
                self.known.iter().min_by_key(|known| *known.1).map(|known| known.0.clone());
            let Some(oldest) = oldest else { break };
            tracing::warn!(KNOWN_MAX, "an address of a name is forgotten: there are too many");
            self.known.remove(&oldest);
        }
        !self.known.keys().eq(before.iter())
    }
}

impl Asking {
    fn begin(names: &[String], now: Instant) -> io::Result<Asking> {
        let mut command = Command::new("/proc/self/exe");
        command.arg0("aegisbpf-resolve").arg("resolve").arg("--").args(names);
        command.env_clear().current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let mut process = command.spawn()?;
        let stdout = process.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let flags = rustix::fs::fcntl_getfl(&stdout)?;
        rustix::fs::fcntl_setfl(&stdout, flags | OFlags::NONBLOCK)?;
        Ok(Asking { process, stdout, text: Vec::new(), since: now })
    }

    /// What was answered, once that is complete.
    fn answer(&mut self, now: Instant) -> io::Result<Option<String>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn domains(names: &[&str]) -> Domains {
        let mut domains = Domains::default();
        domains.want(names.iter().copied());
        domains
    }

    fn of(domains: &Domains, name: &str) -> Vec<String> {
        domains.of(name).map(|address| address.to_string()).collect()
    }

    #[test]
    fn addresses_count_for_a_while_and_only_those_of_names_that_were_asked_for() {
        let mut domains = domains(&["a.test", "b.test"]);
        let start = Instant::now();
        let answer = "a.test 192.0.2.1\nb.test 2001:db8::1\nc.test 192.0.2.9\na.test rubbish\nx";
        assert!(domains.take(answer, start));
        assert_eq!(of(&domains, "a.test"), ["192.0.2.1"]);
        assert_eq!(of(&domains, "b.test"), ["2001:db8::1"]);
        assert!(of(&domains, "c.test").is_empty());
        assert!(!domains.take(answer, start), "nothing new");
        let later = start + KEPT / 2;
        assert!(domains.take("a.test 192.0.2.2\n", later));
        assert_eq!(of(&domains, "a.test"), ["192.0.2.1", "192.0.2.2"]);
        assert!(domains.take("", start + KEPT), "what was not given again is over");
        assert_eq!(of(&domains, "a.test"), ["192.0.2.2"]);
        domains.want(["b.test"].into_iter());
        assert!(of(&domains, "a.test").is_empty());
    }

    #[test]
    fn more_addresses_than_there_is_room_for_push_out_the_oldest() {
        let mut domains = domains(&["a.test"]);
        let start = Instant::now();
        domains.take("a.test 192.0.2.1\n", start);
        let many = (0..KNOWN_MAX).map(|n| format!("a.test 2001:db8::{n:x}\n"));
        domains.take(&many.collect::<String>(), start + Duration::from_secs(1));
        assert_eq!(domains.known.len(), KNOWN_MAX);
        assert!(!of(&domains, "a.test").contains(&"192.0.2.1".to_owned()));
    }
}
