//! Truth of a condition.

use model::field::{self, FieldId};
use model::program::{Expr, Filter, Logic, Relation, Test};

use super::value::{Bound, Own, each, values};
use super::{At, World, script, test};

/// Longest way up that is followed, also around in a circle.
const STEPS_MAX: usize = 128;

/// Whether the event is of the category and satisfies the condition.
pub(super) fn fits(at: At<'_>, filter: &Filter) -> bool {
    let categories = each(&Own::of(at.world.events[at.event].get(field::EVENT_CATEGORY)));
    let named = |name: &String| categories.contains(&Own::Text(name.clone().into_bytes()));
    filter.category.as_ref().is_none_or(named) && truth(at, &filter.condition, &[]) == Some(true)
}

/// Kleene's tables, written as minimum and maximum of 0 (false), 1 (unknown) and 2 (true). With two
/// values, what is unknown is false before anything is made of it.
pub(super) fn truth(at: At<'_>, condition: &Expr, bound: &Bound) -> Option<bool> {
    let rank = |part: &Expr| truth(at, part, bound).map_or(1, |value| if value { 2 } else { 0 });
    let value = |rank: usize| [Some(false), None, Some(true)][rank];
    let any = |results: Vec<bool>| (!results.is_empty()).then(|| results.contains(&true));
    let plain = match condition {
        Expr::Const(value) => return Some(*value),
        Expr::And(all) => return value(all.iter().map(rank).min().unwrap_or(2)),
        Expr::Or(any) => return value(any.iter().map(rank).max().unwrap_or(0)),
        Expr::Not(inner) => return value(2 - rank(inner)),
        Expr::Test(field, Test::Exists) => Some(!field_values(at, *field).is_empty()),
        Expr::Test(field, one) => {
            any(field_values(at, *field).iter().map(|value| test::passes(one, value)).collect())
        }
        Expr::Computed(scalar, Test::Exists) => Some(!values(at, scalar, bound).is_empty()),
        Expr::Computed(scalar, one) => {
            any(values(at, scalar, bound).iter().map(|value| test::passes(one, value)).collect())
        }
        Expr::Compare { left, order, right, fold } => {
            let (left, right) = (values(at, left, bound), values(at, right, bound));
            let pairs = left.iter().flat_map(|a| right.iter().map(move |b| (a, b)));
            let fits =
                |(a, b): (&Own, &Own)| a.order(b, *fold).is_some_and(|is| test::fits(*order, is));
            any(pairs.map(fits).collect())
        }
        Expr::Truth(scalar) => any(values(at, scalar, bound).iter().map(Own::is_true).collect()),
        Expr::Lineage(relation, query) => lineage(at, *relation, *query),
        Expr::Script { script, function, args } => {
            Some(script::holds(at, *script, *function, args, bound))
        }
    };
    if at.logic == Logic::Complement { Some(plain == Some(true)) } else { plain }
}

fn field_values(at: At<'_>, field: FieldId) -> Vec<Own> {
    each(&Own::of(at.world.events[at.event].get(field)))
}

/// Whether a relative of the process had an event that satisfies the query, up to this event.
fn lineage(at: At<'_>, relation: Relation, query: u32) -> Option<bool> {
    let at = At { event: at.place?, ..at };
    let filter = usize::try_from(query).ok().and_then(|query| at.world.program.lineages.get(query));
    let Some(filter) = filter else { return Some(false) };
    let had = |process: &[u8]| {
        (0..=at.event).any(|event| {
            at.world.process(event).as_deref() == Some(process)
                && fits(at.world.at(event, at.logic), filter)
        })
    };
    let own = at.world.process(at.event);
    match relation {
        Relation::Event if fits(at.world.at(at.event, at.logic), filter) => Some(true),
        Relation::Event => own.map(|process| had(&process)),
        Relation::Child => Some(at.world.parent_of(own, at.event).is_some_and(|one| had(&one))),
        Relation::Descendant => {
            let mut next = at.world.parent_of(own, at.event);
            for _ in 0..STEPS_MAX {
                let Some(process) = next else { break };
                if had(&process) {
                    return Some(true);
                }
                next = at.world.link(&process, at.event);
            }
            Some(false)
        }
    }
}

impl World<'_> {
    fn id(self, event: usize, fields: [FieldId; 2]) -> Option<Vec<u8>> {
        fields.into_iter().find_map(|field| self.first(event, field)).map(|id| id.key())
    }

    fn process(self, event: usize) -> Option<Vec<u8>> {
        self.id(event, [field::PROCESS_ENTITY_ID, field::PROCESS_PID])
    }

    /// The parent that an event tells; no process is its own.
    fn told(self, event: usize) -> Option<Vec<u8>> {
        let parent = self.id(event, [field::PROCESS_PARENT_ENTITY_ID, field::PROCESS_PARENT_PID]);
        parent.filter(|parent| self.process(event).as_ref() != Some(parent))
    }

    /// The parent that was last told of a process.
    fn link(self, process: &[u8], event: usize) -> Option<Vec<u8>> {
        let own = |event: &usize| self.process(*event).as_deref() == Some(process);
        (0..=event).rev().filter(own).find_map(|event| self.told(event))
    }

    fn parent_of(self, own: Option<Vec<u8>>, event: usize) -> Option<Vec<u8>> {
        self.told(event).or_else(|| self.link(&own?, event))
    }
}
