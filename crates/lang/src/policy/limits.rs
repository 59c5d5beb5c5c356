//! Bounds on policy text.

/// Bytes of a policy file: 10,000 rules of 400 bytes.
pub const MAX_FILE: usize = 4 << 20;
/// How deep lists and maps nest.
pub(super) const MAX_DEPTH: usize = 32;
/// Values of one file.
pub(super) const MAX_NODES: usize = 1_000_000;
/// Rules and allow-lists of one policy.
pub const MAX_RULES: usize = 20_000;
/// Objects of one rule.
pub const MAX_OBJECTS: usize = 4_096;
/// Bytes of a path pattern: `PATH_MAX`.
pub const MAX_PATTERN: usize = 4_096;
/// Findings of one file: beyond that they stop helping.
pub(super) const MAX_FOUND: usize = 200;
