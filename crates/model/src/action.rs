//! What each operation is called in ECS: category, type and action. One table for live events,
//! documentation and the sensors' interest.

use crate::op::Kind;

/// The words of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Action {
    /// `event.category`; empty for operations that are no events.
    pub category: &'static [&'static str],
    /// `event.type`
    pub types: &'static [&'static str],
    /// `event.action`
    pub action: &'static str,
    /// `event.dataset`: the module and the first category.
    pub dataset: &'static str,
}

macro_rules! action {
    ([$first:literal $(, $more:literal)*], [$($types:literal),+], $action:literal) => {
        Action {
            category: &[$first $(, $more)*],
            types: &[$($types),+],
            action: $action,
            dataset: concat!("aegisbpf.", $first),
        }
    };
}

/// The words of an operation.
pub const fn of(kind: Kind) -> Action {
    match kind {
        Kind::Exec => action!(["process"], ["start"], "exec"),
        // A fork is no `start`: rules that ask for starts mean programs.
        Kind::Fork => action!(["process"], ["info"], "fork"),
        Kind::Exit => action!(["process"], ["end"], "end"),
        Kind::Task => Action { category: &[], types: &[], action: "", dataset: "" },
        Kind::Setuid => action!(["process"], ["change"], "uid_change"),
        Kind::Setgid => action!(["process"], ["change"], "gid_change"),
        Kind::Setsid => action!(["process"], ["change"], "session_id_change"),
        Kind::Capset => action!(["process"], ["change"], "capability_change"),
        Kind::Open => action!(["file"], ["access"], "open"),
        Kind::Create => action!(["file"], ["creation"], "creation"),
        Kind::Write => action!(["file"], ["change"], "modification"),
        Kind::Rename => action!(["file"], ["change"], "rename"),
        Kind::Unlink => action!(["file"], ["deletion"], "deletion"),
        Kind::Link => action!(["file"], ["creation"], "link"),
        Kind::Attr => action!(["file"], ["change"], "attribute_change"),
        Kind::Mount => action!(["configuration"], ["creation"], "mount"),
        Kind::Umount => action!(["configuration"], ["deletion"], "unmount"),
        Kind::Memfd => action!(["process"], ["info"], "memfd_create"),
        Kind::Connect => action!(["network"], ["start", "connection"], "connection_attempted"),
        Kind::Accept => action!(["network"], ["start", "connection"], "connection_accepted"),
        Kind::Bind => action!(["network"], ["info"], "bind"),
        Kind::Listen => action!(["network"], ["info"], "listen"),
        Kind::Send => action!(["network"], ["connection"], "datagram_sent"),
        Kind::Close => action!(["network"], ["end"], "disconnect_received"),
        Kind::Dns => action!(["dns", "network"], ["info"], "lookup_requested"),
        Kind::Ptrace => action!(["process"], ["info"], "ptrace"),
        Kind::Signal => action!(["process"], ["info"], "signal"),
        Kind::Module => action!(["driver"], ["start"], "load_module"),
        Kind::Bpf => action!(["process"], ["info"], "load_bpf"),
        Kind::Namespace => action!(["process"], ["change"], "namespace_change"),
        Kind::IoUring => action!(["process"], ["info"], "io_uring_setup"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_has_its_own_action_and_a_category() {
        let mut seen = std::collections::HashSet::new();
        for kind in Kind::ALL.iter().copied().filter(|kind| *kind != Kind::Task) {
            let words = of(kind);
            assert!(seen.insert(words.action), "{} is named twice", words.action);
            assert!(!words.category.is_empty() && !words.types.is_empty(), "{kind:?}");
            assert_eq!(words.dataset, format!("aegisbpf.{}", words.category[0]));
        }
        assert!(of(Kind::Task).category.is_empty(), "a task found at start is no event");
    }
}
