//! What filters cost, by a clock that the caller brings.
//!
//! A filter is asked here as if it stood alone: what it shares with others is counted for each of
//! them, and what is remembered of a text is tested again. Whether it holds is of no interest.

use model::value::Fields;

use super::{Compiled, Scratch};

impl Compiled {
    /// Tells `each` the number of every filter that the event can concern, and the time that it
    /// takes, in parts: what it waits for, then the rest. Needs a [`Scratch`] of its own, and changes
    /// nothing else.
    pub(crate) fn measure(
        &self,
        event: &dyn Fields,
        scratch: &mut Scratch,
        clock: fn() -> u64,
        each: &mut dyn FnMut(u32, u64),
    ) {
        // What reading the clock itself takes is in each difference.
        let own = clock();
        let own = clock().saturating_sub(own);
        scratch.values.forget();
        self.begin(scratch);
        let class = self.candidates(event, scratch);
        let Scratch { classes, values, .. } = scratch;
        if let Some(kind) = class.and_then(|kind| classes.get(kind)) {
            for column in &kind.columns {
                self.tests(*column, event, kind, values, |predicate, value| {
                    let begin = clock();
                    std::hint::black_box(self.test(predicate, value));
                    let cost = clock().saturating_sub(begin).saturating_sub(own);
                    for filter in kind.waiting(predicate) {
                        each(*filter, cost);
                    }
                });
            }
        }
        let found = std::mem::take(&mut scratch.found);
        for number in &found {
            let Some(filter) = self.filter(*number) else { continue };
            self.begin(scratch);
            scratch.class = class;
            let begin = clock();
            std::hint::black_box(self.holds(filter, class.is_none(), event, scratch));
            each(*number, clock().saturating_sub(begin).saturating_sub(own));
        }
        scratch.found = found;
    }

    /// Filters that the event can concern, as far as looking for them tells: those that its kind
    /// decides are not among them.
    #[cfg(test)]
    pub(super) fn concerned<'s>(&self, event: &dyn Fields, scratch: &'s mut Scratch) -> &'s [u32] {
        self.begin(scratch);
        self.candidates(event, scratch);
        &scratch.found
    }
}
