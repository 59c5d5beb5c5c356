//! Rules are about who asks, however it came to be so.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::Path;

use model::policy::{Operation, Rule, Subject};
use nix::libc;

use super::acts::tried;
use super::world::{World, peer, rule, skipped};

const EPERM: i32 = libc::EPERM;
const REFUSED: i32 = libc::ECONNREFUSED;
const CONNECT: &str = "connect tcp 127.0.0.2:701";

fn about(subject: Subject) -> Vec<Rule> {
    let mut one = rule("who", &[Operation::Connect], &[peer("127.0.0.2", 32, None)]);
    one.subject = subject;
    vec![one]
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_user_a_group_and_a_cgroup_are_what_they_are_when_they_ask() {
    if skipped() {
        return;
    }
    let mut world = World::new();
    let program = std::env::current_exe().unwrap();
    let path = world.scratch.path.clone();
    world.apply(about(Subject { users: vec!["4711".to_owned()], ..Subject::default() }));
    let acts = [CONNECT, "user 4711", CONNECT];
    assert_eq!(tried(&program, &path, &acts), [REFUSED, 0, EPERM]);
    world.apply(about(Subject { groups: vec!["4712".to_owned()], ..Subject::default() }));
    let acts = [CONNECT, "group 4712", CONNECT, "group 4713", CONNECT];
    assert_eq!(tried(&program, &path, &acts), [REFUSED, 0, EPERM, 0, REFUSED]);
    let (named, other) = (world.scratch.below("named"), world.scratch.below("other"));
    world.name("/named", &named);
    world.apply(about(Subject { cgroups: vec!["/named".to_owned()], ..Subject::default() }));
    // Made after the policy: it belongs to the nearest one above that is known.
    let later = named.below("later");
    let [into, out] = [&later, &other].map(|one| format!("move {}", text(&one.path)));
    let acts = [CONNECT, &into, CONNECT, &out, CONNECT];
    assert_eq!(tried(&program, &path, &acts), [REFUSED, 0, EPERM, 0, REFUSED]);
    let records = world.records(3);
    assert!(records.iter().all(|record| world.rule_of(record) == "who"));
    assert_eq!(records.len(), 3);
}

#[test]
fn an_executable_is_known_by_its_path_and_what_it_starts_can_be_too() {
    if skipped() {
        return;
    }
    let mut world = World::new();
    let program = std::env::current_exe().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy");
    std::fs::copy(&program, &copy).unwrap();
    let path = world.scratch.path.clone();
    let of_copy =
        Subject { executables: vec![text(&copy.canonicalize().unwrap())], ..Subject::default() };
    world.apply(about(of_copy.clone()));
    assert_eq!(tried(&program, &path, &[CONNECT]), [REFUSED], "another program");
    let from_other = format!("exec {} {CONNECT}", text(&program));
    let from_copy = format!("exec {} {CONNECT}", text(&copy));
    assert_eq!(tried(&copy, &path, &[CONNECT, &from_other]), [EPERM, REFUSED]);
    assert_eq!(tried(&program, &path, &[CONNECT, &from_copy]), [REFUSED, EPERM]);
    world.apply(about(Subject { descendants: true, ..of_copy.clone() }));
    assert_eq!(tried(&copy, &path, &[CONNECT, &from_other]), [EPERM, EPERM], "what it starts");
    assert_eq!(tried(&program, &path, &[CONNECT]), [REFUSED], "control");
    let ancestors = of_copy.executables;
    world.apply(about(Subject { ancestors, ..Subject::default() }));
    assert_eq!(tried(&copy, &path, &[CONNECT, &from_other]), [REFUSED, EPERM], "below it");
}

#[test]
fn a_new_network_namespace_changes_nothing() {
    if skipped() {
        return;
    }
    let mut world = World::new();
    let program = std::env::current_exe().unwrap();
    let path = world.scratch.path.clone();
    world.apply(about(Subject::default()));
    let acts = ["new-net", CONNECT, "connect tcp 127.0.0.3:701"];
    assert_eq!(tried(&program, &path, &acts), [0, EPERM, REFUSED]);
}
