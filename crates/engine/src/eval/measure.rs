//! What filters cost, by a clock that the caller brings.
//!
//! A filter is asked here as if it stood alone: what it shares with others is counted for each of
//! them. Whether it holds is of no interest.

use model::value::Fields;

use super::{Compiled, Scratch};

impl Compiled {
    /// Tells `each` the number of every filter that the event can concern, and the time that it
    /// takes. Needs a [`Scratch`] of its own, and changes nothing else.
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
        self.begin(scratch);
        let class = self.candidates(event, scratch);
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
