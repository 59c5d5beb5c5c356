//! Bounds of what a load of policies may hold. All are checked before anything is allocated for it.

/// Distinct subjects of all loaded policies; each is a bit of every mask.
pub const SUBJECTS_MAX: usize = 256;

/// Words of a mask of subjects.
pub const WORDS: usize = SUBJECTS_MAX / 64;

/// Labels of one file or peer: more than a few overlap only by mistake, and all are looked at.
pub const LABELS_MAX: usize = 8;

/// Bytes of a path that the kernel hands out, with the terminator.
pub const PATH_MAX: usize = 4096;

/// Sets of rules that own "contains" patterns: each is a bit of the mask gathered along a path.
pub const NEEDLES_MAX: usize = 64;

/// Rules and allow lists of all loaded policies.
pub const RULES_MAX: usize = 65_536;

/// States of one automaton. The packed form has 24 bits for a state, all ones kept free; memory is
/// spent long before.
pub const STATES_MAX: usize = 2 << 20;

/// Positions in patterns that all states together remember while the automaton is built: what grows
/// when wildcards overlap. 64 million are 256 MB for the moment of building.
pub const WORK_MAX: usize = 64 << 20;

/// Transitions of one automaton while it is built.
pub const EDGES_MAX: usize = 16 << 20;

/// Bytes of one table as the kernel gets it: the largest value of a map that all kernels make.
pub const BYTES_MAX: usize = 64 << 20;

/// Labels of one load.
pub const LABEL_NUMBERS_MAX: usize = 1 << 20;

/// Ranges of ports and protocols of all networks together.
pub const RANGES_MAX: usize = 1 << 20;

/// Protocols that rules name; the others are one class.
pub const PROTOCOLS_MAX: usize = 15;
