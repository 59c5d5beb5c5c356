//! The table against what really happened: late records, pids used again, storms, bounds.

mod naive;

use model::wire::{
    FLAG_NO_CREDS, FLAG_NO_START, KIND_SETUID, KIND_UNLINK, PROVIDER_CONNECTOR, RecFile, RecIds,
    TASK_THREAD,
};
use zerocopy::FromZeros;

use super::*;
use crate::process::NO_ID;
use crate::testing::{Bytes, MS, Task, header, key};
use model::wire::Builder;

const INIT: Key = Key { pid: 1, start: 10 * MS };

fn started() -> Table {
    let mut table = Table::default();
    put(&mut table, Task::found(100 * MS, INIT, Key::default(), "/sbin/init"));
    table
}

fn put(table: &mut Table, task: Task) -> Option<Slot> {
    let bytes = task.done();
    table.apply(&bytes.record()).slot
}

#[track_caller]
fn process(table: &Table, key: Key) -> &Process {
    table.find(key).and_then(|slot| table.get(slot)).expect("the process is known")
}

fn exe(process: &Process) -> String {
    String::from_utf8(process.executable().unwrap_or_default().to_vec()).unwrap()
}

fn previous(process: &Process) -> String {
    let path = process.previous.as_deref().map(Image::exe).unwrap_or_default();
    String::from_utf8(path.to_vec()).unwrap()
}

#[test]
fn a_fork_shares_the_image_and_an_exec_replaces_it() {
    let mut table = started();
    let (shell, child) = (key(50, 200 * MS), key(51, 300 * MS));
    put(&mut table, Task::exec(200 * MS, shell, INIT, "/bin/sh").args(&["sh", "-i"]));
    put(&mut table, Task::fork(300 * MS, child, shell));
    let (one, two) = (process(&table, shell), process(&table, child));
    assert!(Arc::ptr_eq(one.image.as_ref().unwrap(), two.image.as_ref().unwrap()));
    put(&mut table, Task::exec(310 * MS, child, shell, "/bin/ls"));
    let child = process(&table, child);
    assert_eq!((exe(child), previous(child)), ("/bin/ls".into(), "/bin/sh".into()));
    assert_eq!(child.parent, shell);
}

#[test]
fn an_exec_without_a_fork_makes_the_process_and_its_parent() {
    let mut table = Table::default();
    let (child, parent) = (key(51, 300 * MS), key(50, 200 * MS));
    put(&mut table, Task::exec(310 * MS, child, parent, "/bin/ls"));
    assert_eq!(process(&table, child).parent, parent);
    assert_eq!((process(&table, parent).told, process(&table, parent).children), (0, 1));
    // The snapshot comes later and fills the parent, without changing what is newer.
    put(&mut table, Task::found(400 * MS, parent, INIT, "/bin/sh"));
    put(&mut table, Task::found(305 * MS, child, parent, "/bin/sh"));
    assert_eq!(exe(process(&table, parent)), "/bin/sh");
    assert_eq!(exe(process(&table, child)), "/bin/ls", "the snapshot is older than the exec");
}

#[test]
fn what_waited_in_the_rings_is_told_after_a_younger_snapshot() {
    let mut table = started();
    // The snapshot of a new worker tells of the parent, but a child of it has ended before.
    put(&mut table, Task::found(400 * MS, INIT, Key::default(), "/sbin/init"));
    let child = key(51, 300 * MS);
    put(&mut table, Task::fork(300 * MS, child, INIT));
    assert_eq!(exe(process(&table, child)), "/sbin/init");
    put(&mut table, Task::exec(310 * MS, child, INIT, "/bin/ls"));
    assert_eq!(exe(process(&table, child)), "/bin/ls", "its own exec, not its parent's image");
    assert_eq!(previous(process(&table, child)), "/sbin/init");
}

#[test]
fn a_late_fork_adds_only_what_is_missing() {
    for exits in [false, true] {
        let mut table = started();
        let child = key(51, 300 * MS);
        put(&mut table, Task::exec(310 * MS, child, Key::default(), "/bin/ls"));
        if exits {
            put(&mut table, Task::exit(320 * MS, child, Key::default()));
        }
        put(&mut table, Task::fork(300 * MS, child, INIT));
        let child = process(&table, child);
        assert_eq!((child.parent, exe(child)), (INIT, "/bin/ls".to_owned()));
        assert_eq!(previous(child), "/sbin/init", "what it shared before its exec");
        assert_eq!(child.is_running(), !exits, "a fork brings nobody back to life");
    }
}

#[test]
fn a_session_told_after_the_end_counts_unless_something_later_told_it() {
    let mut sid = RecIds::new_zeroed();
    for (told, by) in [(300 * MS, 51), (320 * MS, 50)] {
        let mut table = started();
        let child = key(51, 300 * MS);
        put(&mut table, Task::exec(told, child, INIT, "/bin/ls").with(|task| task.sid = 50));
        put(&mut table, Task::exit(330 * MS, child, INIT));
        sid.h = header(model::wire::KIND_SETSID, 310 * MS, child);
        let bytes = Bytes::of(Builder::<RecIds>::new(), &sid);
        table.apply(&bytes.record());
        assert_eq!(process(&table, child).sid, by, "described at {told}");
    }
}

#[test]
fn an_exit_that_comes_first_is_final() {
    let mut table = started();
    let child = key(51, 300 * MS);
    put(&mut table, Task::exit(320 * MS, child, INIT));
    put(&mut table, Task::fork(300 * MS, child, INIT));
    put(&mut table, Task::exec(310 * MS, child, INIT, "/bin/ls"));
    put(&mut table, Task::found(315 * MS, child, INIT, "/bin/ls"));
    let ended = process(&table, child);
    assert_eq!((ended.ended, exe(ended)), (320 * MS, "/bin/ls".to_owned()));
    assert_eq!((table.stats().running, table.stats().ended), (1, 1));
}

#[test]
fn a_pid_that_is_used_again_is_another_process() {
    let mut table = started();
    let (first, second) = (key(51, 300 * MS), key(51, 900 * MS));
    put(&mut table, Task::exec(300 * MS, first, INIT, "/bin/first"));
    put(&mut table, Task::exec(900 * MS, second, INIT, "/bin/second"));
    assert_eq!(process(&table, first).ended, 900 * MS, "its exit was lost");
    assert_eq!(table.stats().implied_ends, 1);
    let at = |time| table.at(51, time).and_then(|slot| table.get(slot)).map(exe);
    assert_eq!(at(299 * MS), None);
    assert_eq!(at(600 * MS).as_deref(), Some("/bin/first"));
    assert_eq!(at(900 * MS).as_deref(), Some("/bin/second"));
}

#[test]
fn a_source_that_knows_only_the_pid_finds_the_process_that_had_it() {
    let mut table = started();
    let (first, second) = (key(51, 300 * MS), key(51, 900 * MS));
    put(&mut table, Task::exec(300 * MS, first, INIT, "/bin/first"));
    put(&mut table, Task::exit(500 * MS, first, INIT));
    put(&mut table, Task::exec(900 * MS, second, INIT, "/bin/second"));
    let mut file = |pid, time| {
        let mut fixed = RecFile::new_zeroed();
        fixed.h = header(KIND_UNLINK, time, key(pid, 0));
        fixed.h.flags = FLAG_NO_START | FLAG_NO_CREDS;
        let slot = table.apply(&Bytes::of(Builder::new(), &fixed).record()).slot;
        slot.and_then(|slot| table.get(slot)).map(exe)
    };
    assert_eq!(file(51, 501 * MS).as_deref(), Some("/bin/first"), "just ended");
    assert_eq!(file(51, 901 * MS).as_deref(), Some("/bin/second"));
    assert_eq!(file(77, 901 * MS), None);
    assert_eq!(table.stats().unresolved, 1);
}

#[test]
fn a_pid_that_is_used_again_at_once_is_another_process() {
    let mut table = started();
    let (first, second) = (key(51, 300 * MS), key(51, 300 * MS + 1));
    put(&mut table, Task::fork(300 * MS, first, INIT));
    put(&mut table, Task::exit(300 * MS, first, INIT));
    put(&mut table, Task::exec(300 * MS + 1, second, INIT, "/bin/second"));
    assert!(!process(&table, first).is_running() && process(&table, second).is_running());
    assert_eq!(table.at(51, 301 * MS), table.find(second), "by pid alone, the newest is meant");
    assert_eq!(table.stats().implied_ends, 0, "its exit was told");
}

#[test]
fn ids_follow_changes_and_what_a_change_does_not_tell_is_unknown() {
    let mut table = started();
    let sudo = key(51, 300 * MS);
    let exec = Task::exec(300 * MS, sudo, INIT, "/usr/bin/sudo").with(|task| {
        (task.h.uid, task.ruid, task.suid) = (1000, 1000, 1000);
        (task.rgid, task.sgid) = (100, 100);
        task.cap_permitted = 1;
    });
    put(&mut table, exec);
    let mut ids = RecIds::new_zeroed();
    ids.h = header(KIND_SETUID, 400 * MS, sudo);
    ids.h.provider = u16::try_from(PROVIDER_CONNECTOR).unwrap();
    (ids.h.uid, ids.h.gid, ids.ruid) = (0, NO_ID, 0);
    (ids.rgid, ids.suid, ids.sgid) = (NO_ID, NO_ID, NO_ID);
    let applied = table.apply(&Bytes::of(Builder::new(), &ids).record());
    assert_eq!(applied.old_uid, Some(1000));
    let process = process(&table, sudo);
    let known = process.ids;
    assert_eq!((known.uid, known.gid, known.ruid, known.suid), (0, 0, 0, NO_ID), "stale is worse");
    assert_eq!((known.rgid, known.sgid), (100, 100), "a change of user is none of group");
    assert_eq!(process.caps, None, "the connector does not tell what became of them");
}

#[test]
fn a_thread_is_no_process() {
    let mut table = started();
    let leader = key(51, 300 * MS);
    put(&mut table, Task::exec(300 * MS, leader, INIT, "/bin/x"));
    let exit = Task::exit(400 * MS, leader, INIT).with(|task| task.task_flags = TASK_THREAD);
    put(&mut table, exit);
    assert!(process(&table, leader).is_running(), "only one of its threads ended");
}

#[test]
fn an_ended_parent_stays_while_a_descendant_runs() {
    let mut table = started();
    let (parent, child) = (key(50, 200 * MS), key(51, 300 * MS));
    put(&mut table, Task::exec(200 * MS, parent, INIT, "/bin/sh"));
    put(&mut table, Task::fork(300 * MS, child, parent));
    put(&mut table, Task::exit(400 * MS, parent, INIT));
    let later = 400 * MS + 10 * KEEP_NS;
    put(&mut table, Task::exec(later, child, parent, "/bin/ls"));
    assert_eq!(exe(process(&table, parent)), "/bin/sh");
    put(&mut table, Task::exit(later, child, parent));
    for after in [KEEP_NS, 2 * KEEP_NS] {
        put(&mut table, Task::found(later + after, INIT, Key::default(), "/sbin/init"));
    }
    assert!(table.find(child).is_none() && table.find(parent).is_none());
    assert_eq!(table.len(), 1);
    assert_eq!(table.stats().evicted, 0, "all in good time");
}

#[test]
fn a_storm_of_200_000_short_processes_stays_under_the_bounds() {
    let mut table = started();
    let long = "x".repeat(3000);
    for number in 0..200_000u32 {
        let time = 1_000 * MS + u64::from(number) * 20 * MS / 1000;
        let child = key(2 + number % 30_000, time);
        put(&mut table, Task::fork(time, child, INIT));
        put(&mut table, Task::exec(time, child, INIT, "/bin/true").args(&["true", &long]));
        put(&mut table, Task::exit(time + 1, child, INIT));
    }
    let stats = table.stats();
    assert_eq!(stats.running, 1);
    assert!(stats.ended <= ENDED_MAX + 1, "{stats:?}");
    assert!(stats.image_bytes <= IMAGES_BYTES_MAX + 4096, "{stats:?}");
    assert!(table.slots.len() <= ENDED_MAX + 8, "slots are used again");
    let slots = table.slots.capacity() * size_of::<Option<Process>>();
    assert!(slots < 8 << 20, "{slots} bytes for the slots");
}

#[test]
fn a_full_table_forgets_others_but_never_process_1() {
    let mut table = started();
    for number in 0..u32::try_from(PROCESSES_MAX).unwrap() + 1000 {
        let time = 1_000 * MS + u64::from(number) * 1000;
        put(&mut table, Task::fork(time, key(2 + number, time), INIT));
    }
    assert!(table.len() <= PROCESSES_MAX);
    assert!(table.stats().evicted >= 1000);
    assert_eq!(exe(process(&table, INIT)), "/sbin/init");
    assert!(process(&table, INIT).children <= u32::try_from(PROCESSES_MAX).unwrap());
    assert!(size_of::<Process>() <= 224, "named in the doc of PROCESSES_MAX");
}

#[test]
fn one_pid_cannot_fill_the_table() {
    let mut table = started();
    for number in 0..100 {
        let time = 1_000 * MS + number * 20 * MS;
        put(&mut table, Task::exec(time, key(9, time), INIT, "/bin/x"));
    }
    assert_eq!(table.pids[&9].len(), SAME_PID_MAX);
    assert_eq!(table.len(), SAME_PID_MAX + 1);
}
