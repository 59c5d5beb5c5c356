//! One HTTP connection within limits, at the control socket as at the console: who may connect does not keep
//! others out for long, and makes no process grow.

use std::io::ErrorKind;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;

/// Bytes of a request's head: cookies of other servers of this host come along.
const HEAD_MAX: usize = 16 * 1024;
/// Lines of it.
const HEADERS_MAX: usize = 64;
/// How long the head of a request may take.
const HEAD_WAIT: Duration = Duration::from_secs(5);
/// Before the next try when nobody can be let in, as without descriptors.
const PAUSE: Duration = Duration::from_millis(200);

/// One request and its answer; who says nothing is hung up on. Its place is free again afterwards.
///
/// All of it may take as long as `wait` says; without it an answer may go on for ever.
pub(crate) async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    place: OwnedSemaphorePermit,
    wait: Option<Duration>,
) {
    let mut builder = Builder::new();
    builder.keep_alive(false).timer(TokioTimer::new()).header_read_timeout(HEAD_WAIT);
    builder.max_buf_size(HEAD_MAX).max_headers(HEADERS_MAX);
    let talk = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let talked = match wait {
        Some(wait) => tokio::time::timeout(wait, talk).await,
        None => Ok(talk.await),
    };
    match talked {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "somebody asked and left"),
        Err(_) => tracing::debug!("an answer took too long"),
    }
    drop(place);
}

/// After somebody could not be let in: at once if he left, later if descriptors are short.
pub(crate) async fn pause(error: &std::io::Error) {
    if error.kind() != ErrorKind::ConnectionAborted {
        tokio::time::sleep(PAUSE).await;
    }
}
