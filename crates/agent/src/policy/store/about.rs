//! What is known of a generation besides its tables.

use model::policy::{Container, Mode, Object, Operation, Operations};
use model::program::Severity;
use policy::needs::{Known, Needs};
use policy::subjects;
use serde::{Deserialize, Serialize};

use super::Who;
use crate::policy::bundles;
use crate::policy::load::{self, Ready};
use crate::policy::offer::Offer;

/// One set of subjects, as the tables have it.
type Set = [u64; policy::limits::WORDS];

/// What is known of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    /// Its number.
    pub(crate) generation: u64,
    /// When it was made, seconds since 1970.
    pub(crate) made: i64,
    /// Who made it.
    pub(crate) who: Who,
    /// SHA-256 of all its texts, one after the other.
    pub(crate) sha256: String,
    /// Whether policies that do not say it are enforced.
    pub(crate) enforce: bool,
    /// Seconds since 1970 at which it must be made anew, since something of it ends.
    pub(crate) until: Option<i64>,
    /// Names of its policies.
    pub(crate) policies: Vec<String>,
    /// Its files.
    pub(crate) sources: Vec<Source>,
    /// The signed bundles that some of its files came in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) bundles: Vec<bundles::Source>,
    /// Its rules and allow lists, by their numbers in the tables.
    pub(crate) rules: Vec<Rule>,
    /// Its subjects as texts, by their bits: who has one keeps it in the next generation.
    pub(crate) selectors: Vec<String>,
    /// Names that mean something only on a host.
    pub(crate) symbols: Symbols,
    /// Names of domains, and their classes in the tables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) domains: Vec<(String, u32)>,
    /// Operations whose absence was accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    accepted: Vec<String>,
    /// Paths without wildcards: what has them keeps its labels under all its names.
    #[serde(default)]
    pub(crate) exact: Vec<String>,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Source {
    /// Where it was read from.
    pub(crate) name: String,
    /// SHA-256 of it.
    pub(crate) sha256: String,
}

/// A rule as evidence names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rule {
    /// Its policy.
    pub(crate) policy: String,
    /// Its id.
    pub(crate) id: String,
    /// The file.
    pub(crate) file: String,
    /// The line.
    pub(crate) line: u32,
    /// Whether it is carried out.
    pub(crate) enforced: bool,
    /// How bad it is who does what it is about.
    #[serde(default)]
    pub(crate) severity: String,
    /// For who reads the evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    /// If it is the last step of a sequence, the rule that the engine follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sequence: Option<String>,
    /// Its subject, by its bit.
    #[serde(default)]
    pub(crate) bit: u8,
    /// What a way of enforcing must be able to do for it.
    #[serde(default)]
    needs: Need,
}

/// What a rule needs, in words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Need {
    /// Operations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    deny: Vec<String>,
    /// What must be known of processes and files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    know: Vec<String>,
}

impl Need {
    fn of(needs: &Needs) -> Need {
        let deny = needs.operations.iter().map(|one| one.name().to_owned());
        let know = needs.known.iter().map(|one| one.text().to_owned());
        Need { deny: deny.collect(), know: know.collect() }
    }

    fn restore(&self) -> Needs {
        let known = Known::ALL.into_iter();
        let known = known.filter(|one| self.know.iter().any(|text| text == one.text()));
        Needs { operations: operations(&self.deny), known: known.collect() }
    }
}

fn operations(names: &[String]) -> Operations {
    let found = Operation::ALL.iter().filter(|one| names.iter().any(|name| name == one.name()));
    found.fold(Operations::default(), |all, one| all.with(*one))
}

/// Names and who needs them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Symbols {
    users: Vec<(String, Set)>,
    groups: Vec<(String, Set)>,
    cgroups: Vec<(String, Set)>,
    units: Vec<(String, Set)>,
    containers: Vec<(Jar, Set)>,
    free: [Set; 5],
}

/// A container, to be found by what its runtime says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Jar {
    name: Option<String>,
    image: Option<String>,
    labels: Vec<(String, String)>,
}

impl Symbols {
    fn of(symbols: &subjects::Symbols) -> Symbols {
        let list = |map: &std::collections::BTreeMap<String, policy::Bits>| {
            map.iter().map(|(name, bits)| (name.clone(), bits.0)).collect()
        };
        let jar = |one: &Container| Jar {
            name: one.name.clone(),
            image: one.image.clone(),
            labels: one.labels.clone(),
        };
        Symbols {
            users: list(&symbols.users),
            groups: list(&symbols.groups),
            cgroups: list(&symbols.cgroups),
            units: list(&symbols.units),
            containers: symbols.containers.iter().map(|one| (jar(&one.0), one.1.0)).collect(),
            free: symbols.free.map(|bits| bits.0),
        }
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        [&self.users, &self.groups, &self.cgroups, &self.units].iter().all(|list| list.is_empty())
            && self.containers.is_empty()
    }

    /// As the tables' crate has them.
    pub(crate) fn restore(&self) -> subjects::Symbols {
        let map = |list: &[(String, Set)]| {
            list.iter().map(|(name, set)| (name.clone(), policy::Bits(*set))).collect()
        };
        let container = |jar: &Jar| Container {
            name: jar.name.clone(),
            image: jar.image.clone(),
            labels: jar.labels.clone(),
        };
        subjects::Symbols {
            users: map(&self.users),
            groups: map(&self.groups),
            cgroups: map(&self.cgroups),
            units: map(&self.units),
            containers: (self.containers.iter())
                .map(|(jar, set)| (container(jar), policy::Bits(*set)))
                .collect(),
            free: self.free.map(policy::Bits),
        }
    }
}

impl About {
    pub(super) fn of(ready: &Ready, who: &Who) -> About {
        let compiled = &ready.compiled;
        let written = policy::lint::numbered(&ready.loaded.policies);
        let rules = compiled.rules.iter().zip(&written).map(|(rule, (_, written))| Rule {
            severity: written.map_or(Severity::Medium, |one| one.severity).as_str().into(),
            message: written.and_then(|one| one.message.clone()),
            policy: rule.policy.clone(),
            id: rule.id.clone(),
            file: rule.place.file.clone(),
            line: rule.place.line,
            enforced: rule.enforced,
            sequence: rule.sequence.clone(),
            bit: rule.bit,
            needs: Need::of(&policy::needs::of(rule, &compiled.selectors)),
        });
        let sources = ready.texts.iter().map(|text| Source {
            name: text.name.clone(),
            sha256: load::digest(std::slice::from_ref(text)),
        });
        let until = ready.until.min(compiled.tables.expires);
        About {
            generation: ready.options.generation,
            made: ready.options.now,
            who: who.clone(),
            sha256: load::digest(&ready.texts),
            enforce: ready.options.mode == Mode::Enforce,
            until: (until != i64::MAX).then_some(until),
            policies: ready.loaded.policies.iter().map(|one| one.name.clone()).collect(),
            sources: sources.collect(),
            bundles: ready.bundles.clone(),
            rules: rules.collect(),
            selectors: compiled.selectors.iter().map(|one| format!("{one:?}")).collect(),
            symbols: Symbols::of(&compiled.symbols),
            domains: compiled.names.clone(),
            accepted: ready.accepted.iter().map(|one| one.name().to_owned()).collect(),
            exact: exact(ready),
        }
    }

    /// Operations whose absence was accepted.
    pub(crate) fn accepted(&self) -> Operations {
        operations(&self.accepted)
    }

    /// Why a way of enforcing cannot carry it out: the first rule that needs more.
    pub(crate) fn refused_by(&self, offer: &Offer) -> Option<String> {
        let accepted = self.accepted();
        self.rules.iter().find_map(|rule| {
            let refused = offer.refuses(&rule.needs.restore(), accepted);
            let one = refused.first()?;
            let Rule { policy, id, file, line, .. } = rule;
            let (what, why, help) = (one.what(), one.why(), one.help());
            Some(format!(
                "{policy}/{id} at {file}:{line}: {what} cannot be enforced here ({why}); {help}"
            ))
        })
    }
}

pub(crate) fn exact(ready: &Ready) -> Vec<String> {
    let rules = ready.loaded.policies.iter().flat_map(|policy| &policy.rules);
    let paths = rules.flat_map(|rule| &rule.objects).filter_map(|object| match object {
        Object::Path(path) => Some(path),
        _ => None,
    });
    let plain = |path: &&String| path.starts_with('/') && !path.contains(['*', '?', '[', '\\']);
    let mut all: Vec<String> = paths.filter(plain).cloned().collect();
    all.sort_unstable();
    all.dedup();
    all
}
