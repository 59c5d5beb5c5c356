//! The messages between guard and worker: few, fixed, and bounded.
//!
//! They travel over a `SOCK_SEQPACKET` socket pair, one message a packet, with descriptors as
//! ancillary data. What the worker sends is foreign to the guard, so it is not a general format
//! but a tag and a few checked fields. What the guard sends is trusted by the worker.

mod act;
mod arm;
pub(crate) mod broker;
#[cfg(test)]
mod hostile;
mod object;
mod policy;
#[cfg(test)]
mod tests;

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use model::interest::{Interest, Watch};
use model::op::KindSet;
use model::wire::PATH_MAX_BYTES;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

pub(crate) use act::{Act, Undo, Verb, What};
pub(crate) use arm::Arm;
pub(crate) use object::Object;
pub(crate) use policy::Policy;

/// Longest message in bytes. An interest in some hundred watched paths fits many times over, and
/// it stays below the kernel's default socket buffer (212,992).
pub(crate) const MESSAGE_MAX: usize = 128 * 1024;
/// Descriptors in one message: the three rings.
const FDS_MAX: usize = 3;
/// Watched paths that one interest may name.
pub(crate) const WATCH_MAX: usize = 2048;
/// Environment variables that one interest may name.
pub(crate) const ENV_MAX: usize = 64;
/// Longest name of an environment variable.
const ENV_NAME_MAX: usize = 128;

/// What is asked of the guard: by its worker, and changes by root at `change.sock`. Nothing else can be asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Deliver this, and only this, from now on; answered with [`Reply::Report`].
    Subscribe(Interest),
    /// Answered with [`Reply::Counters`].
    Counters,
    /// Answered with [`Reply::Snapshot`].
    Snapshot,
    /// About policies; answered with [`Reply::Policy`], which has the same number.
    Policy(u32, Policy),
    /// A process took the first steps of a sequence whose last one is denied; not answered.
    Arm(Arm),
    /// A rule matched that wants something done; not answered.
    Act(Act),
    /// The event thread goes on: so many rules run, and so many readings of rules have ended; not answered.
    Pulse(u32, u32),
    /// Rules were read that want something done: what they may do is to be read, too; not answered.
    Rules,
    /// Root wants something undone, at the guard's own socket; answered with [`Reply::Policy`].
    Undo(u32, Undo),
}

/// What the guard tells the worker.
#[derive(Debug)]
pub(crate) enum Reply {
    /// The first message: the socket behind which things are done for a worker without privileges.
    Broker(OwnedFd),
    /// Descriptors of the three rings.
    Rings([OwnedFd; 3]),
    /// An iterator over the processes that exist now.
    Snapshot(OwnedFd),
    /// What is observed and how, as JSON (`doctor -o json`).
    Report(String),
    /// What was sent and lost, as JSON.
    Counters(String),
    /// The answer to a question of an operator, as JSON with its number.
    Policy(String),
    /// What was denied since the last such message, as JSON.
    Denials(String),
    /// What is to be told among the alerts, as JSON.
    Notice(String),
    /// Read the rules again.
    Reload,
    /// Handle what is in the rings, then end.
    Stop,
}

/// Why a message is refused. The guard answers a refused message by ending the worker.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProtoError {
    /// The message ends early, or is longer than its fields.
    #[error("message has the wrong length")]
    Length,
    /// No message has this tag.
    #[error("message has the unknown tag {0}")]
    Tag(u8),
    /// A field holds what it must not.
    #[error("message has a bad {0}")]
    Field(&'static str),
    /// The other side is gone.
    #[error("the other process has gone")]
    Gone,
    /// The other side does not read; nothing was sent.
    #[error("the other process does not read its messages")]
    Full,
    /// The socket failed.
    #[error("socket: {0}")]
    Socket(#[from] rustix::io::Errno),
}

const TAG_SUBSCRIBE: u8 = 1;
const TAG_COUNTERS: u8 = 2;
const TAG_SNAPSHOT: u8 = 3;
const TAG_POLICY: u8 = 4;
const TAG_ARM: u8 = 5;
const TAG_ACT: u8 = 6;
const TAG_RULES: u8 = 7;
const TAG_UNDO: u8 = 8;
const TAG_PULSE: u8 = 9;
const TAG_RINGS: u8 = 64;
const TAG_SNAPSHOT_FD: u8 = 65;
const TAG_REPORT: u8 = 66;
const TAG_COUNTERS_JSON: u8 = 67;
const TAG_STOP: u8 = 68;
const TAG_RELOAD: u8 = 69;
const TAG_POLICY_JSON: u8 = 70;
const TAG_DENIALS_JSON: u8 = 71;
const TAG_NOTICE_JSON: u8 = 72;
const TAG_BROKER: u8 = 73;

impl Request {
    /// The message as bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Request::Counters => vec![TAG_COUNTERS],
            Request::Snapshot => vec![TAG_SNAPSHOT],
            Request::Policy(number, policy) => {
                let (kind, generation, trial) = policy.words();
                let mut out = vec![TAG_POLICY, kind];
                out.extend(number.to_le_bytes());
                out.extend(generation.to_le_bytes());
                out.extend(trial.to_le_bytes());
                out
            }
            Request::Arm(arm) => {
                let mut out = vec![TAG_ARM];
                arm.put(&mut out);
                out
            }
            Request::Act(act) => {
                let mut out = vec![TAG_ACT];
                act.put(&mut out);
                out
            }
            Request::Rules => vec![TAG_RULES],
            Request::Pulse(rules, readings) => {
                let mut out = vec![TAG_PULSE];
                out.extend(rules.to_le_bytes());
                out.extend(readings.to_le_bytes());
                out
            }
            Request::Undo(number, undo) => {
                let mut out = vec![TAG_UNDO];
                out.extend(number.to_le_bytes());
                undo.put(&mut out);
                out
            }
            Request::Subscribe(interest) => {
                let mut out = vec![TAG_SUBSCRIBE];
                out.extend(interest.kinds.0.to_le_bytes());
                put_len(&mut out, interest.watch.len().min(WATCH_MAX));
                for watch in interest.watch.iter().take(WATCH_MAX) {
                    out.extend(watch.kinds.0.to_le_bytes());
                    out.push(u8::from(watch.recursive));
                    put_text(&mut out, &watch.path);
                }
                put_len(&mut out, interest.env.len().min(ENV_MAX));
                for name in interest.env.iter().take(ENV_MAX) {
                    put_text(&mut out, name);
                }
                out
            }
        }
    }

    /// The message in these bytes, each field checked.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Request, ProtoError> {
        let mut reader = Reader { rest: bytes };
        let request = match reader.byte()? {
            TAG_COUNTERS => Request::Counters,
            TAG_SNAPSHOT => Request::Snapshot,
            TAG_POLICY => reader.policy()?,
            TAG_ARM => Request::Arm(Arm::take(&mut reader)?),
            TAG_ACT => Request::Act(Act::take(&mut reader)?),
            TAG_RULES => Request::Rules,
            TAG_PULSE => {
                let rules = u32::from_le_bytes(reader.number()?);
                Request::Pulse(rules, u32::from_le_bytes(reader.number()?))
            }
            TAG_UNDO => {
                let number = u32::from_le_bytes(reader.number()?);
                Request::Undo(number, Undo::take(&mut reader)?)
            }
            TAG_SUBSCRIBE => Request::Subscribe(reader.interest()?),
            tag => return Err(ProtoError::Tag(tag)),
        };
        if reader.rest.is_empty() { Ok(request) } else { Err(ProtoError::Length) }
    }
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    out.extend(u16::try_from(len).unwrap_or(u16::MAX).to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_len(out, text.len());
    out.extend(text.as_bytes());
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], ProtoError> {
        let (head, tail) = self.rest.split_at_checked(len).ok_or(ProtoError::Length)?;
        self.rest = tail;
        Ok(head)
    }

    fn byte(&mut self) -> Result<u8, ProtoError> {
        self.take(1)?.first().copied().ok_or(ProtoError::Length)
    }

    fn len(&mut self, max: usize, field: &'static str) -> Result<usize, ProtoError> {
        let bytes: [u8; 2] = self.take(2)?.try_into().map_err(|_| ProtoError::Length)?;
        let len = usize::from(u16::from_le_bytes(bytes));
        if len <= max { Ok(len) } else { Err(ProtoError::Field(field)) }
    }

    /// A set of kinds that exist.
    fn kinds(&mut self) -> Result<KindSet, ProtoError> {
        let bytes: [u8; 8] = self.take(8)?.try_into().map_err(|_| ProtoError::Length)?;
        let bits = u64::from_le_bytes(bytes);
        let known: KindSet = KindSet(bits).iter().collect();
        if known.0 == bits { Ok(known) } else { Err(ProtoError::Field("kind")) }
    }

    fn text(&mut self, max: usize, field: &'static str) -> Result<String, ProtoError> {
        let len = self.len(max, field)?;
        let bytes = self.take(len)?;
        let text = std::str::from_utf8(bytes).map_err(|_| ProtoError::Field(field))?;
        if text.is_empty() || text.contains('\0') {
            return Err(ProtoError::Field(field));
        }
        Ok(text.to_owned())
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], ProtoError> {
        self.take(N)?.try_into().map_err(|_| ProtoError::Length)
    }

    fn policy(&mut self) -> Result<Request, ProtoError> {
        let kind = self.byte()?;
        let number = u32::from_le_bytes(self.number()?);
        let generation = u64::from_le_bytes(self.number()?);
        let trial = u32::from_le_bytes(self.number()?);
        let put = Policy::Put(generation, trial);
        let all = [Policy::Show, put, Policy::Disable, Policy::Enable, Policy::Denials];
        let policy = all.into_iter().find(|one| one.words() == (kind, generation, trial));
        policy.map(|policy| Request::Policy(number, policy)).ok_or(ProtoError::Field("policy"))
    }

    fn interest(&mut self) -> Result<Interest, ProtoError> {
        let kinds = self.kinds()?;
        let mut watch = Vec::new();
        for _ in 0..self.len(WATCH_MAX, "number of watches")? {
            let kinds = self.kinds()?;
            let recursive = match self.byte()? {
                0 => false,
                1 => true,
                _ => return Err(ProtoError::Field("watch flag")),
            };
            let path = self.text(PATH_MAX_BYTES as usize, "path")?;
            if !path.starts_with('/') {
                return Err(ProtoError::Field("path"));
            }
            watch.push(Watch { path, recursive, kinds });
        }
        let mut env = Vec::new();
        for _ in 0..self.len(ENV_MAX, "number of variables")? {
            let name = self.text(ENV_NAME_MAX, "variable")?;
            if name.contains('=') {
                return Err(ProtoError::Field("variable"));
            }
            env.push(name);
        }
        Ok(Interest { kinds, watch, env })
    }
}

/// Sends a request. Waits while the guard is busy: it always reads.
pub(crate) fn send_request(socket: impl AsFd, request: &Request) -> Result<(), ProtoError> {
    let bytes = request.encode();
    if bytes.len() > MESSAGE_MAX {
        return Err(ProtoError::Length);
    }
    send(socket.as_fd(), &bytes, &[], SendFlags::NOSIGNAL)
}

/// Sends a request that the next one makes up for; nothing if the guard is not reading.
pub(crate) fn offer_request(socket: impl AsFd, request: &Request) -> Result<(), ProtoError> {
    match send(socket.as_fd(), &request.encode(), &[], NOWAIT) {
        Err(ProtoError::Full) => Ok(()),
        other => other,
    }
}

/// Receives a request; `None` when none is waiting.
pub(crate) fn receive_request(socket: impl AsFd) -> Result<Option<Request>, ProtoError> {
    match receive(socket.as_fd(), RecvFlags::DONTWAIT) {
        Ok((bytes, _)) => Request::decode(&bytes).map(Some),
        Err(ProtoError::Socket(rustix::io::Errno::AGAIN)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Hands a new worker the socket behind which things are done for it.
pub(crate) fn send_broker(socket: impl AsFd, fd: BorrowedFd<'_>) -> Result<(), ProtoError> {
    send(socket.as_fd(), &[TAG_BROKER], &[fd], NOWAIT)
}

/// Hands the ring descriptors to a new worker.
pub(crate) fn send_rings(socket: impl AsFd, rings: [BorrowedFd<'_>; 3]) -> Result<(), ProtoError> {
    send(socket.as_fd(), &[TAG_RINGS], &rings, NOWAIT)
}

/// Hands a process iterator to the worker.
pub(crate) fn send_snapshot(socket: impl AsFd, fd: BorrowedFd<'_>) -> Result<(), ProtoError> {
    send(socket.as_fd(), &[TAG_SNAPSHOT_FD], &[fd], NOWAIT)
}

/// Sends a report ([`Reply::Report`]).
pub(crate) fn send_report(socket: impl AsFd, json: &str) -> Result<(), ProtoError> {
    send_text(socket.as_fd(), TAG_REPORT, json)
}

/// Sends counters ([`Reply::Counters`]).
pub(crate) fn send_counters(socket: impl AsFd, json: &str) -> Result<(), ProtoError> {
    send_text(socket.as_fd(), TAG_COUNTERS_JSON, json)
}

/// Answers a question about policies ([`Reply::Policy`]).
pub(crate) fn send_policy(socket: impl AsFd, json: &str) -> Result<(), ProtoError> {
    send_text(socket.as_fd(), TAG_POLICY_JSON, json)
}

/// Tells what was denied ([`Reply::Denials`]).
pub(crate) fn send_denials(socket: impl AsFd, json: &str) -> Result<(), ProtoError> {
    send_text(socket.as_fd(), TAG_DENIALS_JSON, json)
}

/// Tells what belongs among the alerts ([`Reply::Notice`]).
pub(crate) fn send_notice(socket: impl AsFd, json: &str) -> Result<(), ProtoError> {
    send_text(socket.as_fd(), TAG_NOTICE_JSON, json)
}

/// Tells the worker to read its rules again.
pub(crate) fn send_reload(socket: impl AsFd) -> Result<(), ProtoError> {
    send(socket.as_fd(), &[TAG_RELOAD], &[], NOWAIT)
}

/// Tells the worker to finish.
pub(crate) fn send_stop(socket: impl AsFd) -> Result<(), ProtoError> {
    send(socket.as_fd(), &[TAG_STOP], &[], NOWAIT)
}

/// The guard never waits for its worker.
const NOWAIT: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);

fn send_text(socket: BorrowedFd<'_>, tag: u8, text: &str) -> Result<(), ProtoError> {
    if text.len() >= MESSAGE_MAX {
        return Err(ProtoError::Length);
    }
    let mut bytes = Vec::with_capacity(text.len() + 1);
    bytes.push(tag);
    bytes.extend(text.as_bytes());
    send(socket, &bytes, &[], NOWAIT)
}

/// Receives what the guard says; waits for it.
pub(crate) fn receive_reply(socket: impl AsFd) -> Result<Reply, ProtoError> {
    let (bytes, fds) = receive(socket.as_fd(), RecvFlags::empty())?;
    let (tag, rest) = bytes.split_first().ok_or(ProtoError::Length)?;
    let text = || String::from_utf8(rest.to_vec()).map_err(|_| ProtoError::Field("text"));
    match *tag {
        TAG_RINGS => fds.try_into().map(Reply::Rings).map_err(|_| ProtoError::Field("descriptor")),
        TAG_SNAPSHOT_FD => {
            fds.into_iter().next().map(Reply::Snapshot).ok_or(ProtoError::Field("descriptor"))
        }
        TAG_BROKER => {
            fds.into_iter().next().map(Reply::Broker).ok_or(ProtoError::Field("descriptor"))
        }
        TAG_REPORT => Ok(Reply::Report(text()?)),
        TAG_COUNTERS_JSON => Ok(Reply::Counters(text()?)),
        TAG_POLICY_JSON => Ok(Reply::Policy(text()?)),
        TAG_DENIALS_JSON => Ok(Reply::Denials(text()?)),
        TAG_NOTICE_JSON => Ok(Reply::Notice(text()?)),
        TAG_RELOAD => Ok(Reply::Reload),
        TAG_STOP => Ok(Reply::Stop),
        tag => Err(ProtoError::Tag(tag)),
    }
}

fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> Result<(), ProtoError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(ProtoError::Field("descriptor"));
    }
    match rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags) {
        Ok(_) => Ok(()),
        Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => Err(ProtoError::Gone),
        Err(rustix::io::Errno::AGAIN) => Err(ProtoError::Full),
        Err(error) => Err(error.into()),
    }
}

fn receive(
    socket: BorrowedFd<'_>,
    flags: RecvFlags,
) -> Result<(Vec<u8>, Vec<OwnedFd>), ProtoError> {
    let mut bytes = vec![0; MESSAGE_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut control,
            flags | RecvFlags::CMSG_CLOEXEC,
        )
    });
    let got = match got {
        Err(rustix::io::Errno::CONNRESET) => return Err(ProtoError::Gone),
        other => other?,
    };
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    if got.bytes == 0 {
        return Err(ProtoError::Gone);
    }
    // The kernel says so when a packet did not fit: nothing of it is used.
    if got.flags.contains(rustix::net::ReturnFlags::TRUNC) {
        return Err(ProtoError::Length);
    }
    bytes.truncate(got.bytes);
    Ok((bytes, fds))
}
