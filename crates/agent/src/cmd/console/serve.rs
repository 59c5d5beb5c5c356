//! Where the console listens. Every process of this host can connect to a loopback address: who comes when all
//! places are taken waits for the next.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

use crate::cli::console::Listen;
use crate::connection;
use crate::exit::{Exit, Failure};

/// Connections at the same time: browsers open six for each window; more have to wait.
const CONNECTIONS_MAX: usize = 32;
/// How long all of it may take: loading programs takes the agent two minutes at most.
const ANSWER_WAIT: Duration = Duration::from_mins(3);

/// Where requests come from.
#[derive(Debug)]
pub(super) enum Listener {
    /// An address of this host.
    Loopback(TcpListener),
    /// A socket that its user alone may open.
    Socket(UnixListener),
}

impl Listener {
    /// Listens there, and says what a browser is to be given.
    pub(super) fn bind(listen: &Listen) -> Result<(Listener, String), Failure> {
        let failed = |error: std::io::Error| {
            let at = match listen {
                Listen::Loopback(address) => address.to_string(),
                Listen::Socket(path) => path.display().to_string(),
            };
            Failure::new(Exit::Failed, format!("cannot listen at {at}: {error}"))
                .help("name another place with --listen")
        };
        match listen {
            Listen::Loopback(address) => {
                let listener = std::net::TcpListener::bind(address).map_err(failed)?;
                listener.set_nonblocking(true).map_err(failed)?;
                let at = listener.local_addr().map_err(failed)?;
                let listener = TcpListener::from_std(listener).map_err(failed)?;
                Ok((Listener::Loopback(listener), format!("http://{at}")))
            }
            Listen::Socket(path) => {
                clear(path).map_err(failed)?;
                let listener = UnixListener::bind(path).map_err(failed)?;
                fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
                // Whoever forwards a port to the socket chooses that port.
                Ok((Listener::Socket(listener), "http://localhost:PORT".to_owned()))
            }
        }
    }

    /// Answers whoever comes.
    pub(super) async fn serve(self, router: Router) {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
            let (router, wait) = (router.clone(), Some(ANSWER_WAIT));
            let failed = match &self {
                Listener::Loopback(listener) => match listener.accept().await {
                    Ok((stream, _)) => {
                        tokio::spawn(connection::answer(stream, router, place, wait));
                        continue;
                    }
                    Err(error) => error,
                },
                Listener::Socket(listener) => match listener.accept().await {
                    Ok((stream, _)) => {
                        tokio::spawn(connection::answer(stream, router, place, wait));
                        continue;
                    }
                    Err(error) => error,
                },
            };
            connection::pause(&failed).await;
        }
    }
}

/// Removes a socket that a console before this one left behind, and nothing else.
fn clear(path: &Path) -> std::io::Result<()> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    let refused = |error: std::io::Error| error.kind() == ErrorKind::ConnectionRefused;
    if is_socket && UnixStream::connect(path).is_err_and(refused) {
        return fs::remove_file(path);
    }
    Ok(())
}
