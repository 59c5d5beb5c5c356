//! Recordings through the control socket: the worker opens no file that somebody names.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::{mpsc, oneshot};

use crate::worker::control::{Control, refuse};
use crate::worker::hub::Command;

/// Frames that wait for a reader: usually some 20 MB. More are lost to it, and their numbers tell so.
const FRAMES_MAX: usize = 128;

/// The recorder's end.
pub(crate) type Sender = mpsc::Sender<Bytes>;

/// `GET /v1/record`: a recording from now on, until the client goes.
pub(in crate::worker) async fn get_record(State(control): State<Arc<Control>>) -> Response {
    let (sender, frames) = mpsc::channel(FRAMES_MAX);
    let (answer, joined) = oneshot::channel();
    if control.events.try_send(Command::Record(sender, answer)).is_err() {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "the agent is busy; try again");
    }
    match joined.await {
        Ok(true) => {
            let kind = [(header::CONTENT_TYPE, "application/octet-stream")];
            (kind, Body::new(Frames(frames))).into_response()
        }
        Ok(false) => {
            refuse(StatusCode::SERVICE_UNAVAILABLE, "the agent is too busy to record; try again")
        }
        Err(_) => refuse(StatusCode::SERVICE_UNAVAILABLE, "the agent is ending"),
    }
}

/// A body that ends when the agent does.
struct Frames(mpsc::Receiver<Bytes>);

impl HttpBody for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|frame| frame.map(|bytes| Ok(http_body::Frame::data(bytes))))
    }
}
