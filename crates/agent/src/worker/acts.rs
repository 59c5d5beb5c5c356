//! Tells the guard what rules want done when they match. It decides; here nothing is done.

use std::collections::{HashMap, HashSet};

use engine::View;
use lang::placement::{self, Place};
use model::alert::Match;
use model::capability::Capabilities;
use model::field;
use model::op::Kind;
use model::policy::{Operation, Operations};
use model::program::{Program, Response, Rule};
use model::value::{Fields, Value};

use super::events::now_ns;
use super::link::Asker;
use super::rules::Rules;
use crate::proto::{Act, Object, Request, Verb};

/// No action is asked for on a record that is older, ns: a worker that catches up with what happened
/// while there was none would act on a host that has changed.
const OLD_NS: u64 = 30_000_000_000;

/// The process that something is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whom {
    /// The one that acts in the event.
    Own,
    /// Its parent.
    Parent,
}

impl Whom {
    /// Whom a field of a rule names, if that one is known with its start; others could be mistaken.
    fn of(field: Option<&str>) -> Option<Whom> {
        match field {
            None | Some("process.entity_id" | "process.pid") => Some(Whom::Own),
            Some("process.parent.entity_id" | "process.parent.pid") => Some(Whom::Parent),
            Some(_) => None,
        }
    }
}

/// What a rule asks for that is done after the fact, and may. A denial is, if the rule says that it may
/// come late and the kernel cannot decide it: else it is a matter of policies.
pub(crate) fn wanted<'a>(
    rule: &'a Rule,
    program: &'a Program,
    may: Capabilities,
) -> impl Iterator<Item = (Verb, &'a Response)> {
    let is_late = move || rule.meta.late && placement::of(rule, program).place == Place::Engine;
    let asked = rule.meta.responses.iter().filter(move |one| may.permits(&one.action));
    let verbs = asked.filter_map(|one| Some((Verb::from_name(&one.action)?, one)));
    verbs.filter(move |(verb, _)| *verb != Verb::Deny || is_late())
}

/// What matches ask for.
#[derive(Debug, Default)]
pub(crate) struct Acts {
    rules: HashMap<String, Vec<(Verb, Whom)>>,
    /// Rules whose scripts may ask for more.
    scripted: HashSet<String>,
    asked: u64,
    left_out: u64,
}

impl Acts {
    /// The rules that ask for something that is done after the fact, and may.
    pub(crate) fn of(rules: &Rules) -> Acts {
        let mut acts = Acts::default();
        for (rule, terms) in rules.loaded.program.rules.iter().zip(&rules.terms) {
            let meta = &rule.meta;
            let mut verbs = Vec::new();
            for (verb, one) in wanted(rule, &rules.loaded.program, terms.may) {
                if let Some(whom) = Whom::of(one.field.as_deref()) {
                    verbs.push((verb, whom));
                } else {
                    let (rule, field) = (&meta.id, one.field.as_deref().unwrap_or_default());
                    tracing::warn!(rule, field, "not done: who this names is not known for sure");
                }
            }
            if !verbs.is_empty() {
                acts.rules.insert(meta.id.clone(), verbs);
            }
        }
        for info in rules.scripts.infos.iter().filter(|info| info.loaded) {
            acts.scripted.extend(info.rules.iter().cloned());
        }
        acts
    }

    /// Whether no rule asks for anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.scripted.is_empty()
    }

    /// Other rules run from now on.
    pub(crate) fn replace(&mut self, acts: Acts, guard: &Asker) {
        let is_empty = self.is_empty() && acts.is_empty();
        self.rules = acts.rules;
        self.scripted = acts.scripted;
        if !is_empty && let Err(error) = guard.ask(&Request::Rules) {
            tracing::error!(%error, "the guard does not know what rules may do now");
        }
    }

    /// Asks for what these matches want done, on the event that completed them, at a record of this time.
    pub(crate) fn tell(
        &mut self,
        matches: &[Match<'_>],
        view: Option<&View<'_>>,
        time: u64,
        guard: &Asker,
    ) {
        for matched in matches {
            let verbs = self.verbs(matched);
            if verbs.is_empty() {
                continue;
            }
            let is_old = now_ns().saturating_sub(time) > OLD_NS;
            let view = view.filter(|_| !is_old);
            for (verb, whom) in verbs {
                let process = view.and_then(|view| match whom {
                    Whom::Own => view.acting(),
                    Whom::Parent => view.parent_key(),
                });
                let (Some(view), Some((pid, start))) = (view, process) else {
                    self.left_out += 1;
                    continue;
                };
                let (rule, object) = (matched.rule.id.clone(), object(view));
                let operations = operations(view);
                let act = Act { rule, verb, alert: matched.id, pid, start, object, operations };
                self.asked += 1;
                if let Err(error) = guard.ask(&Request::Act(act)) {
                    tracing::error!(rule = matched.rule.id, pid, %error, "nothing is done");
                }
            }
        }
    }

    fn verbs(&self, matched: &Match<'_>) -> Vec<(Verb, Whom)> {
        let id = &matched.rule.id;
        let mut verbs = self.rules.get(id).cloned().unwrap_or_default();
        if self.scripted.contains(id) {
            let requests = matched.said.iter().flat_map(|said| &said.requests);
            let granted = requests.filter(|one| one.granted);
            for verb in granted.filter_map(|one| Verb::from_name(&one.action)) {
                if verb != Verb::Deny && !verbs.iter().any(|one| one.0 == verb) {
                    verbs.push((verb, Whom::Own));
                }
            }
        }
        verbs
    }

    /// Actions that were asked for.
    pub(crate) fn asked(&self) -> u64 {
        self.asked
    }

    /// Matches for which none was asked although their rule wants one.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out
    }
}

/// What the event is about.
fn object(view: &View<'_>) -> Object {
    let path = |field| match view.get(field) {
        Value::Str(path) if path.starts_with(b"/") => Some(path.to_vec()),
        _ => None,
    };
    let number = |field| match view.get(field) {
        Value::Int(number) => u64::try_from(number).unwrap_or_default(),
        _ => 0,
    };
    let program = path(field::PROCESS_EXECUTABLE);
    if let Some(path) = path(field::FILE_PATH) {
        let inode = number(field::FILE_INODE);
        return Object::File { path, inode, by: program.unwrap_or_default() };
    }
    // Who is let in has another port each time.
    if view.kind() == Kind::Accept
        && let Value::Ip(address) = view.get(field::SOURCE_IP)
    {
        return Object::Peer((address, 0).into());
    }
    if let Value::Ip(address) = view.get(field::DESTINATION_IP) {
        let port = u16::try_from(number(field::DESTINATION_PORT)).unwrap_or_default();
        return Object::Peer((address, port).into());
    }
    program.map_or(Object::None, Object::Program)
}

/// What the event did to that, in the words of policies.
fn operations(view: &View<'_>) -> Operations {
    let of = |all: &[Operation]| all.iter().copied().fold(Operations::default(), Operations::with);
    match view.kind() {
        Kind::Exec => of(&[Operation::Execute]),
        Kind::Open => match view.get(field::FILE_EXT_OPEN_WRITE) {
            Value::Bool(true) => of(&[Operation::Write]),
            Value::Bool(false) => of(&[Operation::Read]),
            // Not all sources know for what it was opened.
            _ => of(&[Operation::Read, Operation::Write]),
        },
        Kind::Create => of(&[Operation::Create]),
        Kind::Write => of(&[Operation::Write]),
        Kind::Rename => of(&[Operation::Rename]),
        Kind::Unlink => of(&[Operation::Delete]),
        Kind::Link => of(&[Operation::Link]),
        Kind::Attr => of(&[Operation::Attributes]),
        // A datagram may name its peer, or not.
        Kind::Connect | Kind::Send => of(&[Operation::Connect, Operation::Send]),
        Kind::Accept => of(&[Operation::Accept]),
        _ => Operations::default(),
    }
}
