//! What must not get through, line by line, and the cases that try it.
//!
//! A line is a kind of trick. Every case belongs to one, every line has a case or says why it has
//! none; a test checks both.

mod acting;
mod agent;

/// One kind of trick.
#[derive(Debug)]
pub(crate) struct Line {
    /// What the rule denies.
    pub(crate) area: &'static str,
    /// What is tried.
    pub(crate) trick: &'static str,
    /// Those that try it; what begins with `agent/`, `run/` and `own/` is about the agent itself.
    pub(crate) cases: &'static [&'static str],
    /// What is left to say: what no case can show, and what is meant to go through.
    pub(crate) note: &'static str,
}

const fn line(area: &'static str, trick: &'static str, cases: &'static [&'static str]) -> Line {
    Line { area, trick, cases, note: "" }
}

impl Line {
    const fn note(mut self, note: &'static str) -> Line {
        self.note = note;
        self
    }
}

const FILES: &str = "Reading and writing files";
const RUNNING: &str = "Running programs";
const NETWORK: &str = "The network";

/// All lines.
pub(crate) fn all() -> impl Iterator<Item = &'static Line> {
    LINES.iter().chain(acting::LINES).chain(agent::LINES)
}

const LINES: &[Line] = &[
    line(
        FILES,
        "symbolic links, also one that changes; dot-dot in the path",
        &[
            "file/open",
            "file/open by its ending, wherever it is",
            "file/open through a symlink",
            "file/open through a symlink that changes",
            "passed/a symlink that changes while it is opened",
            "file/open through dot-dot",
            "file/open without following, in other ways",
            "file/list the directory",
        ],
    ),
    line(
        FILES,
        "hard links, from before the rule and after it, and making one",
        &[
            "file/hard link made before the rule",
            "file/hard link made after the rule, by another",
            "file/make a hard link",
            "write/another name",
            "write/a link into the directory",
        ],
    ),
    line(
        FILES,
        "renamed away, replaced, removed and made anew",
        &[
            "file/rename the file away",
            "file/renamed away by another",
            "file/another file renamed over it",
            "file/unlinked and created anew",
        ],
    ),
    line(
        FILES,
        "a directory above is renamed; the file leaves a protected directory",
        &[
            "file/rename the directory",
            "file/rename a directory above",
            "file/directory above renamed by another into the rule",
            "write/move the directory",
        ],
    ),
    line(
        FILES,
        "bind mounts, namespaces of mounts and users, chroot, pivot_root",
        &[
            "file/bind mount of the directory",
            "file/bind mount of the file",
            "file/bind mount of a parent, elsewhere",
            "file/bind mount in a user namespace",
            "file/chroot",
            "file/pivot_root",
            "write/through a bind mount",
        ],
    ),
    line(
        FILES,
        "the lower layer of an overlay: read through it, copied up",
        &[
            "overlay/open through the merged path",
            "overlay/both layers on one filesystem",
            "overlay/mounted by another",
            "overlay/copy up by opening for writing",
            "overlay/the merged path is what the rule names",
        ],
    )
    .note(
        "a rule that denies only writing keeps the lower file as it is; the copy in the upper layer \
         is another file, known by the path of the upper layer and by the merged one",
    ),
    line(
        FILES,
        "what /proc calls it: root and working directory of processes, descriptors",
        &[
            "file/another name of the root",
            "passed/the root of another process",
            "file/the working directory of a process",
            "file/a descriptor opened for its path only",
        ],
    ),
    line(
        FILES,
        "seldom used calls: openat2, handles, io_uring, files without a name, open_tree",
        &[
            "file/openat2",
            "passed/opened by its handle",
            "passed/opened through a ring",
            "write/a file without a name, then a name",
            "file/open_tree",
            "file/open_tree and move_mount",
        ],
    ),
    line(
        FILES,
        "paths that are deep or long, names that are no text",
        &[
            "file/a path of many components",
            "file/a path near the longest",
            "file/a path longer than the longest",
            "file/a name that is no text",
        ],
    ),
    line(
        FILES,
        "what did not exist when the rule was loaded",
        &[
            "file/a file that did not exist",
            "file/a directory that did not exist",
            "write/a file that did not exist",
        ],
    ),
    line(
        FILES,
        "only reading is denied: what copies inside the kernel, and mapping",
        &[
            "file/a descriptor from another process, sendfile",
            "file/a descriptor from another process, copy_file_range",
            "file/a descriptor from another process, splice",
            "memory/a descriptor from another process, mapped",
            "passed/a clone of the file",
        ],
    ),
    line(
        FILES,
        "only writing is denied: size, attributes, names, memory, mounts",
        &[
            "write/open for writing",
            "write/open for appending",
            "write/open for reading, cut to nothing",
            "write/truncate",
            "write/a descriptor from another process, truncate",
            "write/a descriptor from another process, fallocate",
            "write/a descriptor from another process, copy into it",
            "write/mode",
            "write/a descriptor from another process, mode",
            "write/owner",
            "write/times",
            "write/extended attribute",
            "write/remove an extended attribute",
            "write/access list",
            "write/unlink",
            "write/rename away",
            "write/rename over",
            "write/rename into",
            "write/change places with another",
            "write/create",
            "write/make a directory",
            "write/make a symlink",
            "write/make a pipe",
            "write/remove the directory",
            "write/mount over it",
            "memory/mapped for writing, shared",
            "memory/mapped shared, then made writable",
        ],
    )
    .note("a file that is mapped already when the rule comes stays mapped"),
    line(
        FILES,
        "descriptors from before the rule, or from another process",
        &[
            "passed/a descriptor from before the rule",
            "passed/a descriptor over a socket",
            "passed/a descriptor, read through a ring",
            "file/a descriptor from another process, read",
            "write/a descriptor from another process, write",
        ],
    ),
    line(
        FILES,
        "below the files: devices, swap, memory of machine and kernel",
        &[
            "device/memory of the machine",
            "device/memory of the kernel",
            "device/what a filesystem lies on",
            "device/swap to it",
        ],
    )
    .note("devices are files like others, so a rule must name them; a node that is made elsewhere is \
           another file: deny CAP_MKNOD as well"),
    line(
        FILES,
        "a shell opens for its child; a child of a program that is allowed, and the reverse",
        &["passed/opened for a child", "file/a child of another program", "subject/through a child"],
    ),
    line(
        FILES,
        "whom the rule is about: by user, group, cgroup, ancestors, script and deeds",
        &[
            "subject/a child, which reads",
            "subject/by user, changed while it runs",
            "subject/by group, changed while it runs",
            "subject/by a further group",
            "subject/by a cgroup that did not exist",
            "subject/by an ancestor",
            "subject/by the hash of its program",
            "subject/by a script",
            "subject/by a deed",
            "subject/by a deed of another thread",
            "subject/by a deed, then by another program",
            "subject/exec by another thread",
        ],
    ),
    line(
        FILES,
        "known by who made it: other names, no name, replaced policies, a forgotten inode",
        &[
            "made/open",
            "made/renamed by another",
            "made/another name by another",
            "made/written anew by another",
            "made/moved with its directory",
            "made/without a name, then a name",
            "made/in memory only",
            "made/by a child of its maker",
            "made/run",
            "made/a directory",
            "made/a pipe",
            "made/through an overlay",
            "made/below an overlay",
            "made/when the kernel has forgotten its inode",
            "made/when its filesystem was mounted again",
            "agent/what was made before reloads, and between",
            "agent/a table of makers that is full",
            "run/who made a file outlives the agent and its maps",
        ],
    )
    .note("a copy is made by who copies, and what was there before the rule by nobody it knows"),
    line(
        RUNNING,
        "another name: links, copies, first argument, name of the process",
        &[
            "exec/run",
            "exec/nothing",
            "exec/run through a symlink",
            "exec/run a hard link made before the rule",
            "exec/run a copy under another name",
            "exec/run under another first argument",
            "exec/run under another name of the process",
        ],
    )
    .note("a copy is another file to a rule that names a path: allow-lists catch it"),
    line(
        RUNNING,
        "the loader of programs, descriptors, memory files, deleted files",
        &[
            "exec/run by the loader of dynamic programs",
            "exec/run by its descriptor",
            "exec/by a descriptor and no name",
            "exec/run a file without a name",
            "exec/a file without a name, by a descriptor and no name",
            "exec/run a deleted file",
        ],
    ),
    line(
        RUNNING,
        "scripts: run, given to an interpreter in each way, by env, by their ending",
        &[
            "exec/run a script",
            "exec/run a script that is not listed",
            "interpreter/a listed script, run",
            "interpreter/given as an argument",
            "interpreter/given as standard input",
            "interpreter/read by another script",
            "interpreter/text on the command line",
            "interpreter/found by env",
            "interpreter/found by its ending",
        ],
    )
    .note("what an interpreter reads is data to the kernel: leave the interpreter out of the list"),
    line(
        RUNNING,
        "written after the rule, replaced before it runs",
        &[
            "exec/a program written after the rule",
            "exec/a program renamed over it",
            "hash/written after the rule",
            "hash/replaced while it is run",
            "hash/a listed one, edited in place",
            "hash/a listed one, edited by memory",
            "hash/a listed one, edited by its size",
            "hash/run once it is what the rule says",
        ],
    ),
    line(
        RUNNING,
        "known by its hash: copies, files without a name, scripts and their interpreters",
        &[
            "hash/run",
            "hash/run a copy under another name",
            "hash/a sealed file without a name",
            "hash/a file without a name",
            "hash/what is listed in a file that can be written",
            "hash/run a script",
            "hash/as the interpreter of a script",
            "hash/a listed script of another interpreter",
        ],
    )
    .note("a file that can still be written while it runs has no hash: to rules that deny by hash it may \
           be any, to those that allow it is none"),
    line(
        RUNNING,
        "code in shared objects and in memory",
        &[
            "exec/a library by LD_PRELOAD",
            "memory/a library from where anybody writes",
            "memory/mapped as code",
            "memory/mapped, then made code",
            "memory/what may not run, mapped as code",
            "memory/no file's memory as code",
            "memory/no file's memory, then made code",
        ],
    ),
    line(
        RUNNING,
        "a process that runs already when the rule is loaded",
        &["agent/processes that ran before the rule"],
    ),
    line(
        NETWORK,
        "addresses in another dress: mapped, translated, of no version, none",
        &[
            "net/connect",
            "net/connect to the mapped address",
            "net/connect to no address, as version 4",
            "net/connect to no address, as version 6",
            "net/connect to no address, mapped",
            "net/send a datagram to the mapped address",
            "reached/a translated address",
            "reached/a datagram to an address that says no version",
            "reached/bind to an address that says no version",
            "net/disconnect, then send",
        ],
    ),
    line(
        NETWORK,
        "datagrams in each way, data with the first packet, other protocols",
        &[
            "net/send a datagram",
            "net/send a message",
            "reached/several datagrams at once",
            "net/connect a datagram socket",
            "net/connect a datagram socket elsewhere first",
            "net/send elsewhere than where it is connected",
            "reached/connect and write",
            "net/connect by sending the first data",
            "net/MPTCP, which connects by itself",
            "reached/SCTP",
            "reached/DCCP",
            "reached/UDP-Lite",
        ],
    ),
    line(
        NETWORK,
        "io_uring, raw and packet sockets, sockets of others, namespaces of networks",
        &[
            "reached/connect through a ring",
            "reached/send through a ring",
            "net/a raw socket",
            "net/a raw socket of version 6",
            "net/a packet socket",
            "net/a connected socket from another process, send",
            "net/a connected socket from another process, write",
            "net/a connected socket from another process, read",
            "net/a connected socket from another process, receive",
            "net/connect in another network namespace",
        ],
    ),
    line(
        NETWORK,
        "binding, listening, letting in, receiving from anybody",
        &[
            "net/bind",
            "net/bind to the mapped address",
            "net/bind to any address",
            "net/bind to any address of version 6",
            "net/listen",
            "reached/let in who is not wanted",
            "reached/let in by a listener for both versions",
            "reached/let in by a listener from before the rule",
            "reached/hear who waited at another's listener",
            "reached/answer who waited at another's listener",
            "reached/receive from anybody",
            "reached/receive from anybody, by version 6",
        ],
    )
    .note("who is not let in gets no answer; a datagram that waited already when a process first \
           uses a socket is received"),
    line(
        NETWORK,
        "cgroups below, others, made anew",
        &[
            "cgroup/a child of it",
            "cgroup/a grandchild of it",
            "cgroup/from a child to another",
            "cgroup/out of it, where the rule follows",
            "cgroup/removed and made anew",
        ],
    )
    .note("the number of a cgroup has 64 bits and does not come again; who leaves is followed only \
           by a subject with descendants"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::all;
    use crate::{agent, cases, hammer, own};

    #[test]
    fn each_case_belongs_to_a_line_and_each_line_names_cases_that_exist() {
        let listed: BTreeSet<&str> = all().flat_map(|line| line.cases).copied().collect();
        let tricks: BTreeSet<String> = cases::all().map(cases::Case::id).collect();
        let lost: Vec<_> = tricks.iter().filter(|id| !listed.contains(id.as_str())).collect();
        assert!(lost.is_empty(), "in no line: {lost:#?}");
        let of_agent: BTreeSet<String> = hammer::NAMES
            .iter()
            .map(|name| format!("agent/{name}"))
            .chain(agent::names().map(|name| format!("run/{name}")))
            .chain(own::names().map(|name| format!("own/{name}")))
            .collect();
        for line in all() {
            assert!(!line.cases.is_empty(), "{} has no case", line.trick);
            for case in line.cases {
                let exists = tricks.contains(*case) || of_agent.contains(*case);
                assert!(exists, "{}: there is no case {case}", line.trick);
            }
        }
    }

    #[test]
    fn names_of_cases_are_told_apart_also_as_names_of_directories() {
        let names: BTreeSet<_> =
            cases::all().map(|case| crate::lab::directory(case, "covered")).collect();
        assert_eq!(names.len(), cases::all().count());
    }
}
