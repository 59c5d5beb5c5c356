//! Where events and alerts go: to the clients of the control socket, to standard output, and to the
//! spool that all other outputs are fed from.

use engine::View;
use engine::view::Ancestor;
use jiff::tz::TimeZone;
use model::alert::Match;
use model::op::Kind;
use model::value::{Fields, Value};
use model::wire::KIND_MAX;
use serde_json::{Map, Value as Json, json};

use super::health::{COST_BUDGET_NS, Health, Notice, What};
use super::hub::{Hub, IncidentList, text};
use super::output::Outputs;
use super::queue::Line;
use super::scripts::Told;
use super::status::seconds_since_boot;
use crate::cli::{Format, RunArgs};
use crate::incidents::{self, Incidents, Keeper};
use crate::redact::Redactor;
use crate::render::{alert, compact, export, health};

/// Where events and alerts go.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(super) hub: Hub,
    pub(super) output: Outputs,
    pub(super) health: Health,
    /// Nothing leaves before it has seen it.
    redactor: Redactor,
    /// What each document says of the host.
    host: Map<String, Json>,
    form: Format,
    show_events: bool,
    show_alerts: bool,
    zone: TimeZone,
    incidents: Incidents,
    keeper: Option<Keeper>,
    seen: [u64; KIND_MAX as usize],
    alerts: u64,
}

impl Publisher {
    /// Nothing has been told yet.
    pub(crate) fn new(
        output: Outputs,
        health: Health,
        redactor: Redactor,
        host: Map<String, Json>,
        args: &RunArgs,
    ) -> Publisher {
        let boot = host.get("host").and_then(|host| host.pointer("/boot/id")?.as_str());
        let boot = boot.unwrap_or_default().to_owned();
        let keeper = Keeper::start(&args.state_dir, &boot);
        let keeper = keeper.inspect_err(|error| {
            tracing::warn!(%error, "incidents cannot be kept: a restart forgets them");
        });
        Publisher {
            incidents: Incidents::with(incidents::read(&args.state_dir, &boot)),
            keeper: keeper.ok(),
            hub: Hub::new(redactor.clone()),
            redactor,
            host,
            output,
            health,
            form: args.output,
            show_events: args.events,
            show_alerts: !args.no_alerts,
            zone: TimeZone::system(),
            seen: [0; KIND_MAX as usize],
            alerts: 0,
        }
    }

    /// Alerts told so far.
    pub(super) fn alerts(&self) -> u64 {
        self.alerts
    }

    /// Tells an event, and the alerts about it.
    pub(super) fn event(&mut self, view: &View<'_>, matches: &[Match<'_>]) {
        let kind = view.kind();
        if let Some(seen) = self.seen.get_mut(kind as usize) {
            *seen += 1;
        }
        self.hub.event(kind, view.record().header().time, view);
        if !self.show_events && matches.is_empty() {
            return;
        }
        let document = model::json::document(view);
        if self.show_events {
            let mut shown = document.clone();
            self.redactor.document(&mut shown);
            let line = self.line(&shown);
            self.output.stdout.put(line);
        }
        let number = view.get(model::field::EVENT_SEQUENCE);
        let is_about = |member: &u64| Value::Int(i64::try_from(*member).unwrap_or(-1)) == number;
        for matched in matches {
            if !self.health.admits(&matched.rule.id) {
                continue;
            }
            if matched.members.iter().any(is_about) {
                self.alert(alert::document(document.clone(), matched, ancestors(view)));
            } else {
                self.earlier(matched);
            }
        }
    }

    /// A match without an event: what would have ended it has not come.
    pub(super) fn late(&mut self, matched: &Match<'_>) {
        if self.health.admits(&matched.rule.id) {
            self.earlier(matched);
        }
    }

    /// An alert about earlier events alone.
    fn earlier(&mut self, matched: &Match<'_>) {
        let last = matched.earlier.last().map(|(_, event)| Map::clone(event)).unwrap_or_default();
        let ancestors = alert::ancestors(&last);
        self.alert(alert::document(last, matched, ancestors));
    }

    fn alert(&mut self, document: Map<String, Json>) {
        self.alerts += 1;
        self.tell(document);
    }

    /// Tells what was denied, among the alerts and to who reads events.
    pub(super) fn denial(&mut self, mut document: Map<String, Json>) {
        self.redactor.document(&mut document);
        self.hub.denial(&document);
        self.alert(document);
    }

    /// Tells what the guard has to say of itself, among the alerts.
    pub(super) fn notice(&mut self, text: &str) {
        let notice: Json = serde_json::from_str(text).unwrap_or_default();
        let of = |name: &str| notice.get(name).and_then(Json::as_str).unwrap_or_default();
        let details = notice.get("details").unwrap_or(&Json::Null);
        self.tell(health::document(of("action"), of("message"), None, details));
    }

    /// Tells what ails rules, among the alerts and in the log.
    pub(super) fn notices(&mut self, notices: Vec<Notice>) {
        for notice in notices {
            let Some(info) = self.health.infos().get(notice.rule) else { continue };
            let (id, limit) = (&info.id, self.health.limit(notice.rule));
            let (action, message, details) = match notice.what {
                What::Slow(cost) => (
                    "rule_slow",
                    format!(
                        "rule `{id}` takes {cost} ns of each event, more than {COST_BUDGET_NS}: \
                         events may be lost; `kestrel explain` shows what it compares"
                    ),
                    json!({ "cost_ns": cost, "budget_ns": COST_BUDGET_NS }),
                ),
                What::Noisy => (
                    "rule_noisy",
                    format!(
                        "rule `{id}` has raised {limit} alerts within a minute; more of them are \
                         only counted"
                    ),
                    json!({ "limit": limit }),
                ),
                What::Suppressed(count) => (
                    "alerts_suppressed",
                    format!("{count} more alerts of rule `{id}` within a minute were only counted"),
                    json!({ "limit": limit, "suppressed": count }),
                ),
            };
            let rule = json!({
                "id": id, "name": info.name, "severity": info.severity, "file": info.file,
            });
            tracing::warn!(rule = id, "{message}");
            self.tell(health::document(action, &message, Some(rule), &details));
        }
    }

    /// Takes secrets out of what a script failed with: it may say what it was asked about.
    pub(super) fn conceal(&self, text: &mut String) {
        self.redactor.text(text);
    }

    /// Tells that a script is in quarantine.
    pub(super) fn script(&mut self, told: &Told) {
        let Told { name, message, details } = told;
        tracing::warn!(script = name, "{message}");
        self.tell(health::document("kestrel-script-quarantine", message, None, details));
    }

    /// Tells something about suppressions.
    pub(super) fn about_suppressions(&mut self, action: &str, message: &str, details: &Json) {
        self.tell(health::document(action, message, None, details));
    }

    /// Tells that the rules stay as they were.
    pub(super) fn not_reloaded(&mut self, reason: &str) {
        let message = format!("the rules stay as they were: {reason}");
        self.tell(health::document("rules_refused", &message, None, &json!({ "reason": reason })));
    }

    /// Tells that a generation of rules broke: another one runs again, or it stays for want of one.
    pub(super) fn reverted(&mut self, generation: u64, reason: &str, stays: Option<&str>) {
        let message = match stays {
            None => format!("generation {generation} of rules is taken back: {reason}"),
            Some(why) => {
                format!("generation {generation} of rules broke ({reason}) and stays: {why}")
            }
        };
        let details = json!({ "generation": generation, "reason": reason, "stays": stays });
        self.tell(health::document("rules_reverted", &message, None, &details));
    }

    fn tell(&mut self, mut document: Map<String, Json>) {
        // What the guard and the agent itself tell knows of no host.
        for (name, value) in &self.host {
            document.entry(name).or_insert_with(|| value.clone());
        }
        self.redactor.document(&mut document);
        if let Some(place) = self.incidents.take(&document, seconds_since_boot()) {
            let told = json!({ "id": place.id, "alerts": place.alerts, "alike": place.alike });
            document.insert("incident".to_owned(), told);
        }
        let line = text(&document);
        self.hub.alert(&line);
        if let Some(spool) = &mut self.output.spool {
            spool.put(line);
        }
        if self.show_alerts {
            let line = self.line(&document);
            self.output.stdout.put(line);
        }
    }

    /// All incidents, and how many were forgotten.
    pub(super) fn incidents(&self) -> IncidentList {
        let now = seconds_since_boot();
        let all = self.incidents.list().into_iter().map(|one| (one.clone(), one.is_open(now)));
        (all.collect(), self.incidents.counts(now).1)
    }

    /// Has those written that changed.
    pub(super) fn keep_incidents(&mut self) {
        if let Some(keeper) = &self.keeper {
            keeper.keep(&mut self.incidents);
        }
    }

    /// Writes all that waits, and ends.
    pub(super) fn finish(mut self) {
        if let Some(keeper) = self.keeper {
            keeper.finish(&mut self.incidents);
        }
        self.output.finish();
    }

    fn line(&self, document: &Map<String, Json>) -> Line {
        match self.form {
            Format::Json => text(document),
            Format::Compact => compact::line(document, &self.zone).into(),
            Format::Ocsf => export::ocsf(document).to_string().into(),
            Format::Cef => export::cef(document).into(),
        }
    }

    /// Events by operation; those that never came are left out.
    pub(super) fn seen(&self) -> Map<String, Json> {
        let count = |kind: Kind| self.seen.get(kind as usize).copied().unwrap_or_default();
        Kind::ALL
            .iter()
            .filter(|kind| count(**kind) > 0)
            .map(|kind| (kind.name().to_owned(), count(*kind).into()))
            .collect()
    }
}

/// The ancestors as objects, parent first.
pub(crate) fn ancestors(view: &View<'_>) -> Vec<Json> {
    view.ancestors().map(|one| shown(&one)).collect()
}

/// One of them.
pub(super) fn shown(one: &Ancestor<'_>) -> Json {
    let value = |field: model::field::FieldId, value| {
        model::field::field(field).map_or(Json::Null, |field| model::json::render(field, value))
    };
    json!({
        "pid": one.pid,
        "entity_id": format!("{:032x}", one.entity_id),
        "name": value(model::field::PROCESS_NAME, one.name),
        "executable": value(model::field::PROCESS_EXECUTABLE, one.executable),
        "args": value(model::field::PROCESS_ARGS, one.args),
    })
}
