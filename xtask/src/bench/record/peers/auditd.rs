//! `auditd` with rules of its own, and the kernel's half of it.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Recorder;
use crate::bench::agent::{self, signal};
use crate::sh;

/// Records that the kernel holds for the daemon: as many as a flood needs.
const BACKLOG: &str = "65536";
/// It starts and ends within milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// It writes as it does by default, into one file that has no end.
const CONFIG: &str = "local_events = yes\nwrite_logs = yes\nlog_group = root\nlog_format = RAW\n\
flush = INCREMENTAL_ASYNC\nfreq = 50\nmax_log_file = 4000\nmax_log_file_action = IGNORE\n\
num_logs = 0\nname_format = NONE\nspace_left = 75\nspace_left_action = IGNORE\n\
admin_space_left = 50\nadmin_space_left_action = IGNORE\ndisk_full_action = SUSPEND\n\
disk_error_action = SUSPEND\n";

/// The daemon; the rules go when it is stopped, or dropped.
pub(super) struct Auditd {
    daemon: Child,
    /// The kernel's thread that hands the records over.
    kernel: u32,
    log: PathBuf,
    /// What the kernel held for a daemon before.
    backlog: f64,
}

impl Auditd {
    /// Refuses to get in the way of one that runs already.
    pub(super) fn start(dir: &Path, file: &Path) -> Result<Auditd> {
        let status = control(&["-s"])?;
        if number(&status, "pid ") != Some(0.0) || number(&status, "enabled ") != Some(0.0) {
            bail!("this host is audited already");
        }
        if control(&["-l"])?.trim() != "No rules" {
            bail!("this host has audit rules already");
        }
        let backlog = number(&status, "backlog_limit ").context("auditctl tells no backlog")?;
        let kernel = named("kauditd").context("the kernel has no kauditd")?;
        let log = dir.join("audit.log");
        std::fs::write(dir.join("auditd.conf"), format!("{CONFIG}log_file = {}\n", log.display()))?;
        sh::run(sh::cmd("chmod").arg("go-w").arg(dir).arg(dir.join("auditd.conf")))?;
        let mut command = sh::cmd("auditd");
        command.arg("-n").arg("-c").arg(dir).stdout(Stdio::null()).stderr(Stdio::null());
        let daemon = command.spawn().context("no auditd")?;
        let auditd = Auditd { daemon, kernel, log, backlog };
        if !agent::until(PATIENCE, || auditd.log.exists()) {
            bail!("auditd does not start here");
        }
        control(&["-b", BACKLOG])?;
        let (exit, key) = (["-a", "always,exit", "-F", "arch=b64"], ["-k", "aegisbpf-bench"]);
        let calls = "-S clone -S clone3 -S fork -S vfork -S execve -S execveat -S exit_group";
        let calls: Vec<&str> = calls.split(' ').collect();
        control(&[&exit[..], &calls, &key].concat())?;
        let path = format!("path={}", file.display());
        let opens = ["-S", "open", "-S", "openat", "-F", &path];
        control(&[&exit[..], &opens, &key].concat())?;
        control(&["-e", "1"])?;
        Ok(auditd)
    }

    fn end(&mut self) -> Result<()> {
        // The rules before the daemon: without it the kernel would print what they find.
        let rules = control(&["-D"]);
        let off = control(&["-e", "0"]).and(control(&["-b", &self.backlog.to_string()]));
        signal("TERM", self.daemon.id())?;
        self.daemon.wait()?;
        rules.and(off).map(drop)
    }
}

impl Recorder for Auditd {
    fn busy(&self) -> Result<f64> {
        Ok(agent::busy(self.daemon.id())? + agent::busy(self.kernel)?)
    }

    /// An event has several lines, and one of them is the system call.
    fn events(&self) -> Result<(f64, f64)> {
        let calls = sh::capture(sh::cmd("grep").args(["-c", "^type=SYSCALL"]).arg(&self.log))?;
        let lost = number(&control(&["-s"])?, "lost ").unwrap_or_default();
        Ok((calls.trim().parse()?, lost))
    }

    fn bytes(&self) -> Result<u64> {
        Ok(std::fs::metadata(&self.log)?.len())
    }

    fn stop(mut self: Box<Self>) -> Result<()> {
        self.end()
    }
}

impl Drop for Auditd {
    fn drop(&mut self) {
        // After an error only: `stop` has waited for the end.
        if matches!(self.daemon.try_wait(), Ok(None)) {
            drop(self.end());
        }
    }
}

fn control(words: &[&str]) -> Result<String> {
    sh::capture(sh::cmd("auditctl").args(words))
}

/// The number behind a word at the beginning of a line.
fn number(text: &str, before: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(before)?.trim().parse().ok())
}

/// The process of that name.
fn named(name: &str) -> Option<u32> {
    let pids = std::fs::read_dir("/proc").ok()?.filter_map(|entry| {
        let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
        Some(pid)
    });
    let is_it = |pid: &u32| {
        let comm = std::fs::read_to_string(format!("/proc/{pid}/comm"));
        comm.is_ok_and(|comm| comm.trim() == name)
    };
    { pids }.find(is_it)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_auditctl_are_found() {
        let text = "enabled 1\nfailure 1\npid 77\nlost 3\nbacklog 0\nbacklog_wait_time 15000\n";
        assert_eq!((number(text, "pid "), number(text, "lost ")), (Some(77.0), Some(3.0)));
        assert_eq!(number(text, "backlog "), Some(0.0), "and not the time");
        assert_eq!(number("", "lost "), None);
    }

    #[test]
    fn a_process_is_found_by_its_name() {
        let own = std::fs::read_to_string("/proc/self/comm").unwrap();
        assert!(named(own.trim()).is_some());
        assert_eq!(named("no such process"), None);
    }
}
