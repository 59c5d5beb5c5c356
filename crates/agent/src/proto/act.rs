//! The messages about what rules want done, and about what of it is undone.

use model::policy::Operations;

use super::object::Object;
use super::{ProtoError, Reader, put_text};

/// Bytes of the id of a rule, with room.
const RULE_MAX: usize = 256;
/// Bytes of the reason that an operator gives; the control socket cuts it to fewer letters.
const REASON_MAX: usize = 4_096;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Verb {
    /// It ends.
    Kill,
    /// It and all that came from it end.
    KillTree,
    /// It stops where it is.
    Stop,
    /// It goes on.
    Continue,
    /// The file at hand is moved aside.
    Quarantine,
    /// The cgroup of the process is cut off the network.
    Isolate,
    /// The host is cut off the network.
    IsolateHost,
    /// What it did is denied from now on.
    Deny,
    /// The recording around it is kept.
    Capture,
    /// Somebody elsewhere is told.
    Webhook,
}

impl Verb {
    /// All of them.
    pub(crate) const ALL: [Verb; 10] = [
        Verb::Kill,
        Verb::KillTree,
        Verb::Stop,
        Verb::Continue,
        Verb::Quarantine,
        Verb::Isolate,
        Verb::IsolateHost,
        Verb::Deny,
        Verb::Capture,
        Verb::Webhook,
    ];

    /// The word of rules and of the audit log.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Verb::Kill => "kill",
            Verb::KillTree => "kill-tree",
            Verb::Stop => "stop",
            Verb::Continue => "continue",
            Verb::Quarantine => "quarantine",
            Verb::Isolate => "isolate",
            Verb::IsolateHost => "isolate-host",
            Verb::Deny => "deny",
            Verb::Capture => "capture",
            Verb::Webhook => "webhook",
        }
    }

    /// Whether it changes anything; what does not is done without being switched on.
    pub(crate) fn is_harmless(self) -> bool {
        self == Verb::Capture
    }

    /// Whether what it does can be undone.
    pub(crate) fn is_reversible(self) -> bool {
        match self {
            Verb::Stop | Verb::Quarantine | Verb::Isolate | Verb::IsolateHost | Verb::Deny => true,
            // Who was stopped by somebody else is not ours to stop again.
            Verb::Kill | Verb::KillTree | Verb::Continue | Verb::Capture | Verb::Webhook => false,
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
    pub(crate) alert: u128,
    /// Number of the process.
    pub(crate) pid: u32,
    /// When it started, ns since boot.
    pub(crate) start: u64,
    /// What it acted on in the event that completed the match.
    pub(crate) object: Object,
    /// What it did to that; none if no policy has a word for it.
    pub(crate) operations: Operations,
}

impl Act {
    /// Adds it to a message.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.push(self.verb as u8);
        out.extend(self.alert.to_le_bytes());
        out.extend(self.pid.to_le_bytes());
        out.extend(self.start.to_le_bytes());
        out.extend(self.operations.0.to_le_bytes());
        put_text(out, &self.rule);
        self.object.put(out);
    }

    /// Takes it out of a message, each field checked.
    pub(super) fn take(reader: &mut Reader<'_>) -> Result<Act, ProtoError> {
        let verb = reader.byte()?;
        let verb = Verb::ALL.into_iter().find(|one| *one as u8 == verb);
        let verb = verb.ok_or(ProtoError::Field("verb"))?;
        let alert = u128::from_le_bytes(reader.number()?);
        let pid = u32::from_le_bytes(reader.number()?);
        let start = u64::from_le_bytes(reader.number()?);
        let operations = Operations(u32::from_le_bytes(reader.number()?));
        let known = operations.iter().fold(Operations::default(), Operations::with);
        if operations != known {
            return Err(ProtoError::Field("operations"));
        }
        let rule = reader.text(RULE_MAX, "rule")?;
        if pid == 0 {
            return Err(ProtoError::Field("process"));
        }
        let object = Object::take(reader)?;
        Ok(Act { rule, verb, alert, pid, start, object, operations })
    }
}

/// Which actions are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// That of this number.
    One(u64),
    /// Those of a rule.
    Rule(String),
    /// Those since then, seconds since 1970.
    Since(i64),
    /// None: rules may act again after the breaker has tripped.
    Resume,
}

/// An operator's word about actions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Undo {
    /// Which are undone.
    pub(crate) what: What,
    /// The user who said so, by the kernel's word to the control socket.
    pub(crate) uid: u32,
    /// Why.
    pub(crate) reason: String,
}

impl Undo {
    /// Adds it to a message.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let (kind, number, rule) = match &self.what {
            What::One(id) => (1, id.to_le_bytes(), None),
            What::Rule(rule) => (2, [0; 8], Some(rule)),
            What::Since(time) => (3, time.to_le_bytes(), None),
            What::Resume => (4, [0; 8], None),
        };
        out.push(kind);
        out.extend(number);
        out.extend(self.uid.to_le_bytes());
        put_text(out, &self.reason);
        if let Some(rule) = rule {
            put_text(out, rule);
        }
    }

    /// Takes it out of a message, each field checked.
    pub(super) fn take(reader: &mut Reader<'_>) -> Result<Undo, ProtoError> {
        let kind = reader.byte()?;
        let number = reader.number()?;
        let uid = u32::from_le_bytes(reader.number()?);
        let reason = reader.text(REASON_MAX, "reason")?;
        let what = match kind {
            1 => What::One(u64::from_le_bytes(number)),
            2 => What::Rule(reader.text(RULE_MAX, "rule")?),
            3 => What::Since(i64::from_le_bytes(number)),
            4 => What::Resume,
            _ => return Err(ProtoError::Field("action")),
        };
        Ok(Undo { what, uid, reason })
    }
}

#[cfg(test)]
mod tests {
    use model::policy::Operation;

    use super::super::Request;
    use super::*;

    #[test]
    fn what_is_wanted_survives_the_journey_and_each_field_is_checked() {
        let of = |pid, object| {
            let rule = "r".to_owned();
            let operations = Operations::default().with(Operation::Read).with(Operation::IoUring);
            Act { rule, verb: Verb::KillTree, alert: 7, pid, start: 9, object, operations }
        };
        let act = |pid| of(pid, Object::None);
        let file = |path: &[u8]| Object::File { path: path.to_vec(), inode: 7, by: b"/x".to_vec() };
        let peer = Object::Peer("[2001:db8::1]:443".parse().unwrap());
        let objects = [file(b"/a\xff\n"), peer, Object::Program(b"/b".to_vec())];
        let acts = objects.into_iter().map(|object| Request::Act(of(4, object)));
        let undo = |what| Undo { what, uid: 1000, reason: "a mistake".into() };
        let all = [What::One(3), What::Rule("r".into()), What::Since(-1), What::Resume];
        let all = all.into_iter().map(|what| Request::Undo(5, undo(what)));
        for request in all.chain(acts).chain([Request::Act(act(4)), Request::Rules]) {
            let bytes = request.encode();
            assert_eq!(Request::decode(&bytes).unwrap(), request);
            for cut in 0..bytes.len() {
                assert!(Request::decode(&bytes[..cut]).is_err(), "{request:?} cut at {cut}");
            }
        }
        let field = |bytes: &[u8]| match Request::decode(bytes) {
            Err(ProtoError::Field(name)) => name,
            other => panic!("{other:?}"),
        };
        assert_eq!(field(&Request::Act(act(0)).encode()), "process");
        for path in [&b"a"[..], b"/a\0b"] {
            assert_eq!(field(&Request::Act(of(4, file(path))).encode()), "path");
        }
        let mut strange = Request::Act(act(4)).encode();
        strange[1] = 99;
        assert_eq!(field(&strange), "verb");
        let mut unknown = act(4);
        unknown.operations = Operations(1 << 31);
        assert_eq!(field(&Request::Act(unknown).encode()), "operations");
        let long = Undo { reason: "x".repeat(5_000), ..undo(What::Resume) };
        assert_eq!(field(&Request::Undo(1, long).encode()), "reason");
    }
}
