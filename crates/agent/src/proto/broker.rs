//! What a worker without privileges has done for it: files of the operator that it may not open, the
//! control socket, lines of the audit log. A socket pair of its own, one message a packet; each question
//! but a line of the log is answered at once, whatever the guard does meanwhile.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use model::wire::PATH_MAX_BYTES;
use rustix::net::{RecvFlags, SendFlags};

use super::{MESSAGE_MAX, ProtoError, Reader, receive, send};

/// Longest name of an action in the audit log.
const ACTION_MAX: usize = 64;

/// What the worker asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Errand {
    /// A file or a directory of the operator, opened for reading.
    Open(PathBuf),
    /// What the files look like that decide which rules run.
    Look,
    /// The control socket, bound and listening.
    Listen,
    /// A line of the audit log: its action, and an object as JSON. Not answered.
    Note(String, Vec<u8>),
}

/// What comes of it.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A descriptor.
    Fd(OwnedFd),
    /// A number.
    Number(u64),
    /// An error of the system.
    System(i32),
    /// Others could change what the file says: its path, owner, and permission bits.
    Untrusted(String, u32, u32),
    /// It is no file or directory, or a link leads there.
    NotRegular(String),
    /// Another reason.
    Reason(String),
}

const TAG_OPEN: u8 = 1;
const TAG_LOOK: u8 = 2;
const TAG_LISTEN: u8 = 3;
const TAG_NOTE: u8 = 4;
const TAG_FD: u8 = 64;
const TAG_NUMBER: u8 = 65;
const TAG_SYSTEM: u8 = 66;
const TAG_UNTRUSTED: u8 = 67;
const TAG_NOT_REGULAR: u8 = 68;
const TAG_REASON: u8 = 69;

impl Errand {
    fn encode(&self) -> Vec<u8> {
        match self {
            Errand::Open(path) => [&[TAG_OPEN], path.as_os_str().as_bytes()].concat(),
            Errand::Look => vec![TAG_LOOK],
            Errand::Listen => vec![TAG_LISTEN],
            Errand::Note(action, about) => {
                let len = u8::try_from(action.len()).unwrap_or(u8::MAX);
                [&[TAG_NOTE, len], action.as_bytes(), about].concat()
            }
        }
    }

    /// The errand in these bytes, each field checked.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Errand, ProtoError> {
        let mut reader = Reader { rest: bytes };
        let errand = match reader.byte()? {
            TAG_OPEN => {
                let path = std::mem::take(&mut reader.rest);
                if path.is_empty() || path.len() > PATH_MAX_BYTES as usize || path.contains(&0) {
                    return Err(ProtoError::Field("path"));
                }
                Errand::Open(std::ffi::OsString::from_vec(path.to_vec()).into())
            }
            TAG_LOOK => Errand::Look,
            TAG_LISTEN => Errand::Listen,
            TAG_NOTE => {
                let len = usize::from(reader.byte()?);
                let action = std::str::from_utf8(reader.take(len)?);
                let is_word = |text: &&str| {
                    (1..=ACTION_MAX).contains(&text.len())
                        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
                };
                let action = action.ok().filter(is_word).ok_or(ProtoError::Field("action"))?;
                Errand::Note(action.to_owned(), std::mem::take(&mut reader.rest).to_vec())
            }
            tag => return Err(ProtoError::Tag(tag)),
        };
        if reader.rest.is_empty() { Ok(errand) } else { Err(ProtoError::Length) }
    }
}

/// Sends an errand.
pub(crate) fn send_errand(socket: impl AsFd, errand: &Errand) -> Result<(), ProtoError> {
    let bytes = errand.encode();
    if bytes.len() > MESSAGE_MAX {
        return Err(ProtoError::Length);
    }
    send(socket.as_fd(), &bytes, &[], SendFlags::NOSIGNAL)
}

/// Waits for an errand.
pub(crate) fn receive_errand(socket: impl AsFd) -> Result<Errand, ProtoError> {
    receive(socket.as_fd(), RecvFlags::empty()).and_then(|(bytes, _)| Errand::decode(&bytes))
}

/// Sends what came of an errand.
pub(crate) fn send_outcome(socket: impl AsFd, outcome: &Outcome) -> Result<(), ProtoError> {
    let text = |tag: u8, text: &str| [&[tag], text.as_bytes()].concat();
    let mut fds = Vec::new();
    let bytes = match outcome {
        Outcome::Fd(fd) => {
            fds.push(fd.as_fd());
            vec![TAG_FD]
        }
        Outcome::Number(number) => [&[TAG_NUMBER][..], &number.to_le_bytes()].concat(),
        Outcome::System(errno) => [&[TAG_SYSTEM][..], &errno.to_le_bytes()].concat(),
        Outcome::Untrusted(path, owner, mode) => {
            let numbers = [owner.to_le_bytes(), mode.to_le_bytes()].concat();
            [&[TAG_UNTRUSTED][..], &numbers, path.as_bytes()].concat()
        }
        Outcome::NotRegular(path) => text(TAG_NOT_REGULAR, path),
        Outcome::Reason(reason) => text(TAG_REASON, reason),
    };
    send(socket.as_fd(), &bytes, &fds, SendFlags::NOSIGNAL)
}

/// Waits for what comes of an errand.
pub(crate) fn receive_outcome(socket: impl AsFd) -> Result<Outcome, ProtoError> {
    let (bytes, fds) = receive(socket.as_fd(), RecvFlags::empty())?;
    let mut reader = Reader { rest: &bytes };
    let tag = reader.byte()?;
    let text = |reader: Reader<'_>| String::from_utf8_lossy(reader.rest).into_owned();
    match tag {
        TAG_FD => fds.into_iter().next().map(Outcome::Fd).ok_or(ProtoError::Field("descriptor")),
        TAG_NUMBER => Ok(Outcome::Number(u64::from_le_bytes(reader.number()?))),
        TAG_SYSTEM => Ok(Outcome::System(i32::from_le_bytes(reader.number()?))),
        TAG_UNTRUSTED => {
            let owner = u32::from_le_bytes(reader.number()?);
            let mode = u32::from_le_bytes(reader.number()?);
            Ok(Outcome::Untrusted(text(reader), owner, mode))
        }
        TAG_NOT_REGULAR => Ok(Outcome::NotRegular(text(reader))),
        TAG_REASON => Ok(Outcome::Reason(text(reader))),
        tag => Err(ProtoError::Tag(tag)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errands_come_back_as_they_were_and_nothing_else_is_read() {
        let all = [
            Errand::Open("/etc/aegisbpf/rules.d".into()),
            Errand::Look,
            Errand::Listen,
            Errand::Note("rules-loaded".to_owned(), b"{}".to_vec()),
        ];
        for errand in all {
            assert_eq!(Errand::decode(&errand.encode()).unwrap(), errand);
        }
        let wrong: [&[u8]; 7] =
            [b"", b"\x01", b"\x01/a\0b", b"\x02x", b"\x04\x01", b"\x04\x02A\n{}", b"\x09"];
        for bytes in wrong {
            assert!(Errand::decode(bytes).is_err(), "{bytes:?}");
        }
        let long = [&[TAG_OPEN][..], &vec![b'x'; PATH_MAX_BYTES as usize + 1]].concat();
        assert!(matches!(Errand::decode(&long), Err(ProtoError::Field("path"))));
    }
}
