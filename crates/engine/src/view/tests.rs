//! Every field is filled by something, and nothing is made up.

use std::collections::HashSet;
use std::sync::Arc;

use model::field::{self, FIELDS, FieldId};
use model::program::{Expr, Filter, Logic, Place, Program, Query, Rule, RuleMeta, Test};
use model::value::{Fields, Value};
use model::wire::{
    self, Builder, RecAct, RecFile, RecIds, RecNet, TASK_DELETED, TASK_MEMFD, TASK_SCRIPT,
    TASK_SECURE, TASK_STDIN_TTY, TASK_STDOUT_SOCKET,
};
use serde_json::{Map, Value as Json};
use zerocopy::FromZeros;

use crate::engine::{Engine, Prepared};
use crate::facts::Fact;
use crate::process::Key;
use crate::testing::{Bytes, MS, Task, header, host, key};

const INIT: Key = Key { pid: 1, start: 10 * MS };
const SHELL: Key = Key { pid: 50, start: 200 * MS };
const CHILD: Key = Key { pid: 51, start: 300 * MS };

/// A program with a rule about a variable.
fn asks_for(variable: &str) -> Arc<Program> {
    let start = format!("{variable}=").into_bytes();
    let test = Test::Part { place: Place::Start, any: vec![start], fold: false };
    let condition = Expr::Test(field::PROCESS_ENV_VARS, test);
    let query = Query::Event(Filter { category: None, condition });
    let (meta, logic, pipes) = (RuleMeta::default(), Logic::Complement, Vec::new());
    let rules = vec![Rule { meta, logic, query, pipes }];
    Arc::new(Program { rules, ..Program::default() })
}

fn engine() -> Engine {
    let mut engine = Engine::new(asks_for("LD_PRELOAD"), host()).unwrap();
    for fact in [
        Fact::User { id: 0, name: b"root".to_vec() },
        Fact::User { id: 1000, name: b"ada".to_vec() },
        Fact::Group { id: 0, name: b"root".to_vec() },
        Fact::Cgroup {
            id: 9,
            path: format!("/system.slice/docker-{}.scope", "c".repeat(64)).into_bytes(),
        },
    ] {
        engine.learn(fact);
    }
    engine
}

/// A task with every field that a source can fill.
fn rich(task: Task) -> Task {
    let mut task = task.args(&["sh", "-c", "id; \u{e9}"]).with(|task| {
        task.h.cgroup = 9;
        (task.ruid, task.rgid, task.suid, task.sgid) = (1000, 1000, 0, 0);
        task.loginuid = 1000;
        (task.cap_permitted, task.cap_effective) = (1 << 21, 1 << 0);
        (task.ns_pid, task.ns_mnt, task.ns_net, task.ns_user) = (11, 12, 13, 14);
        (task.pgid, task.sid, task.tty) = (SHELL.pid, SHELL.pid, 136 << 8 | 3);
        (task.exe_ino, task.exe_mode, task.exe_uid) = (99, 0o104_755, 0);
        task.task_flags = TASK_MEMFD
            | TASK_DELETED
            | TASK_SCRIPT
            | TASK_SECURE
            | TASK_STDIN_TTY
            | TASK_STDOUT_SOCKET;
    });
    let (env, cwd, comm) =
        (task.part(b"TOKEN=secret\0LD_PRELOAD=x\0"), task.part(b"/root"), task.part(b"sh"));
    let script = task.part(b"/tmp/run.sh");
    task.with(|task| (task.env, task.cwd, task.comm, task.script) = (env, cwd, comm, script))
}

fn file(kind: u32, time: u64) -> Bytes {
    let mut tail = Builder::<RecFile>::new();
    let mut fixed = RecFile::new_zeroed();
    fixed.h = header(kind, time, CHILD);
    fixed.path = tail.push(b"/etc/cron.d/job.new");
    fixed.old_path = tail.push(b"/tmp/job.old");
    fixed.name = tail.push(b"ext4");
    (fixed.ino, fixed.mode, fixed.size, fixed.changed) = (5, 0o104_755, 0, wire::ATTR_MODE);
    fixed.open_flags = 1;
    Bytes::of(tail, &fixed)
}

fn net(kind: u32, time: u64, change: impl FnOnce(&mut RecNet)) -> Bytes {
    let mut tail = Builder::<RecNet>::new();
    let mut fixed = RecNet::new_zeroed();
    fixed.h = header(kind, time, CHILD);
    fixed.name = tail.push(b"example.org");
    (fixed.family, fixed.protocol, fixed.sport, fixed.dport) = (2, 6, 40_000, 443);
    fixed.saddr[..4].copy_from_slice(&[10, 0, 0, 1]);
    fixed.daddr[..4].copy_from_slice(&[192, 0, 2, 7]);
    fixed.dns_type = 28;
    change(&mut fixed);
    Bytes::of(tail, &fixed)
}

fn act(kind: u32, time: u64) -> Bytes {
    let mut tail = Builder::<RecAct>::new();
    let mut fixed = RecAct::new_zeroed();
    fixed.h = header(kind, time, CHILD);
    (fixed.target_pid, fixed.target_start, fixed.op) = (SHELL.pid, SHELL.start, 9);
    (fixed.value, fixed.value2) = (0x0002_0000, 4_026_531_840);
    fixed.name = tail.push(b"nf_tables");
    fixed.path = tail.push(b"/lib/modules/nf_tables.ko");
    Bytes::of(tail, &fixed)
}

fn samples() -> Vec<Bytes> {
    let init = Task::found(100 * MS, INIT, Key::default(), "/usr/lib/systemd/systemd");
    let mut ids = RecIds::new_zeroed();
    ids.h = header(wire::KIND_SETUID, 400 * MS, CHILD);
    ids.old_uid = 1000;
    let mut samples = vec![
        rich(init).with(|task| task.sid = 1).done(),
        rich(Task::exec(200 * MS, SHELL, INIT, "/bin/sh")).done(),
        Task::fork(300 * MS, CHILD, SHELL).done(),
        rich(Task::exec(310 * MS, CHILD, SHELL, "/memfd:payload (deleted)")).done(),
        Bytes::of(Builder::new(), &ids),
    ];
    let kinds = [wire::KIND_OPEN, wire::KIND_RENAME, wire::KIND_ATTR, wire::KIND_MOUNT];
    samples.extend((500..).zip(kinds).map(|(at, kind)| file(kind, at * MS)));
    samples.push(net(wire::KIND_CONNECT, 600 * MS, |_| {}));
    samples.push(net(wire::KIND_DNS, 601 * MS, |_| {}));
    let kinds = [
        wire::KIND_PTRACE,
        wire::KIND_SIGNAL,
        wire::KIND_MODULE,
        wire::KIND_BPF,
        wire::KIND_NAMESPACE,
    ];
    samples.extend((700..).zip(kinds).map(|(at, kind)| act(kind, at * MS)));
    let exit = Task::exit(800 * MS, CHILD, SHELL).with(|task| task.exit_code = 9);
    samples.push(exit.done());
    samples
}

/// Pushes all; returns the last event as JSON.
fn last(samples: &[Bytes]) -> Json {
    let mut engine = engine();
    let mut event = Map::new();
    for sample in samples {
        engine.push(&sample.record(), &mut |view, _| event = model::json::document(view));
    }
    Json::Object(event)
}

#[track_caller]
fn assert_fields(event: &Json, expected: &[(&str, Json)]) {
    for (name, value) in expected {
        let pointer = format!("/{}", name.replace('.', "/"));
        let found = event.pointer(&pointer).cloned().unwrap_or(Json::Null);
        assert_eq!(found, *value, "{name} in {event:#}");
    }
}

#[test]
fn every_field_of_the_table_is_filled_by_some_record() {
    let mut engine = engine();
    let mut filled = HashSet::new();
    for sample in samples() {
        engine.push(&sample.record(), &mut |view, _| {
            for index in 0..u16::try_from(FIELDS.len()).unwrap() {
                if !view.get(FieldId(index)).is_null() {
                    filled.insert(index);
                    let applies = model::applies::kinds(FieldId(index)).contains(view.kind());
                    let name = FIELDS[usize::from(index)].name;
                    assert!(applies, "{name} is filled by {}", view.kind().name());
                }
            }
        });
    }
    let missing: Vec<&str> = FIELDS
        .iter()
        .enumerate()
        .filter(|(index, _)| !filled.contains(&u16::try_from(*index).unwrap()))
        .map(|(_, field)| field.name)
        .collect();
    assert_eq!(missing, [""; 0], "no exception is needed");
}

#[test]
fn an_exec_shows_the_process_and_where_it_comes_from() {
    let event = last(&samples()[..4]);
    let text = |text: &str| Json::from(text);
    assert_fields(
        &event,
        &[
            ("@timestamp", text("1970-01-01T00:16:40.310000000Z")),
            ("event.action", text("exec")),
            ("event.category", Json::from(["process"])),
            ("event.outcome", text("success")),
            ("event.trusted", true.into()),
            ("event.sequence", 3.into()),
            ("process.name", text("memfd:payload (deleted)")),
            ("process.Ext.memfd.name", text("payload")),
            ("process.command_line", text("sh -c id; \u{e9}")),
            ("process.args_count", 3.into()),
            ("process.env_vars", Json::from(["LD_PRELOAD=x"])),
            ("process.previous.name", text("sh")),
            ("process.tty.char_device.minor", 3.into()),
            ("process.thread.capabilities.permitted", Json::from(["CAP_SYS_ADMIN"])),
            ("process.Ext.login_user.id", text("1000")),
            ("process.Ext.in_host_namespaces", true.into()),
            ("process.Ext.executable.mode", 0o4755.into()),
            ("process.parent.pid", 50.into()),
            ("process.parent.name", text("sh")),
            ("process.session_leader.same_as_process", false.into()),
            ("process.entry_leader.entry_meta.type", text("systemd")),
            ("process.entry_leader.pid", 50.into()),
            ("process.Ext.ancestors.name", Json::from(["sh", "systemd"])),
            ("process.real_user.name", text("ada")),
            ("container.runtime", text("docker")),
            ("host.ip", Json::from(["10.0.0.1"])),
            ("file", Json::Null),
            ("process.exit_code", Json::Null),
        ],
    );
    let parent = event.pointer("/process/parent/entity_id").unwrap();
    assert_eq!(event.pointer("/process/Ext/ancestry/0"), Some(parent));
    assert_eq!(parent.as_str().unwrap().len(), 32);
}

#[test]
fn file_events_say_only_what_the_source_knows() {
    let known = last(&[file(wire::KIND_OPEN, MS)]);
    assert_fields(
        &known,
        &[
            ("file.path", "/etc/cron.d/job.new".into()),
            ("file.name", "job.new".into()),
            ("file.directory", "/etc/cron.d".into()),
            ("file.extension", "new".into()),
            ("file.type", "file".into()),
            ("file.mode", 0o4755.into()),
            ("file.size", 0.into()),
            ("file.uid", "0".into()),
            ("file.Ext.setuid", true.into()),
            ("file.Ext.open.write", true.into()),
            ("file.Ext.original.extension", Json::Null),
            ("file.Ext.changed", Json::Null),
            ("file.Ext.filesystem", Json::Null),
            ("process.name", Json::Null),
            ("process.pid", 51.into()),
        ],
    );
    let mut fixed = RecFile::new_zeroed();
    fixed.h = header(wire::KIND_OPEN, MS, CHILD);
    fixed.h.provider = u16::try_from(wire::PROVIDER_FANOTIFY).unwrap();
    let unknown = last(&[Bytes::of(Builder::new(), &fixed)]);
    assert_fields(&unknown, &[("file", Json::Null), ("event.provider", "fanotify".into())]);
}

#[test]
fn connections_have_a_direction_and_an_outcome() {
    let mapped = |net: &mut RecNet| {
        net.family = 10;
        net.daddr = "::ffff:192.0.2.7".parse::<std::net::Ipv6Addr>().unwrap().octets();
        net.saddr = [0; 16];
        net.result = -111;
    };
    let event = last(&[net(wire::KIND_CONNECT, MS, mapped)]);
    assert_fields(
        &event,
        &[
            ("destination.ip", "192.0.2.7".into()),
            ("destination.address", "192.0.2.7".into()),
            ("destination.port", 443.into()),
            ("source.ip", Json::Null),
            ("network.direction", "egress".into()),
            ("network.type", "ipv4".into()),
            ("network.transport", "tcp".into()),
            ("event.outcome", "failure".into()),
            ("event.type", Json::from(["start", "connection"])),
        ],
    );
    let event = last(&[net(wire::KIND_ACCEPT, MS, |net| net.result = 1)]);
    assert_fields(
        &event,
        &[
            ("source.ip", "192.0.2.7".into()),
            ("destination.port", 40_000.into()),
            ("network.direction", "ingress".into()),
            ("event.outcome", Json::Null),
        ],
    );
    let event = last(&[net(wire::KIND_LISTEN, MS, |net| net.saddr = [0; 16])]);
    assert_fields(&event, &[("source.ip", "0.0.0.0".into()), ("network.direction", Json::Null)]);
}

#[test]
fn an_exit_status_is_shown_as_shells_do() {
    for (status, code) in [(0, 0), (3 << 8, 3), (9, 137), (0x8b, 139)] {
        let exit = Task::exit(MS, CHILD, SHELL).with(|task| task.exit_code = status);
        assert_fields(&last(&[exit.done()]), &[("process.exit_code", code.into())]);
    }
}

#[test]
fn an_identity_depends_on_process_and_start_and_not_on_the_record() {
    let id = |task: Task| {
        let mut engine = engine();
        let mut id = Json::Null;
        engine.push(&task.done().record(), &mut |view, _| {
            let Value::Str(text) = view.get(field::PROCESS_ENTITY_ID) else { panic!("no id") };
            id = String::from_utf8_lossy(text).into();
        });
        id
    };
    let exact = id(Task::exec(MS, key(7, 123_456_789), INIT, "/bin/sh"));
    assert_eq!(exact, id(Task::exit(900 * MS, key(7, 123_456_789), INIT)));
    assert_ne!(exact, id(Task::fork(9 * MS, key(8, 123_456_789), INIT)), "another pid");
    assert_ne!(exact, id(Task::fork(9 * MS, key(7, 123_456_790), INIT)), "within the same tick");
}

#[test]
fn values_that_are_put_together_do_not_outlive_their_event() {
    let mut engine = engine();
    for (name, line) in [("/bin/a", "a one"), ("/bin/b", "b two")] {
        let exec = Task::exec(MS, CHILD, SHELL, name).args(&line.split(' ').collect::<Vec<_>>());
        engine.push(&exec.done().record(), &mut |view, _| {
            for _ in 0..2 {
                assert_eq!(view.get(field::PROCESS_COMMAND_LINE), Value::str(line));
            }
        });
    }
}

#[test]
fn a_process_without_a_known_executable_goes_by_its_comm() {
    let first = Task::found(100 * MS, INIT, Key::default(), "");
    let mut first = first.with(|task| task.exe = model::wire::Span { off: 0, len: 0 });
    let comm = first.part(b"init-of-host");
    let first = first.with(|task| task.comm = comm).done();
    let event = last(&[first, Task::fork(300 * MS, CHILD, INIT).done()]);
    let name = Json::from("init-of-host");
    assert_fields(
        &event,
        &[
            ("process.parent.name", name.clone()),
            ("process.parent.executable", Json::Null),
            ("process.name", name),
            ("process.executable", Json::Null),
        ],
    );
}

#[test]
fn a_variable_that_no_rule_asks_for_is_seen_by_nobody() {
    let samples = samples();
    let shown = |engine: &mut Engine, sample: &Bytes| {
        let (mut event, mut hits) = (Map::new(), 0);
        engine.push(&sample.record(), &mut |view, matches| {
            (event, hits) = (model::json::document(view), matches.len());
            assert!(!format!("{view:?}").contains("secret"));
        });
        (Json::Object(event).pointer("/process/env_vars").cloned().unwrap_or_default(), hits)
    };
    let mut engine = engine();
    let asked = Json::from(["LD_PRELOAD=x"]);
    shown(&mut engine, &samples[0]);
    assert_eq!(shown(&mut engine, &samples[1]), (asked.clone(), 1), "an exec, from its record");
    assert_eq!(shown(&mut engine, &samples[2]), (asked, 1), "its fork, from the table");
    // Other rules: what was kept for the old ones is not shown to them either.
    engine.swap(Prepared::new(asks_for("TOKENS")).unwrap());
    assert_eq!(shown(&mut engine, &samples[2]), (Json::Null, 0));
    assert_eq!(shown(&mut engine, &samples[3]), (Json::Null, 0));
}
