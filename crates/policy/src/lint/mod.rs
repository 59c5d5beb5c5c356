//! What sound policies probably do not mean, and what nobody survives.
//!
//! | module | finds |
//! |---|---|
//! | `reach` | rules that decide nothing, or the contrary of what they say |
//! | [`roles`] | who keeps a host running, and what they must be able to do |
//!
//! All of it is read from the tables: what is reported here is what would happen.

mod reach;
pub mod roles;

use model::policy::{Mode, Object, Operation, Policy, Rule, Verdict};

use crate::actor::{self, Actor};
use crate::compile::Compiled;
use crate::decide::Why;
use crate::pattern::Pattern;
use roles::Role;

/// One finding, about a rule or allow list by its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which rule.
    pub rule: u32,
    /// What about it.
    pub what: What,
}

/// What there is to say about a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// It allows what this rule denies.
    Contradicted(u32),
    /// For all that it is about, this rule decides.
    Shadowed(u32),
    /// The deed that it waits for is denied by this rule.
    NeverArmed(u32),
    /// It is an exception that has ended.
    Expired,
    /// It allows what nobody denies.
    Idle,
    /// This pattern of it fits nearly everything.
    Wide(String),
    /// It denies this to every process, whatever it is asked of.
    Everything(Operation),
    /// It keeps somebody from what keeps the host running.
    LocksOut {
        /// Whom.
        role: &'static str,
        /// As which program.
        program: String,
        /// What they could not do any more: operation and object.
        needs: Vec<(Operation, String)>,
    },
}

impl What {
    /// Whether a policy with this is refused.
    pub fn is_error(&self) -> bool {
        matches!(self, What::Everything(_) | What::LocksOut { .. })
    }
}

/// Everything there is to say about policies and their tables; in the order of rules.
pub fn lint(policies: &[Policy], compiled: &Compiled, roles: &[Role]) -> Vec<Finding> {
    let mut found = reach::find(policies, compiled);
    for (number, rule) in numbered(policies) {
        let Some(rule) = rule.filter(|rule| rule.verdict != Verdict::Audit) else { continue };
        let wide = rule.objects.iter().filter_map(|object| match object {
            Object::Path(text) => Pattern::parse(text).ok().filter(Pattern::is_wide).map(|_| text),
            _ => None,
        });
        found.extend(wide.map(|text| Finding { rule: number, what: What::Wide(text.clone()) }));
    }
    everything(compiled, &mut found);
    for role in roles {
        locked_out(role, compiled, &mut found);
    }
    found.sort_by_key(|one| one.rule);
    found
}

/// Rules with the numbers that the tables have for them; allow lists have numbers, too.
pub fn numbered(policies: &[Policy]) -> Vec<(u32, Option<&Rule>)> {
    let of = |policy: &'_ Policy| policy.allow_lists.len();
    let all = policies.iter().flat_map(|policy| {
        policy.rules.iter().map(Some).chain(std::iter::repeat_n(None, of(policy)))
    });
    (0..).zip(all).collect()
}

/// Operations that no program does without, whatever it is.
const VITAL: [Operation; 3] = [Operation::Read, Operation::Execute, Operation::MapCode];
/// A file that no policy means in particular.
const NOTHING_IN_PARTICULAR: &str = "/usr/lib/some-package/some-file";

/// Rules that keep a process that nobody named from a file that nobody named.
fn everything(compiled: &Compiled, found: &mut Vec<Finding>) {
    let process = compiled.process(&Actor {
        executable: actor::ORDINARY.to_owned(),
        user: actor::Identity { id: Some(actor::ORDINARY_ID), name: None },
        cgroup: "/".to_owned(),
        ..Actor::default()
    });
    let labels = compiled.tables.label_path(NOTHING_IN_PARTICULAR.as_bytes());
    for operation in VITAL {
        let decision = compiled.tables.decide(&process, operation, &labels);
        if decision.verdict == Verdict::Allow {
            continue;
        }
        let known = |one: &Finding| matches!(one.what, What::Everything(_));
        if let Some(rule) = decider(decision.why)
            && !found.iter().any(|one| one.rule == rule && known(one))
        {
            found.push(Finding { rule, what: What::Everything(operation) });
        }
    }
}

/// Needs that are named of one role; one is enough to see what is meant.
const NEEDS_SHOWN: usize = 4;

fn locked_out(role: &Role, compiled: &Compiled, found: &mut Vec<Finding>) {
    let process = compiled.process(&role.actor);
    for need in &role.needs {
        let labels = need.labels(compiled);
        let decision = compiled.tables.decide(&process, need.operation, &labels);
        let Some(rule) = decider(decision.why).filter(|_| decision.verdict != Verdict::Allow)
        else {
            continue;
        };
        let what = (need.operation, need.object());
        let same = found.iter_mut().find_map(|one| match &mut one.what {
            What::LocksOut { role: of, needs, .. } if one.rule == rule && *of == role.name => {
                Some(needs)
            }
            _ => None,
        });
        match same {
            Some(needs) if needs.len() < NEEDS_SHOWN && !needs.contains(&what) => needs.push(what),
            Some(_) => {}
            None => {
                let program = role.actor.executable.clone();
                let needs = vec![what];
                let what = What::LocksOut { role: role.name, program, needs };
                found.push(Finding { rule, what });
            }
        }
    }
}

/// The rule or list that decided.
pub fn decider(why: Why) -> Option<u32> {
    match why {
        Why::Rule(rule) | Why::Implied(rule) | Why::List(rule) => Some(rule),
        Why::Default | Why::Unresolved => None,
    }
}

/// The mode in which policies are looked at that do not say theirs: as if it came true.
pub const MODE: Mode = Mode::Enforce;
