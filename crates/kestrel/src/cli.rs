//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::author::Language;
use crate::pack::Pack;
use crate::replay::span::Span;

const CHECK: &str = "\
Examples:
  kestrel check rules/                        errors, warnings, and where each rule would run
  kestrel check rules/ -o sarif > out.sarif   for a code host
  kestrel check --dialect classic old.toml    rules of the original language";
const FMT: &str = "\
Examples:
  kestrel fmt rules/             rewrites the files that need it
  kestrel fmt --check rules/     only names them, and fails if there are any
  kestrel fmt - < a.toml         prints the result";
const TEST: &str = "\
Examples:
  kestrel test rules/
  kestrel test rules/ -o json | jq '.failed[].rule'";
const RUN: &str = "\
Examples:
  kestrel run --rules rules/ --events day.ndjson
  aegisbpf events -o json | kestrel run --rules rules/ --events - -o ndjson";
const REPLAY: &str = "\
Examples:
  kestrel replay night.rec --rules rules/              what the rules find in it
  kestrel replay night.rec --rules rules/ --verify     whether that is what was found live
  kestrel replay /var/lib/aegisbpf/worker/own/history --rules rules/ --since 2h -o ndjson";
const HUNT: &str = "\
Examples:
  kestrel hunt 'process where process.name == \"nc\"' --since 2h
  kestrel hunt 'sequence by process.entity_id [process where event.type == \"start\"]
      [network where destination.port == 4444]' night.rec -o ndjson";
const QUERY: &str = "\
Examples:
  kestrel query 'process where process.name == \"nc\"' --events day.ndjson
  kestrel query 'sequence by process.entity_id [file where true] [network where true]' \\
      --events day.ndjson -o ids";
const EXPLAIN: &str = "\
Examples:
  kestrel explain rules/execution.toml --id shell-from-network-service
  kestrel explain rule.toml --event events.ndjson    why it matches, or not";
const BENCH: &str = "\
Examples:
  kestrel bench --rules rules/ --events day.ndjson
  kestrel bench --rules rules/ --events day.ndjson --inflate 10000";
const CONVERT: &str = "\
Examples:
  kestrel convert sigma/process_creation/
  kestrel convert rule.yml -o json | jq -r '.[].query'";
const NEW: &str = "\
Examples:
  kestrel new hidden/ --language c
  kestrel new hidden/ --language luau && kestrel test hidden/rules";
const BUILD: &str = "\
rules/NAME.wasm is made of src/NAME.c, .ts, .rs or .wat by the compiler that is installed; .wat needs
none.

Examples:
  kestrel build hidden/ && kestrel test hidden/rules";
const COMPLETIONS: &str = "\
Examples:
  kestrel completions bash > /usr/share/bash-completion/completions/kestrel
  kestrel completions zsh > ~/.zfunc/_kestrel";
const FIELDS: &str = "\
Examples:
  kestrel fields process.parent    fields whose names start so
  kestrel fields -o json";

/// Checks, tests, runs and explains detection rules
///
/// Rules are EQL in TOML (our own files and Elastic's) or Sigma YAML; events are ECS as NDJSON.
/// Data goes to standard output, diagnostics to standard error. Exit status: 0 nothing is wrong,
/// 1 findings or failures, 2 wrong usage.
#[derive(Debug, Parser)]
#[command(name = "kestrel", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// How Wasm modules of rules are run; as fast as the system lets us unless given. The answers
    /// are the same
    #[arg(long, value_enum, value_name = "HOW", global = true, hide_short_help = true)]
    pub(crate) wasm: Option<Wasm>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How Wasm modules are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wasm {
    /// Compiled into machine code
    Native,
    /// Interpreted
    Pulley,
}

impl From<Wasm> for script::Backend {
    fn from(name: Wasm) -> script::Backend {
        match name {
            Wasm::Native => script::Backend::Native,
            Wasm::Pulley => script::Backend::Pulley,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check rules for errors and likely mistakes, and say where each would run
    #[command(after_help = CHECK)]
    Check {
        #[command(flatten)]
        rules: Rules,
        /// Form of the output
        #[arg(short, long, value_enum, default_value_t)]
        output: CheckForm,
    },
    /// Write rule files in the one canonical form
    #[command(after_help = FMT)]
    Fmt {
        /// Rule files (`-` for standard input, which is written to standard output), or directories
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// Change nothing; say which files would change, and fail if there are any
        #[arg(long)]
        check: bool,
    },
    /// Run the tests that rules bring along
    #[command(after_help = TEST)]
    Test {
        #[command(flatten)]
        rules: Rules,
        /// Form of the output
        #[arg(short, long, value_enum, default_value_t)]
        output: Form,
    },
    /// Run rules over recorded events and print alerts
    #[command(after_help = RUN)]
    Run {
        #[command(flatten)]
        recorded: Recorded,
        /// Form of alerts
        #[arg(short, long, value_enum, default_value_t)]
        output: RunForm,
        /// Threads that read events; as many as there are processors unless given
        #[arg(long, value_name = "N")]
        threads: Option<usize>,
    },
    /// Run rules over a recording of the agent, exactly as it ran them
    #[command(after_help = REPLAY)]
    Replay(Replay),
    /// Search the history of the agent, or recordings, with one query
    #[command(after_help = HUNT)]
    Hunt(Hunt),
    /// Search recorded events with one query
    #[command(after_help = QUERY)]
    Query(Query),
    /// Say how a rule is compiled and placed, and with an event why it matches or not
    #[command(after_help = EXPLAIN)]
    Explain {
        /// Rule file (`-` for standard input), or a directory
        rule: PathBuf,
        /// Only the rule of this id
        #[arg(long, value_name = "ID")]
        id: Option<String>,
        /// File of events (`-` for standard input); each is explained
        #[arg(long, value_name = "FILE")]
        event: Option<PathBuf>,
        #[command(flatten)]
        dialect: RuleDialect,
        /// Form of the output
        #[arg(short, long, value_enum, default_value_t)]
        output: Form,
    },
    /// Measure how long rules take on recorded events, by stage
    #[command(after_help = BENCH)]
    Bench {
        #[command(flatten)]
        recorded: Recorded,
        /// Threads that decode and evaluate
        #[arg(long, value_name = "N", default_value_t = 1)]
        threads: usize,
        /// Measure this many rules: made from the given ones by renaming literals
        #[arg(long, value_name = "N")]
        inflate: Option<usize>,
        /// Form of the output
        #[arg(short, long, value_enum, default_value_t)]
        output: Form,
    },
    /// Print Sigma rules as EQL
    #[command(after_help = CONVERT)]
    Convert {
        /// Sigma files (`-` for standard input), or directories
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// Form of the output
        #[arg(short, long, value_enum, default_value_t)]
        output: ConvertForm,
    },
    /// Begin a rule that asks a script, with its tests
    #[command(after_help = NEW)]
    New {
        /// The directory, which is made
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// The language of the script
        #[arg(short, long, value_enum)]
        language: Language,
    },
    /// Compile the scripts of rules from their sources
    #[command(after_help = BUILD)]
    Build {
        /// The directory with `src` and `rules`
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Make, sign, check and review packs: rules that others can verify
    Pack(Pack),
    /// Print the completions of a shell
    #[command(after_help = COMPLETIONS)]
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
    /// List the fields that rules can name, and which source fills them in each tier
    #[command(after_help = FIELDS)]
    Fields {
        /// Only fields whose names start so
        #[arg(value_name = "PREFIX", default_value = "", hide_default_value = true)]
        prefix: String,
        /// Form of the output
        #[arg(short, long, value_enum, default_value_t)]
        output: Form,
    },
}

/// Which rules.
#[derive(Debug, Args)]
pub(crate) struct Rules {
    /// Rule files (`-` for standard input), or directories
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) dialect: RuleDialect,
}

/// Which rules over which events.
#[derive(Debug, Args)]
pub(crate) struct Recorded {
    /// Rule files, or directories
    #[arg(long = "rules", required = true, value_name = "PATH", num_args = 1..)]
    pub(crate) rules: Vec<PathBuf>,
    /// Files of events (`-` for standard input); each is a stream of its own
    #[arg(long, required = true, value_name = "FILE", num_args = 1..)]
    pub(crate) events: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) dialect: RuleDialect,
}

/// `kestrel replay`
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// Recordings of `aegisbpf record`, or directories of history; one after another
    #[arg(required = true, value_name = "FILE")]
    pub(crate) recording: Vec<PathBuf>,
    /// Rule files, or directories: those that ran
    #[arg(long = "rules", required = true, value_name = "PATH", num_args = 1..)]
    pub(crate) rules: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) dialect: RuleDialect,
    /// Compare with the alerts that were found live instead of printing them
    #[arg(long)]
    pub(crate) verify: bool,
    /// Replay although other rules ran
    #[arg(long)]
    pub(crate) force: bool,
    /// Form of alerts, or of the comparison
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: RunForm,
    /// The time that it is about.
    #[command(flatten)]
    pub(crate) span: Span,
    /// Threads: one runs the rules, the others unpack; as many as there are processors unless given
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
}

/// `kestrel hunt`
#[derive(Debug, Args)]
pub(crate) struct Hunt {
    /// The query, or a condition on single events
    #[arg(value_name = "EQL")]
    pub(crate) text: String,
    /// Recordings, or directories of history; one after another
    #[arg(value_name = "FILE", default_value = "/var/lib/aegisbpf/worker/own/history")]
    pub(crate) recording: Vec<PathBuf>,
    /// The time that it is about.
    #[command(flatten)]
    pub(crate) span: Span,
    /// Form of what is found
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: RunForm,
    /// Threads: one runs the query, the others unpack; as many as there are processors unless given
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
}

/// How rules are read.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct RuleDialect {
    /// Dialect of rules that do not tell theirs
    #[arg(long = "dialect", value_enum, value_name = "DIALECT")]
    pub(crate) of_rules: Option<DialectName>,
}

/// `kestrel query`
#[derive(Debug, Args)]
pub(crate) struct Query {
    /// The query
    #[arg(value_name = "EQL")]
    pub(crate) text: String,
    /// File of events (`-` for standard input)
    #[arg(long, value_name = "FILE")]
    pub(crate) events: PathBuf,
    /// Dialect of the query
    #[arg(long, value_enum, default_value_t)]
    pub(crate) dialect: DialectName,
    /// Whether letters of another case are equal; only `classic` can choose, and is insensitive
    /// unless told otherwise
    #[arg(long, value_enum)]
    pub(crate) case: Option<Case>,
    /// Field that identifies an event; the number of its line unless the event has it
    #[arg(long, value_name = "FIELD")]
    pub(crate) id_field: Option<String>,
    /// Form of the results
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: QueryForm,
}

/// Dialects by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum DialectName {
    /// Elasticsearch
    #[default]
    Elastic,
    /// Elastic's endpoint rules: aliases, `descendant of`
    Endpoint,
    /// The original: pipes, `join`, lineage, three-valued logic
    Classic,
}

/// How letters compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Case {
    Sensitive,
    Insensitive,
}

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Form {
    /// For people
    #[default]
    Text,
    /// One JSON document
    Json,
}

/// Form of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum CheckForm {
    /// For people
    #[default]
    Text,
    /// One JSON document
    Json,
    /// SARIF 2.1.0, for code hosts and editors
    Sarif,
}

/// Form of converted rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum ConvertForm {
    /// Queries, each under the name, id and author of its rule
    #[default]
    Eql,
    /// One JSON document
    Json,
}

/// Form of alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum RunForm {
    /// One line each, for people
    #[default]
    Text,
    /// One JSON object a line
    Ndjson,
}

/// Form of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum QueryForm {
    /// Ids of the members in order, one a line
    Ids,
    /// One JSON object a result
    Ndjson,
    /// For people
    #[default]
    Table,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
