//! Which capability the guard has for which feature; all others are given up before anything is loaded.
//!
//! The table is what `aegisbpf doctor` shows. None of these is for the start alone: programs are loaded when
//! a policy comes, and a worker that ended is followed by another one. What only an older kernel asks for, and what
//! only moving files takes, goes with the rest where it is not needed.

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
    remove_capability_from_bounding_set, set_capabilities,
};
use serde_json::{Value as Json, json};

use crate::exit::{Exit, Failure};

/// A capability, its name, and what is gone without it.
type Need = (CapabilitySet, &'static str, &'static str);

/// How features begin that move files.
const FILES: &str = "quarantine: ";
/// From this kernel on memory of BPF counts as that of the cgroup, and `RLIMIT_MEMLOCK` is not asked.
const UNLOCKED: (u32, u32) = (5, 11);

/// What the unit of the packages has, too, and what actions on files need beyond that: the last ones.
const NEEDS: &[Need] = &[
    (CapabilitySet::BPF, "CAP_BPF", "programs and maps"),
    (CapabilitySet::PERFMON, "CAP_PERFMON", "the tracing programs that see events"),
    (CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN", "programs of cgroups, the kernel's process events"),
    (
        CapabilitySet::SYS_ADMIN,
        "CAP_SYS_ADMIN",
        "fanotify, mounting the BPF filesystem; all of the above before Linux 5.8",
    ),
    (CapabilitySet::SYS_RESOURCE, "CAP_SYS_RESOURCE", "locked memory before Linux 5.11"),
    (
        CapabilitySet::SYS_PTRACE,
        "CAP_SYS_PTRACE",
        "/proc of other users: executables, descriptors, namespaces",
    ),
    (
        CapabilitySet::DAC_READ_SEARCH,
        "CAP_DAC_READ_SEARCH",
        "paths that policies name, rules in directories of others",
    ),
    (CapabilitySet::FOWNER, "CAP_FOWNER", "recordings that are kept (`capture`), quarantine"),
    (CapabilitySet::KILL, "CAP_KILL", "policies and rules that end processes"),
    (CapabilitySet::SETUID, "CAP_SETUID", "the worker's user, helpers that are nobody"),
    (CapabilitySet::SETGID, "CAP_SETGID", "the worker's group, helpers that are nobody"),
    (CapabilitySet::SYS_NICE, "CAP_SYS_NICE", "who answers for the kernel comes first"),
    (
        CapabilitySet::CHOWN,
        "CAP_CHOWN",
        "quarantine: files are given back to their owners; `--group`",
    ),
    (CapabilitySet::DAC_OVERRIDE, "CAP_DAC_OVERRIDE", "quarantine: files in directories of others"),
    (CapabilitySet::FSETID, "CAP_FSETID", "quarantine: modes of files with their set-id bits"),
    (CapabilitySet::LINUX_IMMUTABLE, "CAP_LINUX_IMMUTABLE", "quarantine: files with such a flag"),
    (CapabilitySet::MAC_ADMIN, "CAP_MAC_ADMIN", "quarantine: labels that this host does not know"),
    (CapabilitySet::SETFCAP, "CAP_SETFCAP", "quarantine: files with capabilities"),
    (CapabilitySet::MKNOD, "CAP_MKNOD", "quarantine: what lies on another filesystem"),
];

/// Capabilities that the kernel could ever have: they are bits of a number.
const BITS: u32 = u64::BITS;

/// What this agent does of that for which not every agent needs a capability.
#[derive(Debug, Clone, Copy)]
pub(super) struct Does {
    /// It moves files, or may have to give some back.
    pub(super) files: bool,
    /// A group may read at its sockets, which are given to it.
    pub(super) group: bool,
}

/// All that features need on a kernel of this version.
fn needed(does: Does, kernel: (u32, u32)) -> CapabilitySet {
    let counts = |(one, _, feature): &&Need| match *one {
        CapabilitySet::SYS_RESOURCE => kernel < UNLOCKED,
        CapabilitySet::CHOWN => does.files || does.group,
        _ => does.files || !feature.starts_with(FILES),
    };
    NEEDS.iter().filter(counts).fold(CapabilitySet::empty(), |all, (one, ..)| all | *one)
}

/// The version of this kernel; of one that says none it is the first, which asks for most.
fn version() -> (u32, u32) {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    let mut numbers =
        release.split(|c: char| !c.is_ascii_digit()).map_while(|one| one.parse().ok());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
}

/// Gives up all others, for this process and all that it will start. Called before there are threads: each
/// has its own.
pub(super) fn give_up_the_rest(does: Does) -> Result<(), Failure> {
    let failed = |error: rustix::io::Errno| {
        let message = format!("capabilities that are not needed cannot be given up: {error}");
        Failure::new(Exit::Internal, message)
    };
    let has = capabilities(None).map_err(failed)?;
    let keep = needed(does, version());
    let can_bound = has.effective.contains(CapabilitySet::SETPCAP);
    for bit in 0..BITS {
        let one = CapabilitySet::from_bits_retain(1 << bit);
        // An error says that the kernel knows no such capability.
        let is_there = capability_is_in_bounding_set(one).unwrap_or(false);
        if is_there && !keep.contains(one) && can_bound {
            remove_capability_from_bounding_set(one).map_err(failed)?;
        }
    }
    let less = CapabilitySets {
        effective: has.effective & keep,
        permitted: has.permitted & keep,
        // Who is started becomes root again by being root, and needs to inherit nothing.
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, less).map_err(failed)
}

/// The table: each capability, what it is for, and whether this process has it.
pub(crate) fn table() -> Json {
    let has = capabilities(None).map(|sets| sets.effective);
    let row = |(one, name, feature): &Need| {
        let has = has.as_ref().ok().map(|has| has.contains(*one));
        json!({ "capability": name, "for": feature, "has": has })
    };
    NEEDS.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Does = Does { files: false, group: false };

    #[test]
    fn what_is_kept_has_its_place_in_the_unit_or_in_what_quarantine_adds_to_it() {
        let listed = |text: &'static str| -> Vec<&str> {
            let lines = text.lines().filter_map(|line| line.strip_prefix("CapabilityBoundingSet="));
            lines.flat_map(str::split_whitespace).collect()
        };
        let unit = listed(include_str!("../../../../packaging/systemd/aegisbpf.service"));
        let more = listed(include_str!("../../../../packaging/systemd/quarantine.conf"));
        for (_, name, feature) in NEEDS {
            let is_for_files = feature.starts_with(FILES);
            // For these it has LimitMEMLOCK= and CPUWeight=.
            let is_said_otherwise = ["CAP_SYS_RESOURCE", "CAP_SYS_NICE"].contains(name);
            assert_eq!(
                (unit.contains(name), more.contains(name)),
                (!is_for_files && !is_said_otherwise, is_for_files),
                "{name}"
            );
        }
        let known = NEEDS.iter().filter(|one| unit.contains(&one.1) || more.contains(&one.1));
        assert_eq!(unit.len() + more.len(), known.count());
    }

    #[test]
    fn what_moves_files_and_what_old_kernels_ask_for_is_kept_only_there() {
        let (some, group) =
            (Does { files: true, group: false }, Does { files: false, group: true });
        let (few, all) = (needed(NONE, (6, 1)), needed(some, (5, 10)));
        let more = CapabilitySet::CHOWN | CapabilitySet::MKNOD | CapabilitySet::SYS_RESOURCE;
        assert!(all.contains(more | CapabilitySet::KILL), "{all:?}");
        assert!(few.contains(CapabilitySet::KILL) && !few.intersects(more), "{few:?}");
        assert!(!needed(some, UNLOCKED).contains(CapabilitySet::SYS_RESOURCE));
        assert_eq!(needed(group, (6, 1)) - few, CapabilitySet::CHOWN);
        assert!(version() >= (5, 4), "{:?}", version());
    }

    #[test]
    fn a_thread_gives_up_what_no_feature_needs() {
        if !rustix::process::geteuid().is_root() {
            println!("SKIP a_thread_gives_up_what_no_feature_needs: it needs root");
            return;
        }
        let before = capabilities(None).unwrap();
        // A thread of its own: nothing comes back.
        let after = std::thread::spawn(|| {
            give_up_the_rest(NONE).unwrap();
            (capabilities(None).unwrap(), capability_is_in_bounding_set(CapabilitySet::SYS_BOOT))
        });
        let (after, bounding) = after.join().unwrap();
        assert_eq!(after.effective, before.effective & needed(NONE, version()));
        assert!(!after.permitted.contains(CapabilitySet::SYS_MODULE));
        if before.effective.contains(CapabilitySet::SETPCAP) {
            assert_eq!(bounding, Ok(false));
        }
        assert_eq!(capabilities(None).unwrap().effective, before.effective, "the control");
    }
}
