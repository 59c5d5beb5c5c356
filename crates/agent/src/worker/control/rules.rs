//! What clients ask of the rules that run: that they are read again, or that others come back.

use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::sync::oneshot;

use super::{Control, GUARD_WAIT, Peer, Shared, refuse};
use crate::cli::Accept;
use crate::exit::Exit;
use crate::policy::store::shortened;
use crate::rules::{Cause, Why};
use crate::worker::generations::Ask;
use crate::worker::hub::Command;
use crate::worker::link::reaches;

pub(super) async fn post_reload(
    State(control): Shared,
    ConnectInfo(peer): ConnectInfo<Peer>,
) -> Response {
    let cause = Cause::by(Why::Reload, peer.who(), None);
    reload(&control, Ask::Directories(cause), None).await
}

/// Which pack is meant as it lies there, and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Accepted {
    pack: String,
    reason: String,
}

pub(super) async fn post_accept(
    State(control): Shared,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(Accepted { pack, reason }): Query<Accepted>,
) -> Response {
    let reason = shortened(&reason);
    let cause = Cause::by(Why::Accept, peer.who(), Some(reason.clone()));
    let accept = Accept { pack, who: peer.who().uid, reason };
    reload(&control, Ask::Directories(cause), Some(accept)).await
}

/// Which generation is to run again, and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rollback {
    generation: Option<u64>,
    reason: String,
}

pub(super) async fn post_rollback(
    State(control): Shared,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(Rollback { generation, reason }): Query<Rollback>,
) -> Response {
    let cause = Cause::by(Why::Rollback, peer.who(), Some(shortened(&reason)));
    reload(&control, Ask::Rollback(generation, cause), None).await
}

pub(super) async fn post_follow(
    State(control): Shared,
    ConnectInfo(peer): ConnectInfo<Peer>,
) -> Response {
    if control.board.rules().generation.is_none_or(|generation| generation.held.is_none()) {
        let what = "nothing is held back: the rules that run are those of the directories";
        return refuse(StatusCode::CONFLICT, what);
    }
    let cause = Cause::by(Why::Follow, peer.who(), None);
    reload(&control, Ask::Directories(cause), None).await
}

async fn reload(control: &Control, ask: Ask, accept: Option<Accept>) -> Response {
    let (answer, done) = oneshot::channel();
    if control.events.try_send(Command::Reload(ask, accept, answer)).is_err() {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "the agent is busy; try again");
    }
    match done.await {
        Ok(Ok(subscriptions)) => {
            let mut reports = control.board.reports();
            if !reaches(&mut reports, subscriptions, GUARD_WAIT).await {
                tracing::warn!("the guard has not attached what the new rules need");
            }
            axum::Json(control.board.rules()).into_response()
        }
        Ok(Err((Exit::Failed, reason))) => refuse(StatusCode::CONFLICT, &reason),
        Ok(Err((_, reason))) => refuse(StatusCode::UNPROCESSABLE_ENTITY, &reason),
        Err(_) => refuse(StatusCode::TOO_MANY_REQUESTS, "too many wait for the rules"),
    }
}
