//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Checks, tests, runs and explains detection rules
///
/// Rules are EQL in TOML (our own files and Elastic's) or Sigma YAML; events are ECS as NDJSON.
/// Data goes to standard output, diagnostics to standard error. Exit status: 0 nothing is wrong,
/// 1 findings or failures, 2 wrong usage.
#[derive(Debug, Parser)]
#[command(name = "kestrel", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check rules for errors and likely mistakes, and say where each would run
    Check {
        #[command(flatten)]
        rules: Rules,
        /// Form of the output
        #[arg(short, long, value_enum, default_value_t)]
        output: CheckForm,
    },
    /// Write rule files in the one canonical form
    Fmt {
        /// Rule files, or directories
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// Change nothing; say which files would change, and fail if there are any
        #[arg(long)]
        check: bool,
    },
    /// Run the tests that rules bring along
    Test {
        #[command(flatten)]
        rules: Rules,
        /// Form of the output
        #[arg(short, long, value_enum, default_value_t)]
        output: Form,
    },
    /// Run rules over recorded events and print alerts
    Run {
        /// Rule files, or directories
        #[arg(long = "rules", required = true, value_name = "PATH", num_args = 1..)]
        rules: Vec<PathBuf>,
        /// Files of events (`-` for standard input); each is a stream of its own
        #[arg(long, required = true, value_name = "FILE", num_args = 1..)]
        events: Vec<PathBuf>,
        /// Dialect of rules that do not tell theirs
        #[arg(long, value_enum)]
        dialect: Option<DialectName>,
        /// Form of alerts
        #[arg(short, long, value_enum, default_value_t)]
        output: RunForm,
        /// Files that are read at the same time; as many as there are processors unless given
        #[arg(long, value_name = "N")]
        threads: Option<usize>,
    },
    /// Search recorded events with one query
    Query(Query),
    /// Say how a rule is compiled and placed, and with an event why it matches or not
    Explain {
        /// Rule file
        rule: PathBuf,
        /// Only the rule of this id
        #[arg(long)]
        id: Option<String>,
        /// File of events (`-` for standard input); each is explained
        #[arg(long, value_name = "FILE")]
        event: Option<PathBuf>,
        /// Dialect of rules that do not tell theirs
        #[arg(long, value_enum)]
        dialect: Option<DialectName>,
        /// Form of the output
        #[arg(short, long, value_enum, default_value_t)]
        output: Form,
    },
    /// Measure how long rules take on recorded events, by stage
    Bench {
        /// Rule files, or directories
        #[arg(long = "rules", required = true, value_name = "PATH", num_args = 1..)]
        rules: Vec<PathBuf>,
        /// Files of events
        #[arg(long, required = true, value_name = "FILE", num_args = 1..)]
        events: Vec<PathBuf>,
        /// Dialect of rules that do not tell theirs
        #[arg(long, value_enum)]
        dialect: Option<DialectName>,
        /// Threads; each takes its own share of the events
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
    Convert {
        /// Sigma files, or directories
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
    /// List the fields that rules can name
    Fields {
        /// Form of the output
        #[arg(short, long, value_enum, default_value_t)]
        output: Form,
    },
}

/// Which rules.
#[derive(Debug, Args)]
pub(crate) struct Rules {
    /// Rule files, or directories
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Dialect of rules that do not tell theirs
    #[arg(long, value_enum)]
    pub(crate) dialect: Option<DialectName>,
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
