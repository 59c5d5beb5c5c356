//! Messages on their way, and what is refused of them.

use super::*;
use model::op::Kind;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

fn pair() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
}

fn interest() -> Interest {
    Interest {
        kinds: KindSet::EMPTY.with(Kind::Exec).with(Kind::Dns),
        watch: vec![Watch {
            path: "/etc/shadow".into(),
            recursive: false,
            kinds: KindSet::EMPTY.with(Kind::Open),
        }],
        env: vec!["LD_PRELOAD".into()],
    }
}

#[test]
fn requests_survive_the_journey() {
    let (a, b) = pair();
    let policies =
        [Policy::Show, Policy::Put(7, 60), Policy::Disable, Policy::Enable, Policy::Denials];
    let policies = policies.into_iter().map(|policy| Request::Policy(3, policy));
    let others = [Request::Subscribe(interest()), Request::Counters, Request::Snapshot];
    for request in others.into_iter().chain(policies) {
        send_request(&a, &request).unwrap();
        assert_eq!(receive_request(&b).unwrap(), Some(request));
    }
    assert!(receive_request(&b).unwrap().is_none(), "nothing is waiting any more");
    drop(a);
    assert!(matches!(receive_request(&b), Err(ProtoError::Gone)));
}

#[test]
fn descriptors_survive_the_journey() {
    let (a, b) = pair();
    let (one, two) = pair();
    send_rings(&a, [one.as_fd(), two.as_fd(), a.as_fd()]).unwrap();
    let Reply::Rings([first, _, _]) = receive_reply(&b).unwrap() else { panic!("not rings") };
    rustix::io::write(&first, b"x").unwrap();
    assert_eq!(rustix::io::read(&two, &mut [0_u8; 4]).unwrap(), 1);
}

#[test]
fn the_guard_does_not_wait_for_a_worker_that_does_not_read() {
    let (a, _b) = pair();
    let full = (0..10_000).find_map(|_| send_report(&a, &"x".repeat(60_000)).err());
    assert!(matches!(full, Some(ProtoError::Full)), "{full:?}");
}

#[test]
fn each_field_of_a_subscription_is_checked() {
    let good = Request::Subscribe(interest()).encode();
    let field = |edit: &dyn Fn(&mut Interest)| {
        let mut bad = interest();
        edit(&mut bad);
        match Request::decode(&Request::Subscribe(bad).encode()) {
            Err(ProtoError::Field(name)) => name,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(field(&|i| i.kinds = KindSet(1 << 63)), "kind");
    assert_eq!(field(&|i| i.watch[0].path = "etc/shadow".into()), "path");
    assert_eq!(field(&|i| i.watch[0].path = "/a\0b".into()), "path");
    assert_eq!(field(&|i| i.watch[0].path = "/".repeat(5000)), "path");
    assert_eq!(field(&|i| i.env[0] = "A=B".into()), "variable");
    assert_eq!(field(&|i| i.env[0] = String::new()), "variable");

    for cut in 0..good.len() {
        assert!(matches!(Request::decode(&good[..cut]), Err(ProtoError::Length)), "{cut}");
    }
    let mut long = good;
    long.push(0);
    assert!(matches!(Request::decode(&long), Err(ProtoError::Length)));
    assert!(matches!(Request::decode(&[99]), Err(ProtoError::Tag(99))));
}
