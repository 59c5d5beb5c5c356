//! A busy host, and an agent's event thread that sees and records it. Also used by tests of `kestrel`.
#![allow(dead_code, unreachable_pub, reason = "each test uses what it needs")]

use std::sync::Arc;

use capture::{Block, Head, RuleSet};
use engine::{Engine, Fact, Host, Limits};
use model::alert::Match;
use model::program::Program;
use model::wire::{
    Builder, KIND_EXEC, KIND_EXIT, KIND_FORK, KIND_OPEN, KIND_SETUID, KIND_TASK,
    PROVIDER_CONNECTOR, PROVIDER_TRACEPOINT, RecFile, RecHeader, RecIds, RecTask, Record,
};
use sha2::{Digest, Sha256};
use zerocopy::FromZeros;

/// One rule about an event, one about two, one about time.
pub const RULES: &str = r#"
[[rule]]
id = "opens-shadow"
name = "Opens shadow"
description = "One event."
severity = "low"
query = 'file where file.path == "/etc/shadow"'

[[rule]]
id = "run-then-open"
name = "Runs and opens"
description = "Two events."
severity = "low"
query = '''
sequence by process.entity_id with maxspan=1m
  [process where event.type == "start" and process.name == "one"]
  [file where file.path == "/tmp/a"]
'''

[[rule]]
id = "no-exit"
name = "Starts and does not end"
description = "Time decides."
severity = "low"
query = '''
sequence by process.entity_id with maxspan=2s
  [process where event.type == "start" and process.name == "two"]
  ![process where event.type == "end"]
'''
"#;

/// Numbers that look random and are the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn of(&mut self, all: &[&'static str]) -> &'static str {
        let count = u64::try_from(all.len()).unwrap();
        all.get(usize::try_from(self.below(count)).unwrap()).unwrap()
    }
}

fn header(kind: u32, pid: u32, time: u64, dice: &mut Dice) -> RecHeader {
    RecHeader {
        time,
        start: start(pid),
        cgroup: 1 + dice.below(3),
        pid,
        tid: pid,
        uid: u32::try_from(dice.below(3)).unwrap(),
        gid: 5,
        kind: u16::try_from(kind).unwrap(),
        provider: u16::try_from(PROVIDER_TRACEPOINT).unwrap(),
        cpu: u32::try_from(dice.below(4)).unwrap(),
        ..RecHeader::new_zeroed()
    }
}

fn start(pid: u32) -> u64 {
    u64::from(pid) * 1000
}

fn task(kind: u32, pid: u32, time: u64, dice: &mut Dice) -> Vec<u8> {
    let parent = pid / 3;
    let mut tail = Builder::<RecTask>::new();
    let mut fixed = RecTask {
        h: header(kind, pid, time, dice),
        ppid: parent,
        parent_start: start(parent),
        cap_effective: dice.below(8),
        pgid: pid / 2,
        sid: pid / 4,
        ruid: 1,
        ns_pid: 7,
        tty: 3,
        exit_code: 256,
        ..RecTask::new_zeroed()
    };
    let name = dice.of(&["one", "two", "three"]);
    if kind == KIND_EXEC || (kind == KIND_TASK && pid > 2) {
        fixed.comm = tail.push(name.as_bytes());
        fixed.exe = tail.push(format!("/usr/bin/{name}").as_bytes());
        fixed.args = tail.push(format!("{name}\0-v\0{}\0", dice.below(9)).as_bytes());
        fixed.cwd = tail.push(b"/root");
        (fixed.argc, fixed.exe_ino, fixed.exe_mode) = (3, 77, 0o100_755);
    }
    tail.finish(&fixed)
}

fn open(pid: u32, time: u64, dice: &mut Dice) -> Vec<u8> {
    let path = dice.of(&["/etc/shadow", "/tmp/a", "/tmp/b"]);
    let mut tail = Builder::<RecFile>::new();
    let mut fixed =
        RecFile { h: header(KIND_OPEN, pid, time, dice), ino: 9, ..RecFile::new_zeroed() };
    fixed.path = tail.push(path.as_bytes());
    tail.finish(&fixed)
}

fn setuid(pid: u32, time: u64, dice: &mut Dice) -> Vec<u8> {
    let mut fixed = RecIds { h: header(KIND_SETUID, pid, time, dice), ..RecIds::new_zeroed() };
    fixed.ruid = 4;
    if dice.below(2) == 0 {
        fixed.h.provider = u16::try_from(PROVIDER_CONNECTOR).unwrap();
    }
    Builder::<RecIds>::new().finish(&fixed)
}

/// Processes that are there, start, run, open files, change users and end. The same each time.
pub fn stream(records: u64) -> impl Iterator<Item = Vec<u8>> {
    let mut dice = Dice(7);
    let there: Vec<_> = (1..20).map(|pid| task(KIND_TASK, pid, 100_000, &mut dice)).collect();
    let happened = (0..records).map(move |number| {
        let time = 1_000_000 + number * 40_000_000;
        let pid = u32::try_from(1 + dice.below(90)).unwrap();
        match dice.below(10) {
            0 => task(KIND_FORK, pid, time, &mut dice),
            1 => task(KIND_EXIT, pid, time, &mut dice),
            2 | 3 => task(KIND_EXEC, pid, time, &mut dice),
            4 => setuid(pid, time, &mut dice),
            _ => open(pid, time, &mut dice),
        }
    });
    there.into_iter().chain(happened)
}

/// The rules, compiled.
pub fn program() -> Program {
    let loaded = lang::load([("rules.toml".to_owned(), RULES.to_owned())]);
    assert!(loaded.diagnostics.iter().all(|one| !one.is_error()), "{:?}", loaded.diagnostics);
    loaded.program
}

/// The rules, as recordings name them.
pub fn rules() -> RuleSet {
    RuleSet::of(&program(), [("rules.toml", RULES)].into_iter())
}

/// Where it happens.
pub fn host() -> Host {
    Host { boot_id: "b".to_owned(), boot_time_unix_ns: 1 << 60, ..Host::default() }
}

/// What a recording begins with.
pub fn head(engine: &Engine, first_frame: u64, whole: bool) -> Head {
    Head {
        wire: model::wire::WIRE_VERSION,
        little_endian: cfg!(target_endian = "little"),
        agent: "test".to_owned(),
        kernel: "6.1".to_owned(),
        session: "s".to_owned(),
        first_frame,
        events_before: engine.stats().events,
        whole,
        began: 0,
        host: (&host()).into(),
        rows: Limits::default().rows,
        rules: rules(),
    }
}

/// The agent's event thread, with what it records.
pub struct Live {
    /// What is fed directly.
    pub engine: Engine,
    /// What is recorded of it, until somebody takes it.
    pub block: Block,
    /// How much was found.
    pub alerts: u64,
    /// What was found: SHA-256 of identities, rules and events of all alerts in their order.
    pub digest: Sha256,
}

impl Live {
    /// Knows nothing yet.
    pub fn new() -> Live {
        let engine = Engine::new(Arc::new(program()), host()).unwrap();
        Live { engine, block: Block::new(), alerts: 0, digest: Sha256::new() }
    }

    /// A record, and what the engine asks about it before.
    pub fn take(&mut self, bytes: &[u8]) {
        let record = Record::parse(bytes).unwrap();
        for question in self.engine.questions(&record) {
            let fact = match question {
                engine::Question::User(id) => Fact::User { id, name: b"u".to_vec() },
                engine::Question::Group(id) => Fact::Group { id, name: Vec::new() },
                engine::Question::Cgroup(id) => Fact::Cgroup { id, path: b"/x.service".to_vec() },
                engine::Question::Membership { .. } => panic!("the host has no version 1"),
            };
            self.block.fact(&fact);
            self.engine.learn(fact);
        }
        self.block.record(record.as_bytes());
        let Live { engine, block, alerts, digest } = self;
        engine.push(&record, &mut |_, matches| {
            for matched in matches {
                *alerts += 1;
                add(digest, matched);
                block.matched(matched.id, &matched.rule.id, matched.members);
            }
        });
    }

    fn tick(&mut self, now: u64) {
        self.block.tick(now);
        let Live { engine, block, alerts, digest } = self;
        engine.tick(now, &mut |matched| {
            *alerts += 1;
            add(digest, matched);
            block.matched(matched.id, &matched.rule.id, matched.members);
        });
    }

    /// All records, with a tick now and then; a block after each few.
    pub fn run(
        &mut self,
        records: impl IntoIterator<Item = impl AsRef<[u8]>>,
        each: &mut dyn FnMut(&Block),
    ) {
        for (number, bytes) in records.into_iter().enumerate() {
            self.take(bytes.as_ref());
            if number % 10 == 0 {
                let time = Record::parse(bytes.as_ref()).unwrap().header().time;
                self.tick(time.saturating_sub(1));
            }
            if number % 50 == 49 {
                each(&std::mem::take(&mut self.block));
            }
        }
        self.tick(u64::MAX >> 2);
        each(&std::mem::take(&mut self.block));
    }
}

/// One alert more, as the page on recordings says it.
fn add(digest: &mut Sha256, matched: &Match<'_>) {
    let rule = matched.rule.id.as_bytes();
    digest.update(matched.id.to_le_bytes());
    digest.update((rule.len() as u64).to_le_bytes());
    digest.update(rule);
    digest.update((matched.members.len() as u64).to_le_bytes());
    matched.members.iter().for_each(|member| digest.update(member.to_le_bytes()));
}
