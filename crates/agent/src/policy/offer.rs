//! What a way of enforcing can do, held against what rules need: the one place that says which rules
//! are refused, whether a linter, an operator or an agent that starts asks.

use std::collections::BTreeMap;

use kernel::enforce::guard::offer::{Capability, Extent};
use model::policy::{Operation, Operations};
use policy::needs::{ASKED, Known, Needs};
use policy::verdicts::{Answer, Effect, RuleInfo};
use serde_json::{Value as Json, json};

use crate::cli::policy::TierName;

/// What is possible.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Offer {
    /// Operations that cannot be denied, or not in all ways, and why.
    lacks: BTreeMap<Operation, String>,
    /// What nobody knows of processes and files, and why.
    unknown: BTreeMap<Known, String>,
    /// Whether a file is always denied by `EPERM`, whatever its rule says.
    one_errno: bool,
}

/// Something that a rule needs and does not get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// This operation, for this reason.
    Operation(Operation, String),
    /// This knowledge of processes and files, for this reason.
    Known(Known, String),
}

impl Offer {
    /// All that LSM programs can do and know, but for these.
    pub(crate) fn lsm(
        lacks: impl IntoIterator<Item = (Operation, String)>,
        unknown: impl IntoIterator<Item = (Known, String)>,
    ) -> Offer {
        let (lacks, unknown) = (lacks.into_iter().collect(), unknown.into_iter().collect());
        Offer { lacks, unknown, one_errno: false }
    }

    /// The same where answers of name servers are not seen, if they are not.
    pub(crate) fn learning(mut self, no_answers: Option<String>) -> Offer {
        self.unknown.extend(no_answers.map(|why| (Known::Wildcard, why)));
        self
    }

    /// Permission events and programs of cgroups.
    pub(crate) fn fallback(all: &[Capability]) -> Offer {
        let partly = all.iter().filter(|one| one.extent != Extent::Enforced);
        let lacks =
            partly.map(|one| (one.operation, format!("{}: {}", one.extent.name(), one.why)));
        let unknown = Known::ALL.iter().filter_map(|one| Some((*one, one.why()?.to_owned())));
        Offer { lacks: lacks.collect(), unknown: unknown.collect(), one_errno: true }
    }

    /// What a way of enforcing can do where the kernel refuses nothing of it.
    pub(crate) fn at_best(tier: TierName) -> Offer {
        match tier {
            TierName::Lsm => Offer::default(),
            TierName::Fallback => Offer::fallback(&kernel::enforce::guard::offer::at_best()),
        }
    }

    /// Nothing, for one reason.
    pub(crate) fn nothing(why: &str) -> Offer {
        Offer::lsm(Operation::ALL.iter().map(|one| (*one, why.to_owned())), [])
    }

    /// For `policy show`, and for who applies policies.
    pub(crate) fn document(&self) -> Json {
        let why = self.lacks.iter().map(|(one, why)| (one.name().to_owned(), why.as_str().into()));
        let unknown =
            self.unknown.iter().map(|(one, why)| (one.text().to_owned(), why.as_str().into()));
        json!({
            "operations": Json::Object(why.collect()),
            "unknown": Json::Object(unknown.collect()),
            "one_errno": self.one_errno,
        })
    }

    /// What a running agent said of itself.
    pub(crate) fn of_document(document: &Json) -> Offer {
        let lacks = Operation::ALL.iter().filter_map(|one| {
            let why = document.get("operations")?.get(one.name())?.as_str()?;
            Some((*one, why.to_owned()))
        });
        let unknown = Known::ALL.iter().filter_map(|one| {
            let why = document.get("unknown")?.get(one.text())?.as_str()?;
            Some((*one, why.to_owned()))
        });
        let one_errno = document.get("one_errno").and_then(Json::as_bool).unwrap_or_default();
        Offer { lacks: lacks.collect(), unknown: unknown.collect(), one_errno }
    }

    /// Whether a rule asks for an errno that whoever opens a file does not get.
    pub(crate) fn answers_otherwise(&self, rule: &RuleInfo) -> bool {
        let plain = matches!(rule.answer, Answer::Perm | Answer::Kill);
        let denies = rule.enforced && rule.effect == Effect::Deny && !plain;
        self.one_errno && denies && ASKED.iter().any(|one| rule.operations.has(*one))
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
        let unknown = needs.known.iter().filter_map(|one| {
            let why = self.unknown.get(one)?;
            Some(Refusal::Known(*one, why.clone()))
        });
        missing.chain(unknown).collect()
    }
}

impl Refusal {
    /// What is refused, in the words of a policy where it has one.
    pub(crate) fn what(&self) -> String {
        match self {
            Refusal::Operation(one, _) => format!("`{}`", one.name()),
            Refusal::Known(one, _) => one.text().to_owned(),
        }
    }

    /// The word to look for where the rule is written.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Refusal::Operation(one, _) => one.name(),
            Refusal::Known(Known::Script, _) => "script",
            Refusal::Known(Known::Deed | Known::Armed, _) => "after",
            Refusal::Known(Known::Hash | Known::HashOfPeer, _) => "hash",
            Refusal::Known(Known::Maker, _) => "createdBy",
            Refusal::Known(Known::Wildcard, _) => "domains",
        }
    }

    /// Why.
    pub(crate) fn why(&self) -> &str {
        match self {
            Refusal::Operation(_, why) | Refusal::Known(_, why) => why,
        }
    }

    /// What to do about it.
    pub(crate) fn help(&self) -> String {
        match self {
            Refusal::Operation(one, _) => format!(
                "leave it out, or accept by name that it is not: --accept-degraded {}",
                one.name()
            ),
            Refusal::Known(..) => {
                "leave it out: this cannot be accepted, as such a rule would fit \
                                 nobody"
                    .to_owned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(all: &[Operation]) -> Operations {
        all.iter().fold(Operations::default(), |all, one| all.with(*one))
    }

    fn hashed() -> Needs {
        Needs { known: vec![Known::Hash], ..Needs::default() }
    }

    #[test]
    fn what_is_refused_is_what_is_needed_and_neither_there_nor_accepted() {
        let offer = Offer::at_best(TierName::Fallback);
        let needs = Needs {
            operations: set(&[Operation::Read, Operation::Write, Operation::Delete]),
            known: vec![Known::Script, Known::Hash, Known::Maker],
        };
        let refused = offer.refuses(&needs, set(&[Operation::Delete]));
        let what: Vec<String> = refused.iter().map(Refusal::what).collect();
        assert_eq!(what, ["`write`", "a `script` as subject", "`createdBy`"]);
        assert!(refused[0].why().starts_with("partly: "), "{refused:?}");
        assert!(Offer::at_best(TierName::Lsm).refuses(&needs, set(&[])).is_empty());
        let none = Offer::nothing("no hook").refuses(&needs, set(&[]));
        assert_eq!(none.len(), 3, "{none:?}");
    }

    #[test]
    fn what_an_agent_says_is_understood() {
        let unhashed = Offer::lsm([], [(Known::Hash, "no IMA".to_owned())]);
        assert_eq!(unhashed.refuses(&hashed(), set(&[])).len(), 1);
        assert_eq!(Offer::default().refuses(&hashed(), set(&[])), []);
        let needs = Needs { known: vec![Known::Wildcard], ..Needs::default() };
        let unseen = Offer::at_best(TierName::Fallback).learning(Some("no cgroups".to_owned()));
        let refused = unseen.refuses(&needs, set(&[]));
        assert_eq!(refused.iter().map(Refusal::why).collect::<Vec<_>>(), ["no cgroups"]);
        assert_eq!(Offer::at_best(TierName::Fallback).learning(None).refuses(&needs, set(&[])), []);
        for offer in [
            unseen,
            unhashed,
            Offer::at_best(TierName::Fallback),
            Offer::nothing("x"),
            Offer::default(),
        ] {
            assert_eq!(Offer::of_document(&offer.document()), offer);
        }
    }
}
