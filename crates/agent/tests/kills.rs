//! Everything at once, killed at random moments: an agent that acts, writes its audit log and its history
//! into files that end all the time, is recorded, and takes back what an operator says, while it or a part
//! of it is killed. Nothing was done without a record, each record is explained, and all that is left can
//! be verified and replayed.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;

use crate::deeds::{ask, json, rule, starts};
use crate::lab::{AGENT, Agent, root, signal, until};
use crate::prevention::Scene;

/// Kills, unless [`MORE`] says how many.
const KILLS: u32 = 20;
/// How many kills instead, for who has the time.
const MORE: &str = "AEGISBPF_TEST_KILLS";
/// Whatever a busy machine needs.
const PATIENCE: Duration = Duration::from_mins(2);
/// Between two things that rules act on.
const PACE: Duration = Duration::from_millis(50);
/// Processes that sleep from one round to the next.
const SLEEPERS: usize = 100;
/// Within which the agent is killed, µs.
const MOMENTS: u64 = 800_000;
/// What an agent runs with: short times to live, files that end soon, and no limit that ends the test.
const OPTIONS: &[&str] = &[
    "--enforce",
    "--action-ttl",
    "2s",
    "--audit-size",
    "256KiB",
    "--history",
    "4MiB,16s",
    "--max-actions",
    "1000000",
    "--max-rule-actions",
    "1000000",
    "--breaker",
    "1000000",
];

/// Who is killed.
#[derive(Debug, Clone, Copy)]
enum Whom {
    /// Guard, worker and whatever they started.
    All,
    Guard,
    Worker,
}

/// What was put before the rules, and what became of it.
#[derive(Default)]
struct World {
    /// Processes that one rule kills and another one stops.
    sleepers: Vec<Child>,
    /// Files that are taken when they are read.
    files: Vec<PathBuf>,
}

/// What the log says.
#[derive(Default)]
struct Log {
    /// Decisions to act, by number. The log forgets the oldest of them, this does not.
    acts: HashMap<u64, Value>,
    /// The number of the first line that the newest agent wrote.
    begun: u64,
    /// Decisions of agents before it without a word of what came of them.
    open: Vec<Value>,
    /// Decisions that an agent which was killed left open.
    interrupted: usize,
}

impl Log {
    /// Reads what there is.
    fn read(&mut self, scene: &Scene) {
        let tail = ask(&scene.lab, &["audit", "tail", "-n", "100000", "-o", "json"]);
        assert!(tail.status.success(), "{tail:?}");
        let text = String::from_utf8(tail.stdout).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut open = HashMap::new();
        (self.begun, self.interrupted) = (0, 0);
        for line in lines {
            let seq = line["seq"].as_u64().unwrap();
            let of = line["of"].as_u64();
            match (line["action"].as_str().unwrap(), line["decision"].as_str(), of) {
                ("agent-started", ..) => self.begun = seq,
                ("response", Some("do"), _) => {
                    self.acts.insert(seq, line.clone());
                    open.insert(seq, line);
                }
                ("response-undo", _, Some(of)) => drop(open.insert(of, line)),
                ("response-outcome", _, Some(of)) => {
                    self.interrupted += usize::from(line["outcome"] == "interrupted");
                    open.remove(&of);
                }
                _ => {}
            }
        }
        open.retain(|_, line| line["seq"].as_u64() < Some(self.begun));
        self.open = open.into_values().collect();
    }

    /// Whether somebody decided that this be done.
    fn has(&self, response: &str, key: &str, value: &Value) -> bool {
        self.acts.values().any(|line| line["response"] == response && line[key] == *value)
    }
}

fn rules(scene: &Scene) {
    let lab = &scene.lab;
    fs::create_dir(lab.path("files")).unwrap();
    for name in ["dies", "stops"] {
        fs::copy("/bin/sleep", lab.path(name)).unwrap();
    }
    rule(lab, "kills", &starts(lab, "dies"), "response = [\"kill\"]");
    rule(lab, "stops", &starts(lab, "stops"), "response = [\"stop\"]");
    let files = format!(
        "file where event.action == \"open\" and file.path : \"{}/*\" and process.name == \"cat\"",
        lab.path("files").display()
    );
    rule(lab, "takes", &files, "response = [\"quarantine\"]");
    let connects = format!(
        "network where event.action == \"connection_attempted\" and destination.port == {} and \
         process.args_count > 1",
        scene.port
    );
    rule(lab, "denies", &connects, "response = [\"deny\"]\nplacement = \"any\"");
}

/// Does what rules act on, until it is done.
fn provoke(scene: &Scene, world: &Mutex<World>, done: &AtomicBool) {
    for number in 0_u64.. {
        if done.load(Ordering::Relaxed) {
            return;
        }
        let mut world = world.lock().unwrap();
        match number % 8 {
            0..5 => {
                let name = if number % 2 == 0 { "dies" } else { "stops" };
                let mut command = Command::new(scene.lab.path(name));
                world.sleepers.push(command.arg("600").stdin(Stdio::null()).spawn().unwrap());
            }
            5 => {
                let file = scene.lab.path("files").join(number.to_string());
                fs::write(&file, number.to_string()).unwrap();
                drop(Command::new("cat").arg(&file).output().unwrap());
                world.files.push(file);
            }
            6 => drop(scene.connect(scene.lab.path("x").to_str().unwrap())),
            _ => {}
        }
        drop(world);
        std::thread::sleep(PACE);
    }
}

/// Takes back what was done, whenever an agent answers, until it is done.
fn roll_back(scene: &Scene, done: &AtomicBool) {
    while !done.load(Ordering::Relaxed) {
        drop(ask(&scene.lab, &["actions", "rollback", "--since", "10m", "--reason", "a test"]));
        std::thread::sleep(10 * PACE);
    }
}

/// A new agent, in a group of its own with all that it starts.
fn start(scene: &Scene) -> Agent {
    let mut command = scene.lab.command();
    command.arg("--state-dir").arg(scene.lab.path("state")).args(OPTIONS).process_group(0);
    scene.lab.launch(command)
}

fn worker(scene: &Scene) -> Option<u32> {
    u32::try_from(scene.lab.status()?["worker"]["pid"].as_u64()?).ok()
}

/// `record`, as long as the agent lives.
fn record(scene: &Scene, file: &Path) -> Child {
    let mut command = Command::new(AGENT);
    command.arg("record").arg(file).arg("--runtime-dir").arg(scene.lab.path("run"));
    command.stderr(Stdio::null()).spawn().unwrap()
}

/// What can be seen of acts has its record: it is looked at first, and the log after it.
fn each_act_has_its_record(scene: &Scene, world: &Mutex<World>, log: &mut Log) {
    let mut seen: Vec<(&str, &str, Value)> = Vec::new();
    let mut ids = Vec::new();
    {
        let mut world = world.lock().unwrap();
        for sleeper in &mut world.sleepers {
            let pid = sleeper.id();
            match sleeper.try_wait().unwrap() {
                Some(status) if status.signal() == Some(9) => {
                    seen.push(("kill", "pid", pid.into()));
                }
                Some(status) => panic!("{pid}: {status}"),
                None if is_stopped(pid) => seen.push(("stop", "pid", pid.into())),
                None => {}
            }
        }
        for file in world.files.iter().filter(|file| !file.exists()) {
            seen.push(("quarantine", "file", file.to_str().unwrap().into()));
        }
        let held = json(&scene.lab, &["quarantine", "list"]);
        assert_eq!(held["unreadable"], Value::Array(Vec::new()), "{held:#}");
        ids.extend(held["files"].as_array().unwrap().iter().map(|one| one["id"].clone()));
        let blocks = json(&scene.lab, &["block", "list"]);
        ids.extend(blocks.as_array().unwrap().iter().map(|one| one["id"].clone()));
    }
    log.read(scene);
    for (response, key, value) in &seen {
        assert!(log.has(response, key, value), "{response} of {value} without a record");
    }
    for id in ids {
        let number = id.as_str().unwrap().strip_prefix("action-").unwrap().parse().unwrap();
        assert!(log.acts.contains_key(&number), "{id} without a record");
    }
    // What was killed is seen once, and who was let live makes room.
    let mut world = world.lock().unwrap();
    let is_killed = |pid: u32| seen.iter().any(|one| one.0 == "kill" && one.2 == pid);
    world.sleepers.retain(|one| !is_killed(one.id()));
    let surplus = world.sleepers.len().saturating_sub(SLEEPERS);
    for mut sleeper in world.sleepers.drain(..surplus) {
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    }
}

fn is_stopped(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
}

/// The log is one sound chain, and what was recorded gives the alerts that were raised.
fn all_that_is_left_is_sound(scene: &Scene, recorded: &[PathBuf]) -> (u64, u64) {
    let verified = ask(&scene.lab, &["audit", "verify", "-o", "json"]);
    let found: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert!(verified.status.success() && found["sound"] == true, "{found:#}");
    let kestrel = Path::new(AGENT).with_file_name("kestrel");
    assert!(kestrel.exists(), "build it first: cargo build -p kestrel");
    let mut alerts = 0;
    // A recording that nobody had begun to write is none.
    let is_one = |path: &&PathBuf| path.metadata().is_ok_and(|about| about.len() > 0);
    for recording in recorded.iter().filter(is_one) {
        let mut replay = Command::new(&kestrel);
        replay.arg("replay").arg(recording).arg("--rules").arg(scene.lab.path("rules"));
        let output: Output = replay.args(["--verify", "-o", "ndjson"]).output().unwrap();
        let verdict: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        assert!(output.status.success(), "{verdict:#} {output:?}");
        assert_eq!(verdict["live"], verdict["replayed"], "{verdict:#}");
        alerts += verdict["live"]["alerts"].as_u64().unwrap();
    }
    (found["lines"].as_u64().unwrap(), alerts)
}

/// Kills, and waits until another worker answers, or nobody; the agent, if it goes on.
fn kill(scene: &Scene, whom: Whom, agent: Agent) -> Option<Agent> {
    until("there is a worker", PATIENCE, || worker(scene).is_some());
    let before = worker(scene).unwrap();
    match whom {
        Whom::Worker => {
            signal(before, Signal::SIGKILL);
            until("the next worker answers", PATIENCE, || {
                worker(scene).is_some_and(|next| next != before)
            });
            return Some(agent);
        }
        Whom::Guard => agent.kill(),
        Whom::All => {
            let group = Pid::from_raw(i32::try_from(agent.guard()).unwrap());
            killpg(group, Signal::SIGKILL).unwrap();
            agent.kill();
        }
    }
    until("nobody answers any more", PATIENCE, || scene.lab.status().is_none());
    None
}

/// Everything that can be undone is, by its time or by an operator, and nothing is left of it: what is not
/// as it was.
fn left(scene: &Scene, world: &Mutex<World>) -> Vec<String> {
    drop(ask(&scene.lab, &["actions", "rollback", "--since", "1d", "--reason", "the end"]));
    let world = world.lock().unwrap();
    let is_whole = |file: &PathBuf| {
        let name = file.file_name().unwrap().to_str().unwrap();
        fs::read_to_string(file).is_ok_and(|text| text == name)
    };
    let files = world.files.iter().filter(|file| !is_whole(file));
    let mut left: Vec<String> = files.map(|file| format!("{} is gone", file.display())).collect();
    let stopped = world.sleepers.iter().map(Child::id).filter(|pid| is_stopped(*pid));
    left.extend(stopped.map(|pid| format!("{pid} is stopped")));
    let lists = [
        json(&scene.lab, &["block", "list"]),
        json(&scene.lab, &["quarantine", "list"])["files"].clone(),
    ];
    left.extend(lists.iter().flat_map(|one| one.as_array().unwrap()).map(Value::to_string));
    let kept = fs::read_dir(scene.lab.path("state/actions")).unwrap();
    left.extend(kept.map(|entry| entry.unwrap().path().display().to_string()));
    left
}

fn rounds(scene: &Scene, world: &Mutex<World>, done: &AtomicBool, kills: u32) {
    let (random, mut log) = (RandomState::new(), Log::default());
    let (mut interrupted, mut alerts, mut lines) = (0, 0, 0);
    let mut agent = Some(start(scene));
    for round in 0..kills {
        let file = scene.lab.path(&format!("{round}.rec"));
        let running = agent.take().unwrap_or_else(|| start(scene));
        let mut recorder = record(scene, &file);
        // What an agent left that was killed is explained by the next one.
        until("what was decided before is explained", PATIENCE, || {
            log.read(scene);
            log.open.is_empty()
        });
        interrupted += log.interrupted;
        std::thread::sleep(Duration::from_micros(random.hash_one(round) % MOMENTS));
        let whom = [Whom::All, Whom::Worker, Whom::Guard][usize::try_from(round % 3).unwrap()];
        agent = kill(scene, whom, running);
        each_act_has_its_record(scene, world, &mut log);
        // It ends with the worker that it asked, or found nobody to ask.
        recorder.wait().unwrap();
        let mut recorded = vec![file];
        // Somebody goes on writing it otherwise.
        recorded.extend(agent.is_none().then(|| scene.lab.path("state/worker/own/history")));
        let (all, told) = all_that_is_left_is_sound(scene, &recorded);
        (lines, alerts) = (lines.max(all), alerts + told);
        println!("round {round}: {whom:?}, {} acts so far", log.acts.len());
    }
    let last = agent.take().unwrap_or_else(|| start(scene));
    each_act_has_its_record(scene, world, &mut log);
    done.store(true, Ordering::Relaxed);
    let mut remains = Vec::new();
    until("nothing is left of all that was done", PATIENCE, || {
        let before = std::mem::replace(&mut remains, left(scene, world));
        if remains != before {
            println!("left: {remains:?}");
        }
        remains.is_empty()
    });
    assert!(last.stop().success());
    all_that_is_left_is_sound(scene, &[scene.lab.path("state/worker/own/history")]);
    // The test is about what it says: both were rotated, and each response was carried out.
    let state = fs::read_dir(scene.lab.path("state")).unwrap();
    let names = state.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.filter(|name| name.starts_with("audit-")).count() > 0, "{lines} lines");
    for response in ["kill", "stop", "quarantine", "deny"] {
        let count = log.acts.values().filter(|line| line["response"] == response).count();
        println!("{count} times {response}");
        assert!(count > 0, "{response} was never carried out");
    }
    assert!(alerts > 0, "nothing was replayed");
    println!("{kills} kills, {interrupted} decisions cut off, {alerts} alerts replayed");
}

#[test]
fn killed_at_random_moments_while_all_happens_at_once_everything_has_its_record() {
    let test = "killed_at_random_moments_while_all_happens_at_once_everything_has_its_record";
    if !root(test) {
        return;
    }
    let kills = std::env::var(MORE).map_or(KILLS, |text| text.parse().unwrap());
    let scene = Scene::new();
    rules(&scene);
    let (world, done) = (Mutex::new(World::default()), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| provoke(&scene, &world, &done));
        scope.spawn(|| roll_back(&scene, &done));
        // They stop whatever comes of this, or a failure would never be told.
        let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            rounds(&scene, &world, &done, kills);
        }));
        done.store(true, Ordering::Relaxed);
        if let Err(panic) = tried {
            println!("{}", fs::read_to_string(scene.lab.path("log")).unwrap_or_default());
            std::panic::resume_unwind(panic);
        }
    });
    let off = scene.ask(&["emergency", "disable", "--reason", "the test ends"]);
    assert!(off.status.success(), "{off:?}");
    let mut world = world.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for sleeper in &mut world.sleepers {
        drop(sleeper.kill());
        drop(sleeper.wait());
    }
}
