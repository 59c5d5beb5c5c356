//! Where a rule can run: inside the kernel, with its last step armed there, or in the engine.
//!
//! The kernel decides by labels: which patterns of all rules an executable or a file matched when
//! it was first seen, who acts, and to which address. So a condition is a kernel condition when
//! each of its predicates asks about nothing else, and each operation that it is about has a hook
//! in front of the act.

use model::field::{self, FieldId};
use model::op::Kind;
use model::program::{Expr, Filter, Program, Query, Rule, Test};

use crate::fmt::{expression, field_name};

/// Where a rule runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Decided in the kernel before the act.
    Kernel,
    /// A sequence: the engine follows its first steps, the kernel decides the last.
    Armed,
    /// In user space, after the act.
    Engine,
}

impl Place {
    /// The word used in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Place::Kernel => "kernel",
            Place::Armed => "armed",
            Place::Engine => "engine",
        }
    }
}

/// Where a rule runs, and what decides it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Where.
    pub place: Place,
    /// The sub-expression that decided it, as query text; empty if the whole rule did.
    pub because: String,
    /// Why.
    pub reason: String,
}

/// Where the rule can run.
pub fn of(rule: &Rule, program: &Program) -> Placement {
    let engine = |because: &str, reason: &str| Placement {
        place: Place::Engine,
        because: because.to_owned(),
        reason: reason.to_owned(),
    };
    if !rule.pipes.is_empty() {
        return engine("", "pipes work on results");
    }
    match &rule.query {
        Query::Event(filter) => match obstacle(filter, program) {
            None => Placement {
                place: Place::Kernel,
                because: String::new(),
                reason: "each predicate is decided by labels".to_owned(),
            },
            Some(found) => engine(&found.because, &found.reason),
        },
        Query::Sequence(sequence) => match sequence.steps.last() {
            Some(last) if last.missing => {
                engine("", "the last step is an event that does not happen")
            }
            Some(last) => match obstacle(&last.filter, program) {
                None => Placement {
                    place: Place::Armed,
                    because: expression(&last.filter.condition, program),
                    reason: "the last step is decided by labels".to_owned(),
                },
                Some(found) => engine(&found.because, &found.reason),
            },
            None => engine("", "there is no step"),
        },
        Query::Sample(_) => engine("", "a sample has no last step"),
        Query::Join { .. } => engine("", "a join has no last step"),
        Query::Correlation(_) => engine("", "matches of other rules are counted"),
    }
}

/// What keeps a condition out of the kernel.
struct Obstacle {
    because: String,
    reason: String,
}

fn obstacle(filter: &Filter, program: &Program) -> Option<Obstacle> {
    // The operations are asked of the whole condition, since `event.action` may be anywhere.
    predicate(&filter.condition, program).or_else(|| operation(filter, program))
}

/// The first predicate that labels do not decide.
fn predicate(expr: &Expr, program: &Program) -> Option<Obstacle> {
    let stop = |reason: String| Some(Obstacle { because: expression(expr, program), reason });
    match expr {
        Expr::Const(_) => None,
        Expr::And(all) | Expr::Or(all) => all.iter().find_map(|one| predicate(one, program)),
        Expr::Not(inner) => predicate(inner, program),
        Expr::Test(id, test) => match decided(*id, test) {
            Ok(()) => None,
            Err(Why::Field) => {
                stop(format!("the kernel has no label for `{}`", field_name(*id, program)))
            }
            Err(Why::Test(what)) => stop(format!("labels cannot hold {what}")),
        },
        Expr::Computed(..) | Expr::Truth(_) => stop("a value is computed".to_owned()),
        Expr::Compare { .. } => stop("two values of the event are compared".to_owned()),
        Expr::Lineage(..) => stop("it asks for earlier events of a process".to_owned()),
    }
}

enum Why {
    Field,
    Test(&'static str),
}

/// Whether labels decide a test of a field.
fn decided(id: FieldId, test: &Test) -> Result<(), Why> {
    let pattern = matches!(
        test,
        Test::Exists | Test::Equals { .. } | Test::Wildcard { .. } | Test::Part { .. }
    );
    match id {
        field::EVENT_CATEGORY | field::EVENT_TYPE | field::EVENT_ACTION | field::HOST_OS_TYPE => {
            if pattern {
                Ok(())
            } else {
                Err(Why::Test("this test of a word"))
            }
        }
        field::PROCESS_EXECUTABLE
        | field::PROCESS_NAME
        | field::FILE_PATH
        | field::FILE_NAME
        | field::FILE_DIRECTORY
        | field::FILE_EXTENSION => match test {
            _ if pattern => Ok(()),
            Test::Regex { .. } => Err(Why::Test("a regular expression")),
            _ => Err(Why::Test("this test of a path")),
        },
        field::USER_ID
        | field::USER_EFFECTIVE_ID
        | field::PROCESS_USER_ID
        | field::PROCESS_REAL_USER_ID
        | field::USER_EXT_REAL_ID
        | field::GROUP_ID
        | field::PROCESS_GROUP_ID
        | field::PROCESS_EXT_LOGIN_USER_ID
        | field::SOURCE_PORT
        | field::DESTINATION_PORT => match test {
            Test::Exists | Test::Equals { .. } | Test::Compare(..) => Ok(()),
            _ => Err(Why::Test("a pattern of a number")),
        },
        field::SOURCE_IP | field::DESTINATION_IP => match test {
            Test::Exists | Test::Equals { .. } | Test::Cidr(_) => Ok(()),
            _ => Err(Why::Test("a pattern of an address")),
        },
        _ => Err(Why::Field),
    }
}

/// Operations in front of which a hook stands, so that they can be refused.
const INLINE: &[Kind] = &[
    Kind::Exec,
    Kind::Open,
    Kind::Create,
    Kind::Write,
    Kind::Rename,
    Kind::Unlink,
    Kind::Link,
    Kind::Attr,
    Kind::Mount,
    Kind::Umount,
    Kind::Memfd,
    Kind::Connect,
    Kind::Accept,
    Kind::Bind,
    Kind::Listen,
    Kind::Send,
    Kind::Ptrace,
    Kind::Signal,
    Kind::Module,
    Kind::Bpf,
    Kind::Namespace,
    Kind::IoUring,
    Kind::Setuid,
    Kind::Setgid,
    Kind::Capset,
];

/// An operation that the condition may be about and that no hook precedes.
fn operation(filter: &Filter, program: &Program) -> Option<Obstacle> {
    let kinds = filter.kinds();
    let late = Kind::ALL.iter().find(|kind| kinds.contains(**kind) && !INLINE.contains(kind))?;
    Some(Obstacle {
        because: expression(&filter.condition, program),
        reason: format!("it is also about `{}`, which no hook precedes", late.name()),
    })
}
