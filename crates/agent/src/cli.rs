//! The command line.

pub(crate) mod actions;
pub(crate) mod adhoc;
pub(crate) mod audit;
pub(crate) mod config;
pub(crate) mod console;
pub(crate) mod emergency;
pub(crate) mod incidents;
pub(crate) mod isolate;
pub(crate) mod metrics;
pub(crate) mod policy;
pub(crate) mod quarantine;
pub(crate) mod record;
pub(crate) mod rules;
pub(crate) mod suppressions;
pub(crate) mod top;
pub(crate) mod webhook;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::outputs::target::Target;
use crate::seccomp::Kind;

/// Where the lock and the control socket live unless said otherwise.
pub(crate) const RUNTIME_DIR: &str = "/run/aegisbpf";

/// The table of `exit`, in short; a test compares the two.
pub(crate) const EXITS: &str = "Exit codes: 0 ok, 1 failed, 2 usage, 3 not running, 4 permission, \
    66 no rules, 69 no answer, 70 internal fault, 71 no sensor, 73 runtime directory, 75 taken by others, \
    78 rules or configuration, 80 no BTF, 81 modified programs. What to do about each: \
    /usr/share/doc/aegisbpf/docs/reference/exit-codes.md";

/// Sees what happens on this host, detects what should not, and says so.
#[derive(Debug, Parser)]
#[command(name = "aegisbpf", version, propagate_version = true, disable_help_subcommand = true)]
#[command(after_help = EXITS)]
pub(crate) struct Cli {
    /// Which process of a running agent this is, for the privileged half
    #[arg(long, hide = true, value_name = "NAME")]
    pub(crate) confine: Option<Kind>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Watch this host in the foreground and print alerts
    Run(RunArgs),
    /// Find out, by loading and attaching, what this kernel lets the agent see
    Doctor(DoctorArgs),
    /// Show whether an agent runs, what it sees and what it lost
    Status(ClientArgs),
    /// List the rules that run, what they found and what they cost
    Rules(rules::RulesArgs),
    /// Let the running agent read its rules again; the old ones stay if anything is wrong
    Reload(ClientArgs),
    /// Look at policies, and find out what they would do
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Deny something at once, for a while or until it is deleted
    #[command(subcommand)]
    Block(adhoc::BlockCommand),
    /// Allow something for a while, whoever denies it
    #[command(subcommand)]
    Allow(adhoc::AllowCommand),
    /// List what was denied, tell why something was, or which rules are about a process
    Why(policy::WhyArgs),
    /// Switch all enforcement off and on again
    #[command(subcommand)]
    Emergency(emergency::EmergencyCommand),
    /// Show what was done because rules matched, or would have been, and undo it
    Actions(actions::ActionsArgs),
    /// Look at the log of all that was changed, done or refused, and find out whether it is whole
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Cut this host or a cgroup off the network, for a while
    #[command(subcommand)]
    Isolate(isolate::IsolateCommand),
    /// Move files aside and give them back
    #[command(subcommand)]
    Quarantine(quarantine::QuarantineCommand),
    /// Look at what files and environment say of the options of `run`
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Show what happens on this host, as the running agent sees it
    Events(EventsArgs),
    /// Show the alerts of the running agent
    Alerts(AlertsArgs),
    /// Show what happened in one tree of processes each, as the alerts of the running agent tell
    Incidents(incidents::IncidentsArgs),
    /// Show, suggest and test what is not to be told again
    Suppressions(suppressions::SuppressionsArgs),
    /// Watch the running agent in the terminal: alerts by process, rates, rules that cost most, health
    Top(top::TopArgs),
    /// Look at the running agent in a browser on this host; read-only unless it is allowed to change things
    Console(console::ConsoleArgs),
    /// Print the figures of the running agent as Prometheus reads them, or give them to it
    Metrics(metrics::MetricsArgs),
    /// Record what the kernel delivers to the running agent, for `kestrel replay`
    Record(record::RecordArgs),
    /// Show where a process came from, what it started and what they did, out of recordings
    Tree(record::TreeArgs),
    /// List the fields that rules can use
    Fields(FieldsArgs),
    /// Print the completions of a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Write the manual pages, one a command
    #[command(hide = true)]
    Man {
        /// Where to
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Print the version
    Version {
        /// Print instead the BPF objects inside this program, as sha256sum prints files: what a release signs
        #[arg(long)]
        objects: bool,
    },
    /// Print the addresses of names, for the privileged half
    #[command(hide = true)]
    Resolve {
        /// The names
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
    },
    /// Tell somebody elsewhere what standard input says, for the privileged half
    #[command(hide = true)]
    Post,
    /// Hand what is in the spool to all outputs, for the privileged half
    #[command(hide = true)]
    Forward(ForwardArgs),
    /// Hand what standard input says to an output elsewhere, for `forward`
    #[command(hide = true)]
    Send,
    /// Print the addresses in answers of name servers, for the privileged half
    #[command(hide = true)]
    ReadAnswers,
    /// Print what rules may do besides raising alerts, for the privileged half
    #[command(hide = true)]
    Grants(RunArgs),
    /// The unprivileged half, started by `run`
    #[command(hide = true)]
    Worker(WorkerArgs),
}

/// What becomes of enforcement when the agent ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnExit {
    /// Programs stay in the kernel and go on deciding, also when the agent is killed
    Keep,
    /// Enforcement ends with the agent
    Release,
}

/// What becomes of an action that cannot be written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AuditFull {
    /// It is not done
    Refuse,
    /// It is done, and said on standard error and among the alerts
    Act,
}

/// Form of what `run` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One readable line each
    Compact,
    /// One JSON object a line, ECS names
    Json,
    /// Alerts only: one OCSF Detection Finding a line
    Ocsf,
    /// Alerts only: one line of ArcSight's Common Event Format each
    Cef,
}

impl Format {
    /// Whether events have it too.
    pub(crate) fn is_for_events(self) -> bool {
        matches!(self, Format::Compact | Format::Json)
    }
}

/// Form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Form of the field reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FieldsOutput {
    /// For people
    Text,
    /// For programs
    Json,
    /// For the documentation
    Markdown,
}

/// What guard and worker both need to know.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct RunArgs {
    /// Read only this file instead of /etc/aegisbpf/config.toml and its drop-ins, or none (`/dev/null`). What
    /// stands on the command line is stronger than all of them
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Directory with rule files (*.toml, *.yml, *.yaml), also below it; may be given several times
    /// [default: /usr/lib/aegisbpf/rules and /etc/aegisbpf/rules.d, those that exist]
    #[arg(long, value_name = "DIR")]
    pub(crate) rules: Vec<PathBuf>,
    /// Pack of rules, or directory with packs; may be given several times
    /// [default: /usr/lib/aegisbpf/packs and /etc/aegisbpf/packs.d, those that exist]
    #[arg(long, value_name = "DIR")]
    pub(crate) packs: Vec<PathBuf>,
    /// Directory of public keys that may have signed packs and policies
    /// [default: /etc/aegisbpf/keys, if it exists]
    #[arg(long, value_name = "DIR")]
    pub(crate) keys: Option<PathBuf>,
    /// Who is trusted with what: threshold, revoked keys, grants
    /// [default: /etc/aegisbpf/trust.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    pub(crate) trust: Option<PathBuf>,
    /// File of suppressions, or directory with such files (*.toml); may be given several times
    /// [default: /etc/aegisbpf/suppressions.d, if it exists]
    #[arg(long, value_name = "PATH")]
    pub(crate) suppressions: Vec<PathBuf>,
    /// Treat all rules as those of strangers: signed packs only, no action but alerts, small budgets
    #[arg(long)]
    pub(crate) strict: bool,
    /// Start although some rules are malformed or refused, without those
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// Directory for the lock and the control socket
    #[arg(long, value_name = "DIR", default_value = RUNTIME_DIR)]
    pub(crate) runtime_dir: PathBuf,
    /// Who else gets alerts, denials and what the agent tells of itself: `file:/PATH`, `journald:`,
    /// `syslog+tls://HOST:PORT`, `https://HOST/PATH` and others, with `#format=cef&min=high` behind it; may be given
    /// several times
    #[arg(long, value_name = "URL[#OPTIONS]")]
    pub(crate) forward: Vec<Target>,
    /// How much is kept on disk for those that are slow or away: size and age
    #[arg(long, value_name = "SIZE,AGE", default_value = "256MiB,168h")]
    pub(crate) spool: record::History,
    /// Form of alerts and events on standard output
    #[arg(short, long, value_name = "FORM", default_value = "json")]
    pub(crate) output: Format,
    /// Print live events too, not only alerts
    #[arg(long)]
    pub(crate) events: bool,
    /// Most alerts of one rule within a minute; more of them are counted, and the count is told
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_alerts: u64,
    /// Read rules again only when `reload` or SIGHUP asks, not when their files change
    #[arg(long)]
    pub(crate) no_watch: bool,
    /// How long changed rules are on trial: if they break within it (a flood of alerts, a worker that
    /// ends, a script in quarantine), those before run again; 0: not at all
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = policy::duration)]
    pub(crate) rules_trial: Duration,
    /// Policy file, or directory with such files; may be given several times. Without one, what
    /// `policy apply` put in force before is in force again
    #[arg(long, value_name = "PATH")]
    pub(crate) policy: Vec<PathBuf>,
    /// Only report what policies would deny, whatever they say themselves; the default
    #[arg(long, conflicts_with = "enforce")]
    pub(crate) audit: bool,
    /// Carry out what policies say, but for those that say `mode: audit`
    #[arg(long)]
    pub(crate) enforce: bool,
    /// Accept of `--policy` that this kernel cannot deny this operation
    #[arg(long, value_name = "OPERATION", value_delimiter = ',')]
    pub(crate) accept_degraded: Vec<String>,
    /// Where generations of policies are kept
    #[arg(long, value_name = "DIR", default_value = crate::policy::STATE_DIR)]
    pub(crate) state_dir: PathBuf,
    /// User that evaluates rules and serves the control socket; it needs no privilege
    /// [default: aegisbpf if it exists, else nobody]
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Group whose members may read what the agent tells at its control socket
    /// [default: aegisbpf if it exists, else root alone]
    #[arg(long, value_name = "NAME")]
    pub(crate) group: Option<String>,
    /// Where no LSM program loads: enforce only for processes of this cgroup and below
    #[arg(long, value_name = "DIR")]
    pub(crate) cgroup: Option<PathBuf>,
    /// Peer that stays within reach of what a rule cuts off the network: an address, one with a port, or a
    /// network; may be given several times. Where the agent was started from by SSH is one, too
    #[arg(long, value_name = "ADDR[:PORT]")]
    pub(crate) isolate_allow: Vec<kernel::isolate::Peer>,
    /// Let each process and thread of the agent make only the system calls that it needs
    #[arg(long)]
    pub(crate) seccomp: bool,
    /// What becomes of enforcement when the agent ends
    #[arg(long, value_name = "WAY", default_value = "keep")]
    pub(crate) on_exit: OnExit,
    /// Let nobody else end, trace or change the agent, its BPF objects and its files; without this such
    /// attempts are only told. Needs LSM programs
    #[arg(long, requires = "enforce")]
    pub(crate) self_protect: bool,
    /// File with more rules about what is a secret and is not shown
    #[arg(long, value_name = "FILE")]
    pub(crate) redact: Option<PathBuf>,
    /// Private key, as `ssh-keygen -t ed25519` makes it, that signs where the audit log is every 100 lines
    /// and ten minutes
    #[arg(long, value_name = "FILE")]
    pub(crate) audit_key: Option<PathBuf>,
    /// How much of the audit log is kept, in sixteen files: between 64KiB and 256MiB
    #[arg(long, value_name = "SIZE", default_value = audit::KEPT)]
    pub(crate) audit_size: audit::Size,
    /// Program that rules never act on, besides those that every host needs; may be given several times
    #[arg(long, value_name = "PATH")]
    pub(crate) protect: Vec<PathBuf>,
    /// Most actions of all rules within a minute
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub(crate) max_actions: usize,
    /// Most actions of one rule within a minute
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) max_rule_actions: usize,
    /// When rules ask for more actions than this within a minute, all are only reported from then on,
    /// until `actions resume`
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(crate) breaker: usize,
    /// How long what a rule did and can be undone stays in effect at most, as `90s`, `10m`, `2h` or `1d`; a
    /// rule may ask for less by its `response_ttl`
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = policy::duration)]
    pub(crate) action_ttl: std::time::Duration,
    /// Whom rules that say `webhook` tell, by HTTP: `https://host/path`, also `http`
    #[arg(long, value_name = "URL")]
    pub(crate) webhook: Option<webhook::Webhook>,
    /// How much of `--history` before an alert is kept where its rule says `capture`
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = policy::duration)]
    pub(crate) capture_before: std::time::Duration,
    /// How much of it after the alert
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = policy::duration)]
    pub(crate) capture_after: std::time::Duration,
    /// What becomes of an action when the audit log cannot be written, as on a full disk
    #[arg(long, value_name = "WAY", default_value = "refuse")]
    pub(crate) audit_full: AuditFull,
    /// How much of the recent past is always recorded, in the state directory: size and age, or `off`
    #[arg(long, value_name = "SIZE,AGE", default_value = record::HISTORY)]
    pub(crate) history: record::Kept,
    /// Print no alerts; they remain available through `aegisbpf alerts`
    #[arg(long)]
    pub(crate) no_alerts: bool,
    /// Said to a running agent for one reading of the rules, and never on the command line.
    #[arg(skip)]
    pub(crate) accept: Vec<Accept>,
}

/// A pack that takes the place of a newer one by the word of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Accept {
    /// Its id.
    pub(crate) pack: String,
    /// The user who said so.
    pub(crate) who: u32,
    /// Why.
    pub(crate) reason: String,
}

/// What the guard tells the worker beyond the operator's own words.
#[derive(Debug, Clone, Args)]
pub(crate) struct WorkerArgs {
    /// The operator's options.
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// When the guard started, seconds since boot.
    #[arg(long)]
    pub(crate) started: u64,
    /// How many workers ended before this one.
    #[arg(long)]
    pub(crate) restarts: u32,
    /// Its options are not those of the one before it.
    #[arg(long)]
    pub(crate) anew: bool,
    /// How much it keeps for other outputs, if there are any. Where these are it need not know.
    #[arg(long, default_value = "off")]
    pub(crate) kept: record::Kept,
}

/// What the guard tells the process that hands alerts to outputs; the outputs themselves it reads.
#[derive(Debug, Clone, Args)]
pub(crate) struct ForwardArgs {
    /// Where the spool is.
    #[arg(long)]
    pub(crate) state_dir: PathBuf,
}

/// How to reach a running agent.
#[derive(Debug, Clone, Args)]
pub(crate) struct ClientArgs {
    /// Runtime directory of the agent
    #[arg(long, value_name = "DIR", default_value = RUNTIME_DIR)]
    pub(crate) runtime_dir: PathBuf,
    /// Form of the answer
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    pub(crate) output: Output,
}

/// Options of `doctor`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DoctorArgs {
    /// Runtime directory of the agent that is asked where whoever runs this may not try for himself
    #[arg(long, value_name = "DIR", default_value = RUNTIME_DIR)]
    pub(crate) runtime_dir: PathBuf,
    /// Form of the report
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    pub(crate) output: Output,
}

/// Options that `events` and `alerts` share.
#[derive(Debug, Clone, Args)]
pub(crate) struct StreamArgs {
    /// Runtime directory of the agent
    #[arg(long, value_name = "DIR", default_value = RUNTIME_DIR)]
    pub(crate) runtime_dir: PathBuf,
    /// Form of a line
    #[arg(short, long, value_name = "FORM", default_value = "compact")]
    pub(crate) output: Format,
    /// Go on with what happens from now
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// The newest of those that the agent has, at most this many; with --follow, stop after this many
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) lines: Option<u64>,
}

/// Options of `events`.
#[derive(Debug, Clone, Args)]
pub(crate) struct EventsArgs {
    /// What `alerts` has too.
    #[command(flatten)]
    pub(crate) stream: StreamArgs,
    /// Only events for which this EQL condition holds, such as 'process.name == "cp"'
    #[arg(long, value_name = "EQL")]
    pub(crate) r#where: Option<String>,
    /// Only these operations, as `doctor` names them; naming one asks the sensors for it
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub(crate) kinds: Vec<String>,
}

/// Options of `alerts`.
#[derive(Debug, Clone, Args)]
pub(crate) struct AlertsArgs {
    /// What `events` has too.
    #[command(flatten)]
    pub(crate) stream: StreamArgs,
}

/// Options of `fields`.
#[derive(Debug, Clone, Args)]
pub(crate) struct FieldsArgs {
    /// Only fields whose names start so
    #[arg(value_name = "PREFIX")]
    pub(crate) prefix: Option<String>,
    /// Form of the list
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    pub(crate) output: FieldsOutput,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
