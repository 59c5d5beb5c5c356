//! Actions on real processes, and the audit log that they leave.

mod lasting;

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fs::{self, OpenOptions};
use std::hash::BuildHasher;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;
use model::policy::Operations;

use super::grants::Grant;
use super::*;
use crate::cli::{Cli, Command as Asked};
use crate::guard::prevent::{TICK, started};
use crate::proto::{Object, Undo, What};

const SCENE: Scene = Scene { worker: 0, off: false };
/// Each alert of a test is another one.
static ALERTS: AtomicU64 = AtomicU64::new(1);
/// Where an actor of its own process works.
const PLACE: &str = "AEGISBPF_TEST_ACTOR";

fn actor(state: &Path, more: &[&str]) -> Actor {
    let words = ["aegisbpf", "run", "--state-dir", state.to_str().unwrap()];
    let words = words.into_iter().chain(more.iter().copied());
    let Asked::Run(args) = Cli::parse_from(words).command else { panic!() };
    let mut actor = Actor::new(&args, Vec::new(), Arc::new(Audit::at(state)));
    let may = Verb::ALL.iter().map(|verb| verb.as_str().to_owned()).collect();
    let grant = |rule: &str, may| Grant { rule: rule.into(), sha256: "5a".into(), may, ttl: None };
    let brief = Grant { ttl: Some(30), ..grant("brief", vec!["stop".to_owned()]) };
    actor.grants.put(vec![grant("all", may), grant("stops", vec!["stop".to_owned()]), brief]);
    actor
}

/// A process of a test, in a group of its own; gone with this value.
struct Victim(Child);

impl Victim {
    fn new(words: &str) -> Victim {
        let mut words = words.splitn(3, ' ');
        let mut command = Command::new(words.next().unwrap());
        command.args(words).stdin(Stdio::null()).process_group(0);
        Victim(command.spawn().unwrap())
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn is_alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    fn asks(&self, rule: &str, verb: Verb) -> Act {
        let start = started(self.pid()).unwrap() * TICK;
        let alert = ALERTS.fetch_add(1, Ordering::Relaxed).into();
        Act {
            rule: rule.into(),
            verb,
            alert,
            pid: self.pid(),
            start,
            object: Object::None,
            operations: Operations::default(),
        }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        end_group(self.pid());
        drop(self.0.wait());
    }
}

fn end_group(pid: u32) {
    let group = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
}

/// The state of a process; none if it has ended.
fn state(pid: u32) -> Option<char> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let state = text.rsplit_once(") ")?.1.chars().next()?;
    (state != 'Z').then_some(state)
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_mins(1), "not so: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn lines(state: &Path) -> Vec<Json> {
    Audit::at(state).lines(|action| action.starts_with("response")).unwrap()
}

/// Decision and reason of the last request.
fn last(state: &Path) -> (String, String) {
    let lines = lines(state);
    let line = lines.iter().rfind(|line| line["action"] == "response").unwrap();
    let of = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    (of("decision"), of("reason"))
}

fn is_sound(state: &Path) {
    let report = capture::audit::verify(state, None, 100, |_| {}).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

#[test]
fn each_verb_does_what_it_says_to_its_process_alone_and_is_written_down_before() {
    let dir = tempfile::tempdir().unwrap();
    let mut actor = actor(dir.path(), &["--enforce"]);
    let (mut one, mut other) = (Victim::new("sleep 60"), Victim::new("sleep 60"));
    actor.act(&one.asks("all", Verb::Stop), SCENE);
    until("it is stopped", || state(one.pid()) == Some('T'));
    assert_ne!(state(other.pid()), Some('T'), "the control");
    actor.act(&one.asks("all", Verb::Continue), SCENE);
    until("it goes on", || state(one.pid()) == Some('S'));
    actor.act(&one.asks("all", Verb::Kill), SCENE);
    until("it has ended", || state(one.pid()).is_none());
    assert!(!one.is_alive() && other.is_alive());

    let tree = Victim::new("sh -c sleep 60 & sh -c 'sleep 60 & wait' & wait");
    let below = || {
        let children = |of: &[u32]| -> Vec<u32> {
            let names = fs::read_dir("/proc")
                .unwrap()
                .filter_map(|one| one.unwrap().file_name().to_str()?.parse::<u32>().ok());
            names.filter(|pid| process::parent(*pid).is_some_and(|one| of.contains(&one))).collect()
        };
        let first = children(&[tree.pid()]);
        let second = children(&first);
        [first, second].concat()
    };
    until("the tree has grown", || below().len() == 3);
    let all = below();
    actor.act(&tree.asks("all", Verb::KillTree), SCENE);
    until("the tree has ended", || all.iter().all(|pid| state(*pid).is_none()));
    until("its root too", || state(tree.pid()).is_none());
    assert!(other.is_alive(), "the control");

    let lines = lines(dir.path());
    let told: Vec<(&str, &str)> = lines
        .iter()
        .map(|line| {
            let of = |name: &str| line[name].as_str().unwrap_or_default();
            (of("response"), if line["of"].is_u64() { of("outcome") } else { of("decision") })
        })
        .collect();
    let verbs = ["stop", "continue", "kill", "kill-tree"];
    let expected: Vec<_> = verbs.iter().flat_map(|verb| [(*verb, "do"), ("", "done")]).collect();
    assert_eq!(told, expected);
    for pair in lines.chunks(2) {
        assert_eq!(pair[1]["of"], pair[0]["seq"], "the outcome names the decision");
        assert_eq!((&pair[0]["rule"], &pair[0]["rule_sha256"]), (&"all".into(), &"5a".into()));
    }
    assert_eq!(lines[7]["processes"], 4, "{}", lines[7]);
    is_sound(dir.path());
}

#[test]
fn what_was_not_granted_or_is_protected_or_somebody_else_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let sleep = fs::canonicalize("/bin/sleep").unwrap();
    let own = dir.path().join("own");
    fs::copy(sleep, &own).unwrap();
    let mut actor = actor(dir.path(), &["--enforce", "--protect", own.to_str().unwrap()]);
    let mut victim = Victim::new("sleep 60");
    let mut refused = |act: &Act| {
        actor.act(act, SCENE);
        let (decision, reason) = last(dir.path());
        assert_eq!(decision, "refused", "{act:?}: {reason}");
        reason
    };
    assert!(refused(&victim.asks("stops", Verb::Kill)).contains("`kill` was not granted"));
    assert!(refused(&victim.asks("other", Verb::Kill)).contains("no rule of this id"));
    let mut act = victim.asks("all", Verb::Kill);
    act.start -= TICK;
    assert!(refused(&act).contains("another process has its number"));
    let mut kept = Victim::new(&format!("{} 60", own.display()));
    assert!(refused(&kept.asks("all", Verb::Kill)).contains("own is protected"));
    let init = Act { pid: 1, start: started(1).unwrap() * TICK, alert: 1, ..act.clone() };
    assert!(refused(&init).contains("init"));
    let me = std::process::id();
    let agent = Act { pid: me, start: started(me).unwrap() * TICK, alert: 2, ..act.clone() };
    assert!(refused(&agent).contains("the agent"));
    if state(2).is_some() && fs::read_link("/proc/2/exe").is_err() {
        let kernel = Act { pid: 2, start: started(2).unwrap() * TICK, alert: 3, ..act.clone() };
        assert!(refused(&kernel).contains("a thread of the kernel"));
    } else {
        println!("SKIP threads of the kernel: none is seen here");
    }
    assert!(victim.is_alive() && kept.is_alive());
    // The control: the same process, asked for by the right rule.
    actor.act(&victim.asks("all", Verb::Kill), SCENE);
    until("it has ended", || state(victim.pid()).is_none());
    is_sound(dir.path());
}

#[test]
fn detection_only_and_the_emergency_switch_leave_a_record_with_the_same_content() {
    let dir = tempfile::tempdir().unwrap();
    let mut victim = Victim::new("sleep 60");
    let act = victim.asks("all", Verb::Kill);
    actor(dir.path(), &[]).act(&act, SCENE);
    actor(dir.path(), &["--enforce"]).act(&act, Scene { off: true, ..SCENE });
    assert!(victim.is_alive());
    actor(dir.path(), &["--enforce"]).act(&act, SCENE);
    until("it has ended", || state(victim.pid()).is_none());
    let lines = lines(dir.path());
    let decisions: Vec<&str> = lines.iter().filter_map(|line| line["decision"].as_str()).collect();
    assert_eq!(decisions, ["would", "would", "do"]);
    assert_eq!(lines[1]["reason"], "the emergency switch is used");
    for name in ["response", "rule", "rule_sha256", "alert", "pid", "start", "executable", "uid"] {
        assert!(!lines[2][name].is_null(), "{name}");
        assert_eq!(lines[0][name], lines[2][name], "{name}");
    }
}

#[test]
fn an_alert_acts_once_and_waits_until_it_is_known_what_its_rule_may() {
    let dir = tempfile::tempdir().unwrap();
    let mut actor = actor(dir.path(), &["--enforce"]);
    let victim = Victim::new("sleep 60");
    let stop = victim.asks("all", Verb::Stop);
    actor.act(&stop, SCENE);
    until("it is stopped", || state(victim.pid()) == Some('T'));
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(i32::try_from(victim.pid()).unwrap()).unwrap(),
        rustix::process::Signal::CONT,
    )
    .unwrap();
    actor.act(&stop, SCENE);
    assert_eq!(lines(dir.path()).len(), 2, "told again, done once");
    assert_ne!(state(victim.pid()), Some('T'));
    // Nobody answers to these options: what is read then is nothing, and the old ones hold.
    actor.options = vec!["--no-such-option".into()];
    actor.rules_changed();
    actor.act(&victim.asks("fresh", Verb::Stop), SCENE);
    assert_eq!((actor.waiting.len(), lines(dir.path()).len()), (1, 2));
    let begin = Instant::now();
    while !actor.waiting.is_empty() {
        assert!(begin.elapsed() < Duration::from_mins(1));
        actor.service(SCENE);
    }
    assert_eq!(last(dir.path()).0, "refused", "it was asked for before that was known");
}

#[test]
fn a_storm_meets_the_limits_then_the_breaker_and_who_is_protected_lives() {
    let dir = tempfile::tempdir().unwrap();
    let mut actor = actor(dir.path(), &["--enforce"]);
    let mut victims: Vec<Victim> = (0..100).map(|_| Victim::new("sleep 60")).collect();
    let mut asked: Vec<Act> = victims.iter().map(|one| one.asks("all", Verb::Kill)).collect();
    for pid in [1, std::process::id()] {
        let start = started(pid).unwrap() * TICK;
        asked.push(Act { pid, start, ..asked[0].clone() });
    }
    let begin = Instant::now();
    for (number, act) in (0..10_000).zip(asked.iter().cycle()) {
        actor.act(&Act { alert: number, ..act.clone() }, SCENE);
    }
    assert!(begin.elapsed() < Duration::from_mins(1), "no limit of a minute began anew");
    let ended = victims.iter_mut().map(Victim::is_alive).filter(|alive| !alive).count();
    assert_eq!(ended, 20, "the share of one rule");
    assert!(state(1).is_some());
    let figures = actor.figures();
    assert_eq!(figures["breaker"], "tripped", "{figures}");
    assert_eq!(actor.notices.len(), 1, "told once among the alerts");
    let audit = Audit::at(dir.path());
    assert_eq!(audit.lines(|action| action == "responses-off").unwrap().len(), 1);
    let counted = |outcome: &str| -> u64 {
        let counts = figures["counts"].as_array().unwrap().iter();
        counts.filter(|one| one["outcome"] == outcome).filter_map(|one| one["count"].as_u64()).sum()
    };
    assert_eq!(counted("done"), 20);
    assert_eq!(counted("done") + counted("would") + counted("refused"), 10_000, "{figures}");
    actor.audit.service(true);
    let lines = lines(dir.path());
    assert!(lines.len() < 500, "{} lines", lines.len());
    let stands_for = |line: &Json| 1 + line["left_out"].as_u64().unwrap_or_default();
    let decisions = lines.iter().filter(|line| line["action"] == "response");
    assert_eq!(decisions.map(stands_for).sum::<u64>(), 10_000, "each is told or counted");
    is_sound(dir.path());

    let resume = Undo { what: What::Resume, uid: 7, reason: "it was a test".into() };
    assert_eq!(actor.undo(&resume), json!({ "resumed": true }));
    let mut fresh = Victim::new("sleep 60");
    actor.act(&fresh.asks("all", Verb::Kill), SCENE);
    until("it has ended", || state(fresh.pid()).is_none());
    assert!(!fresh.is_alive());
    assert_eq!(actor.undo(&resume)["error"], "the circuit breaker has not tripped");
}

#[test]
fn when_nothing_can_be_written_down_the_operators_choice_holds() {
    let dir = tempfile::tempdir().unwrap();
    // A log that is a link is not written; a full disk does the same to it.
    std::os::unix::fs::symlink("/dev/full", dir.path().join("audit.jsonl")).unwrap();
    let mut victim = Victim::new("sleep 60");
    let mut refuses = actor(dir.path(), &["--enforce"]);
    refuses.act(&victim.asks("all", Verb::Kill), SCENE);
    assert!(victim.is_alive(), "the default");
    let notice = refuses.next_notice().unwrap();
    assert_eq!(
        (&notice["action"], &notice["details"]["done"]),
        (&"response_unwritten".into(), &false.into())
    );
    let mut acts = actor(dir.path(), &["--enforce", "--audit-full", "act"]);
    acts.act(&victim.asks("all", Verb::Stop), SCENE);
    assert_ne!(state(victim.pid()), Some('T'), "what could not be undone is not done either way");
    assert_eq!(acts.next_notice().unwrap()["details"]["done"], false);
    acts.act(&victim.asks("all", Verb::Kill), SCENE);
    until("it has ended", || state(victim.pid()).is_none());
    assert_eq!(acts.next_notice().unwrap()["details"]["done"], true);
    assert!(!victim.is_alive());
}

/// Acts on processes of its own until it is killed, and writes down each before; a few times where
/// nobody kills it.
#[test]
fn an_actor_of_its_own_process() {
    let place = std::env::var_os(PLACE).map(PathBuf::from);
    let scratch = tempfile::tempdir().unwrap();
    let dir = place.as_deref().unwrap_or(scratch.path());
    let options = [
        "--enforce",
        "--max-actions",
        "1000000",
        "--max-rule-actions",
        "1000000",
        "--breaker",
        "1000000",
    ];
    let mut actor = actor(dir, &options);
    actor.begin().unwrap();
    let mut pids = OpenOptions::new().create(true).append(true).open(dir.join("pids")).unwrap();
    let rounds = if place.is_some() { u64::MAX } else { 6 };
    let mut victims = Vec::new();
    for round in 0..rounds {
        let (words, verb) = match round % 3 {
            0 => ("sh -c sleep 60 & sleep 60 & wait", Verb::KillTree),
            1 => ("sleep 60", Verb::Kill),
            _ => ("sleep 60", Verb::Stop),
        };
        let victim = Victim::new(words);
        let act = victim.asks("all", verb);
        writeln!(pids, "{} {}", act.pid, act.start).unwrap();
        actor.act(&act, SCENE);
        if verb == Verb::Stop && round % 2 == 0 {
            let what = What::Rule("all".into());
            actor.undo(&Undo { what, uid: 0, reason: "a test".into() });
        }
        victims.push(victim);
        if victims.len() > 20 {
            victims.clear();
        }
    }
    assert_eq!(lines(dir).iter().filter(|line| line["decision"] == "do").count(), 6);
}

#[test]
fn killed_at_200_random_moments_nothing_was_done_without_a_record_and_each_record_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    let random = RandomState::new();
    let mut checked = 0;
    let mut interrupted = 0;
    for round in 0..200_u32 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "guard::act::tests::an_actor_of_its_own_process"])
            .env(PLACE, dir.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let pids = dir.path().join("pids");
        until("it acts", || fs::metadata(&pids).is_ok_and(|about| about.len() > 0));
        std::thread::sleep(Duration::from_micros(random.hash_one(round) % 60_000));
        child.kill().unwrap();
        assert!(child.wait().unwrap().code().is_none(), "it ended before it was killed");
        let text = fs::read_to_string(&pids).unwrap();
        fs::remove_file(&pids).unwrap();
        let asked: Vec<(u32, u64)> = text
            .lines()
            .filter_map(|line| {
                let (pid, start) = line.split_once(' ')?;
                Some((pid.parse().ok()?, start.parse().ok()?))
            })
            .collect();
        let decided: HashMap<(u64, u64), u64> = lines(dir.path())
            .iter()
            .filter(|line| line["decision"] == "do")
            .filter_map(|line| {
                let number = |name: &str| line[name].as_u64();
                Some(((number("pid")?, number("start")?), number("seq")?))
            })
            .collect();
        let mut after = actor(dir.path(), &["--enforce"]);
        for (pid, start) in &asked {
            let here = started(*pid).map(|ticks| ticks * TICK) == Some(*start);
            let is_untouched = here && matches!(state(*pid), Some(state) if state != 'T');
            let number = decided.get(&((*pid).into(), *start));
            assert!(is_untouched || number.is_some(), "{pid} was acted on without a record");
            checked += 1;
        }
        after.begin().unwrap();
        let told = lines(dir.path());
        interrupted = told.iter().filter(|line| line["outcome"] == "interrupted").count();
        let outcomes = told.iter().filter(|line| line["action"] == "response-outcome");
        let explained: HashSet<u64> = outcomes.filter_map(|line| line["of"].as_u64()).collect();
        for line in told.iter().filter(|line| line["decision"] == "do") {
            assert!(explained.contains(&line["seq"].as_u64().unwrap()), "no outcome: {line}");
        }
        for (pid, start) in &asked {
            let here = started(*pid).map(|ticks| ticks * TICK) == Some(*start);
            let number = decided.get(&((*pid).into(), *start));
            if here && state(*pid) == Some('T') {
                assert!(
                    number.is_some_and(|id| after.keep.has(*id)),
                    "{pid} stays stopped for ever"
                );
            }
        }
        after.expire(i64::MAX);
        assert!(after.keep.of(|_| true).is_empty());
        for (pid, _) in &asked {
            end_group(*pid);
        }
    }
    is_sound(dir.path());
    println!("{checked} processes, {interrupted} of 200 moments within an action");
    assert!(checked >= 200 && interrupted > 0, "{checked} processes, {interrupted} interrupted");
}
