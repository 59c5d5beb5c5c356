//! The worker's end of the socket to the guard.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tokio::sync::watch;

use super::board::Board;
use crate::exit::{Exit, Failure};
use crate::proto::{self, ProtoError, Reply, Request};
use crate::seccomp;

/// Replies that wait for the event thread. It asks for few and reads often.
const REPLIES_MAX: usize = 16;
/// How long the guard may take to attach all sensors.
const ATTACH_WAIT: Duration = Duration::from_secs(30);

/// What the event thread must know of the guard.
#[derive(Debug)]
pub(crate) enum News {
    /// The processes that exist.
    Snapshot(OwnedFd),
    /// What was denied, as JSON.
    Denials(String),
    /// What is to be told among the alerts, as JSON.
    Notice(String),
    /// Finish.
    Stop,
    /// The guard has gone, or speaks nonsense: end at once.
    Gone,
}

/// The socket to the guard.
#[derive(Debug)]
pub(crate) struct Link {
    socket: Arc<OwnedFd>,
    news: Receiver<News>,
    /// The operator wants the rules to be read again.
    reload: Arc<AtomicBool>,
}

impl Link {
    /// Takes over standard input, which is the socket.
    pub(crate) fn open() -> Result<(Link, SyncSender<News>), Failure> {
        let socket = std::io::stdin().as_fd().try_clone_to_owned().map_err(|e| stranger(&e))?;
        rustix::net::sockopt::socket_type(&socket).map_err(|error| stranger(&error))?;
        let (sender, news) = sync_channel(REPLIES_MAX);
        Ok((Link { socket: Arc::new(socket), news, reload: Arc::default() }, sender))
    }

    /// Waits for the socket behind which things are done for us, the first thing that the guard sends.
    pub(crate) fn broker(&self) -> Result<OwnedFd, Failure> {
        match proto::receive_reply(&*self.socket) {
            Ok(Reply::Broker(socket)) => Ok(socket),
            Ok(_) => Err(stranger(&"the guard did not send the broker's socket first")),
            Err(error) => Err(stranger(&error)),
        }
    }

    /// Waits for the rings, which the guard sends next.
    pub(crate) fn rings(&self) -> Result<[OwnedFd; 3], Failure> {
        match proto::receive_reply(&*self.socket) {
            Ok(Reply::Rings(rings)) => Ok(rings),
            Ok(_) => Err(stranger(&"the guard did not send the rings")),
            Err(error) => Err(stranger(&error)),
        }
    }

    /// Starts the thread that reads what the guard says.
    pub(crate) fn listen(&self, board: &Arc<Board>, news: SyncSender<News>) -> Result<(), Failure> {
        let (socket, board) = (Arc::clone(&self.socket), Arc::clone(board));
        let reload = Arc::clone(&self.reload);
        std::thread::Builder::new()
            .name("guard".into())
            .spawn(move || {
                seccomp::thread(seccomp::Kind::Link);
                let last = Last(news);
                read(&socket, &board, &reload, &last.0);
            })
            .map(drop)
            .map_err(|e| Failure::new(Exit::Internal, format!("cannot start a thread: {e}")))
    }

    /// A way for others to ask the guard.
    pub(crate) fn asker(&self) -> Asker {
        Asker { socket: Arc::clone(&self.socket) }
    }

    /// News, without waiting.
    pub(crate) fn news(&self) -> Option<News> {
        self.news.try_recv().ok()
    }

    /// Whether the rules are to be read again; told once.
    pub(crate) fn wants_reload(&self) -> bool {
        self.reload.swap(false, Ordering::Relaxed)
    }

    /// Waits for a snapshot of the processes.
    pub(crate) fn snapshot(&self) -> Result<News, Failure> {
        self.asker().ask(&Request::Snapshot)?;
        self.news.recv_timeout(ATTACH_WAIT).map_err(|_| {
            Failure::new(Exit::Internal, "the guard does not answer: it did not list the processes")
        })
    }
}

fn stranger(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Usage, format!("the worker is started by `aegisbpf run`: {error}"))
}

/// Asks the guard; the answers go to the [`Board`] or are [`News`].
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    socket: Arc<OwnedFd>,
}

impl Asker {
    /// Sends one request.
    pub(crate) fn ask(&self, request: &Request) -> Result<(), Failure> {
        proto::send_request(&*self.socket, request)
            .map_err(|error| Failure::new(Exit::Internal, format!("cannot ask the guard: {error}")))
    }
}

impl Asker {
    /// One who asks at this socket.
    #[cfg(test)]
    pub(crate) fn at(socket: OwnedFd) -> Asker {
        Asker { socket: Arc::new(socket) }
    }

    /// Tells something that the next one makes up for, without waiting.
    pub(crate) fn offer(&self, request: &Request) {
        if let Err(error) = proto::offer_request(&*self.socket, request) {
            tracing::debug!(%error, "the guard is not told");
        }
    }
}

/// A worker that hears its guard no more is to end, also if whoever listened panicked: a policy on trial
/// may deny even what wakes the other threads.
struct Last(SyncSender<News>);

impl Drop for Last {
    fn drop(&mut self) {
        // Nobody listens only where the worker ends already.
        drop(self.0.send(News::Gone));
    }
}

fn read(socket: &OwnedFd, board: &Board, reload: &AtomicBool, news: &SyncSender<News>) {
    loop {
        let item = match proto::receive_reply(socket) {
            Ok(Reply::Report(json)) => {
                board.put_report(&json);
                continue;
            }
            Ok(Reply::Counters(json)) => {
                board.put_counters(&json);
                continue;
            }
            Ok(Reply::Policy(json)) => {
                board.put_policies(&json);
                continue;
            }
            Ok(Reply::Reload) => {
                reload.store(true, Ordering::Relaxed);
                continue;
            }
            Ok(Reply::Snapshot(fd)) => News::Snapshot(fd),
            Ok(Reply::Denials(json)) => News::Denials(json),
            Ok(Reply::Notice(json)) => News::Notice(json),
            Ok(Reply::Stop) => News::Stop,
            Ok(Reply::Rings(_) | Reply::Broker(_)) => continue,
            Err(error) => {
                if !matches!(error, ProtoError::Gone) {
                    tracing::error!(%error, "the guard cannot be understood");
                }
                return;
            }
        };
        if news.send(item).is_err() {
            return;
        }
    }
}

/// Waits until a watched number reaches a value; false when it took too long.
pub(crate) async fn reaches(watch: &mut watch::Receiver<u64>, value: u64, limit: Duration) -> bool {
    tokio::time::timeout(limit, watch.wait_for(|now| *now >= value)).await.is_ok_and(|r| r.is_ok())
}
