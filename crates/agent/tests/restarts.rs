//! Workers that are killed while programs go on being started.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::lab::{Lab, root, signal, until};

const KILLS: usize = 20;
/// Programs started for each of them: as many as a slow machine starts until the next worker answers.
const PROGRAMS: usize = 20;
/// Starting a worker takes a second or two on a busy machine that runs a debug build.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn twenty_killed_workers_in_a_row_lose_no_alert() {
    if !root("twenty_killed_workers_in_a_row_lose_no_alert") {
        return;
    }
    let lab = Lab::new();
    let agent = lab.start();
    let first = agent.alert(lab.run_scratch("x"), PATIENCE).expect("an alert before");
    let (done, allowed) = (AtomicBool::new(false), AtomicUsize::new(PROGRAMS));
    let mut waiting: HashSet<u64> = std::thread::scope(|scope| {
        let runs = scope.spawn(|| {
            let mut pids = Vec::new();
            while !done.load(Ordering::Relaxed) {
                if pids.len() < allowed.load(Ordering::Relaxed) {
                    pids.push(u64::from(lab.run_scratch("x")));
                } else {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            pids
        });
        // The programs stop whatever comes of this, or a failure would never be told.
        let killed = std::panic::catch_unwind(|| {
            let mut last = 0;
            for _ in 0..KILLS {
                until("the next worker answers", PATIENCE, || {
                    let status = lab.status().unwrap_or_default();
                    let worker = status["worker"]["pid"].as_u64().unwrap_or_default();
                    let is_next = worker != 0 && worker != last;
                    last = if is_next { worker } else { last };
                    is_next
                });
                signal(u32::try_from(last).unwrap(), Signal::SIGKILL);
                allowed.fetch_add(PROGRAMS, Ordering::Relaxed);
            }
        });
        done.store(true, Ordering::Relaxed);
        let pids = HashSet::from_iter(runs.join().unwrap());
        if let Err(panic) = killed {
            println!("{}", std::fs::read_to_string(lab.path("log")).unwrap_or_default());
            std::panic::resume_unwind(panic);
        }
        pids
    });
    println!("{} programs were started", waiting.len());
    assert!(waiting.len() > 100, "the test is about a busy host");
    // The tree is the one that the first worker saw.
    let tree = |alert: &Value| {
        let process = &alert["process"];
        let names = process["Ext"]["ancestors"].as_array().unwrap();
        let names: Vec<Value> = names.iter().map(|ancestor| ancestor["name"].clone()).collect();
        (process["parent"]["entity_id"].clone(), process["Ext"]["ancestry"].clone(), names)
    };
    // What was on its way out when its worker died is told again, and is then the same alert.
    let (mut ids, mut again) = (HashMap::new(), 0);
    while !waiting.is_empty()
        && let Some(alert) = agent.next(PATIENCE)
    {
        assert_eq!(tree(&alert), tree(&first), "{alert:#}");
        let program = alert["process"]["entity_id"].as_str().unwrap().to_owned();
        let id = alert["alert"]["id"].as_str().unwrap().to_owned();
        if let Some(before) = ids.insert(program, id.clone()) {
            assert_eq!(before, id, "one program, one alert");
            again += 1;
        }
        waiting.remove(&alert["process"]["pid"].as_u64().unwrap());
    }
    println!("{again} alerts came again");
    let log = || std::fs::read_to_string(lab.path("log")).unwrap_or_default();
    assert!(waiting.is_empty(), "without an alert: {waiting:?}\n{}", log());
    // The last worker told all alerts before it answers anybody.
    until("the last worker answers", PATIENCE, || lab.status().is_some());
    let lost = &lab.status().unwrap()["kernel_counters"]["lost"];
    assert_eq!(lost["life"]["ring_full"], 0, "{lost}");
    assert!(agent.stop().success());
}
