//! The control socket: HTTP with JSON over a Unix socket, so that `curl --unix-socket` works too.
//!
//! It has a thread of its own with a small runtime; the event thread never waits for it. Places for
//! connections are bounded, and root's are its own, so that no member of the group can keep root out.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/status` | one object |
//! | `GET /v1/doctor` | one object: what is attached now |
//! | `GET /v1/rules` | one object: the rules that run, what they found and cost, and those left out |
//! | `POST /v1/rules/release` | `script=NAME`, `reason=TEXT`: asks a script in quarantine again; 409: there is none |
//! | `POST /v1/rules/accept` | `pack=ID`, `reason=TEXT`: as `reload`, with an older version of that pack |
//! | `POST /v1/rules/rollback` | `generation=N`, `reason=TEXT`: as `reload`, with a generation of before; 409: there is none |
//! | `POST /v1/rules/follow` | as `reload`, after a rollback or after rules that broke; 409: nothing is held back |
//! | `GET /v1/record` | a recording from now on, until the client goes |
//! | `GET /v1/metrics` | all figures as Prometheus reads them |
//! | `GET /v1/events` | JSON lines; `follow=true`, `kinds=a,b`, `where=EQL` |
//! | `GET /v1/alerts` | JSON lines; `follow=true` |
//! | `GET /v1/incidents` | one object: alerts put together by trees of processes, the newest last |
//! | `GET /v1/suppressions` | one object: what is not told again, and what that covered |
//! | `GET /v1/policy` | one object: which policies are in force, read back from the kernel |
//! | `GET /v1/denials` | one object: what was denied of late, the newest first |
//! | `POST /v1/policy`, `/v1/emergency`, `/v1/actions/…` | 403: such changes are asked of the guard ([`crate::guard`]) |
//! | any | 429: too many ask, or follow something, at the same time |
//! | `POST /v1/reload` | one object: the rules that run, once they do; 422: why the old ones stay |

#[cfg(test)]
mod hostile;
mod rules;

use std::convert::Infallible;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Query, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use model::json::Document;
use model::op::{Kind, KindSet};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use tokio::net::unix::UCred;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, oneshot};

use super::board::Board;
use super::filter::Filter;
use super::hub::{CLIENTS_MAX, Client, Command, READERS_MAX, Stream};
use super::link::{Asker, reaches};
use super::metrics;
use super::policies::{self, Asking};
use super::queue::{Bounds, LineReceiver, channel, json_notice};
use super::recorder::serve::get_record;
use super::status;
use crate::connection;
use crate::exit::{Exit, Failure};
use crate::metrics::CONTENT_TYPE;
use crate::policy::store::shortened;
use crate::proto;
use crate::seccomp;

/// What may wait for one client. More is dropped, and the client is told.
const CLIENT_QUEUE: Bounds = Bounds { lines: 2048, bytes: 2 * 1024 * 1024 };
/// How long the guard may take to count, or to attach what a client asked for.
const GUARD_WAIT: Duration = Duration::from_secs(5);
/// Where recordings are.
const RECORD: &str = "/v1/record";
/// Connections of root at the same time: a console, a few terminals, and what collects figures.
const ROOTS_MAX: usize = 64;
/// Those of everybody else.
const OTHERS_MAX: usize = 32;
/// What who comes later is told, before anything was read.
const FULL: &[u8] = b"HTTP/1.0 429 Too Many Requests\r\nContent-Type: application/problem+json\r\n\r\n\
    {\"status\":429,\"detail\":\"too many are connected to the agent already; who says nothing is hung up on after 5 s\"}\n";
/// Commands that wait for the event thread; it takes them several times a second.
pub(crate) const COMMANDS_MAX: usize = CLIENTS_MAX * 2;

/// What the handlers share.
#[derive(Debug)]
pub(crate) struct Control {
    /// What is known of the agent.
    pub(crate) board: Arc<Board>,
    /// The way to the guard.
    pub(crate) guard: Asker,
    /// The way to the event thread.
    pub(crate) events: SyncSender<Command>,
    /// What does not change while the worker lives.
    pub(crate) about: status::About,
    /// Questions about policies, one at a time.
    pub(crate) asking: Asking,
    /// The state directory.
    pub(crate) state: PathBuf,
}

/// Serves the socket, which the guard has bound, from a thread of its own.
pub(crate) fn start(socket: OwnedFd, control: Control) -> Result<(), Failure> {
    let unusable = |error: std::io::Error| {
        Failure::new(Exit::RuntimeDir, format!("cannot serve the control socket: {error}"))
    };
    let listener = std::os::unix::net::UnixListener::from(socket);
    listener.set_nonblocking(true).map_err(unusable)?;
    std::thread::Builder::new()
        .name("control".into())
        .spawn(move || {
            seccomp::thread(seccomp::Kind::Control);
            let Err(error) = serve(listener, control);
            tracing::error!(%error, "the control socket is closed");
        })
        .map(drop)
        .map_err(unusable)
}

fn serve(
    listener: std::os::unix::net::UnixListener,
    control: Control,
) -> std::io::Result<Infallible> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = UnixListener::from_std(listener)?;
        let router = router(control);
        let (roots, others) = (Semaphore::new(ROOTS_MAX), Semaphore::new(OTHERS_MAX));
        let (roots, others) = (Arc::new(roots), Arc::new(others));
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    connection::pause(&error).await;
                    continue;
                }
            };
            let peer = Peer::of(&stream);
            let places = if peer.uid() == 0 { &roots } else { &others };
            match Arc::clone(places).try_acquire_owned() {
                Ok(place) => {
                    let router = router.clone().layer(Extension(ConnectInfo(peer)));
                    tokio::spawn(connection::answer(stream, router, place, None));
                }
                // He is not waited for: what fits into the socket is what he is told.
                Err(_) => drop(stream.try_write(FULL)),
            }
        }
    })
}

/// All addresses.
fn router(control: Control) -> Router {
    Router::new()
        .route("/v1/status", get(get_status))
        .route("/v1/doctor", get(get_doctor))
        .route("/v1/rules", get(get_rules))
        .route("/v1/rules/release", post(post_release))
        .route("/v1/rules/accept", post(rules::post_accept))
        .route("/v1/rules/rollback", post(rules::post_rollback))
        .route("/v1/rules/follow", post(rules::post_follow))
        .route("/v1/metrics", get(get_metrics))
        .route("/v1/events", get(get_events))
        .route("/v1/alerts", get(get_alerts))
        .route("/v1/incidents", get(get_incidents))
        .route("/v1/suppressions", get(get_suppressions))
        .route(RECORD, get(get_record))
        .route("/v1/reload", post(rules::post_reload))
        .route("/v1/policy", get(policies::get_policy).post(policies::elsewhere))
        .route("/v1/denials", get(policies::get_denials))
        .route("/v1/emergency", post(policies::elsewhere))
        .route("/v1/actions/rollback", post(policies::elsewhere))
        .route("/v1/actions/resume", post(policies::elsewhere))
        .layer(from_fn(admit))
        .with_state(Arc::new(control))
}

/// Who is at the other end of a connection, by the kernel's word.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(Option<u32>, Option<i32>);

impl Peer {
    fn of(stream: &UnixStream) -> Peer {
        let peer = stream.peer_cred().ok();
        Peer(peer.as_ref().map(UCred::uid), peer.and_then(|peer| peer.pid()))
    }

    /// Its user; who cannot be told is nobody.
    pub(super) fn uid(self) -> u32 {
        self.0.unwrap_or(u32::MAX)
    }

    /// For the audit log; who is not known is nobody.
    fn who(self) -> crate::rules::Peer {
        crate::rules::Peer { uid: self.uid(), pid: self.1 }
    }
}

/// Lets root do everything, and others read what is shown with its secrets taken out. Who the others are
/// is decided by the permissions of the socket: members of a group.
async fn admit(ConnectInfo(peer): ConnectInfo<Peer>, request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    match peer.0 {
        Some(0) => next.run(request).await,
        Some(_) if reads && request.uri().path() == RECORD => {
            let what =
                "only root may record: a recording holds what is taken out of all that is shown";
            refuse(StatusCode::FORBIDDEN, what)
        }
        Some(_) if reads => next.run(request).await,
        Some(_) => {
            let what =
                "only root may change anything; your group may read: status, rules, alerts, events";
            refuse(StatusCode::FORBIDDEN, what)
        }
        None => refuse(StatusCode::FORBIDDEN, "the kernel does not say who asks"),
    }
}

/// An error as RFC 9457 describes it.
pub(super) fn refuse(status: StatusCode, detail: &str) -> Response {
    let problem =
        json!({ "status": status.as_u16(), "title": status.to_string(), "detail": detail });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], problem.to_string())
        .into_response()
}

type Shared = State<Arc<Control>>;

/// Lets the guard count; whether it did in time.
async fn count(control: &Control) -> bool {
    let mut counted = control.board.counted();
    let target = *counted.borrow_and_update() + 1;
    control.guard.ask(&proto::Request::Counters).is_ok()
        && reaches(&mut counted, target, GUARD_WAIT).await
}

async fn get_status(State(control): Shared) -> Response {
    let fresh = count(&control).await;
    axum::Json(status::document(&control.about, &control.board, fresh)).into_response()
}

async fn get_doctor(State(control): Shared) -> Response {
    axum::Json(control.board.report()).into_response()
}

/// What the event thread tells, or why it tells nothing.
async fn told<T>(
    control: &Control,
    ask: impl FnOnce(oneshot::Sender<T>) -> Command,
) -> Result<T, &'static str> {
    let (answer, told) = oneshot::channel();
    let asked = control.events.try_send(ask(answer));
    asked.map_err(|_| "the agent is busy; try again")?;
    told.await.map_err(|_| "the agent is ending")
}

async fn get_rules(State(control): Shared) -> Response {
    match told(&control, Command::Rules).await {
        Ok((infos, figures, scripts)) => {
            let left_out = control.board.rules().left_out;
            axum::Json(status::rules(&infos, &figures, &left_out, &scripts)).into_response()
        }
        Err(why) => refuse(StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

/// Which script is to be asked again, and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Release {
    script: String,
    #[serde(default)]
    reason: String,
}

async fn post_release(
    State(control): Shared,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(wanted): Query<Release>,
) -> Response {
    let Release { script: name, reason } = wanted;
    let reason = shortened(&reason);
    let missing = format!("no script `{name}` is in quarantine");
    let who = peer.uid();
    let ask = |answer| Command::Release { name, who, reason, answer };
    match told(&control, ask).await {
        Ok(true) => axum::Json(json!({ "released": true })).into_response(),
        Ok(false) => refuse(StatusCode::CONFLICT, &missing),
        Err(why) => refuse(StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

async fn get_metrics(State(control): Shared) -> Response {
    if !count(&control).await {
        tracing::warn!("the guard did not count: its figures are older ones");
    }
    match told(&control, Command::Metrics).await {
        Ok(mut samples) => {
            metrics::agent(&mut samples, &control.about, &control.board, &control.state);
            ([(header::CONTENT_TYPE, CONTENT_TYPE)], samples.text()).into_response()
        }
        Err(why) => refuse(StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

/// What the address of a stream may say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    follow: bool,
    kinds: Option<String>,
    r#where: Option<String>,
}

async fn get_events(
    State(control): Shared,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(wanted): Query<Wanted>,
) -> Response {
    if wanted.r#where.is_some() && peer.uid() != 0 {
        // They could be guessed letter by letter.
        let what =
            "only root may give a condition: it sees secrets that are taken out of the answer";
        return refuse(StatusCode::FORBIDDEN, what);
    }
    let named = match wanted.kinds.as_deref().map(kinds).transpose() {
        Ok(named) => named,
        Err(name) => {
            return refuse(StatusCode::BAD_REQUEST, &format!("there is no operation `{name}`"));
        }
    };
    let filter = match wanted.r#where.as_deref().map(Filter::new).transpose() {
        Ok(filter) => filter,
        Err(message) => return refuse(StatusCode::BAD_REQUEST, &message),
    };
    let read = named.unwrap_or_else(all);
    if wanted.follow {
        let wants = named.unwrap_or_else(|| untaxed(control.board.taxing()));
        follow(&control, peer, Stream::Events, read, wants, filter).await
    } else {
        recent(&control, Stream::Events, read, filter).await
    }
}

async fn get_alerts(
    State(control): Shared,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(wanted): Query<Wanted>,
) -> Response {
    if wanted.follow {
        follow(&control, peer, Stream::Alerts, all(), KindSet::EMPTY, None).await
    } else {
        recent(&control, Stream::Alerts, all(), None).await
    }
}

async fn get_incidents(State(control): Shared) -> Response {
    let (all, forgotten) = match told(&control, Command::Incidents).await {
        Ok(list) => list,
        Err(why) => return refuse(StatusCode::SERVICE_UNAVAILABLE, why),
    };
    let told = all.into_iter().map(|(incident, open)| {
        let mut json = json!(incident);
        if let Some(told) = json.as_object_mut() {
            told.insert("open".to_owned(), open.into());
        }
        json
    });
    axum::Json(json!({ "incidents": told.collect::<Vec<_>>(), "forgotten": forgotten }))
        .into_response()
}

async fn get_suppressions(State(control): Shared) -> Response {
    match told(&control, Command::Suppressions).await {
        Ok(list) => axum::Json(list).into_response(),
        Err(why) => refuse(StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

fn all() -> KindSet {
    Kind::ALL.iter().copied().collect()
}

/// What a reader gets that names nothing: all but opens and writes, which only watched files
/// report, and what would tax every system call of the host.
pub(crate) fn untaxed(taxing: KindSet) -> KindSet {
    all()
        .iter()
        .filter(|kind| !matches!(kind, Kind::Open | Kind::Write) && !taxing.contains(*kind))
        .collect()
}

/// A list of names, or the first name that is none.
fn kinds(list: &str) -> Result<KindSet, String> {
    list.split(',')
        .filter(|name| !name.is_empty())
        .map(|name| crate::render::kind_by_name(name).ok_or_else(|| name.to_owned()))
        .collect()
}

async fn follow(
    control: &Control,
    peer: Peer,
    stream: Stream,
    kinds: KindSet,
    wants: KindSet,
    filter: Option<Filter>,
) -> Response {
    let (lines, receiver) = channel(CLIENT_QUEUE, json_notice);
    let client = Box::new(Client { is_root: peer.uid() == 0, stream, kinds, wants, filter, lines });
    let (answer, joined) = oneshot::channel();
    if control.events.try_send(Command::Join(client, answer)).is_err() {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "the agent is busy; try again");
    }
    let Ok(Some(subscriptions)) = joined.await else {
        let text = format!(
            "{CLIENTS_MAX} clients read already; {READERS_MAX} of them may be others than root"
        );
        return refuse(StatusCode::TOO_MANY_REQUESTS, &text);
    };
    // The answer begins when the sensors deliver what was asked for.
    let mut reports = control.board.reports();
    if !reaches(&mut reports, subscriptions, GUARD_WAIT).await {
        tracing::warn!("the guard has not attached what a client asked for");
    }
    stream_of(Body::new(Lines { receiver }))
}

async fn recent(
    control: &Control,
    stream: Stream,
    kinds: KindSet,
    mut filter: Option<Filter>,
) -> Response {
    let (answer, lines) = oneshot::channel();
    if control.events.try_send(Command::Recent(stream, answer)).is_err() {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "the agent is busy; try again");
    }
    let lines = lines.await.unwrap_or_default();
    let mut text = String::new();
    for line in lines.iter().filter(|line| selected(line, kinds, filter.as_mut())) {
        text.push_str(line);
        text.push('\n');
    }
    stream_of(Body::from(text))
}

fn selected(line: &str, kinds: KindSet, filter: Option<&mut Filter>) -> bool {
    let Ok(Json::Object(document)) = serde_json::from_str(line) else { return false };
    let kind = crate::render::compact::Doc(&document).kind();
    let event = || Document::lenient(&document).0;
    kind.is_none_or(|kind| kinds.contains(kind))
        && filter.is_none_or(|filter| filter.holds(&event()))
}

fn stream_of(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

/// A body that never ends by itself: one line a frame.
struct Lines {
    receiver: LineReceiver,
}

impl axum::body::HttpBody for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        self.receiver.poll_next(context).map(|line| {
            let line = line?;
            let mut bytes = Vec::with_capacity(line.len() + 1);
            bytes.extend_from_slice(line.as_bytes());
            bytes.push(b'\n');
            Some(Ok(http_body::Frame::data(bytes.into())))
        })
    }
}
