//! What the control socket answers about policies and actions: questions to the guard, one at a time.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value as Json;
use tokio::sync::Mutex;

use super::control::{Control, Peer, REASON_MAX, refuse};
use crate::proto::{Policy, Request, Undo, What};

/// How long the guard may take to tell what it has in memory, or to let go.
const WAIT: Duration = Duration::from_secs(14);
/// The same where it may have to load programs, or to mark many files; the client waits for that.
const LOAD_WAIT: Duration = Duration::from_secs(118);

/// The number of the last question. Whoever holds it is the only one who asks.
#[derive(Debug, Default)]
pub(crate) struct Asking(Mutex<u32>);

type Shared = State<Arc<Control>>;

/// What is to be put in force.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    generation: u64,
    #[serde(default)]
    trial: u32,
}

/// Which way the emergency switch is put.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Switch {
    enforce: bool,
}

pub(super) async fn get_policy(State(control): Shared) -> Response {
    ask(&control, Policy::Show).await
}

pub(super) async fn get_denials(State(control): Shared) -> Response {
    ask(&control, Policy::Denials).await
}

pub(super) async fn post_policy(State(control): Shared, Query(wanted): Query<Wanted>) -> Response {
    ask(&control, Policy::Put(wanted.generation, wanted.trial)).await
}

pub(super) async fn post_emergency(
    State(control): Shared,
    Query(switch): Query<Switch>,
) -> Response {
    ask(&control, if switch.enforce { Policy::Enable } else { Policy::Disable }).await
}

/// An operator's word about actions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Undone {
    id: Option<u64>,
    rule: Option<String>,
    since: Option<i64>,
    reason: String,
}

pub(super) async fn post_rollback(
    State(control): Shared,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(wanted): Query<Undone>,
) -> Response {
    let what = match wanted {
        Undone { id: Some(id), rule: None, since: None, .. } => What::One(id),
        Undone { id: None, rule: Some(ref rule), since: None, .. } => What::Rule(rule.clone()),
        Undone { id: None, rule: None, since: Some(since), .. } => What::Since(since),
        _ => return refuse(StatusCode::BAD_REQUEST, "name one of `id`, `rule` and `since`"),
    };
    tell(&control, what, peer, &wanted.reason).await
}

/// Why rules are to act again.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Resumed {
    reason: String,
}

pub(super) async fn post_resume(
    State(control): Shared,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(wanted): Query<Resumed>,
) -> Response {
    tell(&control, What::Resume, peer, &wanted.reason).await
}

async fn tell(control: &Control, what: What, peer: Peer, reason: &str) -> Response {
    let reason: String = reason.chars().filter(|one| *one != '\0').take(REASON_MAX).collect();
    if reason.is_empty() {
        return refuse(StatusCode::BAD_REQUEST, "say why, for those who read the audit log");
    }
    let undo = Undo { what, uid: peer.uid(), reason };
    question(control, WAIT, |number| Request::Undo(number, undo)).await
}

async fn ask(control: &Control, asked: Policy) -> Response {
    let wait = match asked {
        Policy::Show | Policy::Put(..) | Policy::Enable => LOAD_WAIT,
        Policy::Denials | Policy::Disable => WAIT,
    };
    question(control, wait, |number| Request::Policy(number, asked)).await
}

/// Asks the guard, and waits for the answer with the same number.
async fn question(
    control: &Control,
    wait: Duration,
    asked: impl FnOnce(u32) -> Request,
) -> Response {
    let mut last = control.asking.0.lock().await;
    *last = last.wrapping_add(1);
    let number = *last;
    let mut answers = control.board.policies();
    if control.guard.ask(&asked(number)).is_err() {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "the guard cannot be asked");
    }
    let ours = |answer: &Json| answer["number"] == number;
    let answer = tokio::time::timeout(wait, answers.wait_for(ours)).await;
    let Ok(Ok(answer)) = answer else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "the guard does not answer");
    };
    match answer.get("error").and_then(Json::as_str) {
        Some(reason) => refuse(StatusCode::CONFLICT, reason),
        None => axum::Json(answer.clone()).into_response(),
    }
}
