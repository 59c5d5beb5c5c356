//! Who reads events and alerts, and the recent past of both.
//!
//! All of this lives on the event thread; clients come and go by [`Command`]s. An event is turned
//! into JSON only when somebody reads it, and at most once.

use std::collections::VecDeque;
use std::sync::Arc;

use model::json::Document;
use model::op::{Kind, KindSet};
use model::value::Fields;
use serde_json::{Map, Value as Json};
use tokio::sync::oneshot;

use super::board::RuleInfo;
use super::filter::Filter;
use super::generations::Ask;
use super::health::Figures;
use super::queue::{Line, LineSender};
use super::reload::Answer;
use crate::cli::Accept;
use crate::incidents::Incident;
use crate::metrics::Samples;
use crate::redact::Redactor;

/// Clients that read events or alerts at the same time.
pub(crate) const CLIENTS_MAX: usize = 8;
/// Those of them that are not root's, so that there is room for root.
pub(crate) const READERS_MAX: usize = 4;
/// Events kept for `aegisbpf events` without `--follow`.
const EVENTS_KEPT: usize = 256;
/// Alerts kept for `aegisbpf alerts` without `--follow`.
const ALERTS_KEPT: usize = 256;
/// Bytes kept of each of the two: an event may carry 32 KiB of arguments.
const BYTES_KEPT: usize = 2 * 1024 * 1024;
/// Events a second (of event time) that are put aside. Rendering is what costs, and a flood
/// would push the recent past out within a blink anyway.
const KEPT_A_SECOND: u64 = 50;

/// What a client reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// All events.
    Events,
    /// Alerts only.
    Alerts,
}

/// A client.
#[derive(Debug)]
pub(crate) struct Client {
    /// Whether root reads.
    pub(crate) is_root: bool,
    /// What it reads.
    pub(crate) stream: Stream,
    /// Operations that it reads.
    pub(crate) kinds: KindSet,
    /// Operations that the sensors must deliver for it.
    pub(crate) wants: KindSet,
    /// A condition.
    pub(crate) filter: Option<Filter>,
    /// Where its lines go.
    pub(crate) lines: LineSender,
}

/// What the control socket asks of the event thread.
#[derive(Debug)]
pub(crate) enum Command {
    /// A new client; the answer is the number of subscriptions after which it gets all it asked
    /// for, or `None` when there are too many clients.
    Join(Box<Client>, oneshot::Sender<Option<u64>>),
    /// The recent past.
    Recent(Stream, oneshot::Sender<Vec<Line>>),
    /// Other rules are to run; from directories perhaps with a pack that was refused until now.
    Reload(Ask, Option<Accept>, Answer),
    /// A script in quarantine is to be asked again; whether there is one.
    Release {
        /// Its name.
        name: String,
        /// The user who asks for it.
        who: u32,
        /// Why.
        reason: String,
        /// Whether it was released.
        answer: oneshot::Sender<bool>,
    },
    /// A recording from now on; whether it has begun.
    Record(super::recorder::serve::Sender, oneshot::Sender<bool>),
    /// What is known of incidents.
    Incidents(oneshot::Sender<IncidentList>),
    /// What is known of suppressions.
    Suppressions(oneshot::Sender<Json>),
    /// What the event thread knows for Prometheus.
    Metrics(oneshot::Sender<Samples>),
    /// What the rules found and cost.
    Rules(oneshot::Sender<RuleList>),
}

/// All incidents, whether each goes on, and how many were forgotten.
pub(crate) type IncidentList = (Vec<(Incident, bool)>, u64);

/// The rules that run, and what is known of each.
pub(crate) type RuleList = (Arc<[RuleInfo]>, Vec<Figures>, Vec<Json>);

/// Clients and the recent past.
#[derive(Debug)]
pub(crate) struct Hub {
    /// Nothing leaves before it has seen it.
    redactor: Redactor,
    clients: Vec<Client>,
    /// Operations that any client of events reads.
    read: KindSet,
    events: Recent,
    alerts: Recent,
    /// The second that is running, and how many events of it were put aside.
    second: (u64, u64),
}

impl Hub {
    /// Nobody reads yet.
    pub(crate) fn new(redactor: Redactor) -> Hub {
        Hub {
            redactor,
            clients: Vec::new(),
            read: KindSet::EMPTY,
            events: Recent::default(),
            alerts: Recent::default(),
            second: (0, 0),
        }
    }

    /// Adds a client; false when there are too many.
    pub(crate) fn join(&mut self, client: Client) -> bool {
        let readers = self.clients.iter().filter(|client| !client.is_root).count();
        let room = self.clients.len() < CLIENTS_MAX && (client.is_root || readers < READERS_MAX);
        if room {
            self.clients.push(client);
            self.note_kinds();
        }
        room
    }

    /// Forgets clients that have gone; true if there were any. Tells the others of their losses.
    pub(crate) fn tidy(&mut self) -> bool {
        let before = self.clients.len();
        self.clients.retain(|client| !client.lines.is_closed());
        for client in &mut self.clients {
            client.lines.tell_loss();
        }
        self.note_kinds();
        self.clients.len() != before
    }

    fn note_kinds(&mut self) {
        let events = self.clients.iter().filter(|client| client.stream == Stream::Events);
        self.read = events.fold(KindSet::EMPTY, |all, client| all.union(client.kinds));
    }

    /// Operations that the sensors must deliver for the clients.
    pub(crate) fn wants(&self) -> KindSet {
        self.clients.iter().fold(KindSet::EMPTY, |all, client| all.union(client.wants))
    }

    /// Number of clients.
    pub(crate) fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Gives an event to those who read it. `time` is the event's own, in ns.
    pub(crate) fn event(&mut self, kind: Kind, time: u64, event: &dyn Fields) {
        let keep = self.keeps(time);
        if !keep && !self.read.contains(kind) {
            return;
        }
        let mut rendered: Option<Line> = None;
        let mut line = || {
            Arc::clone(
                rendered.get_or_insert_with(|| shown(model::json::document(event), &self.redactor)),
            )
        };
        if keep {
            self.events.put(line(), EVENTS_KEPT);
        }
        for client in &mut self.clients {
            if client.stream == Stream::Events
                && client.kinds.contains(kind)
                && client.filter.as_mut().is_none_or(|filter| filter.holds(event))
            {
                client.lines.offer(line());
            }
        }
    }

    /// Gives an alert to those who read alerts.
    pub(crate) fn alert(&mut self, line: &Line) {
        self.alerts.put(Arc::clone(line), ALERTS_KEPT);
        for client in self.clients.iter_mut().filter(|client| client.stream == Stream::Alerts) {
            client.lines.offer(Arc::clone(line));
        }
    }

    /// Gives a denial to those who read events: it is none of their operations, so only a condition
    /// can leave it out.
    pub(crate) fn denial(&mut self, document: &Map<String, Json>) {
        let line = shown(document.clone(), &self.redactor);
        self.events.put(Arc::clone(&line), EVENTS_KEPT);
        let event = Document::lenient(document).0;
        for client in self.clients.iter_mut().filter(|client| client.stream == Stream::Events) {
            if client.filter.as_mut().is_none_or(|filter| filter.holds(&event)) {
                client.lines.offer(Arc::clone(&line));
            }
        }
    }

    /// The recent past, oldest first.
    pub(crate) fn recent(&self, stream: Stream) -> Vec<Line> {
        match stream {
            Stream::Events => self.events.lines.iter().cloned().collect(),
            Stream::Alerts => self.alerts.lines.iter().cloned().collect(),
        }
    }

    fn keeps(&mut self, time: u64) -> bool {
        let second = time / 1_000_000_000;
        if self.second.0 != second {
            self.second = (second, 0);
        }
        self.second.1 += 1;
        self.second.1 <= KEPT_A_SECOND
    }
}

/// A document as one line, without secrets.
fn shown(mut document: Map<String, Json>, redactor: &Redactor) -> Line {
    redactor.document(&mut document);
    text(&document)
}

/// A document as one line.
pub(crate) fn text(document: &Map<String, Json>) -> Line {
    // Keys are strings and numbers finite: a JSON map of ours is always printable.
    serde_json::to_string(document).unwrap_or_default().into()
}

#[derive(Debug, Default)]
struct Recent {
    lines: VecDeque<Line>,
    bytes: usize,
}

impl Recent {
    fn put(&mut self, line: Line, max: usize) {
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.lines.len() > max || self.bytes > BYTES_KEPT {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::queue::{Bounds, LineReceiver, channel, json_notice};
    use super::*;
    use model::json::Document;

    fn hub() -> Hub {
        Hub::new(Redactor::builtin().unwrap())
    }

    fn exec() -> Document {
        let json = r#"{"event.action": "exec", "process.name": "cp"}"#;
        Document::new(&serde_json::from_str(json).unwrap()).unwrap()
    }

    fn client(stream: Stream, kinds: KindSet) -> (Client, LineReceiver) {
        let (lines, receiver) = channel(Bounds { lines: 4, bytes: 10_000 }, json_notice);
        (Client { is_root: true, stream, kinds, wants: kinds, filter: None, lines }, receiver)
    }

    #[test]
    fn a_client_gets_the_kinds_it_reads_and_only_those() {
        let mut hub = hub();
        let (one, mut got) = client(Stream::Events, KindSet::EMPTY.with(Kind::Exec));
        assert!(hub.join(one));
        assert_eq!(hub.wants(), KindSet::EMPTY.with(Kind::Exec));
        hub.event(Kind::Exec, 1, &exec());
        hub.event(Kind::Exit, 2, &exec());
        let line = got.next_now().unwrap();
        assert!(line.contains(r#""name":"cp""#), "{line}");
        assert_eq!(got.next_now(), None);
        drop(got);
        assert!(hub.tidy(), "the client has gone");
        assert_eq!((hub.clients(), hub.wants()), (0, KindSet::EMPTY));
    }

    #[test]
    fn secrets_are_shown_to_nobody_and_seen_by_conditions() {
        let json = r#"{"event.action": "exec", "process.args": ["x", "--token", "s3cret-Z"],
            "process.command_line": "x --token s3cret-Z"}"#;
        let event = Document::new(&serde_json::from_str(json).unwrap()).unwrap();
        let mut hub = hub();
        let (mut one, mut got) = client(Stream::Events, KindSet::EMPTY.with(Kind::Exec));
        one.filter = Some(Filter::new(r#"process.args == "s3cret-Z""#).unwrap());
        assert!(hub.join(one));
        hub.event(Kind::Exec, 1, &event);
        hub.denial(
            serde_json::from_str::<Json>(r#"{"message": "PGPASSWORD=s3cret-Z"}"#)
                .unwrap()
                .as_object()
                .unwrap(),
        );
        let line = got.next_now().unwrap();
        assert!(line.contains("--token") && !line.contains("s3cret"), "{line}");
        let past = hub.recent(Stream::Events);
        assert_eq!(past.len(), 2);
        assert!(past.iter().all(|line| line.contains("[redacted]") && !line.contains("s3cret")));
    }

    #[test]
    fn alerts_go_to_readers_of_alerts_and_are_kept() {
        let mut hub = hub();
        let (events, mut no) = client(Stream::Events, KindSet(u64::MAX));
        let (alerts, mut yes) = client(Stream::Alerts, KindSet::EMPTY);
        assert!(hub.join(events) && hub.join(alerts));
        hub.alert(&"x".into());
        assert_eq!((no.next_now(), yes.next_now().as_deref()), (None, Some("x")));
        assert_eq!(hub.recent(Stream::Alerts), ["x".into()]);
    }

    #[test]
    fn clients_and_the_past_are_bounded() {
        let mut hub = hub();
        let mut join = |is_root, number: usize| {
            let all = (0..number).map(|_| client(Stream::Alerts, KindSet::EMPTY));
            let all: Vec<_> = all.map(|(it, got)| (Client { is_root, ..it }, got)).collect();
            let joined = all.into_iter().filter_map(|(it, _)| hub.join(it).then_some(())).count();
            (joined, number)
        };
        assert_eq!(join(false, CLIENTS_MAX), (READERS_MAX, CLIENTS_MAX), "readers leave room");
        assert_eq!(join(true, CLIENTS_MAX), (CLIENTS_MAX - READERS_MAX, CLIENTS_MAX), "for root");
        for second in 0..20 {
            for _ in 0..KEPT_A_SECOND + 10 {
                hub.event(Kind::Exec, second * 1_000_000_000, &exec());
            }
        }
        assert_eq!(hub.events.lines.len(), EVENTS_KEPT);
        for _ in 0..10 {
            hub.alert(&"y".repeat(BYTES_KEPT / 4).into());
        }
        assert!(hub.alerts.bytes <= BYTES_KEPT && hub.alerts.lines.len() == 4);
    }

    #[test]
    fn a_flood_is_put_aside_only_in_part() {
        let mut hub = hub();
        for _ in 0..KEPT_A_SECOND * 3 {
            hub.event(Kind::Exec, 5, &exec());
        }
        assert_eq!(hub.events.lines.len() as u64, KEPT_A_SECOND);
    }
}
