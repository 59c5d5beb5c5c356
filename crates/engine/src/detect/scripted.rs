//! What only the lineage of a process and scripts can tell of an event, after all else was asked.

use model::program::Expr;
use model::script::Scripts;

use super::{Detector, Event, Found, Rules};
use crate::eval::{Compiled, Context};

impl Detector {
    /// What runs the scripts: how they fare, what they did, and to release them.
    pub fn scripts(&mut self) -> &mut dyn Scripts {
        &mut *self.all.scratch.asking.scripts.0
    }

    /// What a script answered to a question about the last event; none if it was not asked, since
    /// something else decided, or for each element of a list.
    pub fn answer(&self, question: &Expr) -> Option<bool> {
        self.all.scratch.asking.answer(self.compiled.question(question)?)
    }
}

impl Rules {
    /// Takes from `hits` what does not hold in the lineage of the process, or as scripts say. What
    /// asking takes is on the account of the rules that ask, each as if it were alone.
    pub(super) fn settle(
        &mut self,
        compiled: &Compiled,
        event: &dyn Event,
        context: &dyn Context,
        hits: &mut Vec<u32>,
    ) {
        if !compiled.settles() {
            return;
        }
        let Rules { scratch, meter, uses, .. } = self;
        hits.retain(|hit| {
            if !compiled.is_open(*hit) {
                return true;
            }
            let begin = meter.begin();
            let holds = compiled.holds_in(*hit, event, context, scratch);
            if begin.is_some() {
                let uses = usize::try_from(*hit).ok().and_then(|hit| uses.get(hit));
                uses.into_iter().flatten().for_each(|it| meter.end(it.rule, begin));
            }
            holds
        });
    }

    /// Puts what scripts said about an event to the matches that it completed.
    pub(super) fn tell_said(
        &self,
        compiled: &Compiled,
        number: u64,
        found: Option<&mut [Found]>,
    ) {
        if self.scratch.asking.is_silent() {
            return;
        }
        for one in found.into_iter().flatten() {
            // Others were waiting for the time of this event.
            if one.members.contains(&number) {
                one.said = self.scratch.asking.said(compiled.asked(one.rule));
            }
        }
    }
}
