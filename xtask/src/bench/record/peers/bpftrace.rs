//! `bpftrace` with a script that prints a line for each event.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Recorder;
use crate::bench::agent::{self, signal};
use crate::sh;

/// Pages of the buffer of each CPU: as many as a flood needs.
const PAGES: &str = "1024";
/// It compiles its script first.
const PATIENCE: Duration = Duration::from_mins(1);
/// Bytes of a text: its default cuts the path.
const TEXT: &str = "100";

/// It has its own view of mounts, since it wants the tracepoints as files.
pub(super) struct Bpftrace {
    tracer: Child,
    output: PathBuf,
}

fn script(file: &Path) -> String {
    format!(
        r#"tracepoint:sched:sched_process_fork {{ printf("%llu fork %d %d\n", nsecs, args->parent_pid, args->child_pid); }}
tracepoint:syscalls:sys_enter_execve {{ printf("%llu exec %d %d %s ", nsecs, pid, uid, str(args->filename)); join(args->argv); }}
tracepoint:sched:sched_process_exit /pid == tid/ {{ printf("%llu exit %d %s\n", nsecs, pid, comm); }}
tracepoint:syscalls:sys_enter_openat /str(args->filename) == "{0}"/ {{ printf("%llu open %d %d %s %s\n", nsecs, pid, uid, comm, str(args->filename)); }}
"#,
        file.display()
    )
}

impl Bpftrace {
    pub(super) fn start(dir: &Path, file: &Path) -> Result<Bpftrace> {
        let (program, output) = (dir.join("script.bt"), dir.join("output"));
        std::fs::write(&program, script(file))?;
        sh::find("bpftrace").context("no bpftrace")?;
        let mut command = sh::cmd("unshare");
        let view = "cd /sys/kernel/tracing && { test -e README || mount -t tracefs none .; } && \
                    exec bpftrace -o \"$0\" \"$1\"";
        command.args(["--mount", "sh", "-c", view]).arg(&output).arg(&program);
        command.env("BPFTRACE_PERF_RB_PAGES", PAGES).env("BPFTRACE_STRLEN", TEXT);
        command.stdout(Stdio::null()).stderr(std::fs::File::create(dir.join("errors"))?);
        let mut tracer = command.spawn().context("no unshare")?;
        // Something starts all the time here: this, if nothing else.
        let mut ended = None;
        let begun = agent::until(PATIENCE, || {
            drop(sh::cmd("true").status());
            ended = tracer.try_wait().ok().flatten();
            ended.is_some() || lines(&output).is_ok_and(|lines| lines > 1.0)
        });
        let bpftrace = Bpftrace { tracer, output };
        if ended.is_some() || !begun {
            let errors = std::fs::read_to_string(dir.join("errors")).unwrap_or_default();
            bail!("bpftrace does not trace here: {}", errors.trim());
        }
        Ok(bpftrace)
    }

    fn end(&mut self) -> Result<()> {
        signal("INT", self.tracer.id())?;
        self.tracer.wait()?;
        Ok(())
    }
}

/// Lines of an output, and they are events.
fn lines(output: &Path) -> Result<f64> {
    let text = sh::capture(sh::cmd("wc").arg("-l").arg(output))?;
    text.split_whitespace().next().and_then(|count| count.parse().ok()).context("no number")
}

impl Recorder for Bpftrace {
    fn busy(&self) -> Result<f64> {
        agent::busy(self.tracer.id())
    }

    fn events(&self) -> Result<(f64, f64)> {
        let text = std::fs::read_to_string(&self.output)?;
        let lost = text.lines().filter_map(|line| line.strip_prefix("Lost ")?.split(' ').next());
        let lost = lost.filter_map(|count| count.parse::<f64>().ok()).sum();
        Ok((lines(&self.output)?, lost))
    }

    fn bytes(&self) -> Result<u64> {
        Ok(std::fs::metadata(&self.output)?.len())
    }

    fn stop(mut self: Box<Self>) -> Result<()> {
        self.end()
    }
}

impl Drop for Bpftrace {
    fn drop(&mut self) {
        // After an error only: `stop` has waited for the end.
        if matches!(self.tracer.try_wait(), Ok(None)) {
            drop(self.end());
        }
    }
}
