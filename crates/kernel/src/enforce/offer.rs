//! What policies can deny on this kernel, operation by operation: found by loading and attaching all
//! that the best way of enforcing needs, and taking it away again. Nothing is denied meanwhile.

use std::path::Path;

use libbpf_rs::ObjectBuilder;
use model::policy::Operation;

use super::guard::offer::{Extent, capabilities};
use super::lsm_offer::{MAKERS, NEEDED, lacks, without};
use super::{Enforcer, Options, PINS};
use crate::embedded::ENFORCE;
use crate::error::Error;

/// Bytes of tables that are never filled.
const TRIED_BYTES: u32 = 64 << 10;
/// Files that nobody makes meanwhile.
const TRIED_FILES: u32 = 16;
/// Without this program LSM programs are no way of enforcing.
const OPENING: &str = "enforce_open";

/// What can be done about an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The operation.
    pub operation: Operation,
    /// How much of it can be denied.
    pub extent: Extent,
    /// By what.
    pub hook: String,
    /// What is left out, or why nothing can be done.
    pub why: String,
}

/// A way of enforcing and what it can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// `lsm` or `fallback`.
    pub tier: &'static str,
    /// Why no LSM program enforces here, if none does.
    pub no_lsm: Option<String>,
    /// Why no file can be hashed when it is executed, if none can.
    pub no_hashes: Option<String>,
    /// Why nobody can tell who made a file, where LSM programs enforce and cannot.
    pub no_makers: Option<String>,
    /// Each operation, in their order.
    pub operations: Vec<Row>,
}

/// What the best way offers here; `lsm`: whether LSM programs load at all, as [`crate::probe`] found,
/// since where none loads each of them would be tried. `cgroup` as in [`super::cgroup::Options`].
pub fn offer(lsm: bool, cgroup: Option<&Path>) -> Offer {
    let refused = || Err("the kernel loads no LSM program".to_owned());
    match if lsm { try_lsm() } else { refused() } {
        Ok((missing, no_hashes)) => {
            let lacks = lacks(&missing);
            let no_makers = without(&missing, MAKERS);
            let sections = sections();
            let of = |operation: &Operation| by_lsm(*operation, &sections, &lacks);
            let operations = Operation::ALL.iter().map(of).collect();
            Offer { tier: "lsm", no_lsm: None, no_hashes, no_makers, operations }
        }
        Err(why) => {
            let all = capabilities(cgroup).into_iter().map(|one| Row {
                operation: one.operation,
                extent: one.extent,
                hook: one.hook.to_owned(),
                why: one.why,
            });
            let operations = all.collect();
            let (no_hashes, no_makers) = (None, None);
            Offer { tier: "fallback", no_lsm: Some(why), no_hashes, no_makers, operations }
        }
    }
}

/// Programs and why they are not attached.
type Missing = Vec<(String, String)>;

/// Loads and attaches all programs beside those of an agent that may run, and takes them away again.
/// Gives those that are not attached here, and why no file can be hashed.
fn try_lsm() -> Result<(Missing, Option<String>), String> {
    let pins = format!("{PINS}-try-{}", std::process::id());
    let options = Options { pins: pins.into(), blob_bytes: TRIED_BYTES, files: TRIED_FILES };
    let tried = Enforcer::open(options).and_then(|enforcer| {
        let found = (enforcer.missing().to_vec(), enforcer.no_hashes());
        enforcer.release()?;
        Ok(found)
    });
    let (missing, no_hashes) = tried.map_err(|error: Error| error.to_string())?;
    match missing.iter().find(|(name, _)| name == OPENING) {
        Some((name, why)) => Err(format!("{name}: {why}")),
        None => Ok((missing, no_hashes)),
    }
}

/// Programs and the hooks that they are for.
fn sections() -> Vec<(String, String)> {
    // It was loaded a moment ago.
    let Ok(bytes) = ENFORCE.checked() else { return Vec::new() };
    let Ok(mut builder) = ObjectBuilder::default().open_memory(bytes) else { return Vec::new() };
    let both = |program: libbpf_rs::OpenProgramMut<'_>| {
        let [name, section] =
            [program.name(), program.section()].map(std::ffi::OsStr::to_string_lossy);
        let hook = section.rsplit('/').next().unwrap_or_default();
        (name.into_owned(), hook.to_owned())
    };
    builder.progs_mut().map(both).collect()
}

fn by_lsm(
    operation: Operation,
    sections: &[(String, String)],
    lacks: &[(Operation, String)],
) -> Row {
    let programs = NEEDED.iter().filter(|one| one.1 == operation);
    let of = |(program, _): &(&str, Operation)| {
        let found = sections.iter().find(|(name, _)| name == program);
        found.map_or_else(|| (*program).to_owned(), |one| one.1.clone())
    };
    let hook = programs.map(of).collect::<Vec<_>>().join(", ");
    let lacking = lacks.iter().find(|(lacking, _)| *lacking == operation);
    let extent = if lacking.is_some() { Extent::Absent } else { Extent::Enforced };
    Row { operation, extent, hook, why: lacking.map(|one| one.1.clone()).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use model::policy::Operation;

    use super::{Extent, by_lsm, offer, sections};

    #[test]
    fn each_operation_is_offered_by_hooks_or_refused_with_a_reason() {
        let found = offer(false, None);
        assert_eq!((found.no_lsm.is_some(), found.tier), (true, "fallback"), "{found:?}");
        let operations: Vec<Operation> = found.operations.iter().map(|one| one.operation).collect();
        assert_eq!(operations, Operation::ALL);
        for one in &found.operations {
            assert!(one.extent == Extent::Enforced || !one.why.is_empty(), "{one:?}");
        }
    }

    #[test]
    fn by_lsm_programs_every_operation_names_the_hooks_that_decide_it() {
        let sections = sections();
        for operation in Operation::ALL {
            let found = by_lsm(*operation, &sections, &[]);
            assert_eq!(found.extent, Extent::Enforced);
            assert!(!found.hook.is_empty(), "{}", operation.name());
        }
        let read = by_lsm(Operation::Read, &sections, &[]);
        assert_eq!(read.hook, "file_open, file_permission");
        let lacking = [(Operation::Read, "enforce_open: no such hook".to_owned())];
        let found = by_lsm(Operation::Read, &sections, &lacking);
        assert_eq!(
            (found.extent, found.why.as_str()),
            (Extent::Absent, "enforce_open: no such hook")
        );
    }
}
