//! Each list lets through what its kind does and refuses the rest; and no entry is for nothing.

use super::table::{Call, GROUPS, Group};
use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::UnixDatagram;

/// What may be tried, how, and who may.
type Try = (&'static str, fn(&std::path::Path) -> std::io::Result<()>, &'static [Kind]);

use Kind::{
    Answers, Audit, Control, Events, Forward, Grants, Guard, Incidents, Link, Output, Post,
    Recorder, Resolve, Rules, Sender, Spool, Suppressions, Watch, Worker,
};

/// Our own group, asked for before anything is refused.
static GROUP: std::sync::LazyLock<rustix::process::Gid> =
    std::sync::LazyLock::new(rustix::process::getgid);

const TRIES: &[Try] = &[
    ("another namespace", |_| Ok(nix::sched::unshare(nix::sched::CloneFlags::CLONE_FILES)?), &[]),
    ("following another process", |_| Ok(nix::sys::ptrace::traceme()?), &[]),
    (
        "a program",
        |_| std::process::Command::new("/bin/true").status().map(drop),
        &[Guard, Forward],
    ),
    (
        "a thread",
        |_| std::thread::Builder::new().spawn(|| ()).map(drop),
        &[Guard, Worker, Rules, Grants, Post, Forward, Sender],
    ),
    (
        "a file to read",
        |dir| std::fs::File::open(dir.join("old")).map(drop),
        &[
            Guard,
            Worker,
            Events,
            Spool,
            Control,
            Rules,
            Recorder,
            Incidents,
            Suppressions,
            Grants,
            Resolve,
            Post,
            Forward,
            Sender,
        ],
    ),
    (
        "a file to write",
        |dir| std::fs::File::create(dir.join("new")).map(drop),
        &[Guard, Worker, Rules, Recorder, Incidents, Spool, Forward],
    ),
    (
        "the internet",
        |_| std::net::UdpSocket::bind("127.0.0.1:0").map(drop),
        &[Guard, Resolve, Post, Forward, Sender],
    ),
    (
        "a socket of this host",
        |_| UnixDatagram::unbound().map(drop),
        &[Guard, Resolve, Post, Forward, Sender],
    ),
    ("another user", |_| Ok(rustix::thread::set_thread_gid(*GROUP)?), &[Guard, Forward]),
];

/// Tries it in a thread of its own, which a list holds or not. No filter ever goes away.
fn tried(kind: Option<Kind>, one: &Try, dir: &std::path::Path) -> Result<(), Option<i32>> {
    std::thread::scope(|scope| {
        let run = || {
            if let Some(kind) = kind {
                put(&allowed(kind).unwrap(), Whom::Thread).unwrap();
            }
            (one.1)(dir).map_err(|error| error.raw_os_error())
        };
        scope.spawn(run).join().unwrap()
    })
}

#[test]
fn each_kind_does_what_it_has_to_and_nothing_else() {
    std::sync::LazyLock::force(&GROUP);
    let scratch = tempfile::tempdir().unwrap();
    std::fs::write(scratch.path().join("old"), "x").unwrap();
    for one in TRIES {
        // Nothing but the lists refuses it here. Whoever lets himself be traced does so in a child.
        if one.0 != "following another process" {
            assert_eq!(tried(None, one, scratch.path()), Ok(()), "{}: the control", one.0);
        }
        for kind in Kind::ALL {
            let wanted = if one.2.contains(kind) { Ok(()) } else { Err(Some(libc::EPERM)) };
            assert_eq!(tried(Some(*kind), one, scratch.path()), wanted, "{kind:?}: {}", one.0);
        }
    }
    let held = [Answers, Control, Events, Link, Output, Watch, Recorder, Audit];
    assert!(held.iter().all(|kind| Kind::ALL.contains(kind)));
}

#[test]
fn clone3_is_missing_where_no_list_can_see_what_it_asks_for() {
    let spawn = || std::thread::Builder::new().spawn(|| ()).map(drop);
    std::thread::scope(|scope| {
        let run = || {
            put(&allowed(Rules).unwrap(), Whom::Thread).unwrap();
            put(&without_clone3().unwrap(), Whom::Thread).unwrap();
            spawn()
        };
        // Libraries take `clone` then.
        assert!(scope.spawn(run).join().unwrap().is_ok());
    });
}

#[test]
fn processes_are_told_their_kind_on_the_command_line_and_threads_cannot_be() {
    for kind in [Resolve, Answers, Post, Forward, Sender] {
        assert_eq!(kind.name().parse(), Ok(kind));
        assert!(kind.name().len() < 16, "the kernel cuts longer names");
    }
    for kind in [Guard, Worker, Grants, Rules] {
        assert!(kind.name().parse::<Kind>().is_err(), "{kind:?}");
    }
}

/// What the agent's processes have called, as the stage `root` of CI writes it down: the name of the
/// process and of the thread, how many filters hold it, the number of the call.
const CALLS: &str = "AEGISBPF_CALLS";

/// Whose list it was. How many filters hold a thread tells how far it has come: the guard has its list and
/// the one about `clone3`, the worker two more (its list, and no network), its threads one more; processes
/// of the guard have one more than it, who reads rules two, and what the forwarder starts two, as well. A test
/// starts a forwarder by itself.
fn kind_of(process: &str, thread: &str, filters: u32) -> Option<Kind> {
    let named = |name: &str, kinds: &[Kind]| kinds.iter().copied().find(|kind| kind.name() == name);
    match (process, filters) {
        (_, 2) => Some(Guard),
        ("aegisbpf-worker", 4) => Some(Worker),
        ("aegisbpf-worker", 5) => named(thread, Worker.holds()).or(Some(Rules)),
        // What the forwarder starts has its list alone until it has its own.
        ("exe" | "output" | "aegisbpf-send", 3) | ("aegisbpf-output", 1) => Some(Forward),
        (_, 3 | 4) => named(process, &[Resolve, Answers, Post, Grants, Forward, Sender]),
        _ => None,
    }
}

fn used(text: &str) -> BTreeMap<&'static str, BTreeSet<i64>> {
    let mut all: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("@[")) {
        let (inside, _) = line.split_once("]:").unwrap();
        let words: Vec<&str> = inside.split(", ").collect();
        let [process, thread, filters, call] = words.as_slice() else { continue };
        if let Some(kind) = kind_of(process, thread, filters.parse().unwrap()) {
            let name = format!("{kind:?}").leak();
            all.entry(name).or_default().insert(call.parse().unwrap());
        }
    }
    all
}

/// Groups that a kind has for nothing, and calls that nobody makes.
fn superfluous(used: &BTreeMap<&str, BTreeSet<i64>>) -> Vec<String> {
    let calls = |kind: &Kind, call: &Call| {
        used.get(format!("{kind:?}").as_str()).is_some_and(|all| all.contains(&call.number))
    };
    let of = |group: &Group| {
        // What everybody has is for those, too, that only log when something fails.
        let own: &[Kind] = if group.kinds == Kind::ALL { &[] } else { group.kinds };
        let idle = own.iter().filter(|kind| !group.calls.iter().any(|one| calls(kind, one)));
        let idle = idle.map(|kind| format!("{kind:?} has `{}` for nothing", group.purpose));
        let unused =
            group.calls.iter().filter(|one| !group.kinds.iter().any(|kind| calls(kind, one)));
        let unused = unused.map(|one| format!("`{}`: nobody calls {}", group.purpose, one.name));
        idle.chain(unused).collect::<Vec<_>>()
    };
    GROUPS.iter().flat_map(of).collect()
}

#[test]
fn no_entry_is_superfluous() {
    let Some(path) = std::env::var_os(CALLS) else {
        println!("SKIP no_entry_is_superfluous: nobody has watched the agent ({CALLS})");
        return;
    };
    let used = used(&std::fs::read_to_string(path).unwrap());
    let missing: Vec<_> =
        Kind::ALL.iter().filter(|kind| !used.contains_key(format!("{kind:?}").as_str())).collect();
    assert!(missing.is_empty(), "never seen: {missing:?}");
    let superfluous = superfluous(&used);
    assert!(superfluous.is_empty(), "{}", superfluous.join("\n"));
}

#[test]
fn an_entry_that_nobody_uses_is_found() {
    let all = |kind: &Kind| {
        let groups = GROUPS.iter().filter(|group| group.kinds.contains(kind));
        groups.flat_map(|group| group.calls.iter().map(|one| one.number)).collect()
    };
    let mut used: BTreeMap<&str, BTreeSet<i64>> =
        Kind::ALL.iter().map(|kind| (&*format!("{kind:?}").leak(), all(kind))).collect();
    assert_eq!(superfluous(&used), Vec::<String>::new(), "the control");
    used.get_mut("Guard").unwrap().remove(&libc::SYS_fanotify_init);
    let found = superfluous(&used);
    assert!(matches!(found.as_slice(), [one] if one.contains("fanotify_init")), "{found:?}");
}
