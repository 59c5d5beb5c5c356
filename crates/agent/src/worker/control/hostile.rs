//! Requests of somebody who means harm, at all addresses of the control socket: whatever the bytes are, they are
//! answered or hung up on, who is not root changes nothing by them, and no more of them is held than a head takes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;
use crate::hostile::{Edit, changed, edits};
use crate::metrics::Samples;
use crate::proto::MESSAGE_MAX;

/// What fits between both ends of a connection.
const PIPE: usize = 4 * 1024;
/// No answer takes so long: the guard and the event thread of these tests answer at once.
const PATIENCE: Duration = Duration::from_secs(30);
/// Who has asked for all of it by then says that no more comes: what is no whole request is answered or hung up on
/// then, and not only when its time is over.
const SILENCE: Duration = Duration::from_millis(30);
/// All addresses, and some that are none.
const PATHS: [&str; 21] = [
    "/v1/status",
    "/v1/doctor",
    "/v1/rules",
    "/v1/rules/release",
    "/v1/rules/accept",
    "/v1/rules/rollback",
    "/v1/rules/follow",
    "/v1/metrics",
    "/v1/events",
    "/v1/alerts",
    "/v1/incidents",
    "/v1/suppressions",
    "/v1/record",
    "/v1/reload",
    "/v1/policy",
    "/v1/denials",
    "/v1/emergency",
    "/v1/actions/rollback",
    "/v1/actions/resume",
    "/v1/../v1/status",
    "http://x/",
];
/// Requests that are taken, from root.
const GOOD: [&str; 12] = [
    "GET /v1/status",
    "GET /v1/doctor",
    "GET /v1/rules",
    "GET /v1/metrics",
    "GET /v1/events?follow=true&kinds=exec&where=process%20where%20true",
    "GET /v1/alerts",
    "GET /v1/incidents",
    "GET /v1/record",
    "GET /v1/policy",
    "POST /v1/reload",
    "POST /v1/rules/release?script=own&reason=a%20test",
    "POST /v1/rules/rollback?generation=1&reason=a%20test",
];
const METHODS: [&str; 7] = ["GET", "GET", "POST", "POST", "HEAD", "OPTIONS", "DELETE"];
const VERSIONS: [&str; 6] =
    ["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/1.1 "];
const PAIRS: [&str; 12] = [
    "follow=true",
    "follow=maybe",
    "kinds=exec,open",
    "kinds=,,nothing",
    "where=process%20where%20true",
    "where=%ff%00((((",
    "script=own",
    "reason=a%20test",
    "pack=p",
    "generation=1",
    "generation=18446744073709551616",
    "=%",
];
const HEADERS: [&str; 9] = [
    "host: x",
    "content-length: 5",
    "content-length: 99999999999999999999",
    "transfer-encoding: chunked",
    "transfer-encoding: gzip",
    "expect: 100-continue",
    "connection: keep-alive, upgrade",
    "upgrade: websocket",
    "x\0y: \u{ff}",
];

/// A worker whose guard and event thread answer at once, and how often something was asked to change.
struct Fake {
    router: Router,
    changes: Arc<AtomicU64>,
    _state: tempfile::TempDir,
}

impl Fake {
    fn new() -> Fake {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .unwrap();
        let board = Arc::new(Board::new());
        let (events, commands) = sync_channel(COMMANDS_MAX);
        let changes = Arc::new(AtomicU64::new(0));
        let (told, counted) = (Arc::clone(&board), Arc::clone(&changes));
        std::thread::spawn(move || guard(&theirs, &told));
        std::thread::spawn(move || event_thread(&commands, &counted));
        let confined = status::Confined { seccomp: true, landlock: None };
        let about = status::About {
            user: "x".into(),
            started: 1,
            worker_started: 2,
            restarts: 3,
            confined,
        };
        let state = tempfile::tempdir().unwrap();
        let (guard, asking) = (Asker::at(ours), Asking::default());
        let control = Control { board, guard, events, about, asking, state: state.path().into() };
        Fake { router: router(control), changes, _state: state }
    }

    /// What a client with this user gets for these bytes, and how many of them were taken.
    async fn tell(&self, uid: Option<u32>, bytes: &[u8]) -> (Vec<u8>, usize) {
        let (mut client, server) = duplex(PIPE);
        let router = self.router.clone().layer(Extension(ConnectInfo(Peer(uid, Some(1)))));
        let place = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        let asked = async {
            let mut taken = 0;
            for part in bytes.chunks(PIPE / 4) {
                match client.write_all(part).await {
                    Ok(()) => taken += part.len(),
                    Err(_) => break,
                }
            }
            let mut answer = vec![0; PIPE];
            let first = tokio::time::timeout(SILENCE, client.read(&mut answer)).await;
            answer.truncate(first.unwrap_or(Ok(0)).unwrap());
            if answer.is_empty() {
                drop(client.shutdown().await);
            }
            client.read_to_end(&mut answer).await.unwrap();
            (answer, taken)
        };
        let both = async { tokio::join!(connection::answer(server, router, place, None), asked).1 };
        tokio::time::timeout(PATIENCE, both).await.expect("it is answered or hung up on")
    }
}

fn guard(socket: &OwnedFd, board: &Board) {
    let mut bytes = vec![0; MESSAGE_MAX];
    while let Ok(len @ 1..) = rustix::io::read(socket, &mut bytes[..]) {
        match proto::Request::decode(&bytes[..len]) {
            Ok(proto::Request::Counters) => board.put_counters("{}"),
            Ok(proto::Request::Policy(number, asked)) => {
                assert!(!asked.is_change(), "the worker only asks");
                board.put_policies(&json!({ "number": number }).to_string());
            }
            other => panic!("nobody asks for that here: {other:?}"),
        }
    }
}

fn event_thread(commands: &Receiver<Command>, changes: &AtomicU64) {
    let change = || changes.fetch_add(1, Ordering::SeqCst);
    for command in commands {
        // Who no longer waits has left.
        match command {
            Command::Join(_, answer) => drop(answer.send(Some(0))),
            Command::Recent(_, answer) => drop(answer.send(Vec::new())),
            Command::Reload(_, _, answer) => {
                change();
                drop(answer.send(Ok(0)));
            }
            Command::Release { answer, .. } | Command::Record(_, answer) => {
                change();
                _ = answer.send(true);
            }
            Command::Incidents(answer) => drop(answer.send((Vec::new(), 0))),
            Command::Suppressions(answer) => drop(answer.send(json!({}))),
            Command::Metrics(answer) => drop(answer.send(Samples::default())),
            Command::Rules(answer) => drop(answer.send((Arc::from([]), Vec::new(), Vec::new()))),
        }
    }
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let address = (select(&PATHS[..]), vec(select(&PAIRS[..]), 0..3));
    let head = (select(&METHODS[..]), address, select(&VERSIONS[..]));
    let rest = (vec(select(&HEADERS[..]), 0..3), vec(any::<u8>(), 0..40));
    let written = (head, rest).prop_map(|((method, (path, pairs), version), (headers, body))| {
        let head = format!("{method} {path}?{} {version}\r\n", pairs.join("&"));
        let headers = [&headers[..], &["", ""]].concat().join("\r\n");
        [head.as_bytes(), headers.as_bytes(), &body].concat()
    });
    let good = select(&GOOD[..]);
    let good = good.prop_map(|line| format!("{line} HTTP/1.1\r\nhost: x\r\n\r\n").into_bytes());
    let edits = prop_oneof![Just(Vec::<Edit>::new()), edits()];
    let strange = (prop_oneof![written, good], edits);
    let strange = strange.prop_map(|(bytes, edits)| changed(bytes, &edits));
    prop_oneof![1 => vec(any::<u8>(), 0..300), 9 => strange]
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn whatever_is_asked_is_answered_or_hung_up_on_and_only_root_changes_anything() {
    let (fake, runtime) = (Fake::new(), runtime());
    let answers = std::cell::RefCell::new(std::collections::BTreeMap::<u16, u32>::new());
    let config = Config { failure_persistence: None, ..Config::default() };
    let who = prop_oneof![Just(Some(0)), Just(Some(1000)), Just(None)];
    let tried = TestRunner::new(config).run(&(who, request()), |(uid, bytes)| {
        let before = fake.changes.load(Ordering::SeqCst);
        let (answer, _) = runtime.block_on(fake.tell(uid, &bytes));
        let changes = fake.changes.load(Ordering::SeqCst) - before;
        prop_assert!(changes == 0 || uid == Some(0), "{:?} changed something", uid);
        if !answer.is_empty() {
            let line = String::from_utf8_lossy(&answer);
            let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
            let Some(status) = status else { return Err(TestCaseError::fail(line.into_owned())) };
            prop_assert!(status < 500, "{}", line);
            *answers.borrow_mut().entry(status).or_default() += 1;
        }
        Ok(())
    });
    tried.unwrap();
    // It was no wall that they ran against: some were taken, some were refused, and something was changed.
    let answers = answers.into_inner();
    for status in [200, 400, 403] {
        assert!(answers.contains_key(&status), "{status} in {answers:?}");
    }
    assert!(fake.changes.load(Ordering::SeqCst) > 0, "root changed something: {answers:?}");
}

#[test]
fn a_request_without_an_end_is_hung_up_on() {
    /// More than a request may hold, many times over.
    const ENDLESS: usize = 4 * 1024 * 1024;
    /// What may be taken of it: the head, as often as a buffer that grows holds it, and what is on its way.
    const TAKEN_MAX: usize = 64 * 1024;
    let chunked = "POST /v1/reload HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    let (fake, runtime) = (Fake::new(), runtime());
    for (begin, part) in [
        ("GET /v1/events?where=", "a"),
        ("GET /v1/status HTTP/1.1\r\nx: ", "a"),
        ("GET /v1/status HTTP/1.1\r\n", "x: y\r\n"),
        (chunked, "10\r\n0123456789abcdef\r\n"),
        ("", "\r\n"),
    ] {
        let bytes = [begin, &part.repeat(ENDLESS / part.len())].concat();
        let (_, taken) = runtime.block_on(fake.tell(Some(0), bytes.as_bytes()));
        assert!(taken <= TAKEN_MAX, "{begin}{part}…: {taken} bytes were taken");
    }
    let whole = b"GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n";
    let (answer, taken) = runtime.block_on(fake.tell(Some(0), whole));
    assert!(answer.starts_with(b"HTTP/1.1 200"), "the control");
    assert_eq!(taken, whole.len());
}
