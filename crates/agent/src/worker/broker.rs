//! What the worker has the guard do for it, since it has no privileges: see [`crate::proto::broker`].

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use files::ReadError;
use serde_json::Value as Json;

use crate::exit::{Exit, Failure};
use crate::proto::ProtoError;
use crate::proto::broker::{Errand, Outcome, receive_outcome, send_errand};
use crate::state::OWN;

/// The way to the guard; whoever holds it is the only one who asks.
static SOCKET: OnceLock<Mutex<OwnedFd>> = OnceLock::new();

/// From now on the operator's files are opened by the guard.
pub(super) fn begin(socket: OwnedFd) -> Result<(), Failure> {
    let first = SOCKET.set(Mutex::new(socket)).is_ok() && files::open_by(Box::new(Lent));
    let twice = || Failure::new(Exit::Internal, "the worker has begun already");
    first.then_some(()).ok_or_else(twice)
}

/// All files but our own are opened by the guard.
#[derive(Debug)]
struct Lent;

impl files::Opener for Lent {
    fn serves(&self, path: &Path) -> bool {
        !path.starts_with(OWN)
    }

    fn open(&self, path: &Path) -> io::Result<OwnedFd> {
        match ask(&Errand::Open(path.to_owned()))? {
            Outcome::Fd(fd) => Ok(fd),
            other => Err(refused(other)),
        }
    }
}

/// What the files look like that decide which rules run; none if nobody looks for us.
pub(super) fn look() -> Option<u64> {
    SOCKET.get()?;
    match ask(&Errand::Look) {
        Ok(Outcome::Number(print)) => Some(print),
        // The guard has gone, and so do we.
        _ => Some(0),
    }
}

/// The control socket.
pub(super) fn listen() -> Result<OwnedFd, Failure> {
    match ask(&Errand::Listen) {
        Ok(Outcome::Fd(fd)) => Ok(fd),
        Ok(other) => Err(Failure::new(Exit::RuntimeDir, refused(other).to_string())),
        Err(error) => Err(Failure::new(Exit::Internal, format!("cannot ask the guard: {error}"))),
    }
}

/// Gives the guard a line of the audit log.
pub(super) fn note(action: &str, about: &Json) -> io::Result<()> {
    let Some(socket) = SOCKET.get() else { return Err(io::ErrorKind::NotConnected.into()) };
    let socket = socket.lock().unwrap_or_else(PoisonError::into_inner);
    let send = |about: &Json| {
        let errand = Errand::Note(action.to_owned(), about.to_string().into_bytes());
        send_errand(socket.as_fd(), &errand)
    };
    let sent = match send(about) {
        Err(ProtoError::Length) => {
            send(&serde_json::json!({ "too_long": about.to_string().len() }))
        }
        sent => sent,
    };
    sent.map_err(io::Error::other)
}

fn ask(errand: &Errand) -> io::Result<Outcome> {
    let Some(socket) = SOCKET.get() else { return Err(io::ErrorKind::NotConnected.into()) };
    let socket = socket.lock().unwrap_or_else(PoisonError::into_inner);
    send_errand(socket.as_fd(), errand).map_err(io::Error::other)?;
    receive_outcome(socket.as_fd()).map_err(io::Error::other)
}

fn refused(outcome: Outcome) -> io::Error {
    match outcome {
        Outcome::System(errno) => io::Error::from_raw_os_error(errno),
        Outcome::Untrusted(path, owner, mode) => {
            io::Error::other(ReadError::Untrusted { path, owner, mode })
        }
        Outcome::NotRegular(path) => io::Error::other(ReadError::NotRegular { path }),
        Outcome::Reason(reason) => io::Error::other(reason),
        Outcome::Fd(_) | Outcome::Number(_) => io::Error::other("the guard answers something else"),
    }
}
