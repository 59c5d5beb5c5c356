//! The message about a process that took the first steps of a sequence.

use super::{ProtoError, Reader, put_text};

/// Bytes of the id of a rule, with room.
const RULE_MAX: usize = 256;

/// A process that took the first steps of a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arm {
    /// The rule.
    pub(crate) rule: String,
    /// Number of the process.
    pub(crate) pid: u32,
    /// When it started, ns since boot.
    pub(crate) start: u64,
    /// Until when it counts, ns since boot; 0: as long as the process lives.
    pub(crate) until: u64,
}

impl Arm {
    /// Adds it to a message.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.extend(self.pid.to_le_bytes());
        out.extend(self.start.to_le_bytes());
        out.extend(self.until.to_le_bytes());
        put_text(out, &self.rule);
    }

    /// Takes it out of a message, each field checked.
    pub(super) fn take(reader: &mut Reader<'_>) -> Result<Arm, ProtoError> {
        let pid = u32::from_le_bytes(reader.number()?);
        let start = u64::from_le_bytes(reader.number()?);
        let until = u64::from_le_bytes(reader.number()?);
        let rule = reader.text(RULE_MAX, "rule")?;
        if pid == 0 {
            Err(ProtoError::Field("process"))
        } else {
            Ok(Arm { rule, pid, start, until })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Request;
    use super::*;

    #[test]
    fn an_arming_survives_the_journey_and_is_checked() {
        let arm = Arm { rule: "a-rule".into(), pid: 7, start: 1 << 40, until: 5 };
        let bytes = Request::Arm(arm.clone()).encode();
        assert_eq!(Request::decode(&bytes).unwrap(), Request::Arm(arm.clone()));
        for cut in 0..bytes.len() {
            assert!(matches!(Request::decode(&bytes[..cut]), Err(ProtoError::Length)), "{cut}");
        }
        let field = |arm: Arm| match Request::decode(&Request::Arm(arm).encode()) {
            Err(ProtoError::Field(name)) => name,
            other => panic!("{other:?}"),
        };
        assert_eq!(field(Arm { pid: 0, ..arm.clone() }), "process");
        assert_eq!(field(Arm { rule: String::new(), ..arm.clone() }), "rule");
        assert_eq!(field(Arm { rule: "x".repeat(RULE_MAX + 1), ..arm }), "rule");
    }
}
