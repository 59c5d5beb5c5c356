//! Where changes are asked of the guard itself: policies, enforcement, what rules did.
//!
//! The worker serves the control socket, and whoever has taken it over could say that root asked. So what
//! the guard decides about is asked at a socket of its own, `change.sock`, with the messages of
//! [`crate::proto`]: one question a connection. The kernel says who asks, and only root is answered.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::net::sockopt::socket_peercred;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::Guard;
use super::runtime::change_path;
use crate::exit::{Exit, Failure};
use crate::proto::{self, ProtoError, Request, Undo};

/// Connections whose question has not come yet; the oldest makes room.
const CLIENTS_MAX: usize = 8;
/// How long a question may take to come: it is sent at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// The socket, and who has connected.
#[derive(Debug)]
pub(super) struct Changes {
    socket: OwnedFd,
    path: PathBuf,
    clients: Vec<(OwnedFd, u32, Instant)>,
}

/// A question, and who wants to know.
#[derive(Debug)]
pub(super) struct Question {
    /// What is asked.
    pub(super) request: Request,
    /// The user, by the kernel's word.
    pub(super) uid: u32,
    client: OwnedFd,
}

impl Question {
    /// Answers; who has gone needs no answer.
    pub(super) fn answer(&self, answer: &serde_json::Value) {
        if let Err(error) = proto::send_policy(&self.client, &answer.to_string()) {
            tracing::warn!(%error, "whoever asked for a change is not answered");
        }
    }
}

impl Changes {
    /// Binds the socket, which is root's alone.
    pub(super) fn open(runtime: &Path) -> Result<Changes, Failure> {
        let path = change_path(runtime);
        bind(&path)
            .map(|socket| Changes { socket, path: path.clone(), clients: Vec::new() })
            .map_err(|error| {
                let message = format!("cannot open the socket {}: {error}", path.display());
                Failure::new(Exit::RuntimeDir, message)
            })
    }

    /// What is to be waited for.
    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let clients = self.clients.iter().map(|(client, ..)| client.as_fd());
        std::iter::once(self.socket.as_fd()).chain(clients)
    }

    /// The next question, without waiting.
    pub(super) fn next(&mut self) -> Option<Question> {
        self.accept();
        let now = Instant::now();
        self.clients.retain(|(.., since)| now.duration_since(*since) < PATIENCE);
        let mut at = 0;
        while let Some((client, ..)) = self.clients.get(at) {
            let received = proto::receive_request(client);
            if matches!(received, Ok(None)) {
                at += 1;
                continue;
            }
            let (client, uid, _) = self.clients.remove(at);
            match received {
                Ok(Some(request)) => return Some(Question { request, uid, client }),
                Ok(None) | Err(ProtoError::Gone) => {}
                Err(error) => {
                    tracing::warn!(%error, uid, "a change is asked for in no words of ours");
                }
            }
        }
        None
    }

    fn accept(&mut self) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        for _ in 0..CLIENTS_MAX {
            let Ok(client) = rustix::net::accept_with(&self.socket, flags) else { return };
            let uid = socket_peercred(&client).map(|peer| peer.uid.as_raw());
            match uid {
                Ok(0) => {
                    if self.clients.len() == CLIENTS_MAX {
                        self.clients.remove(0);
                    }
                    self.clients.push((client, 0, Instant::now()));
                }
                // Only where the permissions of the socket were changed.
                other => tracing::error!(uid = ?other, "somebody but root asks for a change"),
            }
        }
    }
}

impl Guard<'_> {
    /// Does what root has asked for.
    pub(super) fn change(&mut self) {
        while let Some(question) = self.changes.next() {
            let answer = match &question.request {
                Request::Policy(number, asked) => self.prevention.answer(*number, *asked),
                Request::Undo(_, undo) => {
                    self.actor.undo(&Undo { uid: question.uid, ..undo.clone() })
                }
                _ => serde_json::json!({ "error": "this is not asked here" }),
            };
            question.answer(&answer);
        }
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.path));
    }
}

fn bind(path: &Path) -> std::io::Result<OwnedFd> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    // Before it listens: until then nobody can connect.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    rustix::net::listen(&socket, i32::try_from(CLIENTS_MAX).unwrap_or(1))?;
    Ok(socket)
}
