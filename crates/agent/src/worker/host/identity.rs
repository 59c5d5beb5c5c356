//! Who the host is: the same in all events.

use std::net::IpAddr;
use std::path::Path;

use engine::Host;
use rustix::time::{ClockId, Timespec, clock_gettime};
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};

use super::{cgroups, read_limited};

/// Bytes read of each identity file.
const FILE_MAX: u64 = 256;
/// Addresses kept.
const IPS_MAX: usize = 64;

/// Reads what identifies this host now.
pub(crate) fn read() -> Host {
    let machine_id = word("/etc/machine-id");
    Host {
        boot_id: word("/proc/sys/kernel/random/boot_id"),
        hostname: word("/proc/sys/kernel/hostname"),
        agent_id: agent_id(&machine_id),
        machine_id,
        cgroup_v1: cgroups::version_1(),
        ips: addresses(),
        boot_time_unix_ns: boot_time(),
    }
}

/// The host in ECS names, as events have it: for what is told without an event.
pub(crate) fn document(host: &Host) -> Map<String, Json> {
    let known = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let mut about = json!({
        "host": {
            "os": { "type": "linux" },
            "id": known(&host.machine_id),
            "name": known(&host.hostname),
            "ip": host.ips,
            "boot": { "id": known(&host.boot_id) },
        },
        "agent": { "id": known(&host.agent_id) },
    });
    let mut about = about.as_object_mut().map(std::mem::take).unwrap_or_default();
    for of in about.values_mut().filter_map(Json::as_object_mut) {
        of.retain(|_, value| !value.is_null());
    }
    about
}

fn word(path: &str) -> String {
    let bytes = read_limited(Path::new(path), FILE_MAX).unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

/// Stable for an installation, without a file of its own, and not the machine id itself, which
/// applications are asked not to give away.
fn agent_id(machine_id: &str) -> String {
    if machine_id.is_empty() {
        return String::new();
    }
    let digest = Sha256::digest(format!("aegisbpf agent {machine_id}"));
    let half = digest.first_chunk::<16>().copied().unwrap_or_default();
    format!("{:032x}", u128::from_be_bytes(half))
}

fn addresses() -> Vec<IpAddr> {
    let interfaces = match nix::ifaddrs::getifaddrs() {
        Ok(interfaces) => interfaces,
        Err(error) => {
            tracing::warn!(%error, "the host's addresses are not known");
            return Vec::new();
        }
    };
    let mut ips: Vec<IpAddr> = interfaces
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        })
        .filter(|ip| !ip.is_loopback())
        .take(IPS_MAX)
        .collect();
    ips.sort();
    ips.dedup();
    ips
}

/// Wall clock minus time since boot, in ns.
pub(crate) fn boot_time() -> i64 {
    let wall = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
    wall.saturating_sub(ns(clock_gettime(ClockId::Boottime)))
}

fn ns(time: Timespec) -> i64 {
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_known_by_its_boot() {
        let host = read();
        assert_eq!(host.boot_id.len(), 36, "{host:?}");
        assert!(host.ips.iter().all(|ip| !ip.is_loopback()));
        assert!(boot_time() > 1_500_000_000_000_000_000, "after 2017");
    }

    #[test]
    fn the_agent_id_does_not_give_the_machine_id_away() {
        assert_eq!(agent_id(""), "");
        let id = agent_id("0123456789abcdef");
        assert!(id.len() == 32 && !id.contains("0123456789abcdef"));
        assert_eq!(id, agent_id("0123456789abcdef"));
    }
}
