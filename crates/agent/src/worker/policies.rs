//! What the control socket answers about policies: questions to the guard, one at a time.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value as Json;
use tokio::sync::Mutex;

use super::control::{Control, refuse};
use crate::proto::{Policy, Request};

/// How long the guard may take to tell what it has in memory, or to let go.
const WAIT: Duration = Duration::from_secs(14);
/// The same where it may have to load programs, or to mark many files; the client waits for that.
const LOAD_WAIT: Duration = Duration::from_secs(118);

/// The number of the last question. Whoever holds it is the only one who asks.
#[derive(Debug, Default)]
pub(crate) struct Asking(Mutex<u32>);

type Shared = State<Arc<Control>>;

pub(super) async fn get_policy(State(control): Shared) -> Response {
    ask(&control, Policy::Show).await
}

pub(super) async fn get_denials(State(control): Shared) -> Response {
    ask(&control, Policy::Denials).await
}

/// Changes are asked of the guard itself: what this process says of who asked is not enough for it.
pub(super) async fn elsewhere() -> Response {
    let what = "policies, enforcement and what rules did are changed at the guard's own socket, by root: \
                `aegisbpf policy apply`, `emergency`, `actions rollback`, `actions resume`";
    refuse(StatusCode::FORBIDDEN, what)
}

async fn ask(control: &Control, asked: Policy) -> Response {
    let wait = if asked == Policy::Show { LOAD_WAIT } else { WAIT };
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
