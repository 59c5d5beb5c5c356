//! Cases about the life of processes, their credentials and sessions.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};
use model::op::Kind;

use super::{Case, Control};
use crate::expect::{Want, absent, contains, has, is, is_if_present, lacks, list, present};
use crate::lab::{Actor, Done, Lab};

/// Somebody without any privilege.
const NOBODY: u32 = 65534;
/// Arguments of the long command line: 25 of 4,000 bytes.
const LONG_ARGS: usize = 25;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "program",
        kind: Kind::Exec,
        run: program,
        want: |lab, done| {
            let mut wants = vec![
                is("process.args_count", done.args.len()),
                is("process.command_line", done.args.join(" ")),
                is("process.working_directory", lab.scratch.display()),
                is("process.title", "provoke"),
                is("process.group.name", "root"),
                is("process.user.name", "root"),
                is("process.real_user.id", 0),
                is("process.saved_user.id", 0),
                is("process.real_group.id", 0),
                is("process.Ext.stdin", "pipe"),
                absent("process.Ext.memfd.name"),
                absent("process.Ext.script"),
                is_if_present("process.Ext.memfd.executed", "false"),
                is_if_present("process.Ext.deleted", "false"),
                leader("process.session_leader.pid", done.fact("session")),
                leader("process.group_leader.pid", done.fact("group")),
                is("process.Ext.executable.inode", done.fact("inode")),
                has("process.thread.capabilities.effective", "CAP_CHOWN"),
                present("process.parent.args"),
                present("process.parent.command_line"),
                present("process.entry_leader.entity_id"),
            ];
            if !done.fact("host").is_empty() {
                wants.push(is("process.Ext.in_host_namespaces", done.fact("host")));
            }
            for (field, name) in NAMESPACES {
                wants.push(is(field, done.fact(name)));
            }
            wants
        },
    },
    Case {
        name: "environment that a rule asks for",
        kind: Kind::Exec,
        run: environment,
        want: |_, _| {
            vec![
                has("process.env_vars", "PROVOKE_MARK=yes"),
                lacks("process.env_vars", "PROVOKE_OTHER=no"),
            ]
        },
    },
    Case {
        name: "script",
        kind: Kind::Exec,
        run: script,
        want: |_, done| vec![is("process.Ext.script", done.fact("script"))],
    },
    Case {
        name: "memory file",
        kind: Kind::Exec,
        run: exec_memfd,
        want: |_, done| {
            vec![
                is("process.Ext.memfd.executed", true),
                is("process.Ext.memfd.name", "provoke-memory"),
                contains("process.executable", "memfd:provoke-memory"),
                contains("process.name", ""),
                list("process.args", &["true"]),
                is("process.previous.executable", &done.exe),
            ]
        },
    },
    Case {
        name: "deleted file",
        kind: Kind::Exec,
        run: exec_deleted,
        want: |_, done| {
            vec![
                is("process.Ext.deleted", true),
                contains("process.executable", done.fact("gone")),
                contains("process.name", ""),
                list("process.args", &["true"]),
            ]
        },
    },
    Case {
        name: "100 KB of arguments",
        kind: Kind::Exec,
        run: long_args,
        want: |_, done| {
            vec![
                is("process.args_count", done.args.len()),
                is("process.args_truncated", true),
                has("process.args", "noop"),
                contains("process.command_line", "act noop"),
                present("process.args"),
            ]
        },
    },
    Case {
        name: "setuid program",
        kind: Kind::Exec,
        run: exec_setuid,
        want: |_, _| {
            vec![
                is("process.Ext.setuid", true),
                is("process.real_user.id", NOBODY),
                is("process.saved_user.id", 0),
                is("process.Ext.executable.user.id", 0),
            ]
        },
    },
    Case {
        name: "child of a process older than the agent",
        kind: Kind::Exec,
        run: old_parent,
        want: |lab, done| {
            vec![
                is("process.parent.pid", done.parent),
                is("process.parent.args_count", 3),
                list("process.parent.args", &[lab.exe.as_str(), "act", "veteran"]),
                is("process.parent.command_line", format!("{} act veteran", lab.exe)),
                present("process.parent.start"),
                is("process.parent.user.id", 0),
            ]
        },
    },
    Case {
        name: "container",
        kind: Kind::Exec,
        run: container,
        want: |_, done| {
            vec![
                is("process.parent.pid", done.parent),
                is_if_present("process.Ext.in_host_namespaces", false),
                present("process.Ext.namespace.pid"),
            ]
        },
    },
    Case {
        name: "in the cgroup of a container",
        kind: Kind::Exec,
        run: in_cgroup,
        want: |_, done| {
            vec![
                is("container.id", done.fact("container")),
                is("container.runtime", "docker"),
                is("process.Ext.cgroup.path", done.fact("cgroup")),
            ]
        },
    },
    Case {
        name: "child",
        kind: Kind::Fork,
        run: noop,
        want: |lab, _| {
            // A fork shares all with its parent.
            let args: Vec<String> = std::env::args().collect();
            vec![
                is("process.executable", &lab.exe),
                list("process.args", &args),
                is("process.parent.pid", std::process::id()),
            ]
        },
    },
    Case {
        name: "status",
        kind: Kind::Exit,
        run: |lab| lab.start(&["exit", "3"])?.end(),
        want: |_, _| vec![is("process.exit_code", 3)],
    },
    Case {
        name: "killed",
        kind: Kind::Exit,
        run: killed,
        want: |_, _| vec![is("process.exit_code", 128 + 9)],
    },
    Case {
        name: "all ids",
        kind: Kind::Setuid,
        run: |lab| user(lab, "setuid"),
        want: |_, _| {
            vec![
                is("process.user.id", NOBODY),
                is("user.id", NOBODY),
                is("process.real_user.id", NOBODY),
                is_if_present("process.saved_user.id", NOBODY),
            ]
        },
    },
    Case {
        name: "all ids",
        kind: Kind::Setgid,
        run: |lab| user(lab, "setgid"),
        want: |_, _| {
            vec![
                is("process.group.id", NOBODY),
                is("process.real_group.id", NOBODY),
                is_if_present("process.saved_group.id", NOBODY),
            ]
        },
    },
    Case {
        name: "new session",
        kind: Kind::Setsid,
        run: |lab| lab.act(&["setsid"]),
        want: |_, done| {
            vec![
                is("process.session_leader.pid", done.pid),
                is("process.session_leader.same_as_process", true),
            ]
        },
    },
    Case {
        name: "one capability less",
        kind: Kind::Capset,
        run: |lab| lab.act(&["capset"]),
        want: |_, _| {
            vec![
                has("process.thread.capabilities.effective", "CAP_CHOWN"),
                lacks("process.thread.capabilities.effective", "CAP_SYS_ADMIN"),
                has("process.thread.capabilities.permitted", "CAP_SYS_ADMIN"),
            ]
        },
    },
];

pub(super) const CONTROLS: &[Control] = &[
    Control { name: "a fork without exec", kind: Kind::Exec, run: subshell },
    Control { name: "a thread", kind: Kind::Fork, run: |lab| lab.act(&["thread"]) },
    Control { name: "the end of a thread", kind: Kind::Exit, run: |lab| lab.act(&["thread"]) },
    Control { name: "setgid", kind: Kind::Setuid, run: |lab| user(lab, "setgid") },
    Control { name: "setuid", kind: Kind::Setgid, run: |lab| user(lab, "setuid") },
    Control { name: "setpgid", kind: Kind::Setsid, run: |lab| lab.act(&["setpgid"]) },
    Control { name: "capget", kind: Kind::Capset, run: |lab| lab.act(&["capget"]) },
];

/// Fields of the namespaces and their names in /proc/self/ns.
const NAMESPACES: &[(&str, &str)] = &[
    ("process.Ext.namespace.pid", "pid"),
    ("process.Ext.namespace.mnt", "mnt"),
    ("process.Ext.namespace.net", "net"),
    ("process.Ext.namespace.user", "user"),
];

/// The leader of a session or group; that of the kernel's own, 0, is no process.
fn leader(field: &'static str, pid: &str) -> Want {
    if pid == "0" { absent(field) } else { is(field, pid) }
}

fn noop(lab: &mut Lab) -> Result<Done> {
    lab.act(&["noop"])
}

fn program(lab: &mut Lab) -> Result<Done> {
    // It waits, so that /proc can be asked what is true.
    let actor = lab.waiting()?;
    let pid = i32::try_from(actor.pid()).ok().map(nix::unistd::Pid::from_raw);
    let session = nix::unistd::getsid(pid).context("getsid")?;
    let group = nix::unistd::getpgid(pid).context("getpgid")?;
    let inode = fs::metadata(&lab.exe).context("stat")?.ino();
    let namespace = |pid: &str, name: &str| -> Result<String> {
        let link = fs::read_link(format!("/proc/{pid}/ns/{name}")).context("readlink")?;
        let digits = |c: &char| c.is_ascii_digit();
        Ok(link.to_string_lossy().chars().filter(digits).collect())
    };
    let mut facts = Vec::new();
    for (_, name) in NAMESPACES {
        facts.push((*name, namespace("self", name)?));
    }
    // Root in a container may not look at the namespaces of process 1.
    let host = namespace("1", "pid").and_then(|pid| {
        let mnt = namespace("1", "mnt")?;
        Ok(pid == namespace("self", "pid")? && mnt == namespace("self", "mnt")?)
    });
    let mut done = actor.finish()?;
    // `wait` is the second of the two words after the program.
    done = done.with("session", session).with("group", group).with("inode", inode);
    if let Ok(host) = host {
        done = done.with("host", host);
    }
    for (name, value) in facts {
        done = done.with(name, value);
    }
    Ok(done)
}

fn environment(lab: &mut Lab) -> Result<Done> {
    let mut command = Command::new(&lab.exe);
    command.args(["act", "noop"]).env("PROVOKE_MARK", "yes").env("PROVOKE_OTHER", "no");
    Actor::spawn(command)?.finish()
}

fn script(lab: &mut Lab) -> Result<Done> {
    let (shell, path) = (lab.program("sh")?, lab.path("script"));
    fs::write(&path, format!("#!{shell}\nexit 0\n")).context("writing the script")?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).context("chmod")?;
    let mut command = Command::new(&path);
    command.arg("one");
    let mut done = Actor::spawn(command)?.finish()?;
    done.exe.clone_from(&shell);
    done.args = vec![shell, path.clone(), "one".to_owned()];
    Ok(done.with("script", path))
}

fn exec_memfd(lab: &mut Lab) -> Result<Done> {
    let busybox = lab.busybox.display().to_string();
    lab.act(&["exec-memfd", "provoke-memory", &busybox, "true"])
}

fn exec_deleted(lab: &mut Lab) -> Result<Done> {
    let gone = lab.program("gone")?;
    Ok(lab.act(&["exec-deleted", &gone, "true"])?.with("gone", gone))
}

fn long_args(lab: &mut Lab) -> Result<Done> {
    let mut words = vec!["noop".to_owned()];
    words.extend((0..LONG_ARGS).map(|n| format!("{n:04}").repeat(1000)));
    lab.act(&words)
}

fn exec_setuid(lab: &mut Lab) -> Result<Done> {
    let path = lab.program("true")?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4755)).context("chmod")?;
    let mut command = Command::new(path);
    command.uid(NOBODY).gid(NOBODY);
    let mut done = Actor::spawn(command)?.finish()?;
    done.gid = NOBODY;
    Ok(done)
}

fn old_parent(lab: &mut Lab) -> Result<Done> {
    lab.veteran.go_on()?;
    let child = lab.veteran.fact("child")?;
    let mut done = lab.veteran.done().clone();
    done.parent = done.pid;
    done.pid = child.parse().context("pid")?;
    done.args = vec![lab.exe.clone(), "act".to_owned(), "noop".to_owned()];
    Ok(done)
}

fn container(lab: &mut Lab) -> Result<Done> {
    let mut done = lab.act(&["container"])?;
    done.parent = done.pid;
    done.pid = done.fact("child").parse().context("pid")?;
    done.args = vec![lab.exe.clone(), "act".to_owned(), "noop".to_owned()];
    Ok(done)
}

/// The cgroup stays until the end: its name is looked up when the event is told.
fn in_cgroup(lab: &mut Lab) -> Result<Done> {
    let cgroup = lab.cgroup.as_ref().context("no cgroup2 file system is mounted")?;
    fs::create_dir_all(&cgroup.directory).context("creating the cgroup")?;
    let words = [OsStr::new("in-cgroup"), cgroup.directory.as_os_str()];
    let (id, path) = (cgroup.container.clone(), cgroup.path.clone());
    let mut done = lab.act(&words)?.with("container", id).with("cgroup", path);
    done.args = vec![lab.exe.clone(), "act".to_owned(), "noop".to_owned()];
    Ok(done)
}

fn killed(lab: &mut Lab) -> Result<Done> {
    let actor = lab.waiting()?;
    let pid = i32::try_from(actor.pid()).context("pid")?;
    let signal = nix::sys::signal::Signal::SIGKILL;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).context("kill")?;
    actor.end()
}

fn user(lab: &mut Lab, operation: &str) -> Result<Done> {
    lab.act(&[operation, &NOBODY.to_string()])
}

/// A shell that forks and runs nothing else.
fn subshell(lab: &mut Lab) -> Result<Done> {
    let mut command = Command::new(&lab.busybox);
    command.args(["sh", "-c", "(exit 7); exit 0"]);
    Actor::spawn(command)?.finish()
}
