//! Random rules and programs.

use std::sync::Arc;

use model::field;
use model::program::{
    Correlation, CorrelationKind, Expr, Filter, Key, Logic, Order, Pipe, Program, Query, Rule,
    RuleMeta, Scalar, Sequence, Step,
};
use proptest::prelude::*;

use super::conditions::{any_field, asking, late, letters, order, related, rich};
use crate::detect::sample::{DOCUMENT, S, document};

/// Queries over lineage in each program.
const LINEAGES: u32 = 3;

/// Kinds of rules, and how often of 500 programs they must match at least for the test to be worth
/// anything.
pub(super) const KINDS: &[(&str, usize)] = &[
    ("event", 250),
    ("sequence", 40),
    ("disjoint", 5),
    ("missing", 10),
    ("sample", 15),
    ("join", 15),
    ("correlation", 50),
    ("late", 40),
    ("pipes", 50),
];

/// What a rule is counted as.
pub(super) fn kind(rule: &Rule, program: &Program) -> &'static str {
    match &rule.query {
        _ if !rule.pipes.is_empty() => "pipes",
        Query::Event(_) => "event",
        Query::Sequence(it) if it.disjoint => "disjoint",
        Query::Sequence(it) if it.steps.iter().any(|step| step.missing) => "missing",
        Query::Sequence(_) => "sequence",
        Query::Sample(_) => "sample",
        Query::Join { .. } => "join",
        Query::Correlation(it) => {
            let counted = it.rules.iter().filter_map(|rule| program.rules.get(*rule as usize));
            if counted.into_iter().any(is_late) { "late" } else { "correlation" }
        }
    }
}

/// Whether only time can decide a rule.
fn is_late(rule: &Rule) -> bool {
    let upper = |order: &Order| matches!(order, Order::Equal | Order::Less | Order::LessEqual);
    match &rule.query {
        Query::Sequence(it) => it.steps.last().is_some_and(|step| step.missing),
        Query::Correlation(it) => it.condition.iter().any(|(order, _)| upper(order)),
        _ => false,
    }
}

fn rule(query: Query, three: bool, pipes: Vec<Pipe>) -> Rule {
    let logic = if three { Logic::ThreeValued } else { Logic::Complement };
    Rule { meta: RuleMeta::default(), logic, query, pipes }
}

fn filter(condition: impl Strategy<Value = Expr>) -> impl Strategy<Value = Filter> {
    let category = prop::sample::select(vec![None, None, None, Some("process"), Some("file")]);
    (category, condition).prop_map(|(category, condition)| Filter {
        category: category.map(str::to_owned),
        condition,
    })
}

fn step(condition: impl Strategy<Value = Expr>, keys: Vec<Key>) -> impl Strategy<Value = Step> {
    filter(condition).prop_map(move |filter| Step {
        filter,
        by: keys.clone(),
        missing: false,
        fork: false,
    })
}

/// Keys that all steps have.
fn keys() -> impl Strategy<Value = Vec<Key>> {
    let key = (any::<bool>(), any::<bool>()).prop_map(|(parent, optional)| {
        let field = if parent { field::PROCESS_PARENT_PID } else { field::PROCESS_PID };
        Key { value: Scalar::Field(field), optional }
    });
    prop::collection::vec(key, 0..3)
}

fn values() -> impl Strategy<Value = Vec<Scalar>> {
    let value = prop_oneof![
        any_field().prop_map(Scalar::Field),
        (0u16..2, any_field()).prop_map(|(step, field)| Scalar::Member(step, field)),
        related(LINEAGES).prop_map(|expr| Scalar::Condition(Box::new(expr))),
    ];
    prop::collection::vec(value, 1..3)
}

fn pipes() -> impl Strategy<Value = Vec<Pipe>> {
    let counted = (2usize..4, order(), 0i64..3).prop_map(|(field, order, number)| {
        let (left, right) =
            (Scalar::Field(document(field)), Scalar::Literal(model::program::Literal::Int(number)));
        Expr::Compare { left, order, right, fold: false }
    });
    let member = (any_field(), order(), any_field()).prop_map(|(left, order, right)| {
        let (left, right) = (Scalar::Member(0, left), Scalar::Member(1, right));
        Expr::Compare { left, order, right, fold: false }
    });
    let pipe = prop_oneof![
        (0u64..4).prop_map(Pipe::Head),
        (0u64..4).prop_map(Pipe::Tail),
        values().prop_map(Pipe::Unique),
        prop_oneof![counted, member, related(LINEAGES)].prop_map(Pipe::Filter),
        values().prop_map(Pipe::Sort),
        values().prop_map(Pipe::Count),
        values().prop_map(Pipe::UniqueCount),
    ];
    prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(pipe, 1..4)]
}

/// Sequences of up to four steps; a missing one needs a span.
fn sequence() -> impl Strategy<Value = Rule> {
    let steps = |keys: Vec<Key>| {
        let step = (step(letters(), keys.clone()), late(0), 0u8..10);
        let ends = prop_oneof![2 => letters().boxed(), 1 => late(0).boxed()];
        let until = prop::option::weighted(0.3, self::step(ends, keys));
        (prop::collection::vec(step, 1..5), until)
    };
    let span = prop::option::of(0i64..8);
    let all = (keys().prop_flat_map(steps), span, any::<bool>(), 0usize..4, pipes());
    all.prop_map(|((steps, until), span, three, runs, pipes)| {
        let mut steps: Vec<Step> = (0..)
            .zip(steps)
            .map(|(number, (mut step, late, form))| {
                step.missing = !three && form < 3;
                step.fork = three && form == 0;
                if form == 7 && number > 0 || form == 2 {
                    step.filter.condition = late;
                }
                step
            })
            .collect();
        let positive = steps.iter().filter(|step| !step.missing).count();
        if positive == 0 {
            steps[0].missing = false;
        }
        let single = positive <= 1 && runs > 1;
        if single {
            let at = steps.iter().position(|step| !step.missing).unwrap_or(0);
            let copy = steps[at].clone();
            (1..runs).for_each(|_| steps.insert(at, copy.clone()));
        }
        let missing = steps.iter().any(|step| step.missing);
        let span = if missing { Some(span.unwrap_or(4)) } else { span };
        let maxspan = span.map(|seconds| (seconds * S).unsigned_abs());
        let query = Query::Sequence(Sequence { steps, disjoint: single, until, maxspan });
        rule(query, three, pipes)
    })
}

fn sample() -> impl Strategy<Value = Rule> {
    let steps = |keys| prop::collection::vec(step(letters(), keys), 2..4);
    (keys().prop_flat_map(steps), pipes())
        .prop_map(|(steps, pipes)| rule(Query::Sample(steps), false, pipes))
}

fn join() -> impl Strategy<Value = Rule> {
    let steps = |keys: Vec<Key>| {
        let until = prop::option::weighted(0.3, step(letters(), keys.clone()));
        (prop::collection::vec(step(letters(), keys), 2..4), until)
    };
    (keys().prop_flat_map(steps), pipes())
        .prop_map(|((steps, until), pipes)| rule(Query::Join { steps, until }, true, pipes))
}

/// About two rules before it.
fn correlation(rules: [u32; 2]) -> impl Strategy<Value = Rule> {
    use CorrelationKind::{EventCount, Temporal, TemporalOrdered, ValueCount};
    let kind = prop_oneof![
        Just(EventCount),
        any_field().prop_map(ValueCount),
        Just(Temporal),
        Just(TemporalOrdered),
    ];
    let group = prop::sample::select(vec![
        None,
        Some(field::PROCESS_PARENT_PID),
        Some(field::PROCESS_PID),
        Some(field::PROCESS_NAME),
    ]);
    let condition = prop::collection::vec((order(), 0u64..4), 0..3);
    (kind, group, 0i64..8, condition).prop_map(move |(kind, group, seconds, condition)| {
        let query = Query::Correlation(Correlation {
            kind,
            rules: rules.to_vec(),
            group_by: vec![group.into_iter().collect(); 2],
            timespan: (seconds * S).unsigned_abs(),
            condition,
        });
        rule(query, false, Vec::new())
    })
}

fn event(condition: impl Strategy<Value = Expr>) -> impl Strategy<Value = Rule> {
    (filter(condition), any::<bool>(), pipes())
        .prop_map(|(filter, three, pipes)| rule(Query::Event(filter), three, pipes))
}

/// A rule that never matches.
pub(super) fn never() -> Rule {
    let filter = Filter { category: None, condition: Expr::Const(false) };
    let meta = RuleMeta { id: "never".to_owned(), ..RuleMeta::default() };
    Rule { meta, ..rule(Query::Event(filter), false, Vec::new()) }
}

/// Rules of single events with any condition.
pub(super) fn single() -> impl Strategy<Value = Arc<Program>> {
    let plain = event(rich()).prop_map(|rule| Rule { pipes: Vec::new(), ..rule });
    prop::collection::vec(plain, 1..4).prop_map(|rules| {
        let fields = DOCUMENT.map(str::to_owned).to_vec();
        Arc::new(Program { rules, fields, ..Program::default() })
    })
}

/// Rules of all kinds that share their events.
pub(super) fn program() -> impl Strategy<Value = Arc<Program>> {
    let lineages = (filter(letters()), filter(asking(1)), filter(asking(2)));
    let asks = prop_oneof![2 => letters().boxed(), 1 => asking(LINEAGES).boxed()];
    let rules = (
        event(letters()),
        event(asks),
        prop_oneof![4 => sequence().boxed(), 1 => sample().boxed(), 1 => join().boxed()],
        prop_oneof![correlation([0, 1]), correlation([0, 2])],
        prop_oneof![correlation([0, 3]), correlation([2, 3])],
    );
    (rules, lineages, any::<bool>()).prop_map(|((a, b, c, d, e), (f, g, h), silent)| {
        let mut rules = vec![a, b, c, d, e];
        for (number, rule) in rules.iter_mut().enumerate() {
            rule.meta.id = number.to_string();
        }
        rules[0].meta.silent = silent;
        let fields = DOCUMENT.map(str::to_owned).to_vec();
        Arc::new(Program { rules, fields, lineages: vec![f, g, h], ..Program::default() })
    })
}
