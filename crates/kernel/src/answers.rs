//! Answers of name servers that this host really got, for rules about domains.
//!
//! Two programs at the root of the cgroups: one notes what is asked of the name servers that the host
//! uses, the other copies what these answer to that. They let every packet pass, whatever happens, and
//! are there only as long as this value is. What is in an answer is for the caller to have read.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::rc::Rc;
use std::sync::OnceLock;

use libbpf_rs::{Link, MapCore, MapFlags, MapHandle, OpenObject, RingBufferBuilder};

use crate::embedded::ANSWERS;
use crate::error::Error;
use crate::messages;
use crate::object::Loaded;
use crate::probe::open_cgroup;

/// Both programs: what is asked is noted before anything is answered.
const PROGRAMS: [&str; 2] = ["answers_asked", "answers_got"];
/// Name servers that are listened to, as many as the map holds; a resolver uses three.
pub const SERVERS_MAX: usize = 16;
/// Answers that are read at once; the next ones are in the next turn.
const AT_ONCE: usize = 256;
/// Bytes in front of an answer in the ring: its length.
const HEAD: usize = 8;
/// The namespace of the network that the agent itself is in.
const NAMESPACE: &str = "/proc/self/ns/net";

/// What became of answers since the programs were loaded, in the order of `enum count`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Copied.
    pub taken: u64,
    /// Not copied, since the ring was full.
    pub no_room: u64,
    /// Not copied, since they are longer than servers send.
    pub too_long: u64,
    /// Not copied, since nobody asked: forged, too late, or asked before the programs were there.
    pub unasked: u64,
}

/// The programs, attached. Dropping it takes them away.
#[derive(Debug)]
pub struct Answers {
    loaded: Loaded,
    ring: MapHandle,
    servers: Vec<IpAddr>,
    _links: Vec<Link>,
}

impl Answers {
    /// Loads and attaches the programs. They copy nothing before a name server is named.
    ///
    /// # Errors
    ///
    /// There is no cgroup file system of version 2, or the kernel refuses a program; the error says why.
    pub fn open() -> Result<Answers, Error> {
        let cgroup = open_cgroup(None)?;
        let namespace = std::fs::metadata(NAMESPACE)
            .map_err(|error| Error::io(format!("look at {NAMESPACE}"), error))?;
        let namespace = u32::try_from(namespace.ino()).unwrap_or_default();
        let every = |_: &OsStr| None;
        let loaded = Loaded::accepted(&ANSWERS, every, |opened| prepare(opened, namespace))?;
        let mut links = Vec::new();
        for name in PROGRAMS {
            let refused = |reason: String| Error::Refused { program: name.to_owned(), reason };
            let program = loaded.program(name).ok_or_else(|| {
                refused(loaded.refused(name).unwrap_or("not in the object").to_owned())
            })?;
            let (link, _) = messages::during(|| program.attach_cgroup(cgroup.as_raw_fd()));
            links.push(link.map_err(|error| refused(error.to_string()))?);
        }
        let ring = loaded.map_handle("answers")?;
        Ok(Answers { loaded, ring, servers: Vec::new(), _links: links })
    }

    /// From now on answers of these servers count, and of no others; of more than [`SERVERS_MAX`] those
    /// that come first.
    pub fn listen_to(&mut self, servers: &[IpAddr]) -> Result<(), Error> {
        let servers = servers.get(..SERVERS_MAX).unwrap_or(servers);
        let map = self.loaded.map("servers")?;
        let failed = |error: libbpf_rs::Error| Error::map("servers", &error);
        for gone in self.servers.iter().filter(|one| !servers.contains(one)) {
            map.delete(&key(*gone)).map_err(failed)?;
        }
        for one in servers {
            map.update(&key(*one), &1u32.to_ne_bytes(), MapFlags::ANY).map_err(failed)?;
        }
        self.servers = servers.to_vec();
        Ok(())
    }

    /// What can be read as soon as there is an answer.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }

    /// Answers that came since the last call, the messages alone; some of them if there are many.
    pub fn next(&self) -> Result<Vec<Vec<u8>>, Error> {
        let failed = |error: libbpf_rs::Error| Error::map("answers", &error);
        let answers = Rc::new(RefCell::new(Vec::new()));
        let into = Rc::clone(&answers);
        let mut builder = RingBufferBuilder::new();
        let keep = move |record: &[u8]| {
            into.borrow_mut().extend(message(record).map(<[u8]>::to_vec));
            0
        };
        builder.add(&self.ring, keep).map_err(failed)?;
        let ring = builder.build().map_err(failed)?;
        let read = ring.consume_raw_n(AT_ONCE);
        if read < 0 {
            let error = std::io::Error::from_raw_os_error(-read);
            return Err(Error::io("read answers of name servers", error));
        }
        Ok(answers.take())
    }

    /// What became of answers.
    pub fn counters(&self) -> Result<Counters, Error> {
        let map = self.loaded.map("answer_counts")?;
        let count = |at: u32| -> Result<u64, Error> {
            let values = map.lookup_percpu(&at.to_ne_bytes(), MapFlags::ANY);
            let values = values.map_err(|error| Error::map("answer_counts", &error))?;
            let words = values.iter().flatten().filter_map(|value| value.first_chunk().copied());
            Ok(words.map(u64::from_ne_bytes).sum())
        };
        Ok(Counters {
            taken: count(0)?,
            no_room: count(1)?,
            too_long: count(2)?,
            unasked: count(3)?,
        })
    }
}

/// Why the programs do not work on this kernel, found by loading them once; none if they do.
pub fn missing() -> Option<String> {
    static TRIED: OnceLock<Option<String>> = OnceLock::new();
    TRIED.get_or_init(|| Answers::open().err().map(|error| error.to_string())).clone()
}

/// The message in a record of the ring.
fn message(record: &[u8]) -> Option<&[u8]> {
    let (len, bytes) = record.split_first_chunk::<HEAD>()?;
    bytes.get(..usize::try_from(u64::from_ne_bytes(*len)).ok()?)
}

/// A server as the programs know it.
fn key(server: IpAddr) -> [u8; 16] {
    match server {
        IpAddr::V4(four) => four.to_ipv6_mapped().octets(),
        IpAddr::V6(six) => Ipv6Addr::octets(&six),
    }
}

fn prepare(opened: &mut OpenObject, namespace: u32) -> Result<(), Error> {
    let constants = opened.maps_mut().find(|map| map.name().to_string_lossy().ends_with(".rodata"));
    let value = constants.and_then(|mut map| {
        let value = map.initial_value_mut()?.first_chunk_mut::<4>()?;
        *value = namespace.to_ne_bytes();
        Some(())
    });
    value.ok_or_else(|| Error::map("answers", &"no constants in the object"))
}
