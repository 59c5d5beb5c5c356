//! What the kernel half says, as JSON: the guard sends it to the worker, `doctor` prints it.

use kernel::rings::RING_NAMES as RINGS;
use kernel::{Counters, Error, Operation, Provider, Report};
use model::wire;
use serde_json::{Map, Value as Json, json};

use crate::exit::{Exit, Failure};

/// Causes by number, as in `enum loss`.
const CAUSES: [&str; wire::LOSS_COUNT as usize] =
    ["ring_full", "path", "args", "storage", "source", "resolve", "too_long", "no_process"];

/// What is observed, and how.
#[derive(Debug)]
pub(crate) struct Doctor<'a> {
    report: &'a Report,
}

impl<'a> Doctor<'a> {
    /// Of this report.
    pub(crate) fn of(report: &'a Report) -> Doctor<'a> {
        Doctor { report }
    }

    /// The whole as one object.
    pub(crate) fn json(&self) -> Json {
        json!({
            "tier": self.report.tier.name(),
            "kernel": self.report.kernel,
            "btf": self.report.btf,
            "operations": self.report.operations.iter().map(operation).collect::<Vec<_>>(),
        })
    }
}

fn operation(operation: &Operation) -> Json {
    json!({
        "operation": operation.kind.name(),
        "meaning": operation.kind.doc(),
        "state": operation.state.name(),
        "provider": operation.provider.map(Provider::name),
        "hook": operation.hook,
        "attached": operation.attached,
        "taxes": operation.provider == Some(Provider::Syscall),
        "note": operation.note,
        "improve": operation.improve,
    })
}

/// What was sent, by operation, and lost, by ring and cause.
pub(crate) fn counters(counters: &Counters) -> Json {
    let sent: Map<String, Json> = counters
        .sent
        .iter()
        .map(|(kind, count)| (kind.name().to_owned(), (*count).into()))
        .collect();
    let mut lost: Map<String, Json> =
        RINGS.iter().map(|ring| ((*ring).to_owned(), Json::Object(Map::new()))).collect();
    for (cause, by_ring) in CAUSES.iter().zip(counters.lost) {
        for (ring, count) in RINGS.iter().zip(by_ring) {
            if let Some(Json::Object(causes)) = lost.get_mut(*ring) {
                causes.insert((*cause).to_owned(), count.into());
            }
        }
    }
    json!({ "sent": sent, "lost": lost })
}

/// The kernel half's error with the exit code that belongs to it.
pub(crate) fn failure(error: &Error) -> Failure {
    let exit = match error {
        Error::NoBtf { .. } => Exit::NoBtf,
        Error::Modified { .. } => Exit::Modified,
        Error::NoPrivilege { .. } => Exit::Permission,
        Error::Load { .. } | Error::Refused { .. } => Exit::NoSensors,
        _ => Exit::Internal,
    };
    Failure::new(exit, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::op::Kind;

    #[test]
    fn losses_are_named_by_ring_and_cause() {
        let mut told = Counters { sent: vec![(Kind::Exec, 3)], ..Counters::default() };
        told.lost[wire::LOSS_SOURCE as usize][wire::RING_REST as usize] = 7;
        let json = counters(&told);
        assert_eq!(json["sent"]["exec"], 3);
        assert_eq!(json["lost"]["rest"]["source"], 7);
        assert_eq!(json["lost"]["life"]["source"], 0);
    }

    #[test]
    fn each_error_has_its_exit_code() {
        let no_btf = Error::NoBtf { path: "/sys/kernel/btf/vmlinux".into() };
        assert_eq!(failure(&no_btf).exit, Exit::NoBtf);
        assert!(failure(&no_btf).to_string().contains("BTF"));
        let modified = Error::Modified { reason: "y".into() };
        assert_eq!(failure(&modified).exit, Exit::Modified);
        let refused = Error::Refused { program: "x".into(), reason: "y".into() };
        assert_eq!(failure(&refused).exit, Exit::NoSensors);
    }
}
