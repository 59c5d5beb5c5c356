//! Bounds on rule text. Each is far above what people write and far below what hurts.

/// Bytes of a rule file: thousands of rules.
pub const MAX_FILE: usize = 1 << 20;
/// Rules of one file.
pub const MAX_RULES: usize = 10_000;
/// Rules of one load, from all files.
pub const MAX_PROGRAM: usize = 50_000;
/// Tests of one rule.
pub const MAX_TESTS: usize = 100;
/// Bytes of one query.
pub const MAX_QUERY: usize = 64 << 10;
/// Depth of parentheses, `not` and calls: parsing and evaluation recurse that deep.
pub const MAX_DEPTH: usize = 64;
/// Elements of one list.
pub const MAX_LIST: usize = 4_096;
/// Diagnostics of one file: beyond that they stop helping.
pub const MAX_DIAGNOSTICS: usize = 200;
