//! What must not get through of what is done to the system and to other processes.

use super::{Line, line};

const ACTING: &str = "Acting on the system and on others";

/// The lines.
pub(super) const LINES: &[Line] = &[
    line(ACTING, "a capability that the process has", &["act/use a capability"]),
    line(
        ACTING,
        "tracing and reading memory, also of who slept since before the rule",
        &[
            "act/trace",
            "act/be traced by who may not",
            "act/read memory",
            "act/open memory",
            "act/trace who slept since before the rule",
        ],
    ),
    line(
        ACTING,
        "signals, also by a descriptor of the process",
        &[
            "act/signal",
            "act/signal by a descriptor of the process",
            "act/signal who slept since before the rule",
        ],
    )
    .note("signals that the kernel sends on behalf of somebody are not asked about"),
    line(
        ACTING,
        "modules, BPF, rings",
        &[
            "act/load a module",
            "act/load a module from memory",
            "act/let the kernel load a module",
            "act/bpf",
            "act/make a ring",
        ],
    ),
    line(
        ACTING,
        "mounting in all ways",
        &[
            "act/mount",
            "act/mount in the new way",
            "act/unmount",
            "act/remount",
            "act/exchange the root",
        ],
    ),
    line(
        ACTING,
        "making and entering namespaces",
        &[
            "act/unshare",
            "act/unshare mounts",
            "act/a user namespace",
            "act/clone into a namespace",
            "act/enter a namespace",
        ],
    ),
];
