//! The process that hands alerts to outputs: started when there is an output, and again when it has ended.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_setfl};
use serde_json::{Value as Json, json};

use super::backoff::Backoff;
use crate::cli::RunArgs;
use crate::exit::{Exit, Failure};
use crate::outputs::{FIGURES_MAX, OUTPUTS_MAX, target};
use crate::seccomp::{self, Kind};

/// How long it may take to end: it hands over what is left within half of it.
const STOP_WAIT: Duration = Duration::from_secs(3);

/// Each output has a name of its own, and there are not too many.
pub(super) fn check(args: &RunArgs) -> Result<(), Failure> {
    if args.forward.len() > OUTPUTS_MAX {
        let message = format!("{} outputs are more than {OUTPUTS_MAX}", args.forward.len());
        return Err(Failure::new(Exit::Usage, message).help("let one receiver pass alerts on"));
    }
    let Some(name) = target::twice(&args.forward) else { return Ok(()) };
    let message = format!("two outputs are called `{name}`");
    Err(Failure::new(Exit::Usage, message).help("give one of them another name: `#name=NAME`"))
}

/// The forwarder.
#[derive(Debug)]
pub(super) struct Forwarding {
    /// What it reads: the outputs. An address may hold a secret, so none is on a command line.
    input: String,
    state: PathBuf,
    /// Bytes that the spool may hold.
    spool: u64,
    running: Option<Running>,
    backoff: Backoff,
    next: Instant,
    starts: u64,
    figures: Json,
}

#[derive(Debug)]
struct Running {
    child: Child,
    /// It ends when this is closed.
    input: ChildStdin,
    output: ChildStdout,
    said: Vec<u8>,
    since: Instant,
}

impl Forwarding {
    /// Nothing runs yet.
    pub(super) fn new(args: &RunArgs) -> Forwarding {
        Forwarding {
            // After the last one comes an empty line.
            input: args.forward.iter().flat_map(|one| [one.to_string(), "\n".to_owned()]).collect(),
            state: args.state_dir.clone(),
            spool: args.spool.bytes,
            running: None,
            backoff: Backoff::new(),
            next: Instant::now(),
            starts: 0,
            figures: json!([]),
        }
    }

    /// Its process id, while it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.child.id())
    }

    /// Starts it if it is needed and does not run, and hears what it says; true if there is another process now.
    pub(super) fn service(&mut self) -> bool {
        if self.input.is_empty() {
            return false;
        }
        if let Some(running) = &mut self.running {
            if let Some(figures) = running.hear() {
                self.figures = figures;
            }
            match running.child.try_wait() {
                Ok(None) => return false,
                ended => {
                    let delay = self.backoff.delay(running.since.elapsed());
                    tracing::error!(
                        ?ended,
                        "the forwarder ended and is started again; alerts wait in the spool"
                    );
                    (self.running, self.next) = (None, Instant::now() + delay);
                }
            }
        }
        if Instant::now() < self.next {
            return false;
        }
        match self.start() {
            Ok(running) => {
                self.running = Some(running);
                self.starts += 1;
                true
            }
            Err(error) => {
                tracing::error!(%error, "the forwarder cannot be started; alerts wait in the spool");
                self.next = Instant::now() + self.backoff.delay(Duration::ZERO);
                false
            }
        }
    }

    fn start(&self) -> io::Result<Running> {
        let mut command = Command::new("/proc/self/exe");
        command.arg0(Kind::Forward.name());
        seccomp::child(&mut command, Kind::Forward).arg("forward");
        command.arg("--state-dir").arg(&self.state);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        // Less than a pipe holds: the guard does not wait.
        fcntl_setfl(&input, OFlags::NONBLOCK)?;
        fcntl_setfl(&output, OFlags::NONBLOCK)?;
        writeln!(input, "{}", self.input)?;
        Ok(Running { child, input, output, said: Vec::new(), since: Instant::now() })
    }

    /// What it last said of each output.
    pub(super) fn figures(&self) -> Json {
        json!({
            "running": self.running.is_some(),
            "restarts": self.starts.saturating_sub(1),
            "all": self.figures,
            "spool_bytes": self.spool,
        })
    }

    /// Ends it; what it cannot hand over within a moment stays in the spool.
    pub(super) fn end(&mut self) {
        let Some(Running { mut child, input, output, .. }) = self.running.take() else { return };
        drop((input, output));
        let deadline = Instant::now() + STOP_WAIT;
        while matches!(child.try_wait(), Ok(None)) {
            if Instant::now() >= deadline {
                tracing::warn!("the forwarder did not stop in time and is killed");
                drop(child.kill());
                drop(child.wait());
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Running {
    /// The last whole line that it has said, if there is another one.
    fn hear(&mut self) -> Option<Json> {
        let mut chunk = vec![0; FIGURES_MAX];
        while let Ok(got) = self.output.read(&mut chunk) {
            if got == 0 {
                break;
            }
            self.said.extend(chunk.get(..got).unwrap_or_default());
            if self.said.len() > 2 * FIGURES_MAX {
                // It says what none of ours says.
                self.said.clear();
            }
        }
        let end = self.said.iter().rposition(|byte| *byte == b'\n')?;
        let rest = self.said.split_off(end + 1);
        let lines = std::mem::replace(&mut self.said, rest);
        let last = lines.trim_ascii_end().rsplit(|byte| *byte == b'\n').next()?;
        serde_json::from_slice(last).ok()
    }
}

/// A guard that goes takes its forwarder along.
impl Drop for Forwarding {
    fn drop(&mut self) {
        self.end();
    }
}
