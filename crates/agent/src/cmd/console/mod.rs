//! `aegisbpf console`: the running agent in a browser on this host.
//!
//! The agent itself serves no page. Whoever wants one runs this beside it: like any other command it asks
//! the control socket, for each page anew, and what it changes is checked and written down as that of any
//! other command. It keeps nothing but its secrets and what it saw last, for rates.
//!
//! | module | knows |
//! |---|---|
//! | `serve` | where it listens, and the limits of a connection |
//! | `door` | who is let in: by host, origin and token |
//! | `page` | what all pages look like; whatever comes from the host is escaped here |
//! | `change` | what may be changed, and that it was meant |
//! | the others | one page each |
//!
//! No page runs a script: there is none, and the browser is told to run none.

mod alerts;
mod change;
mod door;
mod health;
mod incidents;
mod overview;
mod page;
mod policies;
mod responses;
mod rules;
mod serve;
mod simulation;
mod suppressions;
mod told;

use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use serde::Deserialize;

use super::top::look::Look;
use crate::cli::console::ConsoleArgs;
use crate::exit::{Exit, Failure};
use door::Secrets;
use page::Sheet;

/// Bytes of a form: a reason of a thousand letters, each written in nine.
const FORM_MAX: usize = 16 * 1024;
/// Questions that are put to the agent at the same time; a browser asks for one page after the other.
const ASKERS_MAX: usize = 4;

/// What all answers have in common.
#[derive(Debug)]
struct Console {
    args: ConsoleArgs,
    secrets: Secrets,
    /// What was seen last, to tell rates.
    last: Mutex<Option<Look>>,
}

/// What the address of a page may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    id: Option<String>,
    rule: Option<String>,
    severity: Option<String>,
    of: Option<String>,
    since: Option<String>,
    live: Option<bool>,
}

type Shared = State<Arc<Console>>;
type Make = fn(&Console, &Wanted) -> Result<Sheet, Failure>;

/// Listens until a signal ends it.
pub(crate) fn run(args: ConsoleArgs) -> Result<Exit, Failure> {
    let failed = |error: std::io::Error| Failure::new(Exit::Failed, error.to_string());
    let secrets = Secrets::new().map_err(failed)?;
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().max_blocking_threads(ASKERS_MAX).build().map_err(failed)?;
    runtime.block_on(async {
        let (listener, at) = serve::Listener::bind(&args.listen)?;
        let mut out = anstream::stdout();
        writeln!(out, "{at}/login?token={}", secrets.token)?;
        out.flush()?;
        let console = Arc::new(Console { args, secrets, last: Mutex::new(None) });
        listener.serve(router(console)).await;
        Ok(Exit::Ok)
    })
}

/// All addresses.
fn router(console: Arc<Console>) -> Router {
    Router::new()
        .route("/", page("/", overview::page))
        .route("/incidents", page("/incidents", incidents::page))
        .route("/alerts", page("/alerts", alerts::page))
        .route("/rules", page("/rules", rules::page))
        .route("/policies", page("/policies", policies::page))
        .route("/simulation", page("/policies", simulation::page))
        .route("/responses", page("/responses", responses::page))
        .route("/suppressions", page("/suppressions", suppressions::page))
        .route("/health", page("/health", health::page))
        .route("/login", get(door::login))
        .route("/change/rollback", post(change::rollback))
        .route("/change/reload", post(change::reload))
        .route("/change/emergency", post(change::emergency))
        .route(
            "/style.css",
            get(|| async { file("text/css; charset=utf-8", include_str!("style.css")) }),
        )
        .route("/icon.svg", get(|| async { file("image/svg+xml", include_str!("icon.svg")) }))
        .fallback(|| async { page::refusal(StatusCode::NOT_FOUND, "there is no such page") })
        .layer(DefaultBodyLimit::max(FORM_MAX))
        .layer(from_fn_with_state(Arc::clone(&console), door::admit))
        .with_state(console)
}

fn file(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

fn page(tab: &'static str, make: Make) -> MethodRouter<Arc<Console>> {
    get(move |State(console): Shared, Query(wanted): Query<Wanted>| async move {
        answer(console, tab, move |console| make(console, &wanted)).await
    })
}

/// Asks the agent on a thread that may wait, and shows what came of it.
async fn answer(
    console: Arc<Console>,
    tab: &'static str,
    work: impl FnOnce(&Console) -> Result<Sheet, Failure> + Send + 'static,
) -> Response {
    let asked = Arc::clone(&console);
    let done = tokio::task::spawn_blocking(move || work(&asked)).await;
    let done = done.unwrap_or_else(|error| Err(Failure::new(Exit::Internal, error.to_string())));
    match done {
        Ok(sheet) => page::show(StatusCode::OK, tab, &sheet),
        Err(failure) => {
            let status = match failure.exit {
                Exit::Usage => StatusCode::BAD_REQUEST,
                Exit::NotRunning | Exit::Unreachable => StatusCode::SERVICE_UNAVAILABLE,
                Exit::Permission => StatusCode::FORBIDDEN,
                _ => StatusCode::CONFLICT,
            };
            page::show(status, tab, &page::failed(&failure))
        }
    }
}

#[cfg(test)]
mod tests;
