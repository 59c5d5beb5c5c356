//! Cases about processes acting on other processes and on the kernel.

use anyhow::{Context, Result};
use model::op::Kind;

use super::{Case, Control};
use crate::expect::{Want, has, is, is_if_present, lacks, present};
use crate::lab::{Done, Lab};

const SIGTERM: &str = "15";

pub(super) const CASES: &[Case] = &[
    Case {
        name: "attach",
        kind: Kind::Ptrace,
        run: |lab| on_target(lab, "ptrace-attach", &[]),
        want: traced,
    },
    Case {
        name: "seize",
        kind: Kind::Ptrace,
        run: |lab| on_target(lab, "ptrace-seize", &[]),
        want: traced,
    },
    Case {
        name: "trace me",
        kind: Kind::Ptrace,
        run: |lab| lab.act(&["ptrace-traceme"]),
        // The parent traces; it is the process itself that is acted on.
        want: |_, done| vec![is("process.Ext.target.pid", done.pid)],
    },
    Case {
        name: "terminate",
        kind: Kind::Signal,
        run: |lab| on_target(lab, "kill", &[SIGTERM]),
        want: |lab, done| {
            let mut wants = target(lab, done);
            wants.push(is("process.Ext.signal.number", SIGTERM));
            wants
        },
    },
    Case {
        name: "load",
        kind: Kind::Module,
        run: module,
        want: |lab, _| {
            let path =
                lab.module.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
            vec![
                is("process.Ext.load_module.name", "dummy"),
                is_if_present("process.Ext.load_module.path", path),
            ]
        },
    },
    Case {
        name: "load",
        kind: Kind::Bpf,
        run: |lab| lab.act(&["bpf"]),
        want: |lab, _| {
            let mut wants = vec![is("process.Ext.bpf.program.name", "provoke_probe")];
            // A hook before the load cannot know the id.
            if lab.provider(Kind::Bpf) == "perf" {
                wants.push(present("process.Ext.bpf.program.id"));
            }
            wants
        },
    },
    Case {
        name: "uts and ipc",
        kind: Kind::Namespace,
        run: |lab| lab.act(&["unshare", "uts", "ipc"]),
        want: |_, _| {
            vec![
                has("process.Ext.namespace.changed", "uts"),
                has("process.Ext.namespace.changed", "ipc"),
                lacks("process.Ext.namespace.changed", "net"),
            ]
        },
    },
    Case {
        name: "mount",
        kind: Kind::Namespace,
        run: |lab| lab.act(&["unshare", "mnt"]),
        want: |_, _| vec![has("process.Ext.namespace.changed", "mnt")],
    },
    Case {
        name: "set up",
        kind: Kind::IoUring,
        run: |lab| lab.act(&["io_uring"]),
        want: |_, _| Vec::new(),
    },
];

pub(super) const CONTROLS: &[Control] = &[
    Control { name: "a signal", kind: Kind::Ptrace, run: |lab| on_target(lab, "kill", &[SIGTERM]) },
    Control { name: "signal 0", kind: Kind::Signal, run: |lab| on_target(lab, "kill-0", &[]) },
    Control { name: "a program that loads none", kind: Kind::Module, run: |lab| lab.act(&["bpf"]) },
    Control {
        name: "a program that loads none",
        kind: Kind::Bpf,
        run: |lab| lab.act(&["io_uring"]),
    },
    Control { name: "fork and exec", kind: Kind::Namespace, run: |lab| lab.act(&["noop"]) },
    Control {
        name: "a program without a ring",
        kind: Kind::IoUring,
        run: |lab| lab.act(&["noop"]),
    },
];

/// The process that is acted on.
fn target(lab: &Lab, done: &Done) -> Vec<Want> {
    vec![
        is("process.Ext.target.pid", done.fact("target")),
        present("process.Ext.target.entity_id"),
        is("process.Ext.target.name", "provoke"),
        is("process.Ext.target.executable", &lab.exe),
    ]
}

fn traced(lab: &Lab, done: &Done) -> Vec<Want> {
    let mut wants = target(lab, done);
    wants.push(is("process.Ext.ptrace.child_pid", done.fact("target")));
    wants
}

/// An operation on a process that waits.
fn on_target(lab: &mut Lab, operation: &str, more: &[&str]) -> Result<Done> {
    let target = lab.waiting()?;
    let pid = target.pid();
    let text = pid.to_string();
    let mut words = vec![operation, &text];
    words.extend_from_slice(more);
    let done = lab.act(&words);
    target.end()?;
    Ok(done?.with("target", pid))
}

fn module(lab: &mut Lab) -> Result<Done> {
    let path = lab.module.clone().context("no module")?.display().to_string();
    lab.act(&["module", &path, "dummy"])
}
