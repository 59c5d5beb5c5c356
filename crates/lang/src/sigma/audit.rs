//! Records of the audit system that live events stand for: an execution is what its `EXECVE` record
//! tells, a file event what its `PATH` record tells. So rules on audit records find what they look
//! for also where no audit daemon runs.

use model::field::{
    EVENT_ACTION, EVENT_CATEGORY, EVENT_TYPE, FieldId, PROCESS_ARGS, PROCESS_COMMAND_LINE,
};
use model::partial;
use model::program::{Expr, Literal, Part, Scalar, Test};

/// What an execution is called.
const EXEC: &str = "exec";

/// System calls, by name, that live events tell with the action beside them.
const CALLS: &[(&str, &str)] = &[
    ("execve", EXEC),
    ("execveat", EXEC),
    ("memfd_create", "memfd_create"),
    ("ptrace", "ptrace"),
    ("init_module", "load_module"),
    ("finit_module", "load_module"),
    ("mount", "mount"),
    ("umount2", "unmount"),
    ("unshare", "namespace_change"),
    ("setns", "namespace_change"),
    ("io_uring_setup", "io_uring_setup"),
    ("bpf", "load_bpf"),
    ("connect", "connection_attempted"),
    ("bind", "bind"),
    ("listen", "listen"),
];

/// Types of records, and what all events have that stand for them.
const RECORDS: &[(&str, Events)] = &[
    ("EXECVE", Events::Actions(&[EXEC])),
    ("PROCTITLE", Events::Actions(&[EXEC])),
    ("SYSCALL", Events::Calls),
    ("PATH", Events::Category("file")),
    ("BPF", Events::Actions(&["load_bpf"])),
    ("KERN_MODULE", Events::Actions(&["load_module"])),
];

/// What a `PATH` record says of its name, and the type of the event.
const NAME_TYPES: &[(&str, &str)] = &[("CREATE", "creation"), ("DELETE", "deletion")];

#[derive(Debug, Clone, Copy)]
enum Events {
    Actions(&'static [&'static str]),
    /// Any of [`CALLS`].
    Calls,
    Category(&'static str),
}

/// What is typed: the command line of what starts, where a keyword is looked for.
pub(super) fn typed(test: &Test) -> Expr {
    Expr::And(vec![
        words(EVENT_CATEGORY, &["process"]),
        words(EVENT_TYPE, &["start", "process_started"]),
        Expr::Test(PROCESS_COMMAND_LINE, test.clone()),
    ])
}

/// What holds for the live events whose record has a value there that satisfies the test; `None`
/// if no live event stands for such a record.
pub(super) fn view(name: &str, test: &Test) -> Option<Expr> {
    let fits = |word: &str| partial::word(test, word) == Some(true);
    let any: Vec<Expr> = match name {
        "type" => {
            RECORDS.iter().filter(|(name, _)| fits(name)).map(|(_, of)| record(*of)).collect()
        }
        "SYSCALL" | "syscall" => {
            let actions = CALLS.iter().filter(|(name, _)| fits(name)).map(|(_, action)| *action);
            actions.map(|action| words(EVENT_ACTION, &[action])).collect()
        }
        "nametype" => {
            let types = NAME_TYPES.iter().filter(|(name, _)| fits(name)).map(|(_, kind)| *kind);
            types.map(|kind| words(EVENT_TYPE, &[kind])).collect()
        }
        _ => vec![of_argument(argument(name)?, test)],
    };
    match any.as_slice() {
        [] => None,
        [only] => Some(only.clone()),
        _ => Some(Expr::Or(any)),
    }
}

fn record(events: Events) -> Expr {
    match events {
        Events::Actions(actions) => words(EVENT_ACTION, actions),
        Events::Category(category) => words(EVENT_CATEGORY, &[category]),
        Events::Calls => {
            let mut actions: Vec<&str> = CALLS.iter().map(|(_, action)| *action).collect();
            actions.dedup();
            words(EVENT_ACTION, &actions)
        }
    }
}

/// The number in `a0`, `a1` …
fn argument(name: &str) -> Option<usize> {
    let digits = name.strip_prefix('a')?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// An argument of an execution. That any argument fits is asked first: this is shared between rules
/// and searched for together.
fn of_argument(number: usize, test: &Test) -> Expr {
    let list = Box::new(Scalar::Field(PROCESS_ARGS));
    let element = Scalar::Element(list, vec![Part::Index(number)]);
    Expr::And(vec![
        words(EVENT_ACTION, &[EXEC]),
        Expr::Test(PROCESS_ARGS, test.clone()),
        Expr::Computed(element, test.clone()),
    ])
}

fn words(field: FieldId, any: &[&str]) -> Expr {
    let any = any.iter().map(|word| Literal::Str(word.as_bytes().to_vec())).collect();
    Expr::Test(field, Test::Equals { any, fold: false })
}
