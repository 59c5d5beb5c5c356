//! Process life: exec, fork, exit, the task iterator.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use kernel::Options;
use model::op::Kind;
use model::wire::{
    ARGS_MAX_BYTES, Body, FLAG_CUT_ARGS, RecTask, Record, TASK_MEMFD, TASK_SCRIPT, TASK_SECURE,
    TASK_STDIN_PIPE,
};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::harness::{bench, bench_of, interest, skipped};

fn task<'a>(record: &'a Record<'a>) -> &'a RecTask {
    match record.body() {
        Body::Task(task) => task,
        other => panic!("not a task record: {other:?}"),
    }
}

#[test]
fn an_exec_carries_path_arguments_directory_and_parent() {
    if skipped() {
        return;
    }
    let mut bench = bench(&[Kind::Exec, Kind::Fork, Kind::Exit], Options::default());
    let mut child = Command::new("/bin/sh");
    child.args(["-c", "exit 3", "kestrel-exec"]).current_dir("/usr/share").stdin(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    let bytes = bench.find("exec", |r| r.kind() == Kind::Exec && r.header().pid == pid);
    let record = Record::parse(&bytes).unwrap();
    let exec = task(&record);
    let exe = fs::canonicalize("/bin/sh").unwrap();
    assert_eq!(record.bytes(exec.exe), exe.as_os_str().as_encoded_bytes());
    assert_eq!(record.bytes(exec.args), b"/bin/sh\0-c\0exit 3\0kestrel-exec\0");
    assert_eq!(record.bytes(exec.cwd), b"/usr/share");
    assert_eq!((exec.argc, exec.ppid), (4, std::process::id()));
    assert_ne!(exec.task_flags & TASK_STDIN_PIPE, 0, "standard input is a pipe");
    let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(&exe).unwrap());
    assert_eq!(exec.exe_ino, inode);
    let bytes = bench.find("exit", |r| r.kind() == Kind::Exit && r.header().pid == pid);
    let record = Record::parse(&bytes).unwrap();
    assert_eq!(task(&record).exit_code, 3 << 8);
    assert_eq!(bench.count(|r| r.kind() == Kind::Fork && r.header().pid == pid), 1);
}

#[test]
fn a_script_names_its_interpreter_and_a_deep_path_is_whole() {
    if skipped() {
        return;
    }
    let top = std::env::temp_dir().join(format!("kernel-test-{}", std::process::id()));
    let deep = (0..30).fold(top.clone(), |path, at| path.join(format!("component-{at}")));
    fs::create_dir_all(&deep).unwrap();
    let script = deep.join("script");
    fs::write(&script, "#!/bin/sh\nexit 0\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let binary = deep.join("true");
    fs::copy("/bin/true", &binary).unwrap();
    let mut bench = bench(&[Kind::Exec], Options::default());
    let mut child = Command::new(&script).spawn().unwrap();
    let script_pid = child.id();
    child.wait().unwrap();
    let mut child = Command::new(&binary).arg("x".repeat(30_000)).spawn().unwrap();
    let deep_pid = child.id();
    child.wait().unwrap();
    fs::remove_dir_all(&top).unwrap();
    let bytes = bench.find("script", |r| r.header().pid == script_pid);
    let record = Record::parse(&bytes).unwrap();
    assert_ne!(task(&record).task_flags & TASK_SCRIPT, 0, "started by its first line");
    assert_eq!(record.bytes(task(&record).script), script.as_os_str().as_encoded_bytes());
    assert_eq!(
        record.bytes(task(&record).exe),
        fs::canonicalize("/bin/sh").unwrap().as_os_str().as_encoded_bytes()
    );
    let bytes = bench.find("deep exec", |r| r.header().pid == deep_pid);
    let record = Record::parse(&bytes).unwrap();
    assert_eq!(record.header().flags, 0, "nothing is cut");
    assert_eq!(record.bytes(task(&record).exe), binary.as_os_str().as_encoded_bytes());
    assert_eq!(usize::from(task(&record).args.len), binary.as_os_str().len() + 1 + 30_000 + 1);
}

#[test]
fn an_anonymous_file_is_told_when_made_and_when_run() {
    if skipped() {
        return;
    }
    let mut bench = bench(&[Kind::Exec, Kind::Memfd], Options::default());
    if bench.lacks(Kind::Memfd) {
        return;
    }
    let fd = memfd_create("kestrel-memory", MFdFlags::empty()).unwrap();
    let mut file = fs::File::from(fd);
    file.write_all(&fs::read("/bin/true").unwrap()).unwrap();
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let mut child = Command::new(path).spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    let bytes =
        bench.find("memfd", |r| r.kind() == Kind::Memfd && r.header().pid == std::process::id());
    let record = Record::parse(&bytes).unwrap();
    let Body::File(made) = record.body() else { panic!("{record:?}") };
    assert_eq!(record.bytes(made.name), b"kestrel-memory");
    let bytes = bench.find("exec", |r| r.kind() == Kind::Exec && r.header().pid == pid);
    let record = Record::parse(&bytes).unwrap();
    assert_ne!(task(&record).task_flags & TASK_MEMFD, 0);
    assert_eq!(task(&record).exe_ino, made.ino, "what runs is what was made");
}

#[test]
fn the_environment_comes_only_when_asked_for() {
    if skipped() {
        return;
    }
    for env in [&[][..], &["KESTREL_MARK".to_owned()]] {
        let mut interest = interest(&[Kind::Exec]);
        interest.env = env.to_vec();
        let mut bench = bench_of(&interest, Options::default());
        let mut child = Command::new("/bin/true").env("KESTREL_MARK", "yes").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        let bytes = bench.find("exec", |r| r.header().pid == pid);
        let record = Record::parse(&bytes).unwrap();
        let sent = record.bytes(task(&record).env);
        let marked = sent.split(|b| *b == 0).any(|variable| variable == b"KESTREL_MARK=yes");
        assert_eq!((sent.is_empty(), marked), (env.is_empty(), !env.is_empty()));
    }
}

#[test]
fn a_setuid_program_is_secure() {
    if skipped() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = dir.path().join("true");
    fs::copy("/bin/true", &program).unwrap();
    let mut bench = bench(&[Kind::Exec], Options::default());
    for (mode, secure) in [(0o755, 0), (0o4755, TASK_SECURE)] {
        fs::set_permissions(&program, fs::Permissions::from_mode(mode)).unwrap();
        let mut child = Command::new(&program).uid(65534).gid(65534).spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        let bytes = bench.find("exec", |r| r.header().pid == pid);
        let record = Record::parse(&bytes).unwrap();
        assert_eq!(task(&record).task_flags & TASK_SECURE, secure, "mode {mode:o}");
        assert_eq!(record.header().uid, if secure == 0 { 65534 } else { 0 });
    }
}

#[test]
fn arguments_beyond_the_bound_are_cut_and_counted() {
    if skipped() {
        return;
    }
    let mut bench = bench(&[Kind::Exec], Options::default());
    let words = vec!["w".repeat(999); 100];
    let mut child = Command::new("/bin/true").args(&words).spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    let bytes = bench.find("exec", |r| r.header().pid == pid);
    let record = Record::parse(&bytes).unwrap();
    let exec = task(&record);
    assert_ne!(record.header().flags & FLAG_CUT_ARGS, 0);
    assert_eq!((exec.argc, exec.args_bytes), (101, 100_000 + 10));
    assert!(u32::from(exec.args.len) <= ARGS_MAX_BYTES && exec.args.len > 30_000);
}

/// Set for the process that [`threads_that_end_at_once_end_the_process_once`] starts.
const MANY_THREADS: &str = "AEGIS_TEST_MANY_THREADS";

/// All threads are on their way out at the same time: each may be the last.
#[test]
#[expect(clippy::exit, reason = "exit_group() is what ends all threads at once")]
fn threads_that_end_at_once_end_the_process_once() {
    if std::env::var_os(MANY_THREADS).is_some() {
        for _ in 0..7 {
            std::thread::spawn(|| {
                loop {
                    std::hint::spin_loop();
                }
            });
        }
        std::process::exit(0);
    }
    if skipped() {
        return;
    }
    let mut bench = bench(&[Kind::Exit], Options::default());
    let name = "root::life::threads_that_end_at_once_end_the_process_once";
    for _ in 0..50 {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", name]).env(MANY_THREADS, "1").stdout(Stdio::null());
        let mut child = child.spawn().unwrap();
        let pid = child.id();
        assert!(child.wait().unwrap().success());
        let end = |r: &Record<'_>| r.kind() == Kind::Exit && r.header().pid == pid;
        bench.find("exit", end);
        assert_eq!(bench.count(end), 1, "a process ends once");
    }
}

#[test]
fn the_iterator_yields_this_process() {
    if skipped() {
        return;
    }
    let mut bench = bench(&[], Options::default());
    let mut all = Vec::new();
    fs::File::from(bench.sensors.snapshot().unwrap()).read_to_end(&mut all).unwrap();
    let mut rest = all.as_slice();
    let mut found = 0;
    while !rest.is_empty() {
        let record = Record::parse(rest).unwrap();
        if record.header().pid == std::process::id() {
            found += 1;
            let exe = std::env::current_exe().unwrap();
            assert_eq!(record.bytes(task(&record).exe), exe.as_os_str().as_encoded_bytes());
        }
        let padded = (record.header().len as usize).next_multiple_of(8);
        rest = rest.get(padded..).unwrap();
    }
    assert_eq!(found, 1, "one record a process");
}
