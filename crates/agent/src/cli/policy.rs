//! The command line of `aegisbpf policy`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::{Output, RUNTIME_DIR};
use crate::policy::STATE_DIR;
use crate::policy::bundles::Vouch;

/// Commands about policies.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Find what policies do not mean, what can never happen, and who would be locked out
    Lint(LintArgs),
    /// Show what policies need: rows, classes, sizes; nothing is loaded
    Plan(PlanArgs),
    /// Show what changes from one policy to another, by rule and by request
    Diff(DiffArgs),
    /// Tell why a request is answered so, and the smallest edit that would allow it
    Explain(ExplainArgs),
    /// Tell what policies would have denied of what was recorded, and how to allow it
    Simulate(SimulateArgs),
    /// Print policies as they are understood: includes written out, names of subjects resolved
    Export(ExportArgs),
    /// Put policies in force; whatever goes wrong, those before stay
    Apply(ApplyArgs),
    /// Show the policies that are in force
    Show(StateArgs),
    /// Show who changed policies, when, and from what to what
    History(StateArgs),
    /// Go back to the policies before, or to those of a generation
    Rollback(RollbackArgs),
}

/// Policies to look at.
#[derive(Debug, Clone, Args)]
pub(crate) struct Files {
    /// Policy files, directories with them (*.yaml, *.yml, *.toml), or signed bundles
    /// [default: /etc/aegisbpf/policies.d]
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Who may have signed them.
    #[command(flatten)]
    pub(crate) signed: Signed,
}

impl Files {
    /// Whose word is enough.
    pub(crate) fn vouch(&self) -> Vouch {
        self.signed.read()
    }
}

/// Who may have signed bundles. What is named here is required: then plain files are refused.
#[derive(Debug, Clone, Args)]
pub(crate) struct Signed {
    /// Directory of public keys; what they did not sign is refused
    /// [default for `apply`: /etc/aegisbpf/keys, if it exists]
    #[arg(long, value_name = "DIR")]
    pub(crate) keys: Option<PathBuf>,
    /// The trust file: threshold, revoked keys; what it does not trust is refused
    /// [default for `apply`: /etc/aegisbpf/trust.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    pub(crate) trust: Option<PathBuf>,
}

impl Signed {
    /// The same as the reader of bundles wants it.
    pub(crate) fn read(&self) -> Vouch {
        Vouch { keys: self.keys.clone(), trust: self.trust.clone(), older: false }
    }
}

/// Form of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Findings {
    /// For people
    Text,
    /// For programs
    Json,
    /// For code hosts and editors
    Sarif,
}

/// Form of exported policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Documents {
    /// As they are written
    Yaml,
    /// One document a line
    Json,
}

/// A way of enforcing policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TierName {
    /// BPF LSM: every operation
    Lsm,
    /// Permission events of files and BPF programs of cgroups
    Fallback,
}

/// Options of `policy lint`.
#[derive(Debug, Clone, Args)]
pub(crate) struct LintArgs {
    /// What to look at.
    #[command(flatten)]
    pub(crate) files: Files,
    /// Also name the operations that this way of enforcing cannot deny
    #[arg(long, value_name = "TIER")]
    pub(crate) tier: Option<TierName>,
    /// Accept that this operation is not enforced there
    #[arg(long, value_name = "OPERATION", value_delimiter = ',')]
    pub(crate) accept_degraded: Vec<String>,
    /// Form of the findings
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    pub(crate) output: Findings,
}

/// Options of `policy plan`.
#[derive(Debug, Clone, Args)]
pub(crate) struct PlanArgs {
    /// What to look at.
    #[command(flatten)]
    pub(crate) files: Files,
    /// Form of the plan
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    pub(crate) output: Output,
}

/// Options of `policy diff`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DiffArgs {
    /// The old policies, a file or a directory
    #[arg(value_name = "A")]
    pub(crate) before: PathBuf,
    /// The new ones
    #[arg(value_name = "B")]
    pub(crate) after: PathBuf,
    /// Requests that were really made, besides samples.
    #[command(flatten)]
    pub(crate) recorded: Recorded,
    /// Who may have signed them.
    #[command(flatten)]
    pub(crate) vouch: Signed,
    /// Form of the answer
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    pub(crate) output: Output,
}

/// Options of `policy explain`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ExplainArgs {
    /// The request, as in "open /etc/shadow as nginx user=www-data"
    #[arg(value_name = "REQUEST")]
    pub(crate) question: String,
    /// What to look at.
    #[command(flatten)]
    pub(crate) files: Files,
    /// Form of the answer
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    pub(crate) output: Output,
}

/// Which requests that were really made.
#[derive(Debug, Clone, Args)]
pub(crate) struct Recorded {
    /// Recording, or directory of history; may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) recording: Vec<PathBuf>,
    /// Only what happened since so long ago, as `90s`, `10m`, `2h` or `7d`
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) since: Option<Duration>,
    /// Where the agent keeps its history
    #[arg(long, value_name = "DIR", default_value = STATE_DIR)]
    pub(crate) state_dir: PathBuf,
}

/// Options of `policy simulate`.
#[derive(Debug, Clone, Args)]
pub(crate) struct SimulateArgs {
    /// What to try.
    #[command(flatten)]
    pub(crate) files: Files,
    /// On what.
    #[command(flatten)]
    pub(crate) recorded: Recorded,
    /// Form of the answer
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    pub(crate) output: Output,
}

/// Options of `policy export`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ExportArgs {
    /// What to export.
    #[command(flatten)]
    pub(crate) files: Files,
    /// Form of the documents
    #[arg(short, long, value_name = "FORM", default_value = "yaml")]
    pub(crate) output: Documents,
}

/// Where the agent keeps what it needs.
#[derive(Debug, Clone, Args)]
pub(crate) struct Dirs {
    /// Where generations of policies are kept
    #[arg(long, value_name = "DIR", default_value = STATE_DIR)]
    pub(crate) state_dir: PathBuf,
    /// Runtime directory of the agent
    #[arg(long, value_name = "DIR", default_value = RUNTIME_DIR)]
    pub(crate) runtime_dir: PathBuf,
}

/// Options of `policy apply`.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct ApplyArgs {
    /// What to put in force.
    #[command(flatten)]
    pub(crate) files: Files,
    /// SHA-256 that the file must have
    #[arg(long, value_name = "HEX", conflicts_with = "sha256_file")]
    pub(crate) sha256: Option<String>,
    /// File with SHA-256 of all policy files, as `sha256sum` writes it
    #[arg(long, value_name = "FILE")]
    pub(crate) sha256_file: Option<PathBuf>,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Watch it for so long, as `60s`: it goes back by itself if denials jump or the agent suffers
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) canary: Option<Duration>,
    /// Put it in force although it locks somebody out who keeps the host running
    #[arg(long, requires = "canary")]
    pub(crate) force: bool,
    /// Accept that this operation is not enforced by the running agent
    #[arg(long, value_name = "OPERATION", value_delimiter = ',')]
    pub(crate) accept_degraded: Vec<String>,
    /// Take a signed bundle that is older than one that was in force, or of another owner
    #[arg(long, requires = "reason")]
    pub(crate) older: bool,
    /// Why, for those who read the history
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Read again what is in force
    #[arg(long, hide = true)]
    pub(crate) again: bool,
    /// The agent starts, in this mode: it takes over what is made
    #[arg(long, hide = true, value_name = "MODE")]
    pub(crate) at_start: Option<StartMode>,
    /// Directories.
    #[command(flatten)]
    pub(crate) dirs: Dirs,
}

/// Options of `policy show` and `policy history`.
#[derive(Debug, Clone, Args)]
pub(crate) struct StateArgs {
    /// Directories.
    #[command(flatten)]
    pub(crate) dirs: Dirs,
    /// Form of the answer
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    pub(crate) output: Output,
}

/// Options of `why`.
#[derive(Debug, Clone, Args)]
pub(crate) struct WhyArgs {
    /// A denial, as the log of the agent names it, or the number of a process [default: list the denials that
    /// are kept, the newest last]
    #[arg(value_name = "EVENT-ID|PID")]
    pub(crate) what: Option<String>,
    /// Form of that list
    #[arg(short, long, value_name = "FORM", default_value = "text", conflicts_with = "what")]
    pub(crate) output: Output,
    /// Directories.
    #[command(flatten)]
    pub(crate) dirs: Dirs,
}

/// Options of `policy rollback`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RollbackArgs {
    /// The generation to go back to [default: the one before]
    #[arg(value_name = "GENERATION")]
    pub(crate) generation: Option<u64>,
    /// Why, for those who read the history
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Directories.
    #[command(flatten)]
    pub(crate) dirs: Dirs,
}

/// The mode of an agent that starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StartMode {
    /// Only report.
    Audit,
    /// Carry out.
    Enforce,
}

/// A time as `90s`, `10m`, `2h` or `1d`; without a letter, seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let seconds = match text.get(digits.len()..) {
        Some("" | "s") => 1,
        Some("m") => 60,
        Some("h") => 60 * 60,
        Some("d") => 24 * 60 * 60,
        _ => return Err("write a time as `90s`, `10m`, `2h` or `1d`".to_owned()),
    };
    let count: u32 = digits.parse().map_err(|_| "write a time as `90s`".to_owned())?;
    Ok(Duration::from_secs(u64::from(count) * seconds))
}
