//! Messages of a worker that was taken over, and of a guard that is not ours: whatever the bytes are, they are
//! a message within its limits, or refused.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use model::interest::{Interest, Watch};
use model::op::{Kind, KindSet};
use model::policy::Operations;
use proptest::prelude::*;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, socketpair};

use super::broker::{Errand, Outcome, receive_outcome};
use super::*;
use crate::hostile::message;

fn pair() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
}

/// One request of each kind, as bytes.
fn requests() -> Vec<Vec<u8>> {
    let kinds = KindSet::EMPTY.with(Kind::Exec);
    let watch = vec![Watch { path: "/etc/shadow".into(), recursive: true, kinds }];
    let interest = Interest { kinds, watch, env: vec!["LD_PRELOAD".into()] };
    let act = |object| {
        let (rule, operations) = ("a-rule".into(), Operations::default());
        Request::Act(Act { rule, verb: Verb::Kill, alert: 7, pid: 4, start: 9, object, operations })
    };
    let undo = |what| Request::Undo(5, Undo { what, uid: 0, reason: "a mistake".into() });
    let file = Object::File { path: b"/a".to_vec(), inode: 7, by: b"/b".to_vec() };
    let all = [
        Request::Subscribe(interest),
        Request::Counters,
        Request::Snapshot,
        Request::Policy(3, Policy::Put(7, 60)),
        Request::Arm(Arm { rule: "a-rule".into(), pid: 7, start: 1, until: 5 }),
        act(Object::None),
        act(file),
        act(Object::Peer("[2001:db8::1]:443".parse().unwrap())),
        act(Object::Program(b"/c".to_vec())),
        Request::Pulse(80, 2),
        Request::Rules,
        undo(What::Rule("a-rule".into())),
        undo(What::Since(-1)),
    ];
    all.iter().map(Request::encode).collect()
}

fn errands() -> Vec<Vec<u8>> {
    let note = [&b"\x04\x0crules-loaded"[..], b"{}"].concat();
    vec![b"\x01/etc/aegisbpf/rules.d".to_vec(), vec![2], vec![3], note]
}

/// What the guard says, by its tag; also tags that nobody has.
fn replies() -> Vec<Vec<u8>> {
    (TAG_RINGS - 1..=TAG_BROKER + 1).map(|tag| [&[tag], &b"{\"a\":1}"[..]].concat()).collect()
}

/// Sends these bytes with so many descriptors.
fn tell(socket: &OwnedFd, bytes: &[u8], fds: usize) {
    let fds: Vec<BorrowedFd<'_>> = std::iter::repeat_n(socket.as_fd(), fds).collect();
    send(socket.as_fd(), bytes, &fds, SendFlags::NOSIGNAL).unwrap();
}

proptest! {
    #[test]
    fn whatever_is_asked_of_the_guard_is_a_request_within_its_limits_or_refused(
        bytes in message(requests()),
    ) {
        if let Ok(request) = Request::decode(&bytes) {
            if let Request::Subscribe(Interest { watch, env, .. }) = &request {
                prop_assert!(watch.len() <= WATCH_MAX && env.len() <= ENV_MAX);
                prop_assert!(watch.iter().all(|one| one.path.starts_with('/')));
            }
            // What was taken is understood to the last byte: sent on, it means the same.
            prop_assert_eq!(Request::decode(&request.encode()).unwrap(), request);
        }
        let (ours, theirs) = pair();
        tell(&theirs, if bytes.is_empty() { &[0] } else { &bytes }, 0);
        let (received, decoded) = (receive_request(&ours), Request::decode(&bytes));
        prop_assert_eq!(received.ok().flatten(), decoded.ok());
    }

    #[test]
    fn whatever_is_asked_of_the_broker_is_an_errand_or_refused(bytes in message(errands())) {
        match Errand::decode(&bytes) {
            Ok(Errand::Open(path)) => {
                let len = path.as_os_str().len();
                prop_assert!(len > 0 && len <= PATH_MAX_BYTES as usize);
            }
            Ok(Errand::Note(action, about)) => {
                prop_assert!(action.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'));
                prop_assert!(!action.is_empty() && about.len() < bytes.len());
            }
            Ok(Errand::Look | Errand::Listen) => prop_assert_eq!(bytes.len(), 1),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn whatever_the_guard_says_is_a_reply_with_its_descriptors_or_refused(
        bytes in message(replies()),
        fds in 0..=FDS_MAX,
    ) {
        let (ours, theirs) = pair();
        let bytes = if bytes.is_empty() { vec![0] } else { bytes };
        tell(&theirs, &bytes, fds);
        match receive_reply(&ours) {
            Ok(Reply::Rings(_)) => prop_assert_eq!((bytes[0], fds), (TAG_RINGS, 3)),
            Ok(Reply::Broker(_) | Reply::Snapshot(_)) => prop_assert!(fds > 0),
            Ok(Reply::Report(text) | Reply::Counters(text) | Reply::Policy(text)
                | Reply::Denials(text) | Reply::Notice(text)) => {
                prop_assert_eq!(text.as_bytes(), &bytes[1..]);
            }
            Ok(Reply::Reload | Reply::Stop) => {
                prop_assert!(matches!(bytes[0], TAG_RELOAD | TAG_STOP));
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
        tell(&theirs, &bytes, fds);
        if let Ok(Outcome::Fd(_)) = receive_outcome(&ours) {
            prop_assert!(fds > 0);
        }
    }
}
