//! An event as it is offered to a rule.

use model::field;
use model::value::Value;
use smallvec::SmallVec;

use super::key::{self, Held, Kept, Name, Seed, Tuples, tuples};
use super::{Event, Member, Plan};
use crate::eval::{Compiled, Context, Env, Scratch};

/// What is computed at most once an event, and only if somebody asks.
#[derive(Debug, Default)]
pub(super) struct Now {
    pub(super) identity: Option<u64>,
    pub(super) origin: Option<u32>,
    /// The event has become a member of something.
    pub(super) held: bool,
    /// Numbers of its tuples, by list of keys.
    keys: SmallVec<[(u32, Tuples); 2]>,
}

impl Now {
    /// The event as a member of something that may become a match later.
    pub(super) fn hold(&mut self, event: &dyn Event, seed: Seed) -> Member {
        self.held = true;
        self.origin(event, seed);
        self.member(event)
    }

    /// The event as a member of a match.
    pub(super) fn member(&mut self, event: &dyn Event) -> Member {
        let identity = *self.identity.get_or_insert_with(|| event.identity());
        Member { number: event.number(), identity }
    }

    /// Who made the event: its program and the parent. Flooding from one place costs that place.
    pub(super) fn origin(&mut self, event: &dyn Event, seed: Seed) -> u32 {
        let first = |fields: &[field::FieldId]| {
            fields.iter().find_map(|field| event.get(*field).each().next())
        };
        *self.origin.get_or_insert_with(|| {
            let parent = first(&[field::PROCESS_PARENT_PID, field::PROCESS_PARENT_ENTITY_ID]);
            let program = first(&[field::PROCESS_EXECUTABLE, field::PROCESS_NAME]);
            let both = [parent, program].into_iter().map(|it| it.unwrap_or(Value::Null));
            #[expect(clippy::cast_possible_truncation, reason = "any 32 bits of the hash do")]
            let origin = seed.tuple(both) as u32;
            origin
        })
    }
}

/// An event offered to a rule.
pub(super) struct Call<'c> {
    pub(super) compiled: &'c Compiled,
    pub(super) plan: &'c Plan,
    pub(super) filters: &'c [u32],
    /// Numbers of the lists of keys, by part.
    pub(super) lists: &'c [u32],
    pub(super) event: &'c dyn Event,
    pub(super) lineage: &'c dyn Context,
    pub(super) seed: Seed,
    pub(super) quota: usize,
    pub(super) scratch: &'c mut Scratch,
    pub(super) now: &'c mut Now,
}

impl Call<'_> {
    /// The tuples of the event for a part of the rule.
    pub(super) fn keys(&mut self, part: u16) -> Tuples {
        let part = usize::from(part);
        let (Some(keys), Some(list)) = (self.plan.keys.get(part), self.lists.get(part)) else {
            return Tuples::new();
        };
        if let Some((_, known)) = self.now.keys.iter().find(|(known, _)| known == list) {
            return known.clone();
        }
        let env = Env { event: self.event, context: self.lineage, three: self.plan.three };
        let made = tuples(self.compiled, keys, env, self.seed, self.scratch);
        self.now.keys.push((*list, made.clone()));
        made
    }

    /// Adds what later steps and pipes ask of the event as a member.
    pub(super) fn keep(&self, kept: &mut Kept, step: u16) {
        key::keep(kept, &self.plan.keep, step, self.event);
        if step != 0 {
            return;
        }
        for (number, (relation, query)) in self.plan.asked.iter().enumerate() {
            if let Some(truth) = self.lineage.lineage(*relation, *query) {
                kept.push((step, Name::Lineage(number), Held::of(Value::Bool(truth))));
            }
        }
    }

    /// The event as a member of something that may become a match later.
    pub(super) fn hold(&mut self) -> Member {
        self.now.hold(self.event, self.seed)
    }

    /// The event as a member of a match.
    pub(super) fn member(&mut self) -> Member {
        self.now.member(self.event)
    }

    /// Who made the event.
    pub(super) fn origin(&mut self) -> u32 {
        self.now.origin(self.event, self.seed)
    }
}
