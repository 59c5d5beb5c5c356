//! Random histories against a model that forgets nothing and knows the true order.

use proptest::prelude::*;

use super::*;

/// What really happened to one process.
#[derive(Debug, Clone)]
struct Truth {
    key: Key,
    parent: Key,
    exe: String,
    previous: String,
    uid: u32,
    runs: bool,
}

/// One step: which running process acts, and what it does.
#[derive(Debug, Clone)]
enum Step {
    /// Forks; the pid is the nth one that is free.
    Fork(usize),
    Exec(u8),
    Exit,
    Setuid(u32),
}

fn steps() -> impl Strategy<Value = Vec<(usize, Step, bool)>> {
    let step = prop_oneof![
        4 => (0usize..8).prop_map(Step::Fork),
        3 => (0u8..5).prop_map(Step::Exec),
        3 => Just(Step::Exit),
        1 => (0u32..3).prop_map(Step::Setuid),
    ];
    prop::collection::vec((0usize..64, step, prop::bool::weighted(0.3)), 0..150)
}

/// Plays the steps; returns what is true at the end, and the records with whether each may come
/// one place late.
fn play(steps: Vec<(usize, Step, bool)>) -> (Vec<Truth>, Vec<(Bytes, bool)>) {
    let init = Truth {
        key: INIT,
        parent: Key::default(),
        exe: "/sbin/init".to_owned(),
        previous: String::new(),
        uid: 0,
        runs: true,
    };
    let mut all = vec![init];
    let mut records = Vec::new();
    let mut time = 1_000 * MS;
    for (who, step, late) in steps {
        time += 15 * MS;
        let running: Vec<usize> = (0..all.len()).filter(|it| all[*it].runs).collect();
        let actor = running[who % running.len()];
        let Truth { key: own, parent, uid, exe, .. } = all[actor].clone();
        let bytes = match step {
            Step::Fork(nth) => {
                let taken = |pid: &u32| running.iter().any(|it| all[*it].key.pid == *pid);
                let pid = (2..400).filter(|pid| !taken(pid)).nth(nth).expect("a free pid");
                let child = key(pid, time);
                let previous = String::new();
                all.push(Truth { key: child, parent: own, exe, previous, uid, runs: true });
                let fork = Task::fork(time, child, own).with(|task| task.h.uid = uid);
                records.push((fork.done(), late));
                continue;
            }
            Step::Exec(program) => {
                let path = format!("/bin/{program}");
                all[actor].previous = std::mem::replace(&mut all[actor].exe, path.clone());
                Task::exec(time, own, parent, &path).with(|task| task.h.uid = uid).done()
            }
            Step::Exit if actor == 0 => continue,
            Step::Exit => {
                all[actor].runs = false;
                Task::exit(time, own, parent).with(|task| task.h.uid = uid).done()
            }
            Step::Setuid(uid) => {
                all[actor].uid = uid;
                let mut ids = RecIds::new_zeroed();
                ids.h = header(KIND_SETUID, time, own);
                ids.h.uid = uid;
                Bytes::of(Builder::new(), &ids)
            }
        };
        records.push((bytes, false));
    }
    (all, records)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn the_table_agrees_with_what_happened(steps in steps()) {
        let (all, mut records) = play(steps);
        // A fork may come after the record that follows it, unless that is a fork too: those of a
        // family are in one ring, in their order.
        let mut at = 0;
        while at + 1 < records.len() {
            let is_fork = |at: usize| records[at].0.record().kind() == model::op::Kind::Fork;
            if records[at].1 && !is_fork(at + 1) {
                records.swap(at, at + 1);
                at += 1;
            }
            at += 1;
        }
        let mut table = started();
        for (bytes, _) in &records {
            table.apply(&bytes.record());
        }
        for truth in &all {
            let found = table.find(truth.key).and_then(|slot| table.get(slot));
            let Some(known) = found else {
                prop_assert!(!truth.runs, "{:?} runs and is unknown", truth);
                continue;
            };
            prop_assert_eq!(known.is_running(), truth.runs, "{:?}", truth);
            prop_assert_eq!(known.parent, truth.parent, "{:?}", truth);
            prop_assert_eq!(exe(known), truth.exe.as_str(), "{:?}", truth);
            prop_assert_eq!(previous(known), truth.previous.as_str(), "{:?}", truth);
            prop_assert_eq!(known.ids.uid, truth.uid, "{:?}", truth);
            let newest = table.at(truth.key.pid, u64::MAX).and_then(|slot| table.get(slot));
            prop_assert!(newest.is_some_and(|newest| newest.key.start >= truth.key.start));
        }
        let stats = table.stats();
        prop_assert_eq!(stats.running, all.iter().filter(|truth| truth.runs).count());
        prop_assert_eq!(stats.running + stats.ended, table.len());
        prop_assert_eq!((stats.evicted, stats.unresolved), (0, 0));
        let children: u32 = table.slots.iter().flatten().map(|known| known.children).sum();
        let linked = table.slots.iter().flatten().filter(|known| known.parent.pid != 0).count();
        prop_assert_eq!(children as usize, linked, "each link is counted once");
    }
}
