//! The message about a process that a rule wants something done to.

use super::{ProtoError, Reader, put_text};

/// Bytes of the id of a rule, with room.
const RULE_MAX: usize = 256;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// It ends.
    Kill,
    /// It and all that came from it end.
    KillTree,
    /// It stops where it is.
    Stop,
    /// It goes on.
    Continue,
}

impl Verb {
    const ALL: [Verb; 4] = [Verb::Kill, Verb::KillTree, Verb::Stop, Verb::Continue];

    /// The word of rules and of the audit log.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Verb::Kill => "kill",
            Verb::KillTree => "kill-tree",
            Verb::Stop => "stop",
            Verb::Continue => "continue",
        }
    }

    /// What a word stands for; `kill_process` is that of Elastic's rules.
    pub(crate) fn from_name(word: &str) -> Option<Verb> {
        let word = if word == "kill_process" { "kill" } else { word };
        Verb::ALL.into_iter().find(|one| one.as_str() == word)
    }
}

/// A process that a rule wants something done to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Act {
    /// The rule.
    pub(crate) rule: String,
    /// What it wants.
    pub(crate) verb: Verb,
    /// The alert that it raised.
    pub(crate) alert: [u8; 16],
    /// Number of the process.
    pub(crate) pid: u32,
    /// When it started, ns since boot.
    pub(crate) start: u64,
}

impl Act {
    /// Adds it to a message.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.push(self.verb as u8);
        out.extend(self.alert);
        out.extend(self.pid.to_le_bytes());
        out.extend(self.start.to_le_bytes());
        put_text(out, &self.rule);
    }

    /// Takes it out of a message, each field checked.
    pub(super) fn take(reader: &mut Reader<'_>) -> Result<Act, ProtoError> {
        let verb = reader.byte()?;
        let verb = Verb::ALL.into_iter().find(|one| *one as u8 == verb);
        let verb = verb.ok_or(ProtoError::Field("verb"))?;
        let alert = reader.number()?;
        let pid = u32::from_le_bytes(reader.number()?);
        let start = u64::from_le_bytes(reader.number()?);
        let rule = reader.text(RULE_MAX, "rule")?;
        if pid == 0 { Err(ProtoError::Field("process")) } else { Ok(Act { rule, verb, alert, pid, start }) }
    }
}
