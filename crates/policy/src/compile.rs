//! From policies to tables.

use model::policy::{AllowList, Mode, Object, Operations, Policy, Rule, Subject, Verdict};

use crate::domain;
use crate::error::{Error, number};
use crate::labels::{Claim, Labels, Meaning, Threats};
use crate::limits::RULES_MAX;
use crate::makers;
use crate::needs::Known;
use crate::network::{self, Asked};
use crate::paths::{self, Sizes};
use crate::pattern::Pattern;
use crate::subjects::{Selector, Selectors, Subjects, Symbols};
use crate::tables::{Created, Tables, Things};
use crate::verdicts::{self, Answer, Effect, RuleInfo};

/// Capabilities that tables have a label for; the kernel has 41.
const CAPABILITIES: usize = 64;

/// How to compile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The number of the generation.
    pub generation: u64,
    /// What holds for policies that do not say it.
    pub mode: Mode,
    /// Seconds since 1970: exceptions that ended are left out.
    pub now: i64,
}

/// Tables, and what they stand for.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// What is loaded.
    pub tables: Tables,
    /// Rules and allow lists; their places are the numbers in the tables.
    pub rules: Vec<RuleInfo>,
    /// Selectors; their places are the bits of masks.
    pub selectors: Vec<Selector>,
    /// Names that must be looked up on the host.
    pub symbols: Symbols,
    /// Names of the network and their classes.
    pub names: Vec<(String, u32)>,
    /// What each label stands for; the first holds for every object.
    pub meanings: Vec<Meaning>,
    /// Sizes of the automata.
    pub sizes: Sizes,
}

/// Compiles all policies of a generation together.
pub fn compile(policies: &[Policy], options: &Options) -> Result<Compiled, Error> {
    let count: usize = policies.iter().map(|one| one.rules.len() + one.allow_lists.len()).sum();
    if count > RULES_MAX {
        let advice = "put objects with the same answer into one rule";
        let what = "rules and allow lists";
        return Err(Error::TooMany { what, max: RULES_MAX, found: count, advice });
    }
    let mut compiler = Compiler::new(*options);
    for policy in policies {
        let enforced = policy.mode.unwrap_or(options.mode) == Mode::Enforce;
        for rule in &policy.rules {
            compiler.rule(policy, rule, enforced)?;
        }
        for list in &policy.allow_lists {
            compiler.list(policy, list, enforced)?;
        }
    }
    compiler.finish()
}

struct Compiler {
    options: Options,
    selectors: Selectors,
    /// Selectors whose path patterns were added.
    placed: usize,
    labels: Labels,
    paths: paths::Builder,
    network: network::Builder,
    hashes: std::collections::BTreeMap<[u8; 32], Vec<Claim>>,
    capabilities: Vec<Vec<Claim>>,
    processes: std::collections::BTreeMap<u8, Vec<Claim>>,
    created: std::collections::BTreeMap<u8, Vec<Claim>>,
    any: Vec<Claim>,
    rules: Vec<RuleInfo>,
    expires: i64,
}

impl Compiler {
    fn new(options: Options) -> Compiler {
        Compiler {
            options,
            selectors: Selectors::new(),
            placed: 0,
            labels: Labels::new(),
            paths: paths::Builder::default(),
            network: network::Builder::default(),
            hashes: std::collections::BTreeMap::new(),
            capabilities: vec![Vec::new(); CAPABILITIES],
            processes: std::collections::BTreeMap::new(),
            created: std::collections::BTreeMap::new(),
            any: Vec::new(),
            rules: Vec::new(),
            expires: i64::MAX,
        }
    }

    fn rule(&mut self, policy: &Policy, rule: &Rule, enforced: bool) -> Result<(), Error> {
        let (effect, answer) = self.effect(rule);
        let info = RuleInfo {
            policy: policy.name.clone(),
            id: rule.id.clone(),
            place: rule.place.clone(),
            bit: self.selectors.bit(&rule.subject, rule.after.as_ref(), grants(effect))?,
            operations: rule.operations,
            after: rule.after.as_ref().map_or(Operations::default(), |after| after.operations),
            sequence: rule.after.as_ref().and_then(|after| after.sequence.clone()),
            effect,
            answer,
            enforced,
            list: false,
            objects: known(rule),
        };
        let number = number(self.rules.len());
        self.rules.push(info);
        self.patterns(&rule.id)?;
        for object in &rule.objects {
            self.object(&rule.id, object, Claim::Rule(number), effect)?;
        }
        for object in rule.after.iter().flat_map(|after| &after.objects) {
            self.object(&rule.id, object, Claim::Trigger(number), Effect::Trigger)?;
        }
        Ok(())
    }

    /// What a rule does, and how.
    fn effect(&mut self, rule: &Rule) -> (Effect, Answer) {
        if let Some(exception) = &rule.exception {
            if exception.until <= self.options.now {
                return (Effect::Expired, Answer::Perm);
            }
            self.expires = self.expires.min(exception.until);
            return (Effect::Except, Answer::Perm);
        }
        match rule.verdict {
            Verdict::Allow => (Effect::Allow, Answer::Perm),
            Verdict::Deny(errno) => (Effect::Deny, Answer::of(errno)),
            Verdict::Kill => (Effect::Deny, Answer::Kill),
            Verdict::Audit => (Effect::Audit, Answer::Perm),
        }
    }

    fn list(&mut self, policy: &Policy, list: &AllowList, enforced: bool) -> Result<(), Error> {
        let info = RuleInfo {
            policy: policy.name.clone(),
            id: list.id.clone(),
            place: list.place.clone(),
            bit: self.selectors.bit(&list.subject, None, false)?,
            operations: list.operations,
            after: Operations::default(),
            sequence: None,
            effect: Effect::Deny,
            answer: Answer::of(list.errno),
            enforced,
            list: true,
            objects: Vec::new(),
        };
        self.rules.push(info);
        self.patterns(&list.id)
    }

    /// Adds the path patterns of selectors that are new; `rule` is the one that brought them.
    fn patterns(&mut self, rule: &str) -> Result<(), Error> {
        while let Some(selector) = self.selectors.all.get(self.placed) {
            let bit = u8::try_from(self.placed).unwrap_or(u8::MAX);
            let subject = &selector.subject;
            let lists = [
                (&subject.executables, Claim::Executable(bit)),
                (&subject.scripts, Claim::Script(bit)),
                (&subject.ancestors, Claim::Ancestor(bit)),
            ];
            for (patterns, claim) in lists {
                for text in patterns {
                    self.paths.add(pattern(rule, text)?, claim);
                }
            }
            self.placed += 1;
        }
        Ok(())
    }

    fn selected(&mut self, rule: &str, subject: &Subject, grants: bool) -> Result<u8, Error> {
        let bit = self.selectors.bit(subject, None, grants)?;
        self.patterns(rule)?;
        Ok(bit)
    }

    fn object(
        &mut self,
        rule: &str,
        object: &Object,
        claim: Claim,
        effect: Effect,
    ) -> Result<(), Error> {
        match object {
            Object::Any => self.any.push(claim),
            Object::Path(text) => self.paths.add(pattern(rule, text)?, claim),
            Object::Hash(hash) => self.hashes.entry(*hash).or_default().push(claim),
            Object::CreatedBy(subject) => {
                let bit = self.selected(rule, subject, grants(effect))?;
                self.created.entry(bit).or_default().push(claim);
            }
            Object::Process(subject) => {
                let bit = self.selected(rule, subject, false)?;
                self.processes.entry(bit).or_default().push(claim);
            }
            Object::Peer(peer) => {
                let (network, ports, protocol) = (peer.network, peer.ports, peer.protocol);
                let denies = effect == Effect::Deny;
                let asked = Asked { network, ports, protocol, claim, denies };
                self.network.peer(&asked).map_err(|max| Error::Prefix {
                    rule: rule.to_owned(),
                    found: network.map_or(0, |network| network.1),
                    max,
                })?;
            }
            Object::Domain { name, ports } => self.network.name(name, *ports, claim),
            Object::Capability(number) => {
                let claims = self.capabilities.get_mut(usize::from(*number));
                let rule = rule.to_owned();
                claims.ok_or(Error::Capability { rule, number: *number })?.push(claim);
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Compiled, Error> {
        let labels = &mut self.labels;
        let rank = |rule| verdicts::rank(&self.rules, rule);
        let mut threats = Threats::new(&rank);
        let (paths, sizes) = self.paths.build(labels, &mut threats)?;
        let (network, names) = self.network.build(labels)?;
        let mut things = Things::default();
        let denies = |claim: &&Claim| {
            let Claim::Rule(rule) = claim else { return false };
            self.rules.get(*rule as usize).is_some_and(|rule| rule.effect == Effect::Deny)
        };
        let denied: Vec<Claim> = self.hashes.values().flatten().filter(denies).copied().collect();
        things.unhashed = labels.holds(denied)?;
        for (hash, claims) in self.hashes {
            things.hashes.push((hash, labels.holds(claims)?));
        }
        for claims in self.capabilities {
            things.capabilities.push(labels.holds(claims)?);
        }
        for (bit, claims) in self.processes {
            things.processes.push((bit, labels.holds(claims)?));
        }
        for (bit, claims) in self.created {
            let Some(selector) = self.selectors.all.get(usize::from(bit)) else { continue };
            let enforced = |claim: &Claim| {
                let Claim::Rule(rule) = claim else { return false };
                self.rules.get(*rule as usize).is_some_and(|rule| rule.enforced)
            };
            let in_force = claims.iter().any(|claim| denies(&claim) && enforced(claim));
            let label = labels.holds(claims)?;
            things.created.push(Created { bit, in_force, label, id: makers::id(selector) });
        }
        let symbols = Symbols::of(&self.selectors.all);
        let mut subjects = Subjects::of(&self.selectors.all, &symbols);
        let mut meanings = self.labels.meanings;
        for meaning in &meanings {
            subjects.label(match meaning {
                Meaning::Holds(claims) => claims,
                Meaning::Below(_) => &[],
            });
        }
        let verdicts = verdicts::build(&self.rules, &meanings, &self.any);
        if let Some(every) = meanings.first_mut() {
            *every = Meaning::Holds(self.any.into());
        }
        let (generation, expires) = (self.options.generation, self.expires);
        let tables = Tables { generation, expires, paths, things, network, subjects, verdicts };
        Ok(Compiled {
            tables,
            rules: self.rules,
            selectors: self.selectors.all,
            symbols,
            names,
            meanings,
            sizes,
        })
    }
}

/// Whether a rule of this effect allows something.
fn grants(effect: Effect) -> bool {
    matches!(effect, Effect::Allow | Effect::Except | Effect::Expired)
}

/// What a rule is about, and what arms it.
fn objects(rule: &Rule) -> impl Iterator<Item = &Object> {
    rule.objects.iter().chain(rule.after.iter().flat_map(|after| &after.objects))
}

/// What must be known of files to tell whether a rule is about them, or armed by them.
fn known(rule: &Rule) -> Vec<Known> {
    let any = |is: fn(&Object) -> bool| objects(rule).any(is);
    let found = [
        (Known::Hash, any(|object| matches!(object, Object::Hash(_)))),
        (Known::Maker, any(|object| matches!(object, Object::CreatedBy(_)))),
        (Known::Wildcard, any(is_wild)),
    ];
    found.into_iter().filter(|one| one.1).map(|one| one.0).collect()
}

fn is_wild(object: &Object) -> bool {
    matches!(object, Object::Domain { name, .. } if domain::is_wild(name))
}

fn pattern(rule: &str, text: &str) -> Result<Pattern, Error> {
    Pattern::parse(text).map_err(|error| Error::Pattern { rule: rule.to_owned(), error })
}
