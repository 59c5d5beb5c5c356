//! Each request with and without a rule about it: refused with a record that names the rule, or as
//! free as before.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::net::IpAddr;
use std::path::PathBuf;

use kernel::enforce::cgroup::Network;
use model::policy::{Operation, Verdict};
use model::wire::RecDenial;
use nix::libc;
use policy::network::Endpoint;
use policy::subjects::Process;

use super::acts::tried;
use super::world::{Scratch, World, peer, rule, skipped};

const EPERM: i32 = libc::EPERM;

/// What is tried, the address and port that it means, and the rule that denies it.
type Case = (&'static str, Operation, &'static str, u16, Option<&'static str>);

/// The requests that both tiers must answer in the same way.
pub(super) const CASES: &[Case] = {
    use Operation::{Bind, Connect};
    &[
        ("connect tcp 127.0.0.2:701", Connect, "127.0.0.2", 701, Some("address")),
        ("connect tcp 127.0.0.3:701", Connect, "127.0.0.3", 701, None),
        ("connect tcp 127.0.0.3:702", Connect, "127.0.0.3", 702, Some("port")),
        ("connect tcp [::ffff:127.0.0.2]:701", Connect, "127.0.0.2", 701, Some("address")),
        ("connect tcp [::ffff:127.0.0.3]:701", Connect, "127.0.0.3", 701, None),
        ("connect tcp [64:ff9b::7f00:2]:701", Connect, "127.0.0.2", 701, Some("address")),
        ("connect tcp [64:ff9b::7f00:3]:701", Connect, "127.0.0.3", 701, None),
        ("connect tcp 0.0.0.0:703", Connect, "127.0.0.1", 703, Some("this-host")),
        ("connect tcp [::]:703", Connect, "::1", 703, Some("this-host")),
        ("connect tcp [::ffff:0.0.0.0]:703", Connect, "127.0.0.1", 703, Some("this-host")),
        ("connect tcp 0.0.0.0:704", Connect, "127.0.0.1", 704, None),
        ("connect udp 127.0.0.2:701", Connect, "127.0.0.2", 701, Some("address")),
        ("connect udp 127.0.0.3:701", Connect, "127.0.0.3", 701, None),
        ("reconnect udp 127.0.0.2:701", Connect, "127.0.0.2", 701, Some("address")),
        ("reconnect udp 127.0.0.3:701", Connect, "127.0.0.3", 701, None),
        ("connected-send udp 127.0.0.2:701", Connect, "127.0.0.2", 701, Some("address")),
        ("connected-send udp 127.0.0.3:701", Connect, "127.0.0.3", 701, None),
        ("disconnect udp 127.0.0.2:701", Connect, "127.0.0.3", 701, None),
        ("send udp 127.0.0.2:701", Connect, "127.0.0.2", 701, Some("address")),
        ("send udp 127.0.0.3:701", Connect, "127.0.0.3", 701, None),
        ("send udp [::ffff:127.0.0.2]:701", Connect, "127.0.0.2", 701, Some("address")),
        ("send-many udp 127.0.0.2:701", Connect, "127.0.0.2", 701, Some("address")),
        ("send-many udp 127.0.0.3:701", Connect, "127.0.0.3", 701, None),
        ("send udp 0.0.0.0:703", Connect, "127.0.0.1", 703, Some("this-host")),
        ("send-unspecified-family udp 127.0.0.2:701", Connect, "127.0.0.2", 701, Some("address")),
        ("send-unspecified-family udp 127.0.0.3:701", Connect, "127.0.0.3", 701, None),
        ("ring-connect tcp 127.0.0.2:701", Connect, "127.0.0.2", 701, Some("address")),
        ("ring-connect tcp 127.0.0.3:701", Connect, "127.0.0.3", 701, None),
        ("fastopen tcp 127.0.0.2:701", Connect, "127.0.0.2", 701, Some("address")),
        ("fastopen tcp 127.0.0.3:701", Connect, "127.0.0.3", 701, None),
        ("send raw:1 127.0.0.2:0", Connect, "127.0.0.2", 0, Some("address")),
        ("send raw:1 127.0.0.3:0", Connect, "127.0.0.3", 0, None),
        ("send raw:17 127.0.0.2:0", Connect, "127.0.0.2", 0, Some("address")),
        ("send raw:17 127.0.0.3:0", Connect, "127.0.0.3", 0, None),
        ("send udplite 127.0.0.2:701", Connect, "127.0.0.2", 701, Some("address")),
        ("connect-send udplite 127.0.0.2:701", Connect, "127.0.0.2", 701, Some("address")),
        ("connect-send udplite 127.0.0.3:701", Connect, "127.0.0.3", 701, None),
        ("connect-send udp 127.0.0.2:701", Connect, "127.0.0.2", 701, Some("address")),
        ("bind tcp 127.0.0.2:0", Bind, "127.0.0.2", 0, Some("bind")),
        ("bind tcp 127.0.0.3:0", Bind, "127.0.0.3", 0, None),
        ("bind udp 0.0.0.0:705", Bind, "0.0.0.0", 705, Some("bind")),
        ("bind udp [::]:706", Bind, "::", 706, Some("bind")),
        ("bind-unspecified-family udp 0.0.0.0:707", Bind, "0.0.0.0", 707, Some("bind")),
        ("bind tcp [::ffff:127.0.0.2]:0", Bind, "127.0.0.2", 0, Some("bind")),
        ("bind tcp [::1]:0", Bind, "::1", 0, None),
    ]
};

fn rules() -> Vec<model::policy::Rule> {
    let both = [Operation::Connect, Operation::Send];
    vec![
        rule("address", &both, &[peer("127.0.0.2", 32, None)]),
        rule("port", &[Operation::Connect], &[peer("127.0.0.0", 24, Some(702))]),
        rule("this-host", &both, &[peer("127.0.0.1", 32, Some(703)), peer("::1", 128, Some(703))]),
        rule("bind", &[Operation::Bind], &[peer("127.0.0.2", 32, None)]),
    ]
}

/// The address of a record as text.
fn address(record: &RecDenial) -> IpAddr {
    if i32::from(record.family) == libc::AF_INET {
        let four: [u8; 4] = *record.address.first_chunk().unwrap();
        return IpAddr::from(four);
    }
    IpAddr::from(record.address)
}

#[test]
fn requests_are_answered_as_the_reference_says_and_refusals_name_their_rule() {
    if skipped() {
        return;
    }
    let mut world = World::new();
    let program = std::env::current_exe().unwrap();
    let acts: Vec<&str> = CASES.iter().map(|case| case.0).collect();
    let free = tried(&program, &world.scratch.path, &acts);
    world.apply(rules());
    let bound = tried(&program, &world.scratch.path, &acts);
    let denied = CASES.iter().filter(|case| case.4.is_some()).count();
    let records = world.records(denied);
    let mut told = records.iter();
    for (((act, operation, meant, port, denies), free), bound) in CASES.iter().zip(free).zip(bound)
    {
        assert_ne!(free, EPERM, "{act}: something else refuses it");
        let meant: IpAddr = meant.parse().unwrap();
        let protocol = if act.contains("tcp") { 6 } else { 17 };
        let end = Endpoint { address: meant, port: *port, protocol };
        let tables = &world.compiled.tables;
        let labels = tables.label_peer(&end, *operation, &[]);
        let fits = policy::Bits::one(0);
        let process = Process { fits, ..Process::default() };
        let reference = tables.decide(&process, *operation, &labels).verdict;
        assert_eq!(reference != Verdict::Allow, denies.is_some(), "{act}: the reference");
        let Some(rule) = denies else {
            assert_eq!(bound, free, "{act}: as without a policy");
            continue;
        };
        assert_eq!(bound, EPERM, "{act}: free it gives {free}");
        let record = told.next().unwrap_or_else(|| panic!("{act}: no record"));
        assert_eq!(world.rule_of(record), *rule, "{act}");
        assert_eq!(record.operation, *operation as u16, "{act}");
        assert_eq!((address(record), record.port), (meant, *port), "{act}");
        assert_eq!(record.generation, 1, "{act}");
    }
    assert!(told.next().is_none(), "nothing else was refused: {}", records.len());
    let counters = world.network.counters().unwrap();
    assert_eq!((usize::try_from(counters.denied).unwrap(), counters.lost), (denied, 0));
}

#[test]
fn kinds_of_sockets_are_refused_when_they_are_made() {
    if skipped() {
        return;
    }
    let mut world = World::new();
    let program = std::env::current_exe().unwrap();
    let acts = ["socket raw", "socket raw6", "socket mptcp", "connect tcp 127.0.0.3:701"];
    let free = tried(&program, &world.scratch.path, &acts);
    assert_eq!(free[..3], [0; 3], "without a policy");
    world.apply(vec![
        rule("raw", &[Operation::RawSocket], &[model::policy::Object::Any]),
        rule("address", &[Operation::Connect], &[peer("127.0.0.2", 32, None)]),
    ]);
    let bound = tried(&program, &world.scratch.path, &acts);
    assert_eq!(bound, [EPERM, EPERM, EPERM, free[3]]);
    let records = world.records(3);
    let rules: Vec<&str> = records.iter().map(|record| world.rule_of(record)).collect();
    // What MPTCP would connect to is not known.
    assert_eq!(rules, ["raw", "raw", "none"]);
    assert_eq!(records[2].protocol, 262);
    assert_eq!(u32::from(records[2].why), model::wire::WHY_UNRESOLVED);
    world.apply(vec![rule("bind", &[Operation::Bind], &[peer("127.0.0.2", 32, None)])]);
    assert_eq!(tried(&program, &world.scratch.path, &acts[..2]), [0, 0], "no rule about raw ones");
}

/// Replacements of the policy while requests are made.
const RELOADS: usize = 300;

#[test]
fn no_request_is_answered_wrong_while_policies_are_replaced() {
    if skipped() {
        return;
    }
    let mut world = World::new();
    let program = std::env::current_exe().unwrap();
    let path = world.scratch.path.clone();
    let directory = tempfile::tempdir().unwrap();
    let ends: Vec<_> = (0..2).map(|at| directory.path().join(at.to_string())).collect();
    world.apply(rules());
    let act = |end: &std::path::Path| {
        format!("hammer 127.0.0.2:701 127.0.0.3:701 {}", end.to_str().unwrap())
    };
    let errors = std::thread::scope(|scope| {
        let hammers: Vec<_> =
            ends.iter().map(|end| scope.spawn(|| tried(&program, &path, &[&act(end)]))).collect();
        for round in 0..RELOADS {
            let mut rules = rules();
            if round % 2 == 0 {
                // Other bits, rows and classes for the same answers.
                let more = rule("more", &[Operation::Connect], &[peer("10.0.0.0", 8, None)]);
                rules.insert(0, more);
            }
            world.apply(rules);
            assert!(world.broken(), "nonsense is refused");
        }
        for end in &ends {
            std::fs::write(end, "").unwrap();
        }
        hammers.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(errors, [[0], [0]], "answered wrong");
    for end in ends {
        let tried: u64 = std::fs::read_to_string(end).unwrap().parse().unwrap();
        assert!(tried > 1000, "requests were made meanwhile: {tried}");
    }
    assert_eq!(world.compiled.tables.generation, 1 + RELOADS as u64);
}

#[test]
fn who_is_let_in_is_decided_by_the_maker_of_the_socket() {
    if skipped() {
        return;
    }
    let mut world = World::new();
    let program = std::env::current_exe().unwrap();
    let path = world.scratch.path.clone();
    let acts =
        ["accepted 127.0.0.2", "accepted 127.0.0.3", "received 127.0.0.2", "received 127.0.0.3"];
    assert_eq!(tried(&program, &path, &acts), [0; 4], "without a policy");
    let from = [peer("127.0.0.2", 32, None)];
    world.apply(vec![rule("accept", &[Operation::Accept], &from)]);
    assert_eq!(tried(&program, &path, &acts), [libc::EINPROGRESS, 0, 0, 0]);
    world.apply(vec![rule("receive", &[Operation::Receive], &from)]);
    assert_eq!(tried(&program, &path, &acts[2..]), [libc::EAGAIN, 0]);
    world.apply(vec![rule("listen", &[Operation::Listen], &[peer("127.0.0.1", 32, None)])]);
    assert_eq!(tried(&program, &path, &acts), [libc::EINPROGRESS, libc::EINPROGRESS, 0, 0]);
    let told: Vec<(u16, u32)> =
        world.records(4).iter().map(|one| (one.operation, u32::from(one.flags))).collect();
    let [accept, receive, listen] =
        [Operation::Accept, Operation::Receive, Operation::Listen].map(|one| one as u16);
    let kinds: std::collections::BTreeSet<u16> = told.iter().map(|one| one.0).collect();
    assert_eq!(kinds, [accept, receive, listen].into());
    let by_socket = model::wire::DENIAL_SOCKET;
    assert!(told.iter().all(|one| one.1 & by_socket != 0), "told of who made the socket");
}

#[test]
fn a_listener_is_its_makers_after_the_policy_was_replaced() {
    if skipped() {
        return;
    }
    let mut world = World::new();
    let program = std::env::current_exe().unwrap();
    let path = world.scratch.path.clone();
    let directory = tempfile::tempdir().unwrap();
    for (user, expected) in [("4711", 0), ("0", libc::EINPROGRESS)] {
        let mut accept = rule("accept", &[Operation::Accept], &[peer("127.0.0.2", 32, None)]);
        accept.subject.users = vec![user.to_owned()];
        let other = rule("other", &[Operation::Accept], &[peer("127.0.0.7", 32, None)]);
        world.apply(vec![accept.clone(), other.clone()]);
        let [made, go] = ["made", "go"].map(|name| directory.path().join(format!("{name}-{user}")));
        let act = format!("accepted 127.0.0.2 {} {}", made.to_str().unwrap(), go.to_str().unwrap());
        let errors = std::thread::scope(|scope| {
            let tries = scope.spawn(|| tried(&program, &path, &[&act]));
            while !made.exists() {
                assert!(!tries.is_finished(), "the listener is made");
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            world.apply(vec![other, accept]);
            std::fs::write(&go, "").unwrap();
            tries.join().unwrap()
        });
        assert_eq!(errors, [expected], "a rule about user {user}");
    }
}

/// Pins of a test, that go with it.
struct Pinned(PathBuf);

impl Drop for Pinned {
    fn drop(&mut self) {
        Network::release(&self.0).unwrap();
    }
}

#[test]
fn pinned_programs_outlive_their_loader_and_are_replaced_without_a_gap() {
    if skipped() {
        return;
    }
    let pins = Pinned(format!("/sys/fs/bpf/fallback-{}", std::process::id()).into());
    let world = |scratch, bytes| World::of(scratch, Some(pins.0.clone()), bytes);
    let program = std::env::current_exe().unwrap();
    let denied = |scratch: &Scratch| {
        let acts = ["connect tcp 127.0.0.2:701", "connect tcp 127.0.0.3:701"];
        let [of, control] = *tried(&program, &scratch.path, &acts) else { panic!() };
        assert_ne!(control, EPERM, "no rule is about it");
        of == EPERM
    };
    let mut first = world(Scratch::new(), 1 << 20);
    assert!(!denied(&first.scratch));
    first.apply(rules());
    let scratch = first.end();
    assert!(denied(&scratch), "nobody runs who loaded it");

    // The same build goes on with what it finds, and hears what was denied meanwhile.
    let second = world(scratch, 1 << 20);
    assert_eq!(second.network.active().unwrap().unwrap().generation, 1);
    let told = second.records(1);
    assert!(told.iter().all(|one| one.operation == Operation::Connect as u16) && !told.is_empty());
    assert!(denied(&second.scratch));

    // For another one nothing is in force yet; what the other left stays until it is.
    let mut third = world(second.end(), 1 << 21);
    assert_eq!(third.network.active().unwrap(), None);
    assert!(denied(&third.scratch), "by those of the other build");
    third.apply(vec![rule("other", &[Operation::Connect], &[peer("192.0.2.1", 32, None)])]);
    assert!(!denied(&third.scratch), "the new ones alone decide");
    third.apply(rules());
    let scratch = third.end();
    assert!(denied(&scratch));
    assert!(Network::release(&pins.0).unwrap());
    assert!(!denied(&scratch));
    assert!(!pins.0.exists());
    assert!(!Network::release(&pins.0).unwrap(), "nothing was there");
}
