//! Whatever policy there is, its text is read back as the same policy.

use std::net::IpAddr;

use model::policy::*;
use model::program::Severity;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use super::{load, object, write};

/// Texts of which some mean something else where they stand in YAML without quotes.
fn text() -> impl Strategy<Value = String> {
    let awkward = ["no", "12", "-", "a: b", "#", "{x}", "a\nb", "\"'\\", "é\u{85}\u{2028}", "~"];
    let some =
        prop_oneof![select(awkward.to_vec()).prop_map(str::to_owned), "[ -~]{1,8}", "\\PC{1,4}"];
    some.prop_filter("blank texts are refused", |text| !text.trim().is_empty())
}

fn pattern() -> impl Strategy<Value = String> {
    (select(vec!["/", "**/"]), text()).prop_map(|(start, rest)| format!("{start}{rest}"))
}

fn few<T: std::fmt::Debug>(one: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    vec(one, 0..3)
}

fn container() -> impl Strategy<Value = Container> {
    let labels = proptest::collection::btree_map(text(), text(), 0..3);
    let all = (of(text()), of(text()), labels).prop_map(|(name, image, labels)| Container {
        name,
        image,
        labels: labels.into_iter().collect(),
    });
    all.prop_filter("it is described", |one| *one != Container::default())
}

fn subject() -> impl Strategy<Value = Subject> {
    let unit = text().prop_map(|text| format!("{text}.service"));
    let cgroup = text().prop_map(|text| format!("/{text}"));
    (
        (few(pattern()), few(pattern()), few(pattern()), few(any::<[u8; 32]>())),
        (few(text()), few(text()), few(cgroup), few(unit), few(container())),
        (any::<bool>(), of(any::<bool>())),
    )
        .prop_map(|(files, names, (descendants, login_session))| Subject {
            executables: files.0,
            scripts: files.1,
            ancestors: files.2,
            hashes: files.3,
            users: names.0,
            groups: names.1,
            cgroups: names.2,
            units: names.3,
            containers: names.4,
            descendants,
            login_session,
        })
        .prop_map(|mut one| {
            let nobody = Subject { descendants: true, ..Subject::default() };
            one.descendants &= one != nobody;
            one
        })
}

fn peer() -> impl Strategy<Value = Peer> {
    let masked = |(address, length): (IpAddr, u8)| match address {
        IpAddr::V4(one) => {
            let length = length % 33;
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or_default();
            (IpAddr::V4((one.to_bits() & mask).into()), length)
        }
        IpAddr::V6(one) => {
            let length = length % 129;
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or_default();
            (IpAddr::V6((one.to_bits() & mask).into()), length)
        }
    };
    let network = (any::<IpAddr>(), any::<u8>()).prop_map(masked);
    let protocol = of(0_u16..300);
    (of(network), ports(), protocol).prop_map(|(network, ports, protocol)| Peer {
        network,
        ports,
        protocol,
    })
}

fn ports() -> impl Strategy<Value = Option<(u16, u16)>> {
    of((any::<u16>(), any::<u16>()).prop_map(|(one, other)| (one.min(other), one.max(other))))
}

/// Operations with objects that they can be about, in the order in which keys are read.
fn deed() -> impl Strategy<Value = (Operations, Vec<Object>)> {
    let some = |all: Operations| {
        let all: Vec<Operation> = all.iter().collect();
        vec(select(all), 1..4)
            .prop_map(|some| some.into_iter().fold(Operations::default(), Operations::with))
    };
    let whom = || subject().prop_filter("it names somebody", |one| *one != Subject::default());
    let files = (
        vec(pattern().prop_map(Object::Path), 1..3),
        few(whom().prop_map(|one| Object::CreatedBy(Box::new(one)))),
    );
    let domain = (select(vec!["a.example", "*.b-c.d_e"]), ports())
        .prop_map(|(name, ports)| Object::Domain { name: name.to_owned(), ports });
    let peers = (few(peer().prop_map(Object::Peer)), vec(domain, 1..3));
    let processes = vec(whom().prop_map(|one| Object::Process(Box::new(one))), 1..3);
    let about = |word| Operations::default().with(word);
    let whatever = Operations(Operation::ALL.iter().fold(0, |all, one| all | about(*one).0));
    prop_oneof![
        (some(object::FILE), files).prop_map(|(asked, all)| (asked, [all.0, all.1].concat())),
        (some(object::NETWORK), peers).prop_map(|(asked, all)| (asked, [all.0, all.1].concat())),
        (some(about(Operation::Signal)), processes),
        (some(about(Operation::Capability)), vec((0_u8..41).prop_map(Object::Capability), 1..3)),
        (some(about(Operation::MapCode)), vec(any::<[u8; 32]>().prop_map(Object::Hash), 1..3)),
        some(whatever).prop_map(|asked| (asked, vec![Object::Any])),
    ]
}

fn trigger() -> impl Strategy<Value = Trigger> {
    prop_oneof![
        deed().prop_map(|(operations, objects)| Trigger { operations, objects, sequence: None }),
        text().prop_map(|rule| Trigger { sequence: Some(rule), ..Trigger::default() }),
    ]
}

fn errno() -> impl Strategy<Value = Errno> {
    select(vec![Errno::Perm, Errno::Access, Errno::NoEntry, Errno::Refused])
}

fn rule() -> impl Strategy<Value = Rule> {
    let verdict = prop_oneof![
        errno().prop_map(Verdict::Deny),
        select(vec![Verdict::Allow, Verdict::Kill, Verdict::Audit])
    ];
    let exception = (0_i64..=253_402_207_200, text(), text())
        .prop_map(|(until, reason, author)| Exception { until, reason, author });
    let severity = select(vec![Severity::Informational, Severity::Medium, Severity::Critical]);
    let who = (subject(), of(trigger()));
    (who, deed(), verdict, severity, of(text()), of(exception)).prop_map(
        |((subject, after), (operations, objects), verdict, severity, message, exception)| Rule {
            id: String::new(),
            subject,
            operations,
            objects,
            verdict,
            severity,
            message,
            exception: exception.filter(|_| verdict == Verdict::Allow),
            after,
            place: Place::default(),
        },
    )
}

fn list() -> impl Strategy<Value = AllowList> {
    let whom = subject().prop_filter("it names somebody", |one| *one != Subject::default());
    (whom, deed(), errno()).prop_map(|(subject, (operations, _), errno)| AllowList {
        id: String::new(),
        subject,
        operations,
        errno,
        place: Place::default(),
    })
}

fn policy() -> impl Strategy<Value = Policy> {
    let mode = of(select(vec![Mode::Audit, Mode::Enforce]));
    (mode, vec(rule(), 1..4), few(list())).prop_map(|(mode, mut rules, mut allow_lists)| {
        rules.iter_mut().zip(0..).for_each(|(rule, at)| rule.id = format!("r.{at}"));
        allow_lists.iter_mut().zip(0..).for_each(|(list, at)| list.id = format!("l-{at}"));
        Policy { name: "p".to_owned(), mode, rules, allow_lists }
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_as_the_same(policy in policy()) {
        let document = write::document(&policy);
        for text in [write::yaml(std::slice::from_ref(&document)), document.to_string()] {
            let mut again = load([("p.yaml".to_owned(), text.clone())]);
            prop_assert!(again.diagnostics.is_empty(), "{:#?}\n{text}", again.diagnostics);
            let mut again = again.policies.remove(0);
            again.rules.iter_mut().for_each(|rule| rule.place = Place::default());
            again.allow_lists.iter_mut().for_each(|list| list.place = Place::default());
            prop_assert_eq!(&again, &policy, "{}", text);
        }
    }
}
