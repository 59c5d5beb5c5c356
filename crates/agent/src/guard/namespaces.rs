//! In which namespaces the agent is: it means processes and cgroups of the host, by the numbers and paths
//! that the host has for them.

use std::fs::{File, read_link};
use std::os::fd::AsFd as _;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::{Value as Json, json};

use crate::exit::{Exit, Failure};

/// The first namespace of processes, and that of cgroups: their numbers are the same on each host
/// (`include/linux/proc_ns.h`).
const FIRST_PID: &str = "pid:[4026531836]";
const FIRST_CGROUP: &str = "cgroup:[4026531835]";

/// Whether this process is in that one; who cannot tell takes it that it is.
fn is_in(name: &str, first: &str) -> bool {
    read_link(format!("/proc/self/ns/{name}")).map_or(true, |link| link.as_os_str() == first)
}

/// Goes to the cgroups of the host if processes of the host are there to be seen. Elsewhere nothing is enforced: the kernel
/// names processes that this one does not have, so that who is meant and who is not cannot be told apart.
pub(super) fn enter(enforces: bool) -> Result<(), Failure> {
    if !is_in("pid", FIRST_PID) {
        let message = "the agent is in a namespace of processes of its own, and the kernel names those of the host";
        let help =
            "let it have those of the host: `hostPID: true` of a pod, `--pid host` of a container";
        if enforces {
            let message = format!("{message}: it cannot tell whom to deny what");
            return Err(Failure::new(Exit::Config, message).help(help));
        }
        tracing::warn!("{message}: it observes, and names wrong processes, or none; {help}");
        return Ok(());
    }
    if is_in("cgroup", FIRST_CGROUP) {
        return Ok(());
    }
    // Of the kernel's own threads, the first of which is always this one.
    let entered = File::open("/proc/2/ns/cgroup").and_then(|first| {
        let kind = Some(LinkNameSpaceType::ControlGroup);
        move_into_link_name_space(first.as_fd(), kind).map_err(Into::into)
    });
    if let Err(error) = entered {
        tracing::warn!(%error, "the agent stays in a namespace of cgroups of its own: paths of cgroups begin there");
    }
    Ok(())
}

/// For `aegisbpf doctor`: whose each is.
pub(crate) fn facts() -> Json {
    let whose = |name, first| if is_in(name, first) { "host" } else { "own" };
    json!({ "pid": whose("pid", FIRST_PID), "cgroup": whose("cgroup", FIRST_CGROUP) })
}
