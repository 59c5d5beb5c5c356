//! Watches which system calls the processes of the agent make while its tests run: what its lists let through
//! must be what it needs (`crates/agent/src/seccomp/table.rs`).

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use super::Log;
use super::stages::cargo;
use crate::outcome::Outcome;
use crate::sh;

/// Where tracepoints are described.
const TRACEFS: &str = "/sys/kernel/tracing";
/// Counts the calls of who is under a filter (mode 2), by process, thread, number of filters and call. `exe` is what
/// the agent's other processes are called before they have a name, `output` those of the forwarder, by the thread
/// that starts them.
const PROGRAM: &str = r#"tracepoint:raw_syscalls:sys_enter
/curtask->seccomp.mode == 2 && (strncmp(curtask->group_leader->comm, "aegisbpf", 8) == 0
  || strncmp(curtask->group_leader->comm, "exe", 4) == 0
  || strncmp(curtask->group_leader->comm, "output", 7) == 0)/
{ @[curtask->group_leader->comm, comm, curtask->seccomp.filter_count.counter, args->id] = count(); }"#;
/// How long bpftrace may take until it watches.
const START: Duration = Duration::from_secs(30);

/// A watch that runs.
pub(super) struct Watch {
    tracer: Child,
    calls: PathBuf,
}

impl Watch {
    /// Begins to watch; none where it cannot, which is said.
    pub(super) fn start(log: &mut Log) -> Result<Option<Watch>> {
        let skip = |log: &mut Log, why: &str| -> Result<Option<Watch>> {
            println!("SKIP root/system-calls: {why}");
            log.line(&format!("SKIP system-calls: {why}"))?;
            Ok(None)
        };
        if sh::find("bpftrace").is_none() {
            return skip(log, "no bpftrace");
        }
        if !PathBuf::from(TRACEFS).join("README").exists() {
            let mut mount = sh::as_root("mount")?;
            if !log.run(mount.args(["-t", "tracefs", "tracefs", TRACEFS]))? {
                return skip(log, "tracefs cannot be mounted");
            }
        }
        let calls = sh::target().join("ci/system-calls.txt");
        fs::create_dir_all(calls.parent().context("no directory")?)?;
        fs::write(&calls, "")?;
        let said = calls.with_extension("log");
        let mut command = sh::as_root("bpftrace")?;
        command.args(["-B", "none", "-o"]).arg(&calls).arg("-e").arg(PROGRAM);
        command.stdout(Stdio::null()).stderr(fs::File::create(&said)?);
        let mut tracer = command.spawn().context("cannot start bpftrace")?;
        let begun = std::time::Instant::now();
        // Its first word is how many probes it attaches.
        while !fs::read_to_string(&calls)?.contains("Attaching") {
            if tracer.try_wait()?.is_some() || begun.elapsed() > START {
                // One that is slow watches nothing of what is to come, either.
                Watch { tracer, calls }.end()?;
                return skip(log, &format!("bpftrace cannot watch: {}", fs::read_to_string(said)?));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(Some(Watch { tracer, calls }))
    }

    /// Has it tell what it saw, and end.
    fn end(mut self) -> Result<PathBuf> {
        if self.tracer.try_wait()?.is_none() {
            let mut end = sh::as_root("kill")?;
            sh::run(end.arg("-INT").arg(self.tracer.id().to_string()))?;
            self.tracer.wait()?;
        }
        Ok(self.calls)
    }

    /// Ends it, and compares what it saw with the lists.
    pub(super) fn judge(self, log: &mut Log) -> Result<Outcome> {
        let calls = self.end()?;
        let mut test = cargo(&["test", "--workspace", "--bin", "aegisbpf", "--"]);
        test.args(["--exact", "seccomp::tests::no_entry_is_superfluous", "--nocapture"]);
        test.env("AEGISBPF_CALLS", calls);
        Ok(if log.run(&mut test)? { Outcome::PASS } else { Outcome::FAIL })
    }
}
