//! What is known of the values of the event at hand, field by field: which predicates hold is found
//! when somebody asks for the first predicate of the field, and each is tested when it is asked for.

use model::value::{Fields, Value};

use super::Compiled;
use super::class::Class;
use super::column::{Column, Room};
use super::memory::{Memory, Name, Place};

/// The event at hand, and what is remembered of those before.
#[derive(Debug, Default)]
pub(super) struct Values {
    /// Number of the event.
    event: u64,
    /// For each column the event for which it was looked at last, and what was seen.
    looked: Vec<(u64, Seen)>,
    memory: Memory,
    /// Nothing is remembered and nothing recalled: each test is made when it is asked for.
    forgetful: bool,
    room: Room,
}

/// What a column has in an event.
#[derive(Debug, Default, Clone, Copy)]
enum Seen {
    #[default]
    Nothing,
    /// A value that is remembered there.
    Known(Place),
    /// A value that is not remembered.
    Other,
}

impl Values {
    /// For programs of so many columns.
    pub(super) fn new(columns: usize) -> Values {
        Values { looked: vec![(0, Seen::Nothing); columns], ..Values::default() }
    }

    /// From now on remembers nothing, so that tests cost what they cost.
    pub(super) fn forget(&mut self) {
        self.forgetful = true;
    }

    /// Goes on to another event; its number.
    #[inline]
    pub(super) fn next(&mut self) -> u64 {
        self.event += 1;
        self.event
    }

    /// What a column has in the event, found in memory or put there.
    #[inline]
    fn see(&mut self, number: u32, (at, column): (usize, &Column), event: &dyn Fields) -> Seen {
        let value = event.get(column.field);
        let Values { memory, room, .. } = self;
        let seen = if matches!(value, Value::Null) {
            Seen::Nothing
        } else {
            let name = if self.forgetful { None } else { Name::new(number, value) };
            let place = name.and_then(|name| {
                memory.recall(&name).or_else(|| memory.learn(&name, column.find(value, room)))
            });
            place.map_or(Seen::Other, Seen::Known)
        };
        if let Some(looked) = self.looked.get_mut(at) {
            *looked = (self.event, seen);
        }
        seen
    }
}

impl Compiled {
    /// Tells `each` the predicates of a column that the event satisfies and a filter waits for in
    /// events of its kind.
    #[inline]
    pub(super) fn look(
        &self,
        number: u32,
        (event, kind): (&dyn Fields, usize),
        class: &Class,
        values: &mut Values,
        mut each: impl FnMut(u32),
    ) {
        let Some((at, column)) = self.column(number) else { return };
        match values.see(number, (at, column), event) {
            Seen::Nothing => {}
            Seen::Known(place) => {
                let Some(mut list) = values.memory.list(place) else { return };
                if list.is_dull(kind) {
                    return;
                }
                let mut dull = true;
                for tested in list.iter_mut() {
                    let predicate = tested.predicate();
                    if class.is_awaited(predicate)
                        && tested.result(|| self.test(predicate, event.get(column.field)))
                    {
                        dull = false;
                        each(predicate);
                    }
                }
                if dull {
                    list.set_dull(kind);
                }
            }
            Seen::Other => {
                let value = event.get(column.field);
                for predicate in column.find(value, &mut values.room) {
                    if class.is_awaited(*predicate) && self.test(*predicate, value) {
                        each(*predicate);
                    }
                }
            }
        }
    }

    /// Whether a predicate holds in the event.
    #[inline]
    pub(super) fn satisfies(
        &self,
        predicate: u32,
        number: u32,
        event: &dyn Fields,
        values: &mut Values,
    ) -> bool {
        let Some((at, column)) = self.column(number) else { return false };
        let seen = match values.looked.get(at) {
            Some((known, seen)) if *known == values.event => *seen,
            _ => values.see(number, (at, column), event),
        };
        let test = || self.test(predicate, event.get(column.field));
        match seen {
            Seen::Nothing => false,
            Seen::Other => test(),
            Seen::Known(place) => match values.memory.list(place) {
                // What has none of its literals is not in the list.
                Some(mut list) => list.find(predicate).is_some_and(|tested| tested.result(test)),
                // It had to give way to the value of another field.
                None => test(),
            },
        }
    }

    /// Tells `each` the predicates of a column that a filter waits for and only a test decides.
    pub(super) fn tests(
        &self,
        number: u32,
        event: &dyn Fields,
        class: &Class,
        values: &mut Values,
        mut each: impl FnMut(u32, Value<'_>),
    ) {
        let Some((_, column)) = self.column(number) else { return };
        let value = event.get(column.field);
        if matches!(value, Value::Null) {
            return;
        }
        for predicate in column.find(value, &mut values.room) {
            if class.is_awaited(*predicate) {
                each(*predicate, value);
            }
        }
    }

    pub(super) fn test(&self, predicate: u32, value: Value<'_>) -> bool {
        let predicate = usize::try_from(predicate).ok().and_then(|at| self.predicates.get(at));
        predicate.is_some_and(|predicate| predicate.check.any(value))
    }
}
