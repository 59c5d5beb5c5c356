//! Isolation: the processes of a cgroup, or all of them, are cut off the network but for named peers and
//! the loopback interface, until a time.
//!
//! The programs look at that time themselves, and they and their maps are pinned: so it holds when the
//! agent is killed, and ends when it should though nobody ends it. What is pinned afterwards costs a
//! look at the clock for each packet until somebody takes it away; [`Isolation::found`] does.
//!
//! ```text
//! DIR/NAME/          one isolation
//!      ├─ until       set last: before it is, everything passes
//!      ├─ peers, dropped
//!      └─ egress, ingress
//! ```
//!
//! Programs of cgroups see what goes through a socket of IP. They do not see what root sends as raw
//! frames (`AF_PACKET`), or what this host only passes on for machines of its own.

mod peer;

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use libbpf_rs::{MapCore, MapFlags, MapHandle};
use nix::fcntl::{Flock, FlockArg};

use crate::embedded::ISOLATE;
use crate::enforce;
use crate::error::Error;
use crate::messages;
use crate::object::Loaded;
use crate::probe::open_cgroup;

pub use peer::{NoPeer, Peer};

/// Peers of one isolation, as many as the map holds: an operator names a few.
pub const PEERS_MAX: usize = 256;
/// Isolations that are looked for below a directory.
const FOUND_MAX: usize = 256;
/// Longest name; it is one of a directory.
const NAME_MAX: usize = 64;
/// Programs, and what their links are called where they are pinned.
const PROGRAMS: [(&str, &str); 2] = [("isolate_egress", "egress"), ("isolate_ingress", "ingress")];
/// Maps, and what they are called where they are pinned.
const MAPS: [(&str, &str); 3] =
    [("isolate_until", "until"), ("isolate_dropped", "dropped"), ("isolate_peers", "peers")];

/// Packets that did not pass, in the order of `enum dropped`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Of those that were sent.
    pub egress: u64,
    /// Of those that came.
    pub ingress: u64,
}

/// An isolation that is pinned. Dropping it ends nothing.
#[derive(Debug)]
pub struct Isolation {
    dir: PathBuf,
    until: MapHandle,
    dropped: MapHandle,
}

impl Isolation {
    /// Cuts off the processes of a cgroup (without one: all), until a time in nanoseconds since boot.
    ///
    /// # Errors
    ///
    /// There are more than [`PEERS_MAX`] peers, the name is none or is in use, or the kernel refuses
    /// something. Nobody is cut off then.
    pub fn put(
        pins: &Path,
        name: &str,
        cgroup: Option<&Path>,
        peers: &[Peer],
        until: u64,
    ) -> Result<Isolation, Error> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(plain) {
            return Err(invalid(format!("{name:?} is no name of an isolation")));
        }
        if peers.len() > PEERS_MAX {
            let count = peers.len();
            return Err(invalid(format!("{count} peers are named, the limit is {PEERS_MAX}")));
        }
        let dir = pins.join(name);
        enforce::provide(&dir)?;
        fs::create_dir_all(pins).map_err(|error| named("create", pins, error))?;
        let _alone = alone(pins)?;
        fs::create_dir(&dir).map_err(|error| named("create", &dir, error))?;
        let put = attach(&dir, cgroup, peers).and_then(|()| {
            let isolation = Isolation::at(&dir)?;
            isolation.set_until(until)?;
            Ok(isolation)
        });
        put.inspect_err(|_| drop(remove(&dir)))
    }

    /// The isolations of a directory that are in force, whoever put them there; what is over, or was never
    /// begun, is taken away.
    pub fn found(pins: &Path) -> Result<Vec<Isolation>, Error> {
        let mut found = Vec::new();
        if !pins.exists() {
            return Ok(found);
        }
        let _alone = alone(pins)?;
        let entries = match fs::read_dir(pins) {
            Ok(entries) => entries,
            Err(error) => return Err(named("read", pins, error)),
        };
        for entry in entries.take(FOUND_MAX) {
            let dir = entry.map_err(|error| named("read", pins, error))?.path();
            match Isolation::at(&dir) {
                Ok(isolation) if !isolation.left()?.is_zero() => found.push(isolation),
                // Links are pinned last: without one nobody was ever cut off.
                Err(error) if dir.join("egress").exists() => return Err(error),
                _ => remove(&dir)?,
            }
        }
        found.sort_by(|a, b| a.dir.cmp(&b.dir));
        Ok(found)
    }

    /// Ends it before its time.
    pub fn lift(self) -> Result<(), Error> {
        // Whoever holds the programs otherwise lets everything pass from now on, too.
        self.set_until(0)?;
        remove(&self.dir)
    }

    /// What it was called when it was put.
    pub fn name(&self) -> String {
        self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// How long it still holds; nothing: it is over.
    pub fn left(&self) -> Result<Duration, Error> {
        let failed = |error: libbpf_rs::Error| Error::map("isolate_until", &error);
        let value = self.until.lookup(&0u32.to_ne_bytes(), MapFlags::ANY).map_err(failed)?;
        let until =
            value.as_deref().and_then(<[u8]>::first_chunk).map_or(0, |b| u64::from_ne_bytes(*b));
        Ok(Duration::from_nanos(until.saturating_sub(now())))
    }

    /// What did not pass.
    pub fn dropped(&self) -> Result<Dropped, Error> {
        let failed = |error: libbpf_rs::Error| Error::map("isolate_dropped", &error);
        let count = |at: u32| -> Result<u64, Error> {
            let values = self.dropped.lookup_percpu(&at.to_ne_bytes(), MapFlags::ANY);
            let values = values.map_err(failed)?;
            let words = values.iter().flatten().filter_map(|value| value.first_chunk().copied());
            Ok(words.map(u64::from_ne_bytes).sum())
        };
        Ok(Dropped { egress: count(0)?, ingress: count(1)? })
    }

    fn at(dir: &Path) -> Result<Isolation, Error> {
        let open = |map, pin| {
            MapHandle::from_pinned_path(dir.join(pin)).map_err(|error| Error::map(map, &error))
        };
        Ok(Isolation {
            dir: dir.to_owned(),
            until: open("isolate_until", "until")?,
            dropped: open("isolate_dropped", "dropped")?,
        })
    }

    fn set_until(&self, until: u64) -> Result<(), Error> {
        let set = self.until.update(&0u32.to_ne_bytes(), &until.to_ne_bytes(), MapFlags::ANY);
        set.map_err(|error| Error::map("isolate_until", &error))
    }
}

/// Nanoseconds since boot, sleep included: the clock that the programs look at.
pub fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or_default();
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}

/// Loads, attaches and pins everything; nothing is dropped yet.
fn attach(dir: &Path, cgroup: Option<&Path>, peers: &[Peer]) -> Result<(), Error> {
    let cgroup = open_cgroup(cgroup)?;
    let loaded = Loaded::accepted(&ISOLATE, |_| None, |_| Ok(()))?;
    let map = loaded.map("isolate_peers")?;
    for peer in peers {
        let put = map.update(&peer.key(), &1u32.to_ne_bytes(), MapFlags::ANY);
        put.map_err(|error| Error::map("isolate_peers", &error))?;
    }
    for (name, pin) in MAPS {
        let mut map = loaded.map_handle(name)?;
        map.pin(dir.join(pin)).map_err(|error| Error::map(name, &error))?;
    }
    for (name, pin) in PROGRAMS {
        let refused = |reason: String| Error::Refused { program: name.to_owned(), reason };
        let program = loaded.program(name).ok_or_else(|| {
            refused(loaded.refused(name).unwrap_or("not in the object").to_owned())
        })?;
        let (link, _) = messages::during(|| program.attach_cgroup(cgroup.as_raw_fd()));
        let mut link = link.map_err(|error| refused(error.to_string()))?;
        link.pin(dir.join(pin)).map_err(|error| refused(error.to_string()))?;
    }
    Ok(())
}

/// One at a time: what somebody is about to put would look as if it were over.
fn alone(pins: &Path) -> Result<Flock<fs::File>, Error> {
    let dir = fs::File::open(pins).map_err(|error| named("open", pins, error))?;
    let locked = Flock::lock(dir, FlockArg::LockExclusive);
    locked.map_err(|(_, error)| named("lock", pins, error.into()))
}

/// Takes a directory away. By then everything passes, so the order is all the same.
fn remove(dir: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(named("remove", dir, error)),
        _ => Ok(()),
    }
}

fn named(what: &str, path: &Path, error: io::Error) -> Error {
    Error::io(format!("{what} {}", path.display()), error)
}

fn invalid(reason: String) -> Error {
    Error::io(reason, io::Error::from(io::ErrorKind::InvalidInput))
}
