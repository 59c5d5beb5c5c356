//! What the tests let other processes do: this test binary is started again for one act.

use std::process::{Command, Stdio};

use nix::libc;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Pid, Uid, setresgid, setresuid, setsid};

const ACT: &str = "AEGIS_TEST_ACT";

/// Runs a program to its end; gives its pid.
#[track_caller]
pub(crate) fn run(program: &str, args: &[&str]) -> u32 {
    finish(Command::new(program).args(args))
}

/// Runs a line of shell whose `exec`ed program is the one that acts.
#[track_caller]
pub(crate) fn shell(line: &str) -> u32 {
    run("sh", &["-c", line])
}

/// Runs one of [`act`]'s acts in a process of its own.
#[track_caller]
pub(crate) fn child(what: &str) -> u32 {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "children::act", "--nocapture", "--test-threads=1"]);
    finish(command.env(ACT, what))
}

#[track_caller]
fn finish(command: &mut Command) -> u32 {
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let pid = child.id();
    assert!(child.wait().unwrap().success(), "{command:?}");
    pid
}

/// Does nothing unless [`child`] started it.
#[test]
fn act() {
    let Ok(what) = std::env::var(ACT) else { return };
    let (verb, object) = what.split_once(' ').unwrap_or((what.as_str(), ""));
    match verb {
        "many" => (0..20_000).for_each(|n| {
            std::fs::write(format!("{object}/{n}"), "").unwrap();
        }),
        "loop" => (0..20_000).for_each(|_| {
            let uid = |n| Uid::from_raw(n);
            setresuid(uid(1), uid(1), uid(0)).unwrap();
            setresuid(uid(0), uid(0), uid(0)).unwrap();
        }),
        "setuid" => setresuid(Uid::from_raw(12), Uid::from_raw(34), Uid::from_raw(56)).unwrap(),
        "setgid" => setresgid(Gid::from_raw(12), Gid::from_raw(34), Gid::from_raw(56)).unwrap(),
        "setsid" => drop(setsid().unwrap()),
        "unshare" => unshare(CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWNS).unwrap(),
        "seize" => seize(Pid::from_raw(object.parse().unwrap())),
        "bpf" => std::fs::write(object, load_program()).unwrap(),
        _ => panic!("{what}"),
    }
    // Long enough for the ids to be read, which happens after the event.
    if verb.starts_with("set") {
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
}

fn seize(pid: Pid) {
    nix::sys::ptrace::seize(pid, nix::sys::ptrace::Options::empty()).unwrap();
}

/// Loads `return 0` as a socket filter named "tested"; gives what the kernel says of it.
fn load_program() -> String {
    const CODE: [u64; 2] = [0x0000_0000_0000_00b7, 0x0000_0000_0000_0095];
    let license = *b"GPL\0";
    let mut attr = [0u64; 16];
    attr[0] = 1 | 2 << 32;
    attr[1] = CODE.as_ptr().expose_provenance() as u64;
    attr[2] = license.as_ptr().expose_provenance() as u64;
    // Behind type, count, code, licence, log (level, size, buffer), version and flags.
    attr[6] = u64::from_ne_bytes(*b"tested\0\0");
    // SAFETY: `attr` is longer than what the command reads; code and licence outlive the call.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, 5, attr.as_ptr(), 128) };
    assert!(fd >= 0, "{}", std::io::Error::last_os_error());
    std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap()
}
