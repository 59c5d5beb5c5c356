//! Who the worker is, what somebody who has taken it over gets, and who may ask the agent what: real
//! processes of other users, each attempt beside the same one as root.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::lab::{AGENT, Lab, root, until};

/// Whatever a busy machine needs.
const PATIENCE: Duration = Duration::from_mins(1);
/// A group that every host has, and that nobody here is in.
pub(crate) const GROUP: &str = "daemon";

/// A line of the status of a process.
fn status(pid: u64, key: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.unwrap_or_else(|| panic!("{key} is not in {text}")).trim().to_owned()
}

fn pids(lab: &Lab) -> (u64, u64) {
    let status = lab.status().unwrap();
    let pid = |who: &str| status[who]["pid"].as_u64().unwrap();
    (pid("guard"), pid("worker"))
}

/// The user and the group that a process runs as.
fn ids(pid: u64) -> (u32, u32) {
    let id = |key: &str| status(pid, key).split_whitespace().next().unwrap().parse().unwrap();
    (id("Uid:"), id("Gid:"))
}

/// A shell command of somebody else, who has no other groups.
fn shell((uid, gid): (u32, u32), words: &str) -> Output {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", words]).current_dir("/").uid(uid).gid(gid).output().unwrap()
}

/// The agent's own command by somebody else, wherever the program lies.
fn asks_alone((uid, gid): (u32, u32), words: &[&str]) -> Output {
    let program = fs::File::open(AGENT).unwrap();
    let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
    command.args(words).current_dir("/").uid(uid).gid(gid).output().unwrap()
}

/// The same of the lab's agent.
pub(crate) fn asks(lab: &Lab, who: (u32, u32), words: &[&str]) -> Output {
    let run = lab.path("run").display().to_string();
    asks_alone(who, &[words, &["--runtime-dir", &run]].concat())
}

/// A bare request at the control socket by somebody else: its status line.
fn post((uid, gid): (u32, u32), socket: &Path, target: &str) -> String {
    let script = "import socket, sys\n\
        s = socket.socket(socket.AF_UNIX)\n\
        s.connect(sys.argv[1])\n\
        s.sendall(f'POST {sys.argv[2]} HTTP/1.0\\r\\nHost: agent\\r\\n\\r\\n'.encode())\n\
        data = b''\n\
        while True:\n\
        \x20   more = s.recv(65536)\n\
        \x20   if not more: break\n\
        \x20   data += more\n\
        print(data.decode())\n";
    let mut command = Command::new("python3");
    command.args(["-c", script]).arg(socket).arg(target).current_dir("/").uid(uid).gid(gid);
    let output = command.output().unwrap();
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn the_worker_is_a_user_without_any_privilege_and_reads_rules_of_root() {
    if !root("the_worker_is_a_user_without_any_privilege_and_reads_rules_of_root") {
        return;
    }
    let lab = Lab::new();
    // The lab is root's alone (0700), and so is this rule.
    fs::set_permissions(lab.path("."), fs::Permissions::from_mode(0o700)).unwrap();
    let rule = lab.path("rules/scratch.toml");
    fs::set_permissions(&rule, fs::Permissions::from_mode(0o600)).unwrap();
    let agent = lab.start();
    let (guard, worker) = pids(&lab);
    let (uid, gid) = ids(worker);
    assert!(uid != 0 && gid != 0, "{uid} {gid}");
    assert_eq!(ids(guard), (0, 0), "the control");
    let all = |id: u32| [id; 4].map(|id| id.to_string()).join("\t");
    assert_eq!((status(worker, "Uid:"), status(worker, "Gid:")), (all(uid), all(gid)));
    assert_eq!(status(worker, "Groups:"), "");
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(u64::from_str_radix(&status(worker, set), 16), Ok(0), "{set}");
    }
    assert_ne!(u64::from_str_radix(&status(guard, "CapEff:"), 16), Ok(0), "the control");
    assert_eq!(status(worker, "NoNewPrivs:"), "1");
    let known = lab.status().unwrap()["worker"]["user"].clone();
    let name = nix::unistd::User::from_uid(uid.into()).unwrap().unwrap().name;
    assert_eq!(known, Value::from(name), "status says who it is");
    agent
        .alert(lab.run_scratch("x"), PATIENCE)
        .expect("an alert by a rule that only root can read");
    // It sees that files change which it could not look at, and has them read.
    lab.rule("second", &lab.path("y").display().to_string());
    let second = lab.path("rules/second.toml");
    fs::set_permissions(&second, fs::Permissions::from_mode(0o600)).unwrap();
    until("the second rule runs", PATIENCE, || {
        let rules = lab.ask(&["rules", "-o", "json"]).stdout;
        String::from_utf8(rules).unwrap().contains("\"second\"")
    });
    agent.alert(lab.run_scratch("y"), PATIENCE).expect("an alert of the second rule");
    // What it keeps is its own, and all else is not.
    let own = lab.path("state/worker/own");
    assert_eq!((fs::metadata(&own).unwrap().uid(), mode(&own)), (uid, 0o700));
    let log = lab.path("state/audit.jsonl");
    assert_eq!((fs::metadata(&log).unwrap().uid(), mode(&log)), (0, 0o600));
    let lines = fs::read_to_string(&log).unwrap();
    assert!(lines.contains("\"rules-loaded\""), "what the worker notes is in root's log: {lines}");
    assert!(agent.stop().success());
}

#[test]
fn whoever_has_the_worker_has_not_the_agent() {
    if !root("whoever_has_the_worker_has_not_the_agent") {
        return;
    }
    let lab = Lab::new();
    // What keeps the worker out is not where the lab lies.
    fs::set_permissions(lab.path("."), fs::Permissions::from_mode(0o755)).unwrap();
    let agent = lab.start();
    let (guard, worker) = pids(&lab);
    let (him, me) = (ids(worker), (0, 0));
    for dir in ["state", "state/worker", "run"] {
        fs::set_permissions(lab.path(dir), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let at = |name: &str| lab.path(name).display().to_string();
    let attempts = [
        ("what actions were granted", format!("true >> {}", at("state/granted.json"))),
        ("the audit log", format!("true >> {}", at("state/audit.jsonl"))),
        ("to read the audit log", format!("cat {}", at("state/audit.jsonl"))),
        ("a policy", format!("mkdir -p {0} && rmdir {0}", at("state/policies-of-mine"))),
        ("a rule", format!("true >> {}", at("rules/scratch.toml"))),
        ("the control socket", format!("touch {}", at("run/control.sock"))),
        ("passwords", "cat /etc/shadow".to_owned()),
        ("pinned programs and maps", "ls /sys/fs/bpf".to_owned()),
        ("a signal to the guard", format!("kill -0 {guard}")),
        ("the guard's memory", format!("head -c 0 /proc/{guard}/mem")),
        ("the guard's descriptors", format!("ls /proc/{guard}/fd")),
    ];
    for (what, words) in &attempts {
        let tried = shell(him, words);
        let said = String::from_utf8_lossy(&tried.stderr).into_owned();
        assert!(!tried.status.success(), "{what}: {words} goes well");
        assert!(
            said.contains("ermission denied") || said.contains("not permitted"),
            "{what}: refused for another reason: {said}"
        );
        let control = shell(me, words);
        assert!(control.status.success(), "{what}, the control: {control:?}");
    }
    // What it may: its own.
    assert!(shell(him, &format!("true >> {}", at("state/worker/own/x"))).status.success());
    assert!(agent.stop().success());
}

/// What the worker's end of its socket to the guard takes: `[4, 0]` asks which policies are in force, `[4, 1]`
/// puts one in force, `[4, 2]` switches enforcement off.
fn message(kind: u8) -> [u8; 18] {
    let mut bytes = [0; 18];
    (bytes[0], bytes[1]) = (4, kind);
    bytes
}

/// Sends that as the worker, on the very socket that it has.
fn forge(worker: u64, bytes: &[u8]) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(worker).unwrap()).unwrap();
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
    let flags = rustix::process::PidfdGetfdFlags::empty();
    let socket = rustix::process::pidfd_getfd(&pidfd, 0, flags).unwrap();
    rustix::net::send(&socket, bytes, rustix::net::SendFlags::NOSIGNAL).unwrap();
}

#[test]
fn a_change_in_the_name_of_root_ends_the_worker_that_asks_for_it() {
    if !root("a_change_in_the_name_of_root_ends_the_worker_that_asks_for_it") {
        return;
    }
    let lab = Lab::new();
    let agent = lab.start();
    let (_, worker) = pids(&lab);
    forge(worker, &message(0));
    assert!(lab.status().is_some());
    assert_eq!(pids(&lab).1, worker, "the control: it may ask");
    for kind in [1, 2] {
        let (_, worker) = pids(&lab);
        forge(worker, &message(kind));
        until("another worker answers", PATIENCE, || {
            lab.status().is_some_and(|status| status["worker"]["pid"] != worker)
        });
        assert_eq!(policy(&lab)["disabled"], false, "nothing has changed");
    }
    let log = fs::read_to_string(lab.path("log")).unwrap();
    assert!(log.contains("the worker changes nothing"), "{log}");
    let done = disable((0, 0), &lab.path("run/change.sock"));
    assert!(done.status.success(), "{done:?}");
    assert_eq!(policy(&lab)["disabled"], true, "the control: root asks the guard");
    assert!(agent.stop().success());
}

/// Bits of capabilities: `CAP_NET_RAW`, `CAP_SYS_MODULE`, `CAP_SYS_RAWIO`, `CAP_SYS_BOOT`, `CAP_SYS_TIME`.
const GIVEN_UP: [u32; 5] = [13, 16, 17, 22, 25];
/// `CAP_SYS_ADMIN`, `CAP_PERFMON`, `CAP_BPF`.
const KEPT: [u32; 3] = [21, 38, 39];

#[test]
fn the_guard_gives_up_what_no_feature_needs_and_doctor_tells_what_it_keeps() {
    if !root("the_guard_gives_up_what_no_feature_needs_and_doctor_tells_what_it_keeps") {
        return;
    }
    let lab = Lab::new();
    let agent = lab.start();
    let (guard, _) = pids(&lab);
    let has = |pid: u64, set: &str, bit: u32| {
        u64::from_str_radix(&status(pid, set), 16).unwrap() >> bit & 1 == 1
    };
    for bit in GIVEN_UP {
        for set in ["CapEff:", "CapPrm:", "CapInh:", "CapBnd:"] {
            assert!(!has(guard, set, bit), "{set} {bit}");
        }
    }
    for bit in KEPT {
        assert!(has(guard, "CapEff:", bit), "{bit}: the control");
    }
    assert!(agent.stop().success());
    let doctor = Command::new(AGENT).args(["doctor", "-o", "json"]).output().unwrap();
    let doctor: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let rows = doctor["capabilities"].as_array().unwrap();
    let row = |name: &str| rows.iter().find(|row| row["capability"] == name);
    assert_eq!(row("CAP_BPF").unwrap()["has"], true);
    assert!(row("CAP_KILL").unwrap()["for"].as_str().unwrap().contains("end processes"));
    assert!(row("CAP_SYS_MODULE").is_none(), "no feature needs it");
}

#[test]
fn state_that_others_may_read_is_refused_by_name() {
    if !root("state_that_others_may_read_is_refused_by_name") {
        return;
    }
    let lab = Lab::new();
    assert!(lab.start().stop().success());
    // The control: what the agent has made itself is good enough for it.
    assert!(lab.start().stop().success());
    let log = lab.path("state/audit.jsonl");
    fs::set_permissions(&log, fs::Permissions::from_mode(0o644)).unwrap();
    let mut command = lab.command();
    command.arg("--state-dir").arg(lab.path("state"));
    let refused = command.output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(73), "{said}");
    assert!(said.contains("audit.jsonl is open to others (owner 0, mode 644)"), "{said}");
}

/// `change.sock` takes the guard's own messages: this one switches enforcement off.
const DISABLE: &str = "import socket, sys\n\
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n\
    s.connect(sys.argv[1])\n\
    s.send(bytes([4, 2]) + bytes(4 + 8 + 4))\n\
    print(s.recv(65536)[1:].decode())\n";

fn disable((uid, gid): (u32, u32), socket: &Path) -> Output {
    let mut command = Command::new("python3");
    command.args(["-c", DISABLE]).arg(socket).current_dir("/").uid(uid).gid(gid);
    command.output().unwrap()
}

/// Takes so many places at a socket and sends these words at each; says that it has, and keeps them until its
/// input ends.
const TAKE: &str = "import socket, sys\n\
    taken = []\n\
    for _ in range(int(sys.argv[2])):\n\
    \x20   s = socket.socket(socket.AF_UNIX)\n\
    \x20   s.connect(sys.argv[1])\n\
    \x20   s.sendall(sys.argv[3].encode())\n\
    \x20   taken.append(s)\n\
    print('taken', flush=True)\n\
    sys.stdin.read()\n";

fn take((uid, gid): (u32, u32), socket: &Path, number: &str, words: &str) -> Child {
    let mut command = Command::new("python3");
    command.args(["-c", TAKE]).arg(socket).args([number, words]).current_dir("/").uid(uid).gid(gid);
    let mut taker = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = [0; 5];
    taker.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
    taker
}

#[test]
fn a_group_that_takes_all_its_places_does_not_keep_root_out() {
    if !root("a_group_that_takes_all_its_places_does_not_keep_root_out") {
        return;
    }
    let lab = Lab::new();
    fs::set_permissions(lab.path("."), fs::Permissions::from_mode(0o755)).unwrap();
    let group = nix::unistd::Group::from_name(GROUP).unwrap().unwrap().gid.as_raw();
    let agent = lab.start_with(&["--group", GROUP]);
    let (member, other) = ((12_345, group), (12_346, group));
    let socket = lab.path("run/control.sock");
    assert!(asks(&lab, other, &["status"]).status.success(), "the control");

    // Who says nothing has a place for some seconds.
    let mut silent = take(member, &socket, "32", "");
    let refused = asks(&lab, other, &["status"]);
    assert_eq!(refused.status.code(), Some(75), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("too many"), "{refused:?}");
    assert!(asks(&lab, (0, 0), &["status"]).status.success(), "root has places of its own");
    until("the silent are hung up on", PATIENCE, || {
        asks(&lab, other, &["status"]).status.success()
    });
    assert!(silent.try_wait().unwrap().is_none(), "they have not left");

    // Who reads alerts has a place for as long as he likes.
    let follow = "GET /v1/alerts?follow=true HTTP/1.0\r\n\r\n";
    let mut readers = take(member, &socket, "4", follow);
    let refused = asks(&lab, other, &["alerts", "--follow"]);
    assert_eq!(refused.status.code(), Some(75), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("others than root") && said.contains("end one of them"), "{said}");
    let mut root = UnixStream::connect(&socket).unwrap();
    root.write_all(follow.as_bytes()).unwrap();
    let mut status = [0; 12];
    root.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.0 200", "root reads");
    for taker in [&mut silent, &mut readers] {
        drop(taker.stdin.take());
        assert!(taker.wait().unwrap().success());
    }
    assert!(agent.stop().success());
}

#[test]
fn root_changes_a_group_reads_and_others_are_kept_out_by_the_kernel() {
    if !root("root_changes_a_group_reads_and_others_are_kept_out_by_the_kernel") {
        return;
    }
    let lab = Lab::new();
    fs::set_permissions(lab.path("."), fs::Permissions::from_mode(0o755)).unwrap();
    let group = nix::unistd::Group::from_name(GROUP).unwrap().unwrap().gid.as_raw();
    let agent = lab.start_with(&["--group", GROUP]);
    let (run, socket) = (lab.path("run"), lab.path("run/control.sock"));
    let about = fs::metadata(&socket).unwrap();
    assert_eq!((about.uid(), about.gid(), mode(&socket)), (0, group, 0o660));
    assert_eq!((fs::metadata(&run).unwrap().gid(), mode(&run)), (group, 0o750));
    let (member, stranger) = ((12_345, group), (12_345, 12_345));
    for words in [&["status"][..], &["rules"], &["alerts"], &["events"], &["doctor"], &["why"]] {
        assert!(asks(&lab, (0, 0), words).status.success(), "{words:?}: the control");
        let read = asks(&lab, member, words);
        assert!(read.status.success(), "{words:?}: {read:?}");
        let refused = asks(&lab, stranger, words);
        assert_eq!(refused.status.code(), Some(4), "{words:?}: {refused:?}");
    }
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    for (words, why) in [
        (&["reload"][..], "only root may change"),
        (&["rules", "rollback", "--reason", "x"], "only root may change"),
        (&["events", "--where", "process.pid == 1"], "only root may give a condition"),
    ] {
        let refused = asks(&lab, member, words);
        assert_eq!(refused.status.code(), Some(4), "{words:?}: {refused:?}");
        assert!(said(&refused).contains(why), "{words:?}: {}", said(&refused));
    }
    // What is kept on disk is root's: that is said, and not that there is nothing.
    let state = lab.path("state").display().to_string();
    for words in [
        &["policy", "history"][..],
        &["emergency", "status"],
        &["actions"],
        &["block", "list"],
        &["allow", "list"],
        &["why", "1"],
    ] {
        let words = [words, &["--state-dir", &state]].concat();
        let refused = asks(&lab, member, &words);
        assert_eq!(refused.status.code(), Some(4), "{words:?}: {refused:?}");
        let told = said(&refused);
        assert!(told.contains("Permission denied") && told.contains("sudo"), "{words:?}: {told}");
        let control = asks(&lab, (0, 0), &words);
        assert_ne!(control.status.code(), Some(4), "{words:?}: the control: {control:?}");
    }
    let refused = asks_alone(member, &["tree", "1", "--state-dir", &state]);
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    assert!(asks(&lab, (0, 0), &["reload"]).status.success(), "the control");
    let answer = post(member, &socket, "/v1/reload");
    assert!(answer.starts_with("HTTP/1.0 403"), "{answer}");
    assert!(post((0, 0), &socket, "/v1/reload").starts_with("HTTP/1.0 200"), "the control");
    // What the guard decides is not asked there, whoever asks.
    let answer = post((0, 0), &socket, "/v1/emergency?enforce=false");
    assert!(answer.starts_with("HTTP/1.0 403") && answer.contains("own socket"), "{answer}");
    // Nor is anybody but root answered by the guard, also if the socket were open to all.
    fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).unwrap();
    let change = lab.path("run/change.sock");
    assert_eq!(mode(&change), 0o600);
    let refused = disable(member, &change);
    assert!(said(&refused).contains("PermissionError"), "{refused:?}");
    fs::set_permissions(&change, fs::Permissions::from_mode(0o666)).unwrap();
    let refused = disable(member, &change);
    assert!(!String::from_utf8_lossy(&refused.stdout).contains("disabled"), "{refused:?}");
    assert_eq!(policy(&lab)["disabled"], false, "nothing has changed");
    let done = disable((0, 0), &change);
    assert!(String::from_utf8_lossy(&done.stdout).contains("\"disabled\":true"), "{done:?}");
    assert_eq!(policy(&lab)["disabled"], true, "the control");
    assert!(agent.stop().success());
}

fn policy(lab: &Lab) -> Value {
    lab.status().unwrap()["kernel_counters"]["policy"].clone()
}

#[test]
fn nobody_names_root_as_the_user_of_the_worker() {
    if !root("nobody_names_root_as_the_user_of_the_worker") {
        return;
    }
    let lab = Lab::new();
    for (user, why) in [("root", "it reads rules of strangers"), ("no-such-user", "has no user")] {
        let mut command = lab.command();
        command.args(["--user", user]).arg("--state-dir").arg(lab.path("state"));
        let refused = command.output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains(why), "{refused:?}");
    }
}
