//! What is in force, what is on trial, and what is held back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Cause;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// The generation in force.
    #[serde(default)]
    pub(crate) active: Option<u64>,
    /// Since when, in RFC 3339.
    #[serde(default)]
    pub(crate) since: String,
    /// The highest number that was ever given.
    #[serde(default)]
    pub(crate) last: u64,
    /// What the files looked like that the directories held when rules were last read from there.
    #[serde(default)]
    pub(crate) print: u64,
    /// The generation to go back to if the one in force breaks, while that is on trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trial: Option<u64>,
    /// The files looked so when a reading of them began that has not ended yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reading: Option<u64>,
    /// The directories are not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) held: Option<Held>,
    /// Generations that broke: when, and how.
    #[serde(default)]
    pub(crate) reverted: BTreeMap<u64, Broken>,
    /// Where rules are read from: what is tried and held is so for these places alone.
    #[serde(default)]
    pub(crate) sources: Vec<String>,
    /// Whether policies were carried out (`enforce`) or only reported (`audit`) when the agent last
    /// started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mode: Option<String>,
}

/// Why the directories are not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    /// The generation that runs instead.
    pub(crate) generation: u64,
    /// Who wanted that, and why.
    #[serde(flatten)]
    pub(crate) cause: Cause,
    /// When, in RFC 3339.
    pub(crate) since: String,
    /// They are read again as soon as they look otherwise than so; none: when somebody says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) print: Option<u64>,
}

/// How a generation ended that broke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Broken {
    /// When, in RFC 3339.
    pub(crate) time: String,
    /// Why.
    pub(crate) reason: String,
}
