//! Credentials, sessions and tracing by the netlink process connector.
//!
//! It costs system calls nothing. What it leaves out: `PTRACE_TRACEME` and failed attempts.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use model::op::{Kind, KindSet};
use model::wire::{self, RecAct, RecIds};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::EpollFlags;
use nix::sys::socket::{MsgFlags, send, setsockopt, sockopt};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::record::{Builder, blank};
use super::status::{Ids, UNKNOWN};
use super::{Source, SourceError, SourceId, sys};
use crate::sink::Sink;

/// What this source can give.
pub(crate) const KINDS: KindSet =
    KindSet::EMPTY.with(Kind::Setuid).with(Kind::Setgid).with(Kind::Setsid).with(Kind::Ptrace);

/// Bytes of the socket's queue: where the kernel cannot filter, some 4,000 forks and exits wait.
const QUEUE_BYTES: usize = 4 << 20;
/// Messages handled in one call of `service`; the next call goes on.
const MESSAGES: usize = 1024;
/// How long the kernel may take to confirm; it answers within the call in practice.
const CONFIRM_MS: u16 = 100;

const GROUP: u32 = 1;
const LISTEN: u32 = 1;
const EVENT_ACK: u32 = 0;
const EVENT_UID: u32 = 0x4;
const EVENT_GID: u32 = 0x40;
const EVENT_SID: u32 = 0x80;
const EVENT_PTRACE: u32 = 0x100;
/// All events there are, as the kernel writes it; another number is a filter.
const EVENT_ALL: u32 = 0xe000_03c7;

/// `struct nlmsghdr`, then `struct cn_msg`.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Envelope {
    total: u32,
    kind: u16,
    flags: u16,
    sequence: u32,
    port: u32,
    index: u32,
    value: u32,
    number: u32,
    acknowledged: u32,
    length: u16,
    message_flags: u16,
}

/// `struct proc_event` up to its union, and as much of that as is used here.
#[derive(Debug, Clone, Copy, Default, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Event {
    what: u32,
    cpu: u32,
    monotonic: u64,
    tid: u32,
    pid: u32,
    first: u32,
    second: u32,
}

/// The process connector.
#[derive(Debug)]
pub(crate) struct Connector {
    socket: OwnedFd,
    kinds: KindSet,
    /// The kernel leaves out what is not wanted.
    filtered: bool,
    builder: Builder,
}

impl Connector {
    /// Subscribes; the kernel leaves other events out if it can (6.6), else we do.
    pub(crate) fn new(kinds: KindSet) -> Result<Self, SourceError> {
        let fail = |what| move |error| SourceError::new(SourceId::Connector, what, error);
        let mut connector = Self::open(kinds).map_err(fail("open the netlink connector"))?;
        // The filter also drops the confirmation, so it is first asked to let everything pass.
        connector.filtered = connector.listen(&[LISTEN, EVENT_ALL]).is_ok();
        let last = if connector.filtered {
            connector.request(&[LISTEN, mask(kinds)])
        } else {
            connector.listen(&[LISTEN])
        };
        last.map_err(fail("listen to process events"))?;
        Ok(connector)
    }

    fn open(kinds: KindSet) -> io::Result<Self> {
        let socket = sys::connector_socket(GROUP)?;
        // Without the privilege to force it, the kernel's own limit stays.
        if setsockopt(&socket, sockopt::RcvBufForce, &QUEUE_BYTES).is_err() {
            setsockopt(&socket, sockopt::RcvBuf, &QUEUE_BYTES)?;
        }
        Ok(Connector { socket, kinds, filtered: false, builder: Builder::default() })
    }

    fn request(&self, request: &[u32]) -> io::Result<()> {
        let body = request.as_bytes();
        let total = size_of::<Envelope>() + body.len();
        let envelope = Envelope {
            total: u32::try_from(total).map_err(io::Error::other)?,
            kind: 3, // NLMSG_DONE
            port: std::process::id(),
            index: GROUP,
            value: 1,
            length: u16::try_from(body.len()).map_err(io::Error::other)?,
            ..Envelope::default()
        };
        let message = [envelope.as_bytes(), body].concat();
        send(self.socket.as_raw_fd(), &message, MsgFlags::empty())?;
        Ok(())
    }

    /// Sends the request and waits until the kernel confirms it; one that it does not understand
    /// (another length) gets no answer.
    fn listen(&self, request: &[u32]) -> io::Result<()> {
        self.request(request)?;
        let mut buffer = [0; 256];
        for _ in 0..MESSAGES {
            let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            if poll(&mut fds, PollTimeout::from(CONFIRM_MS))? == 0 {
                break;
            }
            match self.next(&mut buffer) {
                Ok(Some(event)) if event.what == EVENT_ACK => {
                    let error = i32::from_ne_bytes(event.tid.to_ne_bytes());
                    return if error == 0 {
                        Ok(())
                    } else {
                        Err(io::Error::from_raw_os_error(error.abs()))
                    };
                }
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// The next message; `Ok(None)`: one that is not from the kernel, or makes no sense.
    fn next(&self, buffer: &mut [u8]) -> io::Result<Option<Event>> {
        let (length, trusted) = sys::receive(self.socket.as_fd(), buffer)?;
        let message = buffer.get(..length).filter(|_| trusted);
        let event = message.and_then(|bytes| bytes.get(size_of::<Envelope>()..));
        // An acknowledgement is as long as any other event.
        Ok(event.and_then(|bytes| Event::read_from_prefix(bytes).ok()).map(|(event, _)| event))
    }

    fn event(&mut self, event: &Event, offset: u64, sink: &mut dyn Sink) {
        let time = event.monotonic.wrapping_add(offset);
        let kind = match event.what {
            EVENT_UID => Kind::Setuid,
            EVENT_GID => Kind::Setgid,
            EVENT_SID => Kind::Setsid,
            EVENT_PTRACE => Kind::Ptrace,
            _ => return,
        };
        if !self.kinds.contains(kind) {
            return;
        }
        if kind == Kind::Ptrace {
            self.traced(event, time, sink);
        } else {
            self.ids(kind, event, time, sink);
        }
    }

    /// What the event does not say is read from /proc, after the fact.
    fn ids(&mut self, kind: Kind, event: &Event, time: u64, sink: &mut dyn Sink) {
        const FLAGS: u32 = wire::FLAG_NO_START;
        let mut record: RecIds = blank(kind as u32, wire::PROVIDER_CONNECTOR, FLAGS, event.pid);
        let now = Ids::of(event.tid);
        record.h.flags |= if now.is_some() { wire::FLAG_AFTER } else { wire::FLAG_NO_CREDS };
        let mut ids = now.unwrap_or_default();
        if kind == Kind::Setuid {
            (ids.ruid, ids.euid) = (event.first, event.second);
        } else if kind == Kind::Setgid {
            (ids.rgid, ids.egid) = (event.first, event.second);
        }
        record.h.time = time;
        record.h.tid = event.tid;
        record.h.cpu = event.cpu;
        (record.h.uid, record.h.gid) = (ids.euid, ids.egid);
        (record.ruid, record.rgid) = (ids.ruid, ids.rgid);
        (record.suid, record.sgid) = (ids.suid, ids.sgid);
        (record.cap_permitted, record.cap_effective) = (ids.cap_permitted, ids.cap_effective);
        (record.old_uid, record.old_gid) = (UNKNOWN, UNKNOWN);
        (record.sid, record.pgid) = (ids.sid, ids.pgid);
        self.builder.send(record, wire::RING_LIFE, sink);
    }

    /// The kernel tells attaching (also by `PTRACE_SEIZE`) and, with tracer 0, detaching.
    fn traced(&mut self, event: &Event, time: u64, sink: &mut dyn Sink) {
        const FLAGS: u32 = wire::FLAG_NO_START | wire::FLAG_NO_CREDS;
        let (tracer_tid, tracer) = (event.first, event.second);
        if tracer == 0 {
            return;
        }
        let kind = wire::KIND_PTRACE;
        let mut record: RecAct = blank(kind, wire::PROVIDER_CONNECTOR, FLAGS, tracer);
        record.h.time = time;
        record.h.tid = tracer_tid;
        record.h.cpu = event.cpu;
        record.target_pid = event.pid;
        record.op = libc::PTRACE_ATTACH;
        self.builder.send(record, wire::RING_REST, sink);
    }
}

impl Source for Connector {
    fn fds(&self) -> Vec<(BorrowedFd<'_>, EpollFlags)> {
        vec![(self.socket.as_fd(), EpollFlags::EPOLLIN)]
    }

    fn notes(&self) -> Vec<String> {
        let unfiltered = "the kernel sends each fork, exec and exit too (it filters since 6.6)";
        if self.filtered { Vec::new() } else { vec![unfiltered.to_owned()] }
    }

    fn service(&mut self, sink: &mut dyn Sink) {
        // Only a suspend changes it.
        let offset = sys::boottime().wrapping_sub(sys::monotonic());
        let mut buffer = [0; 256];
        for _ in 0..MESSAGES {
            match self.next(&mut buffer) {
                Ok(Some(event)) => self.event(&event, offset, sink),
                Ok(None) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    // How many were dropped is not told: one at least.
                    sink.lost(wire::RING_LIFE, wire::LOSS_SOURCE, 1);
                }
                Err(_) => break,
            }
        }
    }
}

fn mask(kinds: KindSet) -> u32 {
    let bits = [
        (Kind::Setuid, EVENT_UID),
        (Kind::Setgid, EVENT_GID),
        (Kind::Setsid, EVENT_SID),
        (Kind::Ptrace, EVENT_PTRACE),
    ];
    bits.iter().filter(|(kind, _)| kinds.contains(*kind)).fold(0, |all, (_, bit)| all | bit)
}
