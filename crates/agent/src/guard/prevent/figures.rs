//! What came of policies, in numbers and in a word.

use serde_json::{Value as Json, json};

use super::Prevention;
use crate::policy::store::About;

impl Prevention {
    /// What `status` tells of policies.
    pub(in crate::guard) fn figures(&self) -> Json {
        let counters = self.tier.as_ref().and_then(|tier| tier.counters().ok());
        let about = self.active.as_ref().map(|one| &one.stored.about);
        let mut verdicts = self.evidence.verdicts();
        verdicts.untold += counters.map_or(0, |one| one.alike);
        json!({
            "mode": if self.enforce { "enforce" } else { "audit" },
            "disabled": self.off,
            "tier": self.tier.as_ref().map(|tier| tier.name()),
            "generation": about.map(|about| about.generation),
            "made": about.map(|about| about.made),
            "degraded": about.map(|about| self.degraded(about)),
            "verdicts": verdicts,
            "rules": self.evidence.by_rule(),
            "decisions_lost": counters.map(|one| one.lost),
        })
    }

    /// How policies are carried out, in a word.
    pub(in crate::guard) fn mode(&self) -> &'static str {
        match (&self.active, self.off, self.enforce) {
            (_, true, _) => "enforcement is switched off",
            (None, ..) => "no policies",
            (.., true) => "policies are enforced",
            (.., false) => "policies are reported",
        }
    }

    /// How many operations were accepted that cannot be denied here.
    fn degraded(&self, about: &About) -> usize {
        let accepted = about.accepted();
        let offer = self.tier.as_ref().map(|tier| tier.offer());
        offer.map_or(0, |offer| offer.lacks().filter(|one| accepted.has(*one)).count())
    }
}
