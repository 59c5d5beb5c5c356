//! What a denial was about that is no file and no peer, in words.

use model::names;
use model::policy::Operation;

/// `CLONE_NEW*`, as `unshare(1)` calls them.
const NAMESPACES: &[(u64, &str)] = &[
    (0x80, "time"),
    (0x0002_0000, "mount"),
    (0x0200_0000, "cgroup"),
    (0x0400_0000, "uts"),
    (0x0800_0000, "ipc"),
    (0x1000_0000, "user"),
    (0x2000_0000, "pid"),
    (0x4000_0000, "net"),
];

/// The thing of this number, to an operation whose things have numbers.
pub(super) fn name(operation: Operation, number: u64) -> Option<String> {
    match operation {
        Operation::Capability => {
            let number = u8::try_from(number).ok()?;
            Some(names::capability(number).map_or_else(|| number.to_string(), str::to_owned))
        }
        Operation::Ptrace | Operation::Signal => Some(format!("process {number}")),
        Operation::Namespace if number != 0 => {
            let named = NAMESPACES.iter().filter(|one| number & one.0 != 0).map(|one| one.1);
            Some(format!("{} namespace", named.collect::<Vec<_>>().join(" and ")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_are_named_as_people_call_them() {
        assert_eq!(name(Operation::Capability, 21).as_deref(), Some("CAP_SYS_ADMIN"));
        assert_eq!(name(Operation::Capability, 200).as_deref(), Some("200"));
        assert_eq!(name(Operation::Signal, 12).as_deref(), Some("process 12"));
        let both = name(Operation::Namespace, 0x2002_0000);
        assert_eq!(both.as_deref(), Some("mount and pid namespace"));
        assert_eq!(name(Operation::Bpf, 5), None);
        assert_eq!(name(Operation::Read, 5), None);
    }
}
