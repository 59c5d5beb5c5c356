//! Pipes: what happens to results, one pipe after the other.

use std::cmp::Ordering;

use model::field::{self, FieldId};
use model::program::{Expr, Pipe, Program, Rule, Scalar};
use model::value::{Fields, Value};

use super::value::{Own, values};
use super::{Answer, At, Match, World, condition};
use crate::detect::Event;

/// A result on its way.
#[derive(Debug, Clone)]
struct Row {
    found: Match,
    counted: Option<(u64, f64, Vec<Own>)>,
}

/// The first member of a result, with what was counted.
struct First<'f> {
    row: &'f Row,
    event: &'f dyn Event,
    names: [Option<FieldId>; 2],
}

impl Fields for First<'_> {
    fn get(&self, field: FieldId) -> Value<'_> {
        match &self.row.counted {
            Some((count, ..)) if self.names[0] == Some(field) => {
                i64::try_from(*count).map_or(Value::Null, Value::Int)
            }
            Some((_, percent, _)) if self.names[1] == Some(field) => Value::Float(*percent),
            _ if self.row.found.members.first().is_none_or(|(part, _)| *part != 0) => Value::Null,
            _ => self.event.get(field),
        }
    }
}

impl Event for First<'_> {
    fn number(&self) -> u64 {
        self.event.number()
    }

    fn time(&self) -> i64 {
        self.event.time()
    }

    fn identity(&self) -> u64 {
        self.event.identity()
    }
}

/// What comes out at the end.
pub(super) fn run(world: World<'_>, rule: &Rule, number: u32, found: Vec<Match>) -> Vec<Answer> {
    let mut rows: Vec<Row> = found.into_iter().map(|found| Row { found, counted: None }).collect();
    for pipe in &rule.pipes {
        rows = through(world, rule, pipe, rows);
    }
    let answer = |row: Row| Answer {
        rule: number,
        members: world.numbers(&row.found),
        // Where it is shown, an address is a text.
        counted: row.counted.map(|(count, _, key)| (count, key.into_iter().map(shown).collect())),
    };
    rows.into_iter().map(answer).collect()
}

fn shown(value: Own) -> Own {
    match value {
        Own::Ip(address) => Own::Text(address.to_string().into_bytes()),
        other => other,
    }
}

fn through(world: World<'_>, rule: &Rule, pipe: &Pipe, rows: Vec<Row>) -> Vec<Row> {
    let tuple = |row: &Row, scalars: &[Scalar]| -> Vec<Own> {
        let first = |scalar: &Scalar| with(world, rule, row, |at| values(at, scalar, &[]));
        scalars.iter().map(|one| first(one).into_iter().next().unwrap_or(Own::Null)).collect()
    };
    let most = |count: &u64| usize::try_from(*count).unwrap_or(usize::MAX);
    match pipe {
        Pipe::Head(count) => rows.into_iter().take(most(count)).collect(),
        Pipe::Tail(count) => {
            let skip = rows.len().saturating_sub(most(count));
            rows.into_iter().skip(skip).collect()
        }
        Pipe::Filter(expr) => {
            let holds = |row: &Row| with(world, rule, row, |at| truth(at, expr)) == Some(true);
            rows.into_iter().filter(holds).collect()
        }
        Pipe::Sort(scalars) => {
            let mut rows = rows;
            rows.sort_by(|a, b| order(&tuple(a, scalars), &tuple(b, scalars)));
            rows
        }
        Pipe::Unique(scalars) => {
            groups(rows, |row| tuple(row, scalars)).into_iter().map(|(row, ..)| row).collect()
        }
        Pipe::Count(scalars) | Pipe::UniqueCount(scalars) => {
            let total = rows.len();
            let mut groups = groups(rows, |row| tuple(row, scalars));
            if matches!(pipe, Pipe::Count(_)) {
                groups.sort_by(|a, b| a.2.cmp(&b.2).then_with(|| order(&a.1, &b.1)));
            }
            let counted = |(mut row, key, count): (Row, Vec<Own>, u64)| {
                #[expect(clippy::cast_precision_loss, reason = "numbers of tests are small")]
                let share = count as f64 / total as f64;
                row.counted = Some((count, share, key));
                if matches!(pipe, Pipe::Count(_)) {
                    row.found.members.clear();
                }
                row
            };
            groups.into_iter().map(counted).collect()
        }
    }
}

fn truth(at: At<'_>, expr: &Expr) -> Option<bool> {
    condition::truth(at, expr, &[])
}

/// Asks about a result as if it were its first member.
fn with<T>(world: World<'_>, rule: &Rule, row: &Row, ask: impl FnOnce(At<'_>) -> T) -> T {
    let Program { fields, .. } = world.program;
    let name = |name: &str| {
        let at = fields.iter().position(|field| field == name)?;
        u16::try_from(field::FIELDS.len() + at).ok().map(FieldId)
    };
    let at = row.found.members.first().map_or(0, |(_, event)| *event);
    let first = First { row, event: world.events[at], names: [name("count"), name("percent")] };
    let mut events = world.events.to_vec();
    events.push(&first);
    let event = events.len() - 1;
    let world = World { program: world.program, events: &events };
    let first = row.found.members.first().filter(|(part, _)| *part == 0);
    let place = first.map(|(_, event)| *event);
    ask(At { world, event, place, members: &row.found.members, logic: rule.logic })
}

/// The first row of each tuple, and how many there are.
fn groups(rows: Vec<Row>, tuple: impl Fn(&Row) -> Vec<Own>) -> Vec<(Row, Vec<Own>, u64)> {
    let mut groups: Vec<(Row, Vec<Own>, u64)> = Vec::new();
    for row in rows {
        let key = tuple(&row);
        let texts =
            |key: &[Own]| key.iter().map(|one| one.text().map(|_| one.key())).collect::<Vec<_>>();
        match groups.iter_mut().find(|(_, known, _)| texts(known) == texts(&key)) {
            Some((_, _, count)) => *count += 1,
            None => groups.push((row, key, 1)),
        }
    }
    groups
}

/// Absent first, then truths, numbers, texts, all else; within a kind by value.
fn order(a: &[Own], b: &[Own]) -> Ordering {
    let rank = |one: &Own| match one {
        Own::Null => 0,
        Own::Bool(_) => 1,
        Own::Int(_) | Own::Float(_) => 2,
        Own::Text(_) | Own::Ip(_) => 3,
        Own::List(_) | Own::Map(_) => 4,
    };
    let mut all = a.iter().zip(b).map(|(a, b)| {
        let by_value = || a.order(b, false).unwrap_or(Ordering::Equal);
        rank(a).cmp(&rank(b)).then_with(by_value)
    });
    all.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}
