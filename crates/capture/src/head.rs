//! What a recording says of itself: who recorded what, on which host, with which rules.

use std::collections::BTreeSet;

use engine::{Host, Limits};
use model::program::Program;
use model::wire::WIRE_VERSION;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::frame::{Frame, Packer, Refusal};

/// Files of rules that a head names; more count in the digest and are not named.
const NAMED_MAX: usize = 20_000;
/// Events that an agent can have seen: a billion a second for a year.
const EVENTS_MAX: u64 = 1 << 55;
/// Results that pipes may hold back: as many as a search may.
const ROWS_MAX: usize = 1_000_000;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Version of the records.
    pub wire: u32,
    /// Whether numbers in records have their lowest byte first.
    pub little_endian: bool,
    /// Version of the agent.
    pub agent: String,
    /// Release of the kernel.
    pub kernel: String,
    /// Tells workers apart: frames of one go on where those of another head of it end.
    pub session: String,
    /// Number of the first frame of items.
    pub first_frame: u64,
    /// Events that happened before.
    pub events_before: u64,
    /// Whether this begins with the worker: all that the engine ever knew is in it.
    pub whole: bool,
    /// When it began, ns since the Unix epoch.
    pub began: i64,
    /// The host, as the engine knows it.
    pub host: HostIs,
    /// Results that the pipes of a rule hold back.
    pub rows: usize,
    /// The rules that ran.
    pub rules: RuleSet,
}

/// [`Host`] as it is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostIs {
    boot_id: String,
    machine_id: String,
    hostname: String,
    agent_id: String,
    ips: Vec<std::net::IpAddr>,
    cgroup_v1: bool,
    boot_time_unix_ns: i64,
}

impl HostIs {
    /// For an engine.
    pub fn host(&self) -> Host {
        let HostIs { boot_id, machine_id, hostname, agent_id, ips, .. } = self.clone();
        let (cgroup_v1, boot_time_unix_ns) = (self.cgroup_v1, self.boot_time_unix_ns);
        Host { boot_id, machine_id, hostname, agent_id, ips, cgroup_v1, boot_time_unix_ns }
    }
}

impl From<&Host> for HostIs {
    fn from(host: &Host) -> HostIs {
        let Host { boot_id, machine_id, hostname, agent_id, ips, .. } = host.clone();
        let (cgroup_v1, boot_time_unix_ns) = (host.cgroup_v1, host.boot_time_unix_ns);
        HostIs { boot_id, machine_id, hostname, agent_id, ips, cgroup_v1, boot_time_unix_ns }
    }
}

impl Head {
    /// What the first frame of a recording holds.
    pub fn frame(&self, packer: &mut Packer) -> std::io::Result<Vec<u8>> {
        packer.text(crate::Kind::Head, self.first_frame, &serde_json::to_vec(self)?)
    }

    /// The head in a frame, if its records can be read here.
    pub fn of(frame: &Frame) -> Result<Head, Refusal> {
        let head: Head = serde_json::from_slice(&frame.text()?)
            .map_err(|error| Refusal::Head(error.to_string()))?;
        if head.wire != WIRE_VERSION {
            return Err(Refusal::Wire(head.wire));
        }
        if head.little_endian != cfg!(target_endian = "little") {
            return Err(Refusal::ByteOrder);
        }
        if head.events_before > EVENTS_MAX || head.rows > ROWS_MAX {
            return Err(Refusal::Head("it counts further than any agent does".to_owned()));
        }
        Ok(head)
    }

    /// The bounds of the engine that ran. Its secret is not told: no match depends on it.
    pub fn limits(&self) -> Limits {
        Limits { rows: self.rows, ..Limits::default() }
    }
}

/// Which rules ran: the files that they are in and their ids. Where these are the same, so is what
/// the rules mean; where the files are and how they are called there does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleSet {
    /// SHA-256 of all that follows, in hexadecimal digits.
    pub digest: String,
    /// The rules, in their order.
    pub ids: Vec<String>,
    /// Last part of the name of each file, and its SHA-256 in hexadecimal digits.
    pub files: Vec<(String, String)>,
    /// How much each rule may hold, where that is another than usual.
    pub kept: Vec<(String, u32)>,
}

impl RuleSet {
    /// Of a program and the texts that it was made of.
    pub fn of<'t>(program: &Program, texts: impl Iterator<Item = (&'t str, &'t str)>) -> RuleSet {
        let texts = texts.map(|(name, text)| (name, text.as_bytes()));
        let code = program.scripts.iter().map(|script| (script.name.as_str(), &*script.code));
        let file = |(name, bytes): (&str, &[u8])| {
            let name = name.rsplit('/').next().unwrap_or_default();
            (name.to_owned(), hex(&Sha256::digest(bytes)))
        };
        let files: BTreeSet<(String, String)> = texts.chain(code).map(file).collect();
        let ids: Vec<String> = program.rules.iter().map(|rule| rule.meta.id.clone()).collect();
        let kept = program.rules.iter().filter_map(|rule| Some((rule, rule.meta.kept?)));
        let kept = kept.map(|(rule, kept)| (rule.meta.id.clone(), kept)).collect();
        let mut hash = Sha256::new();
        let mut line = |kind: &str, name: &str, value: &str| {
            for part in [kind, name, value] {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
        };
        for id in &ids {
            line("rule", id, "");
        }
        // How a file is called says nothing of what is in it.
        let sums: BTreeSet<&str> = files.iter().map(|(_, sum)| sum.as_str()).collect();
        for sum in sums {
            line("file", "", sum);
        }
        let digest = hex(&hash.finalize());
        RuleSet { digest, ids, files: files.into_iter().take(NAMED_MAX).collect(), kept }
    }

    /// Gives each rule of a program what it might hold when it ran.
    pub fn bound(&self, program: &mut Program) {
        for rule in &mut program.rules {
            let kept = self.kept.iter().find(|(id, _)| *id == rule.meta.id);
            rule.meta.kept = kept.map(|(_, kept)| *kept);
        }
    }

    /// What others have that these lack, and the other way round: names of files, or ids of rules if
    /// the files are the same.
    pub fn differences(&self, others: &RuleSet) -> Vec<String> {
        let own: BTreeSet<&str> = self.files.iter().map(|(_, sum)| sum.as_str()).collect();
        let theirs: BTreeSet<&str> = others.files.iter().map(|(_, sum)| sum.as_str()).collect();
        let lacks = |files: &[(String, String)], known: &BTreeSet<&str>, who: &str| {
            let missing = files.iter().filter(|(_, sum)| !known.contains(sum.as_str()));
            missing.map(|(name, _)| format!("{name} {who}")).collect::<Vec<_>>()
        };
        let mut found = lacks(&self.files, &theirs, "as it was recorded is not given");
        found.extend(lacks(&others.files, &own, "as it is given did not run"));
        if found.is_empty() && self.ids != others.ids {
            let missing = self.ids.iter().filter(|id| !others.ids.contains(id));
            found.extend(missing.map(|id| format!("rule {id} is not given")));
            let more = others.ids.iter().filter(|id| !self.ids.contains(id));
            found.extend(more.map(|id| format!("rule {id} did not run")));
            if found.is_empty() {
                found.push("the rules have another order".to_owned());
            }
        }
        found
    }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // A string takes all that is written.
        _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::program::{Expr, Filter, Query, Rule, RuleMeta};

    fn program(ids: &[&str]) -> Program {
        let rule = |id: &&str| Rule {
            meta: RuleMeta { id: (*id).to_owned(), ..RuleMeta::default() },
            logic: model::program::Logic::default(),
            query: Query::Event(Filter { category: None, condition: Expr::Const(true) }),
            pipes: Vec::new(),
        };
        Program { rules: ids.iter().map(rule).collect(), ..Program::default() }
    }

    #[test]
    fn rules_are_the_same_wherever_their_files_are() {
        let one = RuleSet::of(&program(&["a"]), [("/etc/x/a.toml", "text")].into_iter());
        let two = RuleSet::of(&program(&["a"]), [("./b.toml", "text")].into_iter());
        assert_eq!(one.digest, two.digest);
        assert!(one.differences(&two).is_empty());
        // `printf text | sha256sum`
        assert_eq!(one.files[0].1[..16], *"982d9e3eb996f559");
        let changed = RuleSet::of(&program(&["a"]), [("a.toml", "Text")].into_iter());
        assert_ne!(one.digest, changed.digest);
        let expected =
            ["a.toml as it was recorded is not given", "a.toml as it is given did not run"];
        assert_eq!(one.differences(&changed), expected);
        let fewer = RuleSet::of(&program(&[]), [("a.toml", "text")].into_iter());
        assert_eq!(one.differences(&fewer), ["rule a is not given"]);
        assert_ne!(one.digest, fewer.digest);
    }
}
