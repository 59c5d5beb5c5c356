//! Bounds on rule text. Each is far above what people write and far below what hurts.

/// Bytes of a rule file: thousands of rules.
pub const MAX_FILE: usize = 1 << 20;
/// Rules of one file.
pub const MAX_RULES: usize = 10_000;
/// Rules of one load, from all files.
pub const MAX_PROGRAM: usize = 50_000;
/// Tests of one rule.
pub const MAX_TESTS: usize = 100;
/// Events of one test.
pub const MAX_TEST_EVENTS: usize = 100;
/// Bytes of one query.
pub const MAX_QUERY: usize = 64 << 10;
/// Depth of parentheses, `not` and calls: parsing and evaluation recurse that deep.
pub const MAX_DEPTH: usize = 64;
/// Elements of one list.
pub const MAX_LIST: usize = 4_096;
/// Diagnostics of one file: beyond that they stop helping.
pub const MAX_DIAGNOSTICS: usize = 200;
/// Bytes of one Sigma document: a hundred times the longest that people write.
pub const MAX_SIGMA_DOCUMENT: usize = 256 << 10;
/// Brackets that may begin a list or mapping in one Sigma document: for each open one the YAML
/// reader looks again at each token. Published rules have a dozen, most of them within texts.
pub const MAX_SIGMA_BRACKETS: usize = 1_024;
/// Bytes of one Sigma condition: its parser recurses by `not`.
pub const MAX_CONDITION: usize = 4 << 10;
/// Fields beyond the table that the rules of one load may name: field numbers have 16 bits, and
/// each costs a look-up an event.
pub const MAX_FIELDS: usize = 16_384;
/// Scripts of one load: each is compiled, and has memory of its own.
pub const MAX_SCRIPTS: usize = 4_096;
/// Fields that one script may read: more is no rule.
pub const MAX_SCRIPT_FIELDS: usize = 64;
/// Regular expressions of one script, and wildcard patterns as many.
pub const MAX_SCRIPT_PATTERNS: usize = 64;
/// Functions of one script that queries ask.
pub const MAX_SCRIPT_FUNCTIONS: usize = 64;
/// Arguments of a question to a script: it can read declared fields itself.
pub const MAX_SCRIPT_ARGS: usize = 8;
/// Bytes of the name of a script, of its patterns and functions: it stands in diagnostics and alerts.
pub const MAX_SCRIPT_NAME: usize = 64;
/// Bytes of the path of a script, and of one of its patterns.
pub const MAX_SCRIPT_TEXT: usize = 4_096;
/// Steps of a sequence, each run counted.
pub const MAX_STEPS: usize = 256;
/// Filters of a sample.
pub const MAX_SAMPLE: usize = 5;
/// Largest `with runs`.
pub const MAX_RUNS: u64 = 100;
/// Pipes of a query.
pub const MAX_PIPES: usize = 32;
/// Errors of one query: beyond that they stop helping.
pub const MAX_ERRORS: usize = 20;
/// Queries over lineage in one load: each is a test of every event.
pub const MAX_LINEAGES: usize = 1_000;
