//! Correlations: several matches or values within a time.

use model::program::{Correlation, CorrelationKind, Order, Query};

use super::value::Own;
use super::{Match, World, condition};

/// Correlations of correlations are followed this far.
const DEPTH_MAX: usize = 8;
/// Members that an alert names: the last of them.
const MEMBERS_MAX: usize = 100;

/// A match of a rule that a correlation names.
#[derive(Debug, Clone)]
struct Hit {
    event: usize,
    slot: usize,
    group: Vec<Vec<u8>>,
    value: Vec<u8>,
}

/// Alerts of a correlation.
pub(super) fn find(world: World<'_>, rule: u32) -> Vec<Match> {
    let alerts = alerts(world, rule, DEPTH_MAX);
    let events =
        alerts.into_iter().map(|(_, members)| Match { members: (0u16..).zip(members).collect() });
    events.collect()
}

/// Events at which a rule matches, each as often as it does.
fn matches(world: World<'_>, rule: u32, depth: usize) -> Vec<usize> {
    let found = usize::try_from(rule).ok().and_then(|rule| world.program.rules.get(rule));
    let Some(rule_of) = found else { return Vec::new() };
    match &rule_of.query {
        Query::Event(filter) => {
            let fits = |event: &usize| condition::fits(world.at(*event, rule_of.logic), filter);
            (0..world.events.len()).filter(fits).collect()
        }
        // What is known only later has no event of its own.
        Query::Correlation(_) if depth > 0 => {
            alerts(world, rule, depth - 1).into_iter().filter_map(|(at, _)| at).collect()
        }
        _ => Vec::new(),
    }
}

/// Alerts: the event at which each is raised, if there is one, and its members.
fn alerts(world: World<'_>, rule: u32, depth: usize) -> Vec<(Option<usize>, Vec<usize>)> {
    let found = usize::try_from(rule).ok().and_then(|rule| world.program.rules.get(rule));
    let Some(Query::Correlation(plan)) = found.map(|rule| &rule.query) else { return Vec::new() };
    let mut hits: Vec<Hit> = Vec::new();
    for (slot, counted) in plan.rules.iter().enumerate() {
        hits.extend(
            matches(world, *counted, depth).iter().filter_map(|at| hit(world, plan, slot, *at)),
        );
    }
    hits.sort_by_key(|hit| hit.event);
    let mut groups: Vec<Vec<Vec<u8>>> = hits.iter().map(|hit| hit.group.clone()).collect();
    groups.sort();
    groups.dedup();
    let mut all = Vec::new();
    for group in groups {
        let of_group = hits.iter().filter(|hit| hit.group == group).cloned().collect::<Vec<_>>();
        let upper = |(order, _): &(Order, u64)| {
            matches!(order, Order::Equal | Order::Less | Order::LessEqual)
        };
        let each = if plan.condition.iter().any(upper) { tumbling } else { sliding };
        all.extend(each(world, plan, &of_group));
    }
    all.sort_by_key(|(at, last, _)| (*at, *last));
    all.into_iter().map(|(_, at, members)| (at, members)).collect()
}

type Alert = (i64, Option<usize>, Vec<usize>);

fn hit(world: World<'_>, plan: &Correlation, slot: usize, event: usize) -> Option<Hit> {
    let text = |field| world.first(event, field).map(|value: Own| value.key());
    let fields = plan.group_by.get(slot).map_or(&[][..], Vec::as_slice);
    let group = fields.iter().map(|field| text(*field)).collect::<Option<Vec<_>>>()?;
    let value = match plan.kind {
        CorrelationKind::ValueCount(field) => text(field)?,
        _ => Vec::new(),
    };
    Some(Hit { event, slot, group, value })
}

/// The window ends with each match; an alert begins it anew.
fn sliding(world: World<'_>, plan: &Correlation, hits: &[Hit]) -> Vec<Alert> {
    let mut begin = 0;
    let mut alerts = Vec::new();
    for (at, last) in hits.iter().enumerate() {
        let now = world.time(last.event);
        let near =
            |hit: &&Hit| i128::from(now - world.time(hit.event)) <= i128::from(plan.timespan);
        let window: Vec<Hit> = hits[begin..=at].iter().filter(near).cloned().collect();
        if met(plan, &window) {
            alerts.push((now, Some(last.event), members(plan, &window)));
            begin = at + 1;
        }
    }
    alerts
}

/// The window begins with a match, and is judged when it is over.
fn tumbling(world: World<'_>, plan: &Correlation, hits: &[Hit]) -> Vec<Alert> {
    let mut rest = hits;
    let mut alerts = Vec::new();
    while let Some(first) = rest.first() {
        let end = world.time(first.event).saturating_add_unsigned(plan.timespan);
        let size = rest.iter().take_while(|hit| world.time(hit.event) <= end).count();
        let (window, after) = rest.split_at(size);
        if met(plan, window) {
            alerts.push((end, None, members(plan, window)));
        }
        rest = after;
    }
    alerts
}

/// Those that count: of equal values, and of matches of one rule where only that it matched
/// counts, the last.
fn counted(plan: &Correlation, window: &[Hit]) -> Vec<Hit> {
    let again = |at: usize, hit: &Hit| match plan.kind {
        CorrelationKind::ValueCount(_) => window[at + 1..].iter().any(|it| it.value == hit.value),
        CorrelationKind::Temporal => window[at + 1..].iter().any(|it| it.slot == hit.slot),
        CorrelationKind::EventCount | CorrelationKind::TemporalOrdered => false,
    };
    let all = window.iter().enumerate().filter(|(at, hit)| !again(*at, hit));
    all.map(|(_, hit)| hit.clone()).collect()
}

fn met(plan: &Correlation, window: &[Hit]) -> bool {
    let counted = counted(plan, window);
    let count = if plan.kind == CorrelationKind::TemporalOrdered {
        let mut next = 0;
        for hit in &counted {
            next += usize::from(hit.slot == next);
        }
        next
    } else {
        counted.len()
    };
    let fits = |(order, number): &(Order, u64)| {
        super::test::fits(*order, u64::try_from(count).unwrap_or(u64::MAX).cmp(number))
    };
    if plan.condition.is_empty() {
        count >= plan.rules.len()
    } else {
        plan.condition.iter().all(fits)
    }
}

fn members(plan: &Correlation, window: &[Hit]) -> Vec<usize> {
    let counted = counted(plan, window);
    let skip = counted.len().saturating_sub(MEMBERS_MAX);
    counted[skip..].iter().map(|hit| hit.event).collect()
}
