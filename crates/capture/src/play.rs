//! A recording through an engine, compared with what was found live.
//!
//! The player does what the event thread does, with a file in place of the rings: facts are learned,
//! records pushed and time passes in the order in which all that happened. So it finds what was found
//! live, and a recording tells what that was: each match stands behind what completed it.

use std::collections::VecDeque;
use std::sync::Arc;

use engine::eval::CompileError;
use engine::{Engine, Prepared, REPEAT_NS, View};
use model::alert::Match;
use model::program::{Program, Query};
use model::script::Scripts;
use model::wire::Record;
use sha2::{Digest, Sha256};

use crate::block::{Item, Loss, Matched};
use crate::head::hex;
use crate::{Block, Head, RuleSet};

/// Differences that are told in words; all are counted.
const TOLD_MAX: usize = 20;

/// Makes what runs the scripts of a program.
pub type Runtime<'r> = &'r dyn Fn(&Program) -> Box<dyn Scripts>;

/// What a listener is told, in the order in which it happened.
#[derive(Debug)]
pub enum Heard<'h, 'v> {
    /// An event, and what it completed.
    Event(&'h View<'v>, &'h [Match<'h>]),
    /// A match that only time decided.
    Late(&'h Match<'h>),
    /// The same was found live, as the recording tells.
    Live(&'h Matched<'h>),
}

impl Heard<'_, '_> {
    /// How much the replay found.
    pub fn matches(&self) -> u64 {
        match self {
            Heard::Event(_, matches) => matches.len() as u64,
            Heard::Late(_) => 1,
            Heard::Live(_) => 0,
        }
    }

    /// What the replay found, each with the event that completed it, where there is one.
    pub fn found(
        &self,
        each: &mut dyn FnMut(Option<&View<'_>>, &Match<'_>) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        match self {
            Heard::Event(view, matches) => {
                matches.iter().try_for_each(|matched| each(Some(view), matched))
            }
            Heard::Late(matched) => each(None, matched),
            Heard::Live(_) => Ok(()),
        }
    }
}

/// Who listens.
pub type Each<'e> = &'e mut dyn FnMut(Heard<'_, '_>);

/// Alerts in their order: how many, and what they are.
#[derive(Debug, Clone, Default)]
struct Tally {
    alerts: u64,
    digest: Sha256,
}

impl Tally {
    fn add(&mut self, id: u128, rule: &[u8], members: impl ExactSizeIterator<Item = u64>) {
        self.alerts += 1;
        self.digest.update(id.to_le_bytes());
        self.digest.update((rule.len() as u64).to_le_bytes());
        self.digest.update(rule);
        self.digest.update((members.len() as u64).to_le_bytes());
        members.for_each(|member| self.digest.update(member.to_le_bytes()));
    }
}

/// How a replay compares with what was found live.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Alerts that were found live.
    pub live: u64,
    /// SHA-256 of their identities, rules and events in their order.
    pub live_digest: String,
    /// Alerts that the replay found.
    pub replayed: u64,
    /// The same of them.
    pub replayed_digest: String,
    /// Alerts of one that the other lacks.
    pub different: u64,
    /// The first of them.
    pub differences: Vec<String>,
    /// Alerts of one that the other lacks, where something is missing that they may be about: what
    /// was before the recording, or in a gap. They count in neither digest.
    pub open: u64,
    /// Records.
    pub records: u64,
    /// What could not be recorded.
    pub lost: Loss,
    /// Places at which frames are missing.
    pub gaps: u64,
    /// Items that could not be understood.
    pub malformed: u64,
    /// Times that other rules than the given ones came into force.
    pub other_rules: u64,
    /// Whether the recording was closed, and not cut off.
    pub closed: bool,
    /// Whether it begins with the worker.
    pub whole: bool,
    /// What sources and rings had lost in the end, as JSON.
    pub counters: String,
}

/// Something that was found, here or live.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    id: u128,
    rule: Box<[u8]>,
    members: Vec<u64>,
}

impl Found {
    fn live(matched: &Matched<'_>) -> Found {
        Found { id: matched.id, rule: matched.rule.into(), members: matched.members().collect() }
    }

    fn here(matched: &Match<'_>) -> Found {
        let rule = matched.rule.id.as_bytes().into();
        Found { id: matched.id, rule, members: matched.members.to_vec() }
    }
}

/// Plays one recording.
pub struct Player<'r> {
    program: Arc<Program>,
    runtime: Runtime<'r>,
    rules: RuleSet,
    engine: Engine,
    head: Head,
    /// Rules by number: whether what they find depends on this event alone.
    alone: Vec<bool>,
    /// Frames are expected to go on with this one.
    next_frame: Option<u64>,
    /// State is passed over: the engine knows it from the frames before.
    goes_on: bool,
    /// Time of the first record.
    first: Option<u64>,
    now: u64,
    /// Whether all is there since the head.
    unbroken: bool,
    /// What the replay found and the recording has not told yet.
    pending: VecDeque<Found>,
    live: Tally,
    replayed: Tally,
    verdict: Verdict,
}

impl std::fmt::Debug for Player<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Player").field("verdict", &self.verdict).finish_non_exhaustive()
    }
}

impl<'r> Player<'r> {
    /// A player of these rules that has heard a head. Fails if the program breaks a bound.
    pub fn new(
        head: Head,
        program: Program,
        rules: RuleSet,
        runtime: Runtime<'r>,
    ) -> Result<Player<'r>, CompileError> {
        let mut program = program;
        head.rules.bound(&mut program);
        let program = Arc::new(program);
        let is_alone = |rule: &model::program::Rule| {
            let is_event = matches!(rule.query, Query::Event(_)) && rule.pipes.is_empty();
            is_event && rule.scripts(&program).is_empty()
        };
        let alone = program.rules.iter().map(is_alone).collect();
        let engine = engine(&program, &head, runtime)?;
        let mut player = Player {
            alone,
            engine,
            program,
            runtime,
            rules,
            next_frame: Some(head.first_frame),
            goes_on: false,
            first: None,
            now: 0,
            unbroken: true,
            pending: VecDeque::new(),
            live: Tally::default(),
            replayed: Tally::default(),
            verdict: Verdict { whole: head.whole, ..Verdict::default() },
            head,
        };
        player.note_rules(&player.head.rules.digest.clone());
        Ok(player)
    }

    /// Whether these are the rules that ran.
    fn note_rules(&mut self, digest: &str) {
        self.verdict.other_rules += u64::from(digest != self.rules.digest);
    }

    /// Another head: of the same worker and without a gap it changes nothing.
    pub fn head(&mut self, head: Head) -> Result<(), CompileError> {
        self.settle();
        self.goes_on = head.session == self.head.session
            && self.next_frame == Some(head.first_frame)
            && self.unbroken;
        self.next_frame = Some(head.first_frame);
        if !self.goes_on {
            self.engine = engine(&self.program, &head, self.runtime)?;
            self.unbroken = true;
            self.first = None;
            self.verdict.whole &= head.whole;
            self.note_rules(&head.rules.digest);
        }
        self.verdict.closed = false;
        self.head = head;
        Ok(())
    }

    /// Times that other rules than the given ones came into force.
    pub fn other_rules(&self) -> u64 {
        self.verdict.other_rules
    }

    /// What was known when the recording began.
    pub fn state(&mut self, block: &Block) {
        if self.goes_on {
            return;
        }
        for item in block.iter() {
            match item {
                Ok(Item::Fact(fact)) => self.engine.learn(fact),
                Ok(Item::Known(bytes)) => match Record::parse(bytes) {
                    Ok(record) => self.engine.recall(&record),
                    Err(_) => self.verdict.malformed += 1,
                },
                Ok(_) | Err(_) => self.verdict.malformed += 1,
            }
        }
    }

    /// What happened. Fails only if rules cannot be put in force that were before.
    pub fn items(
        &mut self,
        number: u64,
        block: &Block,
        each: Each<'_>,
    ) -> Result<(), CompileError> {
        if self.next_frame.is_some_and(|expected| expected != number) {
            self.gap();
        }
        self.next_frame = Some(number.saturating_add(1));
        for item in block.iter() {
            match item {
                Ok(item) => self.item(&item, each)?,
                Err(_) => self.verdict.malformed += 1,
            }
        }
        Ok(())
    }

    /// Something is missing here.
    pub fn gap(&mut self) {
        self.verdict.gaps += 1;
        self.unbroken = false;
    }

    /// The recording was closed.
    pub fn end(&mut self) {
        self.verdict.closed = true;
    }

    /// How it compares.
    pub fn finish(mut self) -> Verdict {
        self.settle();
        self.verdict.live = self.live.alerts;
        self.verdict.live_digest = hex(&self.live.digest.finalize());
        self.verdict.replayed = self.replayed.alerts;
        self.verdict.replayed_digest = hex(&self.replayed.digest.finalize());
        self.verdict
    }

    fn item(&mut self, item: &Item<'_>, each: Each<'_>) -> Result<(), CompileError> {
        match item {
            Item::Record(bytes) => {
                self.settle();
                match Record::parse(bytes) {
                    Ok(record) => self.record(&record, each),
                    Err(_) => self.verdict.malformed += 1,
                }
            }
            Item::Known(_) => self.verdict.malformed += 1,
            Item::Fact(fact) => self.engine.learn(fact.clone()),
            Item::Tick(now) => {
                self.settle();
                self.now = *now;
                let pending = &mut self.pending;
                self.engine.tick(*now, &mut |matched| {
                    pending.push_back(Found::here(matched));
                    each(Heard::Late(matched));
                });
            }
            Item::Match(matched) => {
                each(Heard::Live(matched));
                self.told(&Found::live(matched));
            }
            Item::Loss(loss) => {
                let lost = &mut self.verdict.lost;
                lost.items = lost.items.saturating_add(loss.items);
                lost.bytes = lost.bytes.saturating_add(loss.bytes);
                self.unbroken = false;
            }
            Item::Counters(json) => {
                self.verdict.counters = String::from_utf8_lossy(json).into_owned();
            }
            Item::Rules(json) => self.reloaded(json)?,
            Item::Release(name) => self.release(name),
        }
        Ok(())
    }

    fn record(&mut self, record: &Record<'_>, each: Each<'_>) {
        self.verdict.records += 1;
        self.now = record.header().time;
        self.first.get_or_insert(self.now);
        let pending = &mut self.pending;
        self.engine.push(record, &mut |view, matches| {
            pending.extend(matches.iter().map(Found::here));
            each(Heard::Event(view, matches));
        });
    }

    /// The same rules were read again: scripts begin anew, as they did then.
    fn reloaded(&mut self, json: &[u8]) -> Result<(), CompileError> {
        let Ok(rules) = serde_json::from_slice::<RuleSet>(json) else {
            self.verdict.malformed += 1;
            return Ok(());
        };
        self.note_rules(&rules.digest);
        let scripts = (self.runtime)(&self.program);
        self.engine.swap(Prepared::with_scripts(Arc::clone(&self.program), scripts)?);
        Ok(())
    }

    fn release(&mut self, name: &[u8]) {
        for (number, script) in (0..).zip(&self.program.scripts) {
            if script.name.as_bytes() == name {
                self.engine.scripts().release(number);
            }
        }
    }

    /// What was found live, beside what was found here.
    fn told(&mut self, live: &Found) {
        let Some(at) = self.pending.iter().position(|found| found == live) else {
            return self.differ(live, true);
        };
        for _ in 0..at {
            if let Some(more) = self.pending.pop_front() {
                self.differ(&more, false);
            }
        }
        self.pending.pop_front();
        self.live.add(live.id, &live.rule, live.members.iter().copied());
        self.replayed.add(live.id, &live.rule, live.members.iter().copied());
    }

    /// What is left was not found live.
    fn settle(&mut self) {
        while let Some(more) = self.pending.pop_front() {
            self.differ(&more, false);
        }
    }

    fn differ(&mut self, found: &Found, is_live: bool) {
        if self.is_open(found) {
            self.verdict.open += 1;
            return;
        }
        let tally = if is_live { &mut self.live } else { &mut self.replayed };
        tally.add(found.id, &found.rule, found.members.iter().copied());
        self.verdict.different += 1;
        if self.verdict.differences.len() < TOLD_MAX {
            let rule = String::from_utf8_lossy(&found.rule);
            let (id, who) = (found.id, if is_live { "live" } else { "in the replay" });
            let text = format!("{id:032x} of rule {rule} was found only {who}");
            self.verdict.differences.push(text);
        }
    }

    /// Whether something is missing that the match may be about: rules that remember more than one
    /// event may remember what was before the recording, and an alert may repeat one of before.
    fn is_open(&self, found: &Found) -> bool {
        if !self.unbroken {
            return true;
        }
        if self.head.whole {
            return false;
        }
        let of = self.program.rules.iter().position(|rule| rule.meta.id.as_bytes() == &*found.rule);
        let is_alone = of.and_then(|rule| self.alone.get(rule)).copied().unwrap_or(false);
        !is_alone || self.first.is_some_and(|first| self.now.saturating_sub(first) <= REPEAT_NS)
    }
}

fn engine(
    program: &Arc<Program>,
    head: &Head,
    runtime: Runtime<'_>,
) -> Result<Engine, CompileError> {
    let scripts = runtime(program);
    let (host, limits) = (head.host.host(), head.limits());
    let mut engine = Engine::with_scripts(Arc::clone(program), host, limits, scripts)?;
    engine.resume(head.events_before);
    Ok(engine)
}
