//! What is the same for all events of a host, told once by whoever knows the host.

use std::net::IpAddr;

use model::value::Value;
use sha2::{Digest, Sha256};

use crate::process::Key;

/// The host, as its agent (or the header of a recording) describes it. Empty texts are absent.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// The kernel's boot id.
    pub boot_id: String,
    /// `/etc/machine-id`
    pub machine_id: String,
    /// Host name.
    pub hostname: String,
    /// Identifies the installation of the agent.
    pub agent_id: String,
    /// Addresses of the interfaces, loopback left out.
    pub ips: Vec<IpAddr>,
    /// Whether cgroups of version 1 are in use: only they may know of a process's container.
    pub cgroup_v1: bool,
    /// Wall clock minus time since boot, in ns: what turns the kernel's times into dates.
    pub boot_time_unix_ns: i64,
}

/// A [`Host`] in the shape in which events need it.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) host: Host,
    pub(crate) ips: Vec<Value<'static>>,
}

impl Known {
    pub(crate) fn new(host: Host) -> Known {
        let ips = host.ips.iter().copied().map(Value::Ip).collect();
        Known { host, ips }
    }

    /// Time since boot as ns since the Unix epoch.
    pub(crate) fn wall(&self, since_boot: u64) -> i64 {
        let since_boot = i64::try_from(since_boot).unwrap_or(i64::MAX);
        self.host.boot_time_unix_ns.saturating_add(since_boot)
    }

    /// Identity of a process for ever: the first half of a SHA-256 over boot id, pid and start.
    ///
    /// The start is the kernel's own, which all records tell that tell one, those of the snapshot
    /// included: so a process has the same identity whichever told of it first.
    pub(crate) fn entity(&self, process: Key) -> u128 {
        let mut hash = Sha256::new();
        hash.update(self.host.boot_id.as_bytes());
        hash.update(process.pid.to_le_bytes());
        hash.update(process.start.to_le_bytes());
        first_half(&hash.finalize())
    }

    /// Identity of an event: host boot and the bytes of the record, which hold time, process and
    /// kind. The position in the stream is left out, so a replay gives the same.
    pub(crate) fn event(&self, record: &[u8]) -> u64 {
        let mut hash = Sha256::new();
        // The lengths keep `ab` + `c` and `a` + `bc` apart.
        for part in [self.host.boot_id.as_bytes(), record] {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
        u64::try_from(first_half(&hash.finalize()) >> 64).unwrap_or(0)
    }
}

/// The first 128 bits of a digest.
pub(crate) fn first_half(digest: &[u8]) -> u128 {
    let half = digest.first_chunk::<16>().copied().unwrap_or_default();
    u128::from_be_bytes(half)
}
