//! What a way of enforcing can do, held against what rules need: the one place that says which rules
//! are refused, whether a linter, an operator or an agent that starts asks.

use std::collections::BTreeMap;

use kernel::enforce::guard_offer::{Capability, Extent};
use model::policy::{Operation, Operations};
use policy::needs::{Needs, Past};
use serde_json::{Value as Json, json};

use crate::cli::policy::TierName;

/// What is possible.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Offer {
    /// Operations that cannot be denied, or not in all ways, and why.
    lacks: BTreeMap<Operation, String>,
    /// Whether nobody follows what processes do.
    forgets: bool,
}

/// Something that a rule needs and does not get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// This operation, for this reason.
    Operation(Operation, String),
    /// This knowledge of processes.
    Past(Past),
}

impl Offer {
    /// All that LSM programs can do, but for these.
    pub(crate) fn lsm(lacks: impl IntoIterator<Item = (Operation, String)>) -> Offer {
        Offer { lacks: lacks.into_iter().collect(), forgets: false }
    }

    /// Permission events and programs of cgroups.
    pub(crate) fn fallback(all: &[Capability]) -> Offer {
        let partly = all.iter().filter(|one| one.extent != Extent::Enforced);
        let lacks =
            partly.map(|one| (one.operation, format!("{}: {}", one.extent.name(), one.why)));
        Offer { lacks: lacks.collect(), forgets: true }
    }

    /// What a way of enforcing can do where the kernel refuses nothing of it.
    pub(crate) fn at_best(tier: TierName) -> Offer {
        match tier {
            TierName::Lsm => Offer::default(),
            TierName::Fallback => Offer::fallback(&kernel::enforce::guard_offer::at_best()),
        }
    }

    /// Nothing, for one reason.
    pub(crate) fn nothing(why: &str) -> Offer {
        Offer::lsm(Operation::ALL.iter().map(|one| (*one, why.to_owned())))
    }

    /// For `policy show`, and for who applies policies.
    pub(crate) fn document(&self) -> Json {
        let why = self.lacks.iter().map(|(one, why)| (one.name().to_owned(), why.as_str().into()));
        json!({ "operations": Json::Object(why.collect()), "forgets": self.forgets })
    }

    /// What a running agent said of itself.
    pub(crate) fn of_document(document: &Json) -> Offer {
        let lacks = Operation::ALL.iter().filter_map(|one| {
            let why = document.get("operations")?.get(one.name())?.as_str()?;
            Some((*one, why.to_owned()))
        });
        let forgets = document.get("forgets") == Some(&Json::Bool(true));
        Offer { lacks: lacks.collect(), forgets }
    }

    /// Operations that are not wholly there.
    pub(crate) fn lacks(&self) -> impl Iterator<Item = Operation> {
        self.lacks.keys().copied()
    }

    /// What of all this is not there and was not accepted.
    pub(crate) fn refuses(&self, needs: &Needs, accepted: Operations) -> Vec<Refusal> {
        let operations = needs.operations.iter().filter(|one| !accepted.has(*one));
        let missing = operations.filter_map(|one| {
            let why = self.lacks.get(&one)?;
            Some(Refusal::Operation(one, why.clone()))
        });
        let past = needs.past.iter().filter(|_| self.forgets).map(|one| Refusal::Past(*one));
        missing.chain(past).collect()
    }
}

impl Refusal {
    /// What is refused, in the words of a policy where it has one.
    pub(crate) fn what(&self) -> String {
        match self {
            Refusal::Operation(one, _) => format!("`{}`", one.name()),
            Refusal::Past(past) => past.text().to_owned(),
        }
    }

    /// The word to look for where the rule is written.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Refusal::Operation(one, _) => one.name(),
            Refusal::Past(Past::Script) => "script",
            Refusal::Past(Past::Deed | Past::Armed) => "after",
        }
    }

    /// Why.
    pub(crate) fn why(&self) -> &str {
        match self {
            Refusal::Operation(_, why) => why,
            Refusal::Past(past) => past.why(),
        }
    }

    /// What to do about it.
    pub(crate) fn help(&self) -> String {
        match self {
            Refusal::Operation(one, _) => format!(
                "leave it out, or accept by name that it is not: --accept-degraded {}",
                one.name()
            ),
            Refusal::Past(_) => "leave it out: this cannot be accepted, as such a rule would fit \
                                 nobody"
                .to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(all: &[Operation]) -> Operations {
        all.iter().fold(Operations::default(), |all, one| all.with(*one))
    }

    #[test]
    fn what_is_refused_is_what_is_needed_and_neither_there_nor_accepted() {
        let offer = Offer::at_best(TierName::Fallback);
        let needs = Needs {
            operations: set(&[Operation::Read, Operation::Write, Operation::Delete]),
            past: vec![Past::Script],
        };
        let refused = offer.refuses(&needs, set(&[Operation::Delete]));
        let what: Vec<String> = refused.iter().map(Refusal::what).collect();
        assert_eq!(what, ["`write`", "a `script` as subject"]);
        assert!(refused[0].why().starts_with("partly: "), "{refused:?}");
        assert!(Offer::at_best(TierName::Lsm).refuses(&needs, set(&[])).is_empty());
        let none = Offer::nothing("no hook").refuses(&needs, set(&[]));
        assert_eq!(none.len(), 3, "{none:?}");
    }

    #[test]
    fn what_an_agent_says_is_understood() {
        for offer in [Offer::at_best(TierName::Fallback), Offer::nothing("x"), Offer::default()] {
            assert_eq!(Offer::of_document(&offer.document()), offer);
        }
    }
}
