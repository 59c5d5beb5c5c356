//! What the loaded rules need from the sensors; what nobody needs is not sent by the kernel.

use crate::op::KindSet;

/// What the sensors must deliver.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interest {
    /// Operations to deliver for the whole host. Opens and writes are delivered only for files
    /// that a watch covers.
    pub kinds: KindSet,
    /// Files and directories whose opens and writes matter.
    pub watch: Vec<Watch>,
    /// Environment variables that rules read; empty: the environment is not captured.
    pub env: Vec<String>,
}

/// A file or directory that rules are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Absolute path without wildcards; it may not exist yet.
    pub path: String,
    /// Whether everything below a directory is meant, and not only its direct children.
    pub recursive: bool,
    /// Operations wanted there.
    pub kinds: KindSet,
}

/// What a rule needs and cannot get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unbounded {
    /// Opens or writes of files that its condition does not bound.
    Files,
    /// Environment variables whose names its condition does not give.
    Environment,
}
