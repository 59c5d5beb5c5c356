//! Whose answers count: the name servers that this host is told to use.

use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kernel::answers::SERVERS_MAX;

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(1);
/// Bytes of a file that are read; resolvers read three servers of it.
const FILE_MAX: u64 = 64 * 1024;
/// The resolver's own file, and the servers that systemd-resolved asks for those whom that file sends
/// to it.
const FILES: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

/// The name servers of this host.
#[derive(Debug)]
pub(super) struct Servers {
    files: Vec<PathBuf>,
    known: Vec<IpAddr>,
    looked: Option<Instant>,
}

impl Default for Servers {
    fn default() -> Servers {
        Servers { files: FILES.map(PathBuf::from).to_vec(), known: Vec::new(), looked: None }
    }
}

impl Servers {
    /// The name servers, if they are others than before.
    pub(super) fn follow(&mut self, now: Instant) -> Option<&[IpAddr]> {
        if self.looked.is_some_and(|looked| now.saturating_duration_since(looked) < PERIOD) {
            return None;
        }
        let first = self.looked.replace(now).is_none();
        let mut all: Vec<IpAddr> = self.files.iter().flat_map(|file| named(&read(file))).collect();
        if all.is_empty() {
            // What resolvers do without a word about it.
            all.push(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        let mut seen = std::collections::BTreeSet::new();
        all.retain(|one| seen.insert(*one));
        all.truncate(SERVERS_MAX);
        if all == self.known && !first {
            return None;
        }
        self.known = all;
        Some(&self.known)
    }
}

/// What a file holds; nothing if it is not there.
fn read(file: &Path) -> String {
    let mut bytes = Vec::new();
    let found = File::open(file).and_then(|file| file.take(FILE_MAX).read_to_end(&mut bytes));
    found.map(|_| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// The servers that lines `nameserver ADDRESS` name. A zone behind an address is left out: the
/// programs see no interface.
fn named(text: &str) -> Vec<IpAddr> {
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let address = words.next().filter(|word| *word == "nameserver").and(words.next())?;
        address.split('%').next()?.parse().ok()
    });
    servers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_those_that_the_files_name_now() {
        let directory = tempfile::tempdir().unwrap();
        let files = ["a", "b"].map(|name| directory.path().join(name));
        let mut servers = Servers { files: files.to_vec(), ..Servers::default() };
        let mut now = Instant::now();
        let mut look = |servers: &mut Servers| {
            now += PERIOD;
            servers.follow(now).map(|all| all.iter().map(IpAddr::to_string).collect::<Vec<_>>())
        };
        assert_eq!(look(&mut servers).unwrap(), ["127.0.0.1"], "without a file");
        assert_eq!(look(&mut servers), None, "the same");
        let text = "# nameserver 192.0.2.9\nsearch a\nnameserver 127.0.0.53\n\tnameserver  \
                    fe80::1%eth0 x\nnameserver rubbish\nnameserver\nnameservers 192.0.2.8\n";
        std::fs::write(&files[0], text).unwrap();
        std::fs::write(&files[1], "nameserver 192.0.2.1\nnameserver 127.0.0.53\n").unwrap();
        assert_eq!(look(&mut servers).unwrap(), ["127.0.0.53", "fe80::1", "192.0.2.1"]);
        assert_eq!(servers.follow(Instant::now()), None, "not looked so soon");
        let many: Vec<String> = (0..100).map(|n| format!("nameserver 192.0.2.{n}")).collect();
        std::fs::write(&files[1], many.join("\n")).unwrap();
        assert_eq!(look(&mut servers).unwrap().len(), SERVERS_MAX);
    }
}
