//! What is known of a rule before any event: its steps in the shape in which they run.

use std::fmt::Write as _;

use model::field::{self, FieldId};
use model::program::{
    Correlation, CorrelationKind, Logic, Pipe, Program, Query, Relation, Rule, Scalar,
};
use model::script::Script;

use super::correlation::bounded_above;
use crate::eval::build::{Builder, Failure};
use crate::eval::{Node, Term};

/// A rule in the shape in which it runs.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(super) shape: Shape,
    /// For each part (steps, then `until`): its keys.
    pub(super) keys: Vec<Vec<KeyPlan>>,
    /// Fields of members that later steps and pipes ask for, by number of the step.
    pub(super) keep: Vec<(u16, FieldId)>,
    /// Its matches may be told when the event that completes them is gone: the part of that event.
    pub(super) late: Option<u16>,
    pub(super) pipes: Vec<PipePlan>,
    /// What pipes ask of the lineage of the first member, when that comes.
    pub(super) asked: Vec<(Relation, u32)>,
    pub(super) three: bool,
    pub(super) silent: bool,
    /// What it may keep at most, whatever all others may.
    pub(super) kept: usize,
    /// Names the rule in alert ids, and recognizes it after a reload.
    pub(super) id: String,
    pub(crate) digest: u64,
}

#[derive(Debug)]
pub(super) enum Shape {
    Event,
    Sequence(SequencePlan),
    /// Number of filters.
    Sample(usize),
    /// Number of filters; `until` is the part after them.
    Join(usize),
    Correlation(Correlation),
}

/// A sequence without its missing steps, which stand beside it.
#[derive(Debug, Clone)]
pub(super) struct SequencePlan {
    /// Parts that are matched, in order.
    pub(super) stages: Vec<Stage>,
    /// Missing parts after the last stage.
    pub(super) trailing: Vec<u16>,
    /// The part that ends what is pending.
    pub(super) until: Option<u16>,
    pub(super) maxspan: Option<i64>,
    /// Matches share no event.
    pub(super) disjoint: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Stage {
    pub(super) part: u16,
    pub(super) fork: bool,
    /// Missing parts before this stage.
    pub(super) before: Vec<u16>,
}

#[derive(Debug)]
pub(super) struct KeyPlan {
    pub(super) term: Term,
    pub(super) optional: bool,
}

/// A pipe; its terms read fields of the first member.
#[derive(Debug)]
pub(super) enum PipePlan {
    Head(u64),
    Tail(u64),
    Unique(Vec<Term>),
    Filter(Node),
    Sort(Vec<Term>),
    Count(Vec<Term>),
    UniqueCount(Vec<Term>),
}

impl Plan {
    pub(crate) fn new(
        rule: &Rule,
        program: &Program,
        around: Around<'_>,
        builder: &mut Builder,
    ) -> Result<Plan, Failure> {
        let shape = match &rule.query {
            Query::Event(_) => Shape::Event,
            Query::Correlation(correlation) => Shape::Correlation(correlation.clone()),
            Query::Sequence(sequence) => Shape::Sequence(stages(sequence)),
            Query::Sample(steps) => Shape::Sample(steps.len()),
            Query::Join { steps, .. } => Shape::Join(steps.len()),
        };
        builder.begin(rule.logic);
        let keys = rule.steps().map(|step| {
            let key = |key: &model::program::Key| {
                let term = builder.term(&key.value)?;
                Ok(KeyPlan { term, optional: key.optional })
            };
            step.by.iter().map(key).collect::<Result<Vec<_>, Failure>>()
        });
        let keys = keys.collect::<Result<Vec<_>, Failure>>()?;
        builder.begin(rule.logic);
        let pipes = rule.pipes.iter().map(|pipe| plan_pipe(pipe, builder));
        let pipes = pipes.collect::<Result<_, _>>()?;
        let late = late(&shape, around.before);
        let mut keep = kept(rule);
        let asked = if late.is_some() { around.asked } else { &[] };
        // What is kept of members is known by number.
        let numbers: Vec<u16> = asked.iter().map(|field| field.0).collect();
        keep.extend(late.into_iter().flat_map(|part| asked.iter().map(move |id| (part, *id))));
        keep.sort_unstable();
        keep.dedup();
        Ok(Plan {
            shape,
            keys,
            keep,
            late,
            pipes,
            asked: builder.asked(),
            three: rule.logic == Logic::ThreeValued,
            silent: rule.meta.silent,
            kept: rule.meta.kept.and_then(|kept| kept.try_into().ok()).unwrap_or(usize::MAX),
            id: rule.meta.id.clone(),
            digest: digest(&format!("{} {numbers:?}", text(rule, program)), program),
        })
    }

    /// Whether a part means something while the rule remembers nothing.
    pub(super) fn begins(&self, part: u16) -> bool {
        let Shape::Sequence(sequence) = &self.shape else { return true };
        let first = sequence.stages.first().is_some_and(|stage| stage.part == part);
        first || sequence.stages.iter().any(|stage| stage.before.contains(&part))
    }

    /// Results come at the end, in the order of their first member.
    pub(super) fn ordered(&self) -> bool {
        matches!(self.shape, Shape::Sequence(_)) && !self.three && !self.pipes.is_empty()
    }
}

/// What a rule needs to know of the others.
#[derive(Clone, Copy)]
pub(crate) struct Around<'p> {
    /// The rules before it.
    pub(crate) before: &'p [Plan],
    /// Fields that correlations ask of its matches.
    pub(crate) asked: &'p [FieldId],
}

/// For each rule the fields that correlations ask of its matches. What counts for one that counts
/// for another is asked by both; a correlation comes after all that it names.
pub(crate) fn asked(program: &Program) -> Vec<Vec<FieldId>> {
    let mut all: Vec<Vec<FieldId>> = vec![Vec::new(); program.rules.len()];
    for (number, rule) in program.rules.iter().enumerate().rev() {
        let Query::Correlation(it) = &rule.query else { continue };
        let own = all.get(number).cloned().unwrap_or_default();
        for (slot, counted) in it.rules.iter().enumerate() {
            let counted = usize::try_from(*counted).ok().filter(|counted| *counted < number);
            let Some(fields) = counted.and_then(|counted| all.get_mut(counted)) else { continue };
            fields.extend(it.group_by.get(slot).into_iter().flatten());
            if let CorrelationKind::ValueCount(field) = it.kind {
                fields.push(field);
            }
            fields.extend(&own);
            fields.sort_unstable();
            fields.dedup();
        }
    }
    all
}

/// The part whose event completes a match, if that may be told when the event is gone: only time
/// decides it, or it follows from such a match.
fn late(shape: &Shape, before: &[Plan]) -> Option<u16> {
    let is_late = |rule: &u32| {
        let plan = usize::try_from(*rule).ok().and_then(|rule| before.get(rule));
        plan.is_some_and(|plan| plan.late.is_some())
    };
    match shape {
        Shape::Sequence(plan) if !plan.trailing.is_empty() => plan.stages.last().map(|it| it.part),
        Shape::Correlation(it) if bounded_above(it) || it.rules.iter().any(is_late) => Some(0),
        _ => None,
    }
}

/// What a rule means, but for what changes when other rules do.
fn text(rule: &Rule, program: &Program) -> String {
    let query = match &rule.query {
        // The rules that it names are named by their ids: their numbers change with a reload.
        Query::Correlation(it) => {
            let ids = it.rules.iter().filter_map(|rule| {
                program.rules.get(usize::try_from(*rule).ok()?).map(|rule| rule.meta.id.as_str())
            });
            let ids: Vec<&str> = ids.collect();
            format!("{ids:?} {:?} {:?} {} {:?}", it.kind, it.group_by, it.timespan, it.condition)
        }
        query => format!("{query:?}"),
    };
    // What is kept of members is known by number.
    let kept: Vec<u16> = kept(rule).iter().map(|(_, field)| field.0).collect();
    let kept = kept.into_iter().filter(|id| usize::from(*id) >= field::FIELDS.len());
    let kept: Vec<u16> = kept.collect();
    format!("{query} {:?} {:?} {} {kept:?}", rule.pipes, rule.logic, rule.meta.id)
}

/// A number for a debug text of a part of a program. Fields that only documents have, queries over
/// lineage, and scripts count as what they are: their numbers change when other rules do.
pub(crate) fn digest(text: &str, program: &Program) -> u64 {
    let mut stable = String::new();
    name(text, program, u32::MAX, &mut stable);
    if !program.scripts.is_empty() {
        stable = scripted(&stable, program);
    }
    super::key::plain(stable.as_bytes())
}

fn name(text: &str, program: &Program, below: u32, out: &mut String) {
    let mut rest = text;
    while let Some(end) = rest.find(')') {
        let (part, tail) = rest.split_at(end);
        rest = tail;
        let at = part.rfind(['(', ' ']).map_or(0, |at| at + 1);
        let (before, number) = part.split_at(at);
        let id = number.parse::<usize>().ok();
        let of_document =
            id.and_then(|id| program.fields.get(id.checked_sub(field::FIELDS.len())?));
        let lineage = id.and_then(|id| Some((u32::try_from(id).ok()?, program.lineages.get(id)?)));
        match (of_document, lineage) {
            (Some(known), _) if before.ends_with("FieldId(") => {
                out.push_str(before);
                out.push_str(known);
            }
            (_, Some((id, filter)))
                if id < below && LINEAGE.iter().any(|it| before.ends_with(it)) =>
            {
                out.push_str(before);
                name(&format!("{filter:?}"), program, id, out);
            }
            _ => out.push_str(part),
        }
        rest = rest.strip_prefix(')').unwrap_or(rest);
        out.push(')');
    }
    out.push_str(rest);
}

/// The same text with scripts as what they are: name, code, and what they read.
fn scripted(text: &str, program: &Program) -> String {
    let mut out = String::new();
    let mut parts = text.split(SCRIPT);
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        out.push_str(SCRIPT);
        // "3, function: 1, args: …"
        let (number, rest) = part.split_once(", function: ").unwrap_or(("", part));
        let (function, rest) = rest.split_once(',').unwrap_or(("", rest));
        let script = number.parse().ok().and_then(|at: usize| program.scripts.get(at));
        if let Some(script) = script {
            let function = function.parse().ok().and_then(|at: usize| script.functions.get(at));
            let Script { name, code, fields, regexes, globs, .. } = script;
            let code = super::key::plain(code);
            let all = (name, function, code, fields, regexes, globs);
            // Writing to a text does not fail.
            _ = write!(out, "{all:?}");
        }
        out.push_str(rest);
    }
    out
}

/// How debug texts name scripts.
const SCRIPT: &str = "Script { script: ";

/// How debug texts name queries over lineage.
const LINEAGE: [&str; 3] = ["Lineage(Child, ", "Lineage(Descendant, ", "Lineage(Event, "];

fn stages(sequence: &model::program::Sequence) -> SequencePlan {
    let mut stages = Vec::new();
    let mut before = Vec::new();
    for (part, step) in (0u16..).zip(&sequence.steps) {
        if step.missing {
            before.push(part);
        } else {
            stages.push(Stage { part, fork: step.fork, before: std::mem::take(&mut before) });
        }
    }
    let until = sequence.until.as_ref().and_then(|_| u16::try_from(sequence.steps.len()).ok());
    let maxspan = sequence.maxspan.map(|span| i64::try_from(span).unwrap_or(i64::MAX));
    SequencePlan { stages, trailing: before, until, maxspan, disjoint: sequence.disjoint }
}

/// What of members is asked later.
fn kept(rule: &Rule) -> Vec<(u16, FieldId)> {
    let mut keep = Vec::new();
    let mut member = |scalar: &Scalar| {
        if let Scalar::Member(step, field) = scalar {
            keep.push((*step, *field));
        }
    };
    for filter in rule.filters() {
        filter.condition.walk(&mut member);
    }
    let mut piped = |scalar: &Scalar| match scalar {
        Scalar::Member(step, field) => keep.push((*step, *field)),
        Scalar::Field(field) => keep.push((0, *field)),
        _ => {}
    };
    for pipe in &rule.pipes {
        pipe.walk(&mut piped);
        if matches!(pipe, Pipe::Filter(_)) {
            // Filters after a count may ask for the category as any other field.
            piped(&Scalar::Field(field::EVENT_CATEGORY));
        }
    }
    keep
}

fn plan_pipe(pipe: &Pipe, builder: &mut Builder) -> Result<PipePlan, Failure> {
    let mut terms = |scalars: &[Scalar]| {
        scalars.iter().map(|scalar| builder.term(scalar)).collect::<Result<Vec<_>, _>>()
    };
    Ok(match pipe {
        Pipe::Head(count) => PipePlan::Head(*count),
        Pipe::Tail(count) => PipePlan::Tail(*count),
        Pipe::Unique(scalars) => PipePlan::Unique(terms(scalars)?),
        Pipe::Sort(scalars) => PipePlan::Sort(terms(scalars)?),
        Pipe::Count(scalars) => PipePlan::Count(terms(scalars)?),
        Pipe::UniqueCount(scalars) => PipePlan::UniqueCount(terms(scalars)?),
        Pipe::Filter(condition) => PipePlan::Filter(builder.node(condition)?),
    })
}
