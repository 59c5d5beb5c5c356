//! Carries out what rules ask for after the fact. Only the guard acts, and nothing is done that is not
//! in the audit log before.
//!
//! A request of the worker is a wish: it is judged here by what rules were granted, by what the process
//! is now, by the mode, by limits. What was decided is a line of the log (`response`), what came of it
//! another one (`response-outcome`) that names the first by its number.
//!
//! | module | knows |
//! |---|---|
//! | `grants` | which rule may ask for what; read by a process of its own, not told by the worker |
//! | `limits` | how often is acted, and when something else must be wrong |
//! | `protected` | who is never acted on |
//! | `process` | a process that cannot be taken for another one |
//! | `aim` | what an action is about to be done to |
//! | `deed` | how each action is done, and undone |
//! | `children` | actions that take a while, by processes of their own |
//! | `captures` | the recording around an alert, kept |
//! | `kept` | what is to be undone, on the disk |
//! | `undo` | rollback, the end of a time to live, and what a crash left |

mod aim;
mod captures;
mod children;
mod deed;
mod grants;
mod kept;
mod limits;
mod process;
mod protected;
#[cfg(test)]
mod tests;
mod undo;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value as Json, json};

use crate::audit::Audit;
use crate::cli::{AuditFull, RunArgs};
use crate::policy::load::now;
use crate::proto::{Act, Verb};
use aim::Place;
use captures::Captures;
use children::{Children, Job};
use deed::{Deed, Doing};
use grants::Grants;
use kept::{Keep, Kept};
use limits::{Bounds, Limits, Room};
use process::Held;
use protected::Protected;

pub(crate) use children::end_with_the_guard;
pub(crate) use grants::print as print_grants;
pub(crate) use kept::read as read_kept;

/// Requests that wait until it is known what their rules may do.
const WAITING_MAX: usize = 1_024;
/// Actions of which it is known that they were asked for: a worker that starts again tells its last
/// alerts again.
const SEEN_MAX: usize = 4_096;
/// Different rules, actions and outcomes that are counted one by one; more are counted as `other`.
const FIGURES_MAX: usize = 1_024;
/// Lines about what is not done that are written in a minute with the program and user of each; behind
/// them only with the rule. Who makes a rule match under many names fills no disk.
const TOLD_MAX: u32 = 120;
/// Notices that wait for a worker.
const NOTICES_MAX: usize = 16;
const MINUTE: Duration = Duration::from_mins(1);

/// What of the guard bears on a decision.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene {
    /// The worker, 0 if there is none.
    pub(super) worker: u32,
    /// Whether the emergency switch is used.
    pub(super) off: bool,
}

/// What acts.
#[derive(Debug)]
pub(super) struct Actor {
    enforce: bool,
    audit_full: AuditFull,
    ttl: Duration,
    /// Options of whoever reads what rules may do.
    options: Vec<OsString>,
    grants: Grants,
    waiting: VecDeque<Act>,
    limits: Limits,
    protected: Protected,
    audit: Arc<Audit>,
    keep: Keep,
    place: Place,
    children: Children,
    captures: Captures,
    seen: HashSet<(u128, Verb, u32)>,
    figures: BTreeMap<(String, &'static str, &'static str), u64>,
    notices: VecDeque<Json>,
    told: (Instant, u32),
    looked: Instant,
}

/// What is decided of a request.
#[derive(Debug)]
enum Decision {
    Do(Deed, Option<Held>),
    Would(Option<&'static str>),
    Refused(String),
}

impl Actor {
    /// What acts by these options.
    pub(super) fn new(args: &RunArgs, options: Vec<OsString>, audit: Arc<Audit>) -> Actor {
        let bounds =
            Bounds { rule: args.max_rule_actions, all: args.max_actions, jump: args.breaker };
        Actor {
            enforce: args.enforce,
            audit_full: args.audit_full,
            ttl: args.action_ttl,
            options,
            grants: Grants::new(&args.state_dir),
            waiting: VecDeque::new(),
            limits: Limits::new(bounds),
            protected: Protected::new(&args.protect),
            audit,
            keep: Keep::open(&args.state_dir),
            place: Place::new(args),
            children: Children::new(),
            captures: Captures::new(args),
            seen: HashSet::new(),
            figures: BTreeMap::new(),
            notices: VecDeque::new(),
            told: (Instant::now(), 0),
            looked: Instant::now(),
        }
    }

    /// Rules were read that ask for something: what they may is read, too.
    pub(super) fn rules_changed(&mut self) {
        self.grants.ask(&self.options);
    }

    /// Rules are read by other options from now on.
    pub(super) fn follow(&mut self, options: Vec<OsString>) {
        self.options = options;
        self.reload();
    }

    /// The rules are to be read again; nobody need say so if none may act.
    pub(super) fn reload(&mut self) {
        if self.grants.are_known() {
            self.rules_changed();
        }
    }

    /// A request of the worker.
    pub(super) fn act(&mut self, act: &Act, scene: Scene) {
        let unknown = self.grants.allow(&act.rule, act.verb).is_err();
        if unknown && self.grants.are_coming() && self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(act.clone());
            return;
        }
        if self.seen.len() >= SEEN_MAX {
            self.seen.clear();
        }
        if self.seen.insert((act.alert, act.verb, act.pid)) {
            self.judge(act, scene);
        }
    }

    fn judge(&mut self, act: &Act, scene: Scene) {
        let mut about = about(act);
        match self.decide(act, scene, &mut about) {
            Decision::Refused(reason) => {
                about.insert("decision".to_owned(), "refused".into());
                about.insert("reason".to_owned(), reason.into());
                self.tell(act, "refused", about);
            }
            Decision::Would(reason) => {
                about.insert("decision".to_owned(), "would".into());
                about.insert("reason".to_owned(), reason.into());
                self.tell(act, "would", about);
            }
            Decision::Do(deed, held) => {
                about.insert("decision".to_owned(), "do".into());
                self.do_it(act, (&deed, held.as_ref()), about, scene.worker);
            }
        }
    }

    fn decide(&mut self, act: &Act, scene: Scene, about: &mut Map<String, Json>) -> Decision {
        match self.grants.allow(&act.rule, act.verb) {
            Ok(grant) => {
                about.insert("rule_sha256".to_owned(), grant.sha256.clone().into());
            }
            Err(reason) => return Decision::Refused(reason),
        }
        // What is asked for counts although it may not be done: whoever asks so much is wrong.
        let acts = self.enforce || act.verb.is_harmless();
        if acts && self.limits.ask(Instant::now()) {
            self.trip(act);
        }
        let found = aim::find(act, &self.protected, scene.worker, &self.place, about);
        let (deed, held) = match found {
            Ok(found) => found,
            Err(reason) => return Decision::Refused(reason),
        };
        if let (true, Some(seconds)) = (act.verb.is_reversible(), self.lasts(act, &deed)) {
            about.insert("ttl_s".to_owned(), seconds.into());
        }
        let again = |one: &Kept| deed.is_once() && one.deed == deed;
        if let Some(one) = self.keep.of(again).first() {
            return Decision::Refused(format!("action {} has done that already", one.id));
        }
        if !acts {
            return Decision::Would(None);
        }
        if scene.off && !act.verb.is_harmless() {
            return Decision::Would(Some("the emergency switch is used"));
        }
        match self.limits.take(&act.rule, Instant::now()) {
            Room::There => Decision::Do(deed, held),
            Room::Rule => Decision::Refused("this rule acts too often".to_owned()),
            Room::All => Decision::Refused("all rules together act too often".to_owned()),
            Room::Open => Decision::Would(Some("the circuit breaker has tripped")),
        }
    }

    /// So much was asked for that nothing is done any more, which is told wherever somebody may look.
    fn trip(&mut self, act: &Act) {
        let jump = self.limits.bounds().jump;
        let message = format!(
            "rules asked for more than {jump} actions within a minute, the last one `{}`: from now on \
             they are only reported, until `aegisbpf actions resume`",
            act.rule
        );
        tracing::error!(rule = act.rule, "{message}");
        let details = json!({ "rule": act.rule, "bounds": self.limits.bounds() });
        self.audit.note("responses-off", details.clone());
        self.notice("responses_off", &message, &details);
    }

    /// Has something told among the alerts.
    pub(super) fn notice(&mut self, action: &str, message: &str, details: &Json) {
        if self.notices.len() == NOTICES_MAX {
            // The audit log and the agent's own have it.
            self.notices.pop_front();
        }
        let notice = json!({ "action": action, "message": message, "details": details });
        self.notices.push_back(notice);
    }

    /// Writes down what is not done, the same once a minute.
    fn tell(&mut self, act: &Act, outcome: &'static str, mut about: Map<String, Json>) {
        self.count(&act.rule, act.verb, outcome);
        if self.told.0.elapsed() >= MINUTE {
            self.told = (Instant::now(), 0);
        }
        self.told.1 = self.told.1.saturating_add(1);
        // Nobody has vouched for the name of a rule that is not known.
        let is_known = about.contains_key("rule_sha256");
        let rule = if is_known { act.rule.as_str() } else { "" };
        let reason = about.get("reason").and_then(Json::as_str).unwrap_or_default();
        let mut key = format!("{rule} {} {outcome} {reason}", act.verb.as_str());
        if self.told.1 > TOLD_MAX {
            about.remove("executable");
            about.remove("uid");
            key.push_str(" more");
        } else {
            let (program, user) = (about.get("executable"), about.get("uid"));
            key = format!("{key} {program:?} {user:?}");
        }
        self.audit.note_of(&key, "response", Json::Object(about));
    }

    fn do_it(
        &mut self,
        act: &Act,
        (deed, held): (&Deed, Option<&Held>),
        about: Map<String, Json>,
        worker: u32,
    ) {
        let id = match self.audit.write("response", Json::Object(about)) {
            Ok(id) => Some(id),
            Err(error) => {
                let acts = self.audit_full == AuditFull::Act && !act.verb.is_reversible();
                self.unwritten(act, &error, acts);
                if !acts {
                    return;
                }
                None
            }
        };
        let seconds = self.lasts(act, deed);
        let stored = id.map_or(Ok(()), |id| self.store(act, deed, id, seconds));
        let (number, protected) = (id.unwrap_or_default(), (&self.protected, worker));
        let lasting = (act.rule.as_str(), seconds.unwrap_or(i64::MAX));
        let doing = match stored {
            Ok(()) => deed.act(number, lasting, held, protected, &self.place),
            Err(reason) => Doing::Now(Err(reason)),
        };
        let (rule, verb) = (act.rule.clone(), act.verb);
        let job = |words, input| {
            let rule = rule.clone();
            Job { id: number, rule, verb, end: None, words, input }
        };
        let outcome = match doing {
            Doing::Now(outcome) => outcome,
            Doing::By(words) => match self.children.begin(job(words, None)) {
                // What comes of it is told when it has ended.
                Ok(()) => return,
                Err(reason) => Err(reason),
            },
            Doing::Post(document) => match self.post(job, &document) {
                Ok(()) => return,
                Err(reason) => Err(reason),
            },
            Doing::Keep(alert) => match self.captures.begin(number, &act.rule, &alert) {
                Ok(()) => return,
                Err(reason) => Err(reason),
            },
        };
        if id.is_some() {
            self.ended(&job(Vec::new(), None), outcome);
        } else {
            self.count(&act.rule, act.verb, if outcome.is_ok() { "done" } else { "failed" });
            tracing::warn!(rule = act.rule, pid = act.pid, ?outcome, "done, unwritten");
        }
    }

    /// Seconds that this stays in effect: what its rule says, but no longer than the operator lets it.
    fn lasts(&self, act: &Act, deed: &Deed) -> Option<i64> {
        let most = i64::try_from(self.ttl.as_secs()).unwrap_or(i64::MAX);
        let own = self.grants.ttl(&act.rule).map_or(most, i64::from);
        deed.lasts(own.min(most))
    }

    /// Has somebody elsewhere told, by a process without any privilege.
    fn post(
        &mut self,
        job: impl Fn(Vec<OsString>, Option<Vec<u8>>) -> Job,
        document: &str,
    ) -> Result<(), String> {
        // Found to be there when it was decided. The address may hold a secret: it is on no command line.
        let Some(url) = &self.place.webhook else { return Err("there is no receiver".to_owned()) };
        let input = format!("{url}\n{document}\n").into_bytes();
        self.children.begin(job(vec!["post".into()], Some(input)))
    }

    /// Something was done or undone, or was not.
    fn ended(&mut self, job: &Job, outcome: Result<Json, String>) {
        if let Some(word) = job.end {
            self.undone(job.id, word, outcome);
            return;
        }
        if outcome.is_err() {
            // What failed halfway may be in effect nevertheless: then it can be undone.
            for one in self.keep.of(|one| one.id == job.id) {
                if one.deed.is_at_once() || !one.deed.is_in_effect(one.id, &self.place) {
                    self.keep.remove(one.id);
                }
            }
        }
        self.count(&job.rule, job.verb, if outcome.is_ok() { "done" } else { "failed" });
        self.outcome(job.id, "done", outcome);
    }

    /// A decision that cannot be written down: the operator said what becomes of it.
    fn unwritten(&mut self, act: &Act, error: &capture::audit::LogError, acts: bool) {
        let (rule, pid, verb) = (&act.rule, act.pid, act.verb.as_str());
        let what = if acts { "is done although" } else { "is not done, since" };
        let message = format!(
            "`{verb}` of process {pid}, which rule `{rule}` asks for, {what} it \
             cannot be written down: {error}"
        );
        tracing::error!(rule, pid, "{message}");
        self.count(&act.rule, act.verb, if acts { "unwritten" } else { "refused-unwritten" });
        self.notice("response_unwritten", &message, &json!({ "rule": rule, "done": acts }));
    }

    /// Keeps how an action is undone, before it is done.
    fn store(
        &mut self,
        act: &Act,
        deed: &Deed,
        id: u64,
        seconds: Option<i64>,
    ) -> Result<(), String> {
        if !act.verb.is_reversible() {
            return Ok(());
        }
        let since = now();
        let kept = Kept {
            id,
            rule: act.rule.clone(),
            alert: format!("{:032x}", act.alert),
            deed: deed.clone(),
            since,
            until: seconds.map_or(i64::MAX, |seconds| since.saturating_add(seconds)),
        };
        let kept = self.keep.add(kept);
        kept.map_err(|error| format!("it could not be undone, since that cannot be kept: {error}"))
    }

    /// Writes down what came of a decision.
    fn outcome(&self, of: u64, word: &str, done: Result<Json, String>) {
        let mut about = match &done {
            Ok(Json::Object(about)) => about.clone(),
            _ => Map::new(),
        };
        let word = if done.is_ok() { word } else { "failed" };
        about.insert("of".to_owned(), of.into());
        about.insert("outcome".to_owned(), word.into());
        if let Err(reason) = done {
            about.insert("reason".to_owned(), reason.into());
        }
        self.audit.note("response-outcome", Json::Object(about));
    }

    fn count(&mut self, rule: &str, verb: Verb, outcome: &'static str) {
        let key = (rule.to_owned(), verb.as_str(), outcome);
        let is_room = self.figures.len() < FIGURES_MAX || self.figures.contains_key(&key);
        let key = if is_room { key } else { ("other".to_owned(), key.1, key.2) };
        *self.figures.entry(key).or_default() += 1;
    }

    /// What `status` and the metrics tell.
    pub(super) fn figures(&self) -> Json {
        let counts = self.figures.iter().map(|((rule, verb, outcome), count)| {
            json!({ "rule": rule, "verb": verb, "outcome": outcome, "count": count })
        });
        json!({
            "mode": if self.enforce { "enforce" } else { "audit" },
            "breaker": if self.limits.is_open() { "tripped" } else { "ready" },
            "in_effect": self.keep.of(|_| true).len(),
            "waiting": self.waiting.len(),
            "counts": counts.collect::<Vec<_>>(),
        })
    }

    /// The next thing that the worker is to tell among the alerts.
    pub(super) fn next_notice(&mut self) -> Option<Json> {
        self.notices.pop_front()
    }

    /// It could not be told.
    pub(super) fn untold(&mut self, notice: Json) {
        self.notices.push_front(notice);
    }

    /// Called several times a second.
    pub(super) fn service(&mut self, scene: Scene) {
        if self.grants.service(&self.options) {
            for act in std::mem::take(&mut self.waiting) {
                self.act(&act, scene);
            }
        }
        for (job, outcome) in self.children.service() {
            self.ended(&job, outcome);
        }
        for (one, outcome) in self.captures.service() {
            let (id, rule, verb) = (one.id, one.rule, Verb::Capture);
            self.ended(&Job { id, rule, verb, end: None, words: Vec::new(), input: None }, outcome);
        }
        if self.looked.elapsed() >= Duration::from_secs(1) {
            self.looked = Instant::now();
            self.expire(now());
        }
    }
}

fn about(act: &Act) -> Map<String, Json> {
    let about = json!({
        "response": act.verb.as_str(),
        "rule": act.rule,
        "alert": format!("{:032x}", act.alert),
        "pid": act.pid,
        "start": act.start,
    });
    if let Json::Object(map) = about { map } else { Map::new() }
}
