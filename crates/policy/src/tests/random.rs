//! Random policies and requests from few values, so that much overlaps.

use std::net::IpAddr;

use model::policy::*;
use model::program::Severity;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::host::{Image, Request, Thing};
use super::oracle::Past;
use crate::network::Endpoint;

pub(crate) const NOW: i64 = 1000;

/// None mostly, else one or two of these.
fn few(from: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    let some = subsequence(from, 1..=from.len().min(2));
    prop_oneof![4 => Just(Vec::new()), 1 => some.prop_map(|all| all.into_iter().map(str::to_owned).collect())]
}

fn subject() -> impl Strategy<Value = Subject> {
    let paths = (
        few(&["/bin/sh", "/bin/*", "**/run", "*web*", "/usr/**"]),
        few(&["/bin/sh", "/usr/**", "/bin/x"]),
        few(&["*.py", "/opt/**"]),
    );
    let names = (few(&["root", "alice", "7", "nobody"]), few(&["wheel", "20"]));
    let places = (few(&["/a", "/a/b", "/none"]), few(&["x.service"]));
    let hash = prop_oneof![6 => Just(None), 1 => Just(Some([1_u8; 32]))];
    let container = prop_oneof![6 => Just(None), 1 => select(vec!["web", "db"]).prop_map(Some)];
    let login = prop_oneof![4 => Just(None), 1 => any::<bool>().prop_map(Some)];
    let rest = (hash, container, login, proptest::bool::weighted(0.3));
    (paths, names, places, rest).prop_map(|(paths, names, places, rest)| Subject {
        executables: paths.0,
        ancestors: paths.1,
        scripts: paths.2,
        users: names.0,
        groups: names.1,
        cgroups: places.0,
        units: places.1,
        hashes: rest.0.into_iter().collect(),
        containers: rest
            .1
            .map(|name| Container { name: Some(name.to_owned()), image: None, labels: Vec::new() })
            .into_iter()
            .collect(),
        login_session: rest.2,
        descendants: rest.3,
    })
}

fn address() -> impl Strategy<Value = IpAddr> {
    let all = [
        "10.1.2.3",
        "10.2.0.1",
        "192.0.2.1",
        "127.0.0.1",
        "0.0.0.0",
        "::",
        "::1",
        "2001:db8::1",
        "::ffff:10.1.2.3",
        "64:ff9b::10.1.2.3",
        "::ffff:0.0.0.0",
    ];
    select(all.map(|text| text.parse().unwrap()).to_vec())
}

fn ports() -> impl Strategy<Value = Option<(u16, u16)>> {
    select(vec![None, Some((22, 22)), Some((80, 443)), Some((0, 80)), Some((443, 65535))])
}

fn object() -> impl Strategy<Value = Object> {
    let nets: Vec<(&str, u8)> = vec![
        ("0.0.0.0", 0),
        ("10.0.0.0", 8),
        ("10.1.0.0", 16),
        ("10.1.2.3", 32),
        ("127.0.0.1", 32),
        ("::", 0),
        ("::1", 128),
        ("2001:db8::", 32),
        ("::ffff:10.0.0.0", 104),
        ("64:ff9b::10.1.0.0", 112),
        ("::ffff:10.0.0.0", 64),
        ("10.1.2.3", 8),
    ];
    let net = select(nets).prop_map(|(address, prefix)| (address.parse().unwrap(), prefix));
    let peer = (
        proptest::option::weighted(0.7, net),
        ports(),
        select(vec![None, None, Some(6), Some(17), Some(262)]),
    );
    let path = select(vec![
        "/etc/**",
        "/etc/shadow",
        "**/*.pem",
        "*secret*",
        "/srv/*/key",
        "**/.ssh/**",
        "/etc/s*",
        "/**",
        "**/a/**/b",
    ]);
    prop_oneof![
        1 => Just(Object::Any),
        6 => path.prop_map(|path| Object::Path(path.to_owned())),
        1 => Just(Object::Hash([2; 32])),
        1 => subject().prop_map(|subject| Object::CreatedBy(Box::new(subject))),
        1 => subject().prop_map(|subject| Object::Process(Box::new(subject))),
        5 => peer.prop_map(|(network, ports, protocol)| Object::Peer(Peer { network, ports, protocol })),
        1 => (select(vec!["example.org", "*.example.org"]), ports())
            .prop_map(|(name, ports)| Object::Domain { name: name.to_owned(), ports }),
        1 => (20_u8..23).prop_map(Object::Capability),
    ]
}

const OPERATIONS: &[Operation] = &[
    Operation::Read,
    Operation::Write,
    Operation::Create,
    Operation::Rename,
    Operation::Link,
    Operation::Execute,
    Operation::Connect,
    Operation::Bind,
    Operation::Signal,
    Operation::Capability,
];

fn operations() -> impl Strategy<Value = Operations> {
    subsequence(OPERATIONS, 1..=6)
        .prop_map(|all| all.into_iter().fold(Operations::default(), Operations::with))
}

fn errno() -> impl Strategy<Value = Errno> {
    select(vec![Errno::Perm, Errno::Access, Errno::NoEntry, Errno::Refused])
}

fn rule() -> impl Strategy<Value = Rule> {
    let verdict = prop_oneof![
        3 => errno().prop_map(Verdict::Deny),
        1 => Just(Verdict::Kill),
        3 => Just(Verdict::Allow),
        1 => Just(Verdict::Audit),
    ];
    let exception = prop_oneof![4 => Just(None), 1 => select(vec![NOW, NOW + 1]).prop_map(Some)];
    let after = proptest::option::weighted(0.2, (operations(), vec(object(), 1..3)));
    (subject(), operations(), vec(object(), 1..4), verdict, exception, after).prop_map(
        |(subject, operations, objects, verdict, until, after)| Rule {
            id: "r".to_owned(),
            subject,
            operations,
            objects,
            verdict: if until.is_some() { Verdict::Allow } else { verdict },
            severity: Severity::Low,
            message: None,
            exception: until.map(|until| Exception {
                until,
                reason: String::new(),
                author: String::new(),
            }),
            after: after.map(|(operations, objects)| Trigger {
                operations,
                objects,
                sequence: None,
            }),
            place: Place::default(),
        },
    )
}

fn list() -> impl Strategy<Value = AllowList> {
    (subject(), operations(), errno()).prop_map(|(subject, operations, errno)| AllowList {
        id: "l".to_owned(),
        subject,
        operations,
        errno,
        place: Place::default(),
    })
}

pub(crate) fn policy() -> impl Strategy<Value = Policy> {
    let mode = select(vec![None, None, Some(Mode::Audit), Some(Mode::Enforce)]);
    (mode, vec(rule(), 0..6), vec(list(), 0..2)).prop_map(|(mode, rules, allow_lists)| Policy {
        name: "p".to_owned(),
        mode,
        rules,
        allow_lists,
    })
}

pub(crate) fn image() -> impl Strategy<Value = Image> {
    (
        select(vec!["/bin/sh", "/bin/x", "/usr/bin/web", "/opt/run", "/usr/web/run"]),
        select(vec![None, None, Some("/opt/a.py"), Some("/srv/b.py")]),
        select(vec![[0; 32], [1; 32]]),
        select(vec![0, 7, 1000, 1001]),
        subsequence(vec![10, 20, 30], 1..3),
        1_u64..5,
        any::<bool>(),
    )
        .prop_map(|(executable, script, hash, user, groups, cgroup, login)| Image {
            executable,
            script,
            hash,
            user,
            groups,
            cgroup,
            login,
        })
}

fn other() -> impl Strategy<Value = Past> {
    vec(image(), 1..3).prop_map(|images| Past { images, ..Past::default() })
}

pub(crate) fn request() -> impl Strategy<Value = Request> {
    let paths: &[&[u8]] = &[
        b"/etc/shadow",
        b"/etc",
        b"/etc/ssl/k.pem",
        b"/srv/x/key",
        b"/home/a/.ssh/id",
        b"",
        b"/a/\xff\xfe/b",
        b"/my-secret-x",
        b"/my-secret-x/y",
        b"/a/c/b",
    ];
    let paths = paths.iter().map(|path| path.to_vec()).collect::<Vec<_>>();
    let names = subsequence(vec!["example.org".to_owned(), "*.example.org".to_owned()], 0..=2);
    let peer = (address(), select(vec![0, 22, 80, 443, 8080]), select(vec![6, 17, 262, 132]));
    let thing = prop_oneof![
        6 => select(paths).prop_map(Thing::Path),
        1 => select(vec![[2; 32], [3; 32]]).prop_map(Thing::Hash),
        1 => (20_u8..24).prop_map(Thing::Capability),
        1 => other().prop_map(Thing::CreatedBy),
        1 => other().prop_map(Thing::Process),
        5 => (peer, names).prop_map(|((address, port, protocol), names)| {
            Thing::Peer(Endpoint { address, port, protocol }, names)
        }),
        1 => Just(Thing::Nothing),
    ];
    (select(OPERATIONS), thing).prop_map(|(operation, thing)| Request { operation, thing })
}
