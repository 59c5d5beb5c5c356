//! Correlations: several matches or values within a time.

use model::program::{Correlation, CorrelationKind, Order, Query};

use super::value::Own;
use super::{Match, World, group, sequence};

/// Correlations of correlations are followed this far.
const DEPTH_MAX: usize = 8;
/// Members that an alert names: the last of them.
const MEMBERS_MAX: usize = 100;

/// When a match is told. What only time decides comes after the events of its moment; rules tell
/// one after the other, each with all that follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    time: i64,
    late: bool,
    /// The event that completes it, if it is not late.
    event: usize,
    /// The rule that it follows from.
    rule: usize,
    /// How many correlations lie between.
    depth: usize,
    /// Order of what one rule tells at once.
    order: usize,
}

/// A match of a rule that a correlation names.
#[derive(Debug, Clone)]
struct Hit {
    told: Told,
    /// Its place among all hits.
    order: usize,
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

/// When a rule matches, each as often as it does, and the last event of each match.
fn matches(world: World<'_>, rule: u32, depth: usize) -> Vec<(Told, usize)> {
    let Some(number) = usize::try_from(rule).ok() else { return Vec::new() };
    let Some(of) = world.program.rules.get(number) else { return Vec::new() };
    let none = Told { time: 0, late: false, event: 0, rule: number, depth: 0, order: 0 };
    let at = |event: usize| Told { time: world.time(event), event, ..none };
    let now = |found: Vec<Match>| {
        let last = |one: Match| one.members.iter().map(|(_, event)| *event).max().unwrap_or(0);
        found.into_iter().map(last).map(|event| (at(event), event)).collect()
    };
    match &of.query {
        Query::Event(filter) => now(world.events_of(filter, of.logic)),
        Query::Sample(steps) => now(group::sample(world, of, steps)),
        Query::Join { steps, until } => now(group::join(world, of, steps, until.as_ref())),
        Query::Sequence(it) => {
            let found = sequence::told(world, of, it).into_iter().enumerate();
            let told = found.map(|(order, (one, certain))| {
                let event = one.members.last().map_or(0, |(_, event)| *event);
                let late = certain.map(|time| Told { time, late: true, order, ..none });
                (late.unwrap_or(at(event)), event)
            });
            told.collect()
        }
        Query::Correlation(_) if depth > 0 => {
            let alerts = alerts(world, rule, depth - 1).into_iter();
            alerts.map(|(told, members)| (told, members.last().copied().unwrap_or(0))).collect()
        }
        Query::Correlation(_) => Vec::new(),
    }
}

/// Alerts: when each is told, and its members.
fn alerts(world: World<'_>, rule: u32, depth: usize) -> Vec<(Told, Vec<usize>)> {
    let Some(number) = usize::try_from(rule).ok() else { return Vec::new() };
    let found = world.program.rules.get(number);
    let Some(Query::Correlation(plan)) = found.map(|rule| &rule.query) else { return Vec::new() };
    let mut hits: Vec<Hit> = Vec::new();
    for (slot, counted) in plan.rules.iter().enumerate() {
        let all = matches(world, *counted, depth);
        hits.extend(all.into_iter().filter_map(|told| hit(world, plan, slot, told)));
    }
    hits.sort_by_key(|hit| (hit.told, hit.slot));
    for (order, hit) in hits.iter_mut().enumerate() {
        hit.order = order;
    }
    let mut groups: Vec<Vec<Vec<u8>>> = hits.iter().map(|hit| hit.group.clone()).collect();
    groups.sort();
    groups.dedup();
    let mut all = Vec::new();
    for group in groups {
        let of_group = hits.iter().filter(|hit| hit.group == group).cloned().collect::<Vec<_>>();
        let upper = |(order, _): &(Order, u64)| {
            matches!(order, Order::Equal | Order::Less | Order::LessEqual)
        };
        if plan.condition.iter().any(upper) {
            all.extend(tumbling(plan, number, &of_group));
        } else {
            all.extend(sliding(plan, &of_group));
        }
    }
    all.sort();
    all
}

fn hit(
    world: World<'_>,
    plan: &Correlation,
    slot: usize,
    (told, event): (Told, usize),
) -> Option<Hit> {
    let text = |field| world.first(event, field).map(|value: Own| value.key());
    let fields = plan.group_by.get(slot).map_or(&[][..], Vec::as_slice);
    let group = fields.iter().map(|field| text(*field)).collect::<Option<Vec<_>>>()?;
    let value = match plan.kind {
        CorrelationKind::ValueCount(field) => text(field)?,
        _ => Vec::new(),
    };
    Some(Hit { told, order: 0, event, slot, group, value })
}

/// The window ends with each match; an alert begins it anew.
fn sliding(plan: &Correlation, hits: &[Hit]) -> Vec<(Told, Vec<usize>)> {
    let mut begin = 0;
    let mut alerts = Vec::new();
    for (at, last) in hits.iter().enumerate() {
        let near =
            |hit: &&Hit| i128::from(last.told.time - hit.told.time) <= i128::from(plan.timespan);
        let window: Vec<Hit> = hits[begin..=at].iter().filter(near).cloned().collect();
        if met(plan, &window) {
            let told = Told { depth: last.told.depth + 1, ..last.told };
            alerts.push((told, members(plan, &window)));
            begin = at + 1;
        }
    }
    alerts
}

/// The window begins with a match, and is judged when it is over.
fn tumbling(plan: &Correlation, number: usize, hits: &[Hit]) -> Vec<(Told, Vec<usize>)> {
    let mut rest = hits;
    let mut alerts = Vec::new();
    while let Some(first) = rest.first() {
        let end = first.told.time.saturating_add_unsigned(plan.timespan);
        let (rule, order) = (number, first.order);
        let told = Told { time: end, late: true, event: 0, rule, depth: 0, order };
        // What this rule or a later one tells at the end is told after it.
        let size = rest.iter().take_while(|hit| hit.told < told).count();
        let (window, after) = rest.split_at(size.max(1));
        if met(plan, window) {
            alerts.push((told, members(plan, window)));
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
