//! Isolation from the network: where it is pinned, who stays within reach, and for how long at most.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kernel::isolate::{Isolation, Peer, now};
use serde_json::json;

use crate::audit::Audit;
use crate::policy::pins;

/// Longest time: a host that nobody came to see in a week will not be seen by waiting.
pub(crate) const LONGEST: Duration = Duration::from_hours(7 * 24);
/// How often what is over is looked for. It lets everything pass anyway.
const LOOK: Duration = Duration::from_secs(5);
/// Ancestors that are asked for their session: shells and `sudo` are a few.
const ANCESTORS_MAX: usize = 64;
/// Bytes read of an environment; the kernel takes as much as a quarter of a stack, a session's is small.
const ENVIRONMENT_MAX: u64 = 256 << 10;
/// Where `sshd` says who is connected: address and port of the client, then of the server.
const CONNECTION: &str = "SSH_CONNECTION=";

/// Begins one. It ends by itself, whoever lives then.
pub(crate) fn begin(
    runtime: &Path,
    name: &str,
    cgroup: Option<&Path>,
    named: &[Peer],
    limit: Duration,
) -> Result<Isolation, kernel::Error> {
    let limit = u64::try_from(limit.min(LONGEST).as_nanos()).unwrap_or(u64::MAX);
    let until = now().saturating_add(limit);
    Isolation::put(&pins::isolation(runtime), name, cgroup, &peers(named), until)
}

/// Who stays within reach: who was named, and where the operator is connected from.
pub(crate) fn peers(named: &[Peer]) -> Vec<Peer> {
    let mut peers = named.to_vec();
    peers.extend(session(std::process::id()).map(Peer::host).filter(|own| !named.contains(own)));
    peers
}

/// Those in force. What is over is taken away.
pub(crate) fn all(runtime: &Path) -> Result<Vec<Isolation>, kernel::Error> {
    Isolation::found(&pins::isolation(runtime))
}

/// Ends all, whoever began them; how many there were.
pub(crate) fn lift_all(runtime: &Path) -> Result<usize, kernel::Error> {
    let all = all(runtime)?;
    let count = all.len();
    all.into_iter().try_for_each(Isolation::lift)?;
    Ok(count)
}

/// Takes away what is over, as long as an agent runs.
#[derive(Debug)]
pub(super) struct Sweeper {
    runtime: PathBuf,
    audit: Audit,
    known: Vec<String>,
    looked: Option<Instant>,
}

impl Sweeper {
    pub(super) fn new(runtime: &Path, state: &Path) -> Sweeper {
        let (runtime, audit) = (runtime.to_owned(), Audit::at(state));
        Sweeper { runtime, audit, known: Vec::new(), looked: None }
    }

    /// Looks now and then; what is over is written down.
    pub(super) fn service(&mut self) {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return;
        }
        self.looked = Some(Instant::now());
        match all(&self.runtime) {
            Ok(found) => {
                let found: Vec<String> = found.iter().map(Isolation::name).collect();
                for over in self.known.iter().filter(|known| !found.contains(known)) {
                    self.audit.note("isolation-over", json!({ "id": over }));
                }
                self.known = found;
            }
            Err(error) => tracing::warn!(%error, "isolations that are over cannot be taken away"),
        }
    }
}

/// Where the session comes from that a process belongs to; none if it is no session over SSH. `sudo`
/// takes the variable away, so the ancestors are asked.
fn session(process: u32) -> Option<IpAddr> {
    let mut process = process;
    for _ in 0..ANCESTORS_MAX {
        if let Some(address) = connection(&environment(process)) {
            return Some(address);
        }
        process = parent(process).filter(|parent| *parent > 1)?;
    }
    None
}

fn environment(process: u32) -> Vec<u8> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let file = fs::File::open(format!("/proc/{process}/environ"));
    // What cannot be read says nothing.
    _ = file.and_then(|file| file.take(ENVIRONMENT_MAX).read_to_end(&mut bytes));
    bytes
}

fn connection(environment: &[u8]) -> Option<IpAddr> {
    let mut variables = environment.split(|byte| *byte == 0);
    let value = variables.find_map(|one| one.strip_prefix(CONNECTION.as_bytes()))?;
    let address = std::str::from_utf8(value).ok()?.split(' ').next()?;
    // The address of a link may have its device behind it.
    address.split('%').next()?.parse().ok()
}

fn parent(process: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_session_of_an_operator_is_found_through_sudo() {
        // A shell with the variable, and below it one without, as sudo leaves it.
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "env -u SSH_CONNECTION sleep 60 & echo $!; wait"]);
        shell.env("SSH_CONNECTION", "2001:db8::7 50000 2001:db8::1 22").stdout(Stdio::piped());
        let mut shell = shell.spawn().unwrap();
        let mut line = String::new();
        let out = shell.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).unwrap();
        let inner: u32 = line.trim().parse().unwrap();
        // The child is a copy of the shell, and then `env`, until it runs the other program.
        let name = || fs::read_to_string(format!("/proc/{inner}/comm")).unwrap_or_default();
        let start = Instant::now();
        while name() != "sleep\n" && start.elapsed() < LOOK {
            std::thread::sleep(Duration::from_millis(5));
        }
        let (own, found) = (connection(&environment(inner)), session(inner));
        let inner = nix::unistd::Pid::from_raw(inner.try_into().unwrap());
        nix::sys::signal::kill(inner, nix::sys::signal::Signal::SIGKILL).unwrap();
        shell.wait().unwrap();
        assert_eq!((own, found), (None, Some("2001:db8::7".parse().unwrap())));
    }

    #[test]
    fn only_what_sshd_writes_is_believed() {
        let found = |text: &str| connection(text.as_bytes());
        assert_eq!(
            found("A=1\0SSH_CONNECTION=192.0.2.7 1 192.0.2.1 22\0"),
            "192.0.2.7".parse().ok()
        );
        assert_eq!(found("SSH_CONNECTION=fe80::1%eth0 1 fe80::2 22"), "fe80::1".parse().ok());
        assert_eq!(found("NO_SSH_CONNECTION=192.0.2.7 1"), None);
        assert_eq!(found("SSH_CONNECTION=somewhere"), None);
    }
}
