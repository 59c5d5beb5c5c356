//! What can be denied by LSM programs: each operation needs programs, and a kernel without the hook
//! of one cannot deny the operation. What is attached is found by attaching it.

use model::policy::Operation;

/// The programs that each operation needs. Without one, some way of doing it would not be asked about.
pub(super) const NEEDED: &[(&str, Operation)] = &[
    ("enforce_open", Operation::Read),
    ("enforce_use", Operation::Read),
    ("enforce_open", Operation::Write),
    ("enforce_mknod", Operation::Create),
    ("enforce_mkdir", Operation::Create),
    ("enforce_symlink", Operation::Create),
    ("enforce_unlink", Operation::Delete),
    ("enforce_rmdir", Operation::Delete),
    ("enforce_rename", Operation::Rename),
    ("enforce_link", Operation::Link),
    ("enforce_chmod", Operation::Attributes),
    ("enforce_chown", Operation::Attributes),
    ("enforce_setxattr", Operation::Attributes),
    ("enforce_removexattr", Operation::Attributes),
    ("enforce_exec", Operation::Execute),
    ("enforce_map", Operation::MapCode),
    ("enforce_connect", Operation::Connect),
    ("enforce_bind", Operation::Bind),
    ("enforce_listen", Operation::Listen),
    ("enforce_send", Operation::Send),
    ("enforce_packet", Operation::Accept),
    ("enforce_accept", Operation::Accept),
    ("enforce_receive", Operation::Receive),
    ("enforce_packet", Operation::Receive),
    ("enforce_socket", Operation::RawSocket),
    ("enforce_capability", Operation::Capability),
    ("enforce_ptrace", Operation::Ptrace),
    ("enforce_traceme", Operation::Ptrace),
    ("enforce_signal", Operation::Signal),
    ("enforce_module_request", Operation::LoadModule),
    ("enforce_module_file", Operation::LoadModule),
    ("enforce_module_memory", Operation::LoadModule),
    ("enforce_bpf", Operation::Bpf),
    ("enforce_mount", Operation::Mount),
    ("enforce_move_mount", Operation::Mount),
    ("enforce_umount", Operation::Mount),
    ("enforce_new_mount", Operation::Mount),
    ("enforce_remount", Operation::Mount),
    ("enforce_pivot", Operation::Mount),
    ("enforce_capability", Operation::Namespace),
    ("enforce_user_namespace", Operation::Namespace),
    ("enforce_clone", Operation::Namespace),
    ("enforce_ring", Operation::IoUring),
];

/// The programs by which rules by hash hold.
pub(super) const HASHING: &[&str] =
    &["enforce_hash", "enforce_hash_interpreter", "enforce_interpreter", "enforce_path_truncate"];

/// The programs by which rules about who made a file hold.
pub(super) const MAKERS: &[&str] = &[
    "enforce_making_file",
    "enforce_making_directory",
    "enforce_making_node",
    "enforce_making_link",
    "enforce_made",
    "enforce_forget_file",
    "enforce_forget_files",
];

/// Why what is known by these programs is not, if one of them is missing: the first reason.
pub(super) fn without(missing: &[(String, String)], programs: &[&str]) -> Option<String> {
    let found = missing.iter().find(|one| programs.contains(&one.0.as_str()));
    found.map(|(program, reason)| format!("{program}: {reason}"))
}

/// The operations that cannot be denied without these programs, each with the first reason.
pub(super) fn lacks(missing: &[(String, String)]) -> Vec<(Operation, String)> {
    let mut lacks: Vec<(Operation, String)> = Vec::new();
    for (program, operation) in NEEDED {
        let found = missing.iter().find(|(name, _)| name == program);
        if let Some((name, reason)) = found
            && lacks.iter().all(|(known, _)| known != operation)
        {
            lacks.push((*operation, format!("{name}: {reason}")));
        }
    }
    lacks
}

#[cfg(test)]
mod tests {
    use model::policy::Operation;

    use super::{HASHING, MAKERS, NEEDED, lacks, without};

    #[test]
    fn an_operation_is_offered_only_with_all_of_its_programs() {
        assert!(lacks(&[]).is_empty());
        let missing = [("enforce_capability".to_owned(), "no such hook".to_owned())];
        let found = lacks(&missing);
        let operations: Vec<_> = found.iter().map(|one| one.0).collect();
        assert_eq!(operations, [Operation::Capability, Operation::Namespace]);
        assert!(found[0].1.contains("no such hook"), "{found:?}");
        assert!(lacks(&[("enforce_times".to_owned(), String::new())]).is_empty());
    }

    #[test]
    fn what_is_known_by_several_programs_is_not_without_one_of_them() {
        let missing = [("enforce_made".to_owned(), "no such hook".to_owned())];
        assert_eq!(without(&missing, MAKERS).as_deref(), Some("enforce_made: no such hook"));
        assert_eq!(without(&missing, HASHING), None);
    }

    /// A name that is no program would never be missing.
    #[test]
    fn each_needed_program_is_in_the_object() {
        let sources = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/bpf/enforce"));
        let texts = sources.unwrap().map(|one| std::fs::read_to_string(one.unwrap().path()));
        let text: String = texts.map(Result::unwrap).collect();
        for program in NEEDED.iter().map(|one| &one.0).chain(HASHING).chain(MAKERS) {
            assert!(text.contains(&format!("BPF_PROG({program},")), "{program}");
        }
    }
}
