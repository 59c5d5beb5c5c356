//! Keeps policies up to date: at the start of the agent, when their files change, and when something
//! of them ends.
//!
//! Reading the text of policies is the work of `aegisbpf policy apply`, which the guard starts like
//! an operator would; its way back is the control socket. So there is one way for policies to come
//! into force.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::cli::RunArgs;
use crate::exit::{Exit, Failure};
use crate::policy::load::{self, EXTENSIONS};
use crate::policy::store::{About, Emergency, Store};

/// How often files and clocks are looked at.
const PERIOD: Duration = Duration::from_secs(1);
/// How long to wait after a failure before the same is tried again.
const RETRY: Duration = Duration::from_mins(1);

/// What the operator said about policies, and the process that reads them.
#[derive(Debug)]
pub(in crate::guard) struct Keeper {
    paths: Vec<PathBuf>,
    state: PathBuf,
    runtime: PathBuf,
    watch: bool,
    mode: &'static str,
    accepted: Vec<String>,
    /// Who may have signed them: options and paths.
    signed: Vec<(&'static str, PathBuf)>,
    /// What the files were like when they were last read, and when they were last looked at.
    read: u64,
    seen: u64,
    child: Option<Child>,
    looked: Instant,
    /// Nothing that ended is looked after before this time, which no clock of the host moves.
    retry: Instant,
}

/// What the operator said of keys, for bundles among the policies.
fn signed(args: &RunArgs) -> Vec<(&'static str, PathBuf)> {
    // What is in force was verified when it came there; and where only rules are signed, plain policies
    // go on.
    if !args.policy.iter().any(|path| packs::is_pack(path)) {
        return Vec::new();
    }
    let pair = |name, path: &Option<PathBuf>| path.clone().map(|path| (name, path));
    [pair("--keys", &args.keys), pair("--trust", &args.trust)].into_iter().flatten().collect()
}

impl Keeper {
    pub(in crate::guard) fn new(args: &RunArgs) -> Keeper {
        let read = files::fingerprint(&args.policy, EXTENSIONS);
        Keeper {
            paths: args.policy.clone(),
            state: args.state_dir.clone(),
            runtime: args.runtime_dir.clone(),
            watch: !args.no_watch && !args.policy.is_empty(),
            mode: if args.enforce { "enforce" } else { "audit" },
            accepted: args.accept_degraded.clone(),
            signed: signed(args),
            read,
            seen: read,
            child: None,
            looked: Instant::now(),
            retry: Instant::now(),
        }
    }

    /// The generation to begin with, and whether enforcement is off; made anew if the operator's words or the time ask for it.
    pub(in crate::guard) fn begin(&self) -> Result<(Option<u64>, bool), Failure> {
        let store = Store::at(&self.state);
        if !self.paths.is_empty() || self.is_stale(&store)? {
            let status = self.command("the agent started", true).status();
            let status = status.map_err(|error| {
                Failure::new(Exit::Internal, format!("cannot read the policies: {error}"))
            })?;
            if !status.success() {
                return Err(Failure::new(Exit::Config, "the policies cannot be put in force")
                    .help("mend them, or start without --policy"));
            }
        }
        let active = store.active()?;
        match Emergency::read(&self.state)? {
            Some(emergency) if emergency.persist => {
                tracing::warn!(emergency.reason, "enforcement is off until `emergency enable`");
                Ok((active, true))
            }
            Some(_) => {
                Emergency::end(&self.state)?;
                tracing::warn!("enforcement was off; the agent was started again and it is on");
                Ok((active, false))
            }
            None => Ok((active, false)),
        }
    }

    /// Whether the generation in force was made for another mode, or something of it has ended.
    fn is_stale(&self, store: &Store) -> Result<bool, Failure> {
        let Some(active) = store.active()? else { return Ok(false) };
        let about = store.about(active)?;
        let ended = about.until.is_some_and(|until| until <= load::now());
        Ok(ended || about.enforce != (self.mode == "enforce"))
    }

    /// Starts `policy apply` for the files, or for what is in force; at the start nobody is told.
    fn command(&self, reason: &str, at_start: bool) -> Command {
        let mut command = Command::new("/proc/self/exe");
        command.args(["policy", "apply", "--reason", reason]).stdin(Stdio::null());
        command.stdout(Stdio::null());
        command.arg("--state-dir").arg(&self.state).arg("--runtime-dir").arg(&self.runtime);
        if at_start {
            command.args(["--at-start", self.mode]);
        }
        for (name, path) in &self.signed {
            command.arg(name).arg(path);
        }
        for operation in &self.accepted {
            command.args(["--accept-degraded", operation]);
        }
        if self.paths.is_empty() {
            command.arg("--again");
        }
        command.arg("--").args(&self.paths);
        command
    }

    /// Looks at files and clocks; called several times a second.
    pub(in crate::guard) fn service(&mut self, active: Option<&About>) {
        if self.looked.elapsed() < PERIOD {
            return;
        }
        self.looked = Instant::now();
        if let Some(child) = &mut self.child {
            match child.try_wait() {
                Ok(None) => return,
                Ok(Some(status)) if status.success() => {}
                ended => {
                    self.retry = Instant::now() + RETRY;
                    tracing::error!(?ended, "the policies stay as they were; its words are above");
                }
            }
            self.child = None;
        }
        let now = files::fingerprint(&self.paths, EXTENSIONS);
        // Somebody may still be writing: they are read when they have been the same for a while.
        let settled = now == std::mem::replace(&mut self.seen, now);
        if self.watch && settled && now != self.read {
            self.read = now;
            self.start("their files changed");
            return;
        }
        let until = active.and_then(|about| about.until);
        if until.is_some_and(|until| until <= load::now() && self.retry <= Instant::now()) {
            self.retry = Instant::now() + RETRY;
            self.start("something of them ended");
        }
    }

    fn start(&mut self, reason: &str) {
        match self.command(reason, false).spawn() {
            Ok(child) => self.child = Some(child),
            Err(error) => tracing::error!(%error, "the policies cannot be read again"),
        }
    }
}

impl Drop for Keeper {
    /// A reader that outlives the guard would wait for nobody.
    fn drop(&mut self) {
        if let Some(child) = &mut self.child
            && let Err(error) = child.kill().and_then(|()| child.wait().map(drop))
        {
            tracing::debug!(%error, "the reader of policies cannot be ended");
        }
    }
}
