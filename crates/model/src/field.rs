//! The field table: every field that a rule can name and a sensor can fill.
//!
//! Names and types are those of the Elastic Common Schema, because that is what published rules
//! are written in; what ECS lacks is under `Ext`. From this one table come name resolution in the
//! rule language, the accessors of live events, JSON output, `aegisbpf fields` and the reference
//! page.

/// Type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// Text compared as a whole.
    Keyword,
    /// A path: text, compared like [`FieldType::Keyword`].
    Path,
    /// Several texts; any of them satisfies a predicate.
    Keywords,
    /// A numeric id that ECS shows as text: equal to the number and to its decimal text.
    Id,
    /// Integer.
    Int,
    /// True or false.
    Bool,
    /// Address.
    Ip,
    /// Several addresses.
    Ips,
    /// Time, ns since the Unix epoch; RFC 3339 in JSON.
    Time,
}

impl FieldType {
    /// Name for people and documents.
    pub fn name(self) -> &'static str {
        match self {
            FieldType::Keyword => "keyword",
            FieldType::Path => "path",
            FieldType::Keywords => "keywords",
            FieldType::Id => "id",
            FieldType::Int => "integer",
            FieldType::Bool => "boolean",
            FieldType::Ip => "ip",
            FieldType::Ips => "ips",
            FieldType::Time => "time",
        }
    }
}

/// Where the value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// In each event, whatever its origin.
    All,
    /// In the kernel's record.
    Kernel,
    /// From the process table.
    State,
    /// Looked up on the host: users, cgroups, machine id.
    Host,
    /// The same in all events.
    Constant,
}

impl Source {
    /// Name for people and documents.
    pub fn name(self) -> &'static str {
        match self {
            Source::All => "every event",
            Source::Kernel => "kernel record",
            Source::State => "process table",
            Source::Host => "host",
            Source::Constant => "constant",
        }
    }
}

/// Index of a field in [`FIELDS`]; larger numbers name fields that only documents have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldId(pub u16);

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Dotted ECS name.
    pub name: &'static str,
    /// Type.
    pub kind: FieldType,
    /// Source.
    pub source: Source,
    /// Meaning, one sentence.
    pub doc: &'static str,
}

macro_rules! fields {
    ($($id:ident, $name:literal, $kind:ident, $source:ident, $doc:literal;)*) => {
        #[expect(non_camel_case_types, clippy::upper_case_acronyms, reason = "row numbers only")]
        #[repr(u16)]
        enum Row { $($id),* }

        /// All fields, in the order in which JSON output shows them.
        pub static FIELDS: &[Field] = &[$(Field {
            name: $name, kind: FieldType::$kind, source: Source::$source, doc: $doc,
        }),*];

        $(#[doc = concat!("`", $name, "`: ", $doc)]
        pub const $id: FieldId = FieldId(Row::$id as u16);)*
    };
}

/// The row of a field, if it is one of the table.
pub fn field(id: FieldId) -> Option<&'static Field> {
    FIELDS.get(usize::from(id.0))
}

/// The field of that name (case-sensitive, as ECS names are).
pub fn by_name(name: &str) -> Option<FieldId> {
    let index = FIELDS.iter().position(|f| f.name == name)?;
    u16::try_from(index).ok().map(FieldId)
}

fields! {
    TIMESTAMP, "@timestamp", Time, All, "Time at which the kernel saw the event.";
    EVENT_SEQUENCE, "event.sequence", Int, All, "Position of the event in the order in which the agent processed it since it started.";
    EVENT_KIND, "event.kind", Keyword, Constant, "`event`, or `alert` in an alert.";
    EVENT_CATEGORY, "event.category", Keywords, Kernel, "`process`, `file`, `network`, `dns`, `configuration`, `driver`, `session`, `iam`; an event may carry several.";
    EVENT_TYPE, "event.type", Keywords, Kernel, "ECS event types: `start`, `end`, `change`, `info`, `creation`, `deletion`, `access`, `connection`, `process_started` ….";
    EVENT_ACTION, "event.action", Keyword, Kernel, "What happened: `exec`, `fork`, `end`, `open`, `creation`, `modification`, `rename`, `deletion`, `link`, `attribute_change`, `connection_attempted`, `connection_accepted` … (all of them are in the table of operations).";
    EVENT_OUTCOME, "event.outcome", Keyword, Kernel, "`success` or `failure`, where the source knows.";
    EVENT_MODULE, "event.module", Keyword, Constant, "Always `aegisbpf`.";
    EVENT_DATASET, "event.dataset", Keyword, Constant, "`aegisbpf.` and the first category.";
    EVENT_PROVIDER, "event.provider", Keyword, Kernel, "Which source saw it: `lsm`, `fentry`, `tracepoint`, `cgroup`, `fanotify`, `connector`, `perf`, `iter`, `syscall`.";
    EVENT_TRUSTED, "event.trusted", Bool, Kernel, "False when an argument was read from the caller's memory and may have been changed meanwhile.";
    DATA_STREAM_DATASET, "data_stream.dataset", Keyword, Constant, "`aegisbpf.` and the first category.";
    DATA_STREAM_NAMESPACE, "data_stream.namespace", Keyword, Constant, "Always `default`.";
    HOST_OS_TYPE, "host.os.type", Keyword, Constant, "Always `linux`.";
    HOST_ID, "host.id", Keyword, Host, "The machine id.";
    HOST_NAME, "host.name", Keyword, Host, "The host name when the agent started.";
    HOST_IP, "host.ip", Ips, Host, "Addresses of the host's interfaces, loopback left out.";
    HOST_BOOT_ID, "host.boot.id", Keyword, Host, "The kernel's boot id.";
    AGENT_ID, "agent.id", Keyword, Host, "Identifies this installation of the agent.";
    PROCESS_ENTITY_ID, "process.entity_id", Keyword, Kernel, "Identifies the process for ever: derived from boot id, pid and start time, so it is the same after a restart of the agent.";
    PROCESS_PID, "process.pid", Int, Kernel, "Process id in the initial pid namespace.";
    PROCESS_THREAD_ID, "process.thread.id", Int, Kernel, "Thread that acted.";
    PROCESS_START, "process.start", Time, Kernel, "When the process started.";
    PROCESS_NAME, "process.name", Keyword, Kernel, "Last component of `process.executable`; for a script started through an interpreter, the interpreter's name; where the executable is unknown, the kernel's short name (comm).";
    PROCESS_EXECUTABLE, "process.executable", Path, Kernel, "Path of the running executable.";
    PROCESS_ARGS, "process.args", Keywords, Kernel, "Arguments, program name first.";
    PROCESS_ARGS_COUNT, "process.args_count", Int, Kernel, "Number of arguments.";
    PROCESS_ARGS_TRUNCATED, "process.args_truncated", Bool, Kernel, "True when the arguments were longer than what is kept.";
    PROCESS_COMMAND_LINE, "process.command_line", Keyword, Kernel, "Arguments joined by a space.";
    PROCESS_WORKING_DIRECTORY, "process.working_directory", Path, Kernel, "Current directory at exec.";
    PROCESS_ENV_VARS, "process.env_vars", Keywords, Kernel, "`NAME=value` of the environment variables that loaded rules ask for.";
    PROCESS_TITLE, "process.title", Keyword, Kernel, "The kernel's short name (comm), at most 15 bytes.";
    PROCESS_INTERACTIVE, "process.interactive", Bool, Kernel, "Whether the process has a controlling terminal or a terminal as standard input.";
    PROCESS_TTY_CHAR_DEVICE_MAJOR, "process.tty.char_device.major", Int, Kernel, "Major number of the controlling terminal.";
    PROCESS_TTY_CHAR_DEVICE_MINOR, "process.tty.char_device.minor", Int, Kernel, "Minor number of the controlling terminal.";
    PROCESS_EXIT_CODE, "process.exit_code", Int, Kernel, "Exit status; 128 + signal when killed.";
    PROCESS_USER_ID, "process.user.id", Id, Kernel, "Effective user id.";
    PROCESS_USER_NAME, "process.user.name", Keyword, Host, "Name of the effective user.";
    PROCESS_GROUP_ID, "process.group.id", Id, Kernel, "Effective group id.";
    PROCESS_GROUP_NAME, "process.group.name", Keyword, Host, "Name of the effective group.";
    PROCESS_REAL_USER_ID, "process.real_user.id", Id, Kernel, "Real user id.";
    PROCESS_REAL_USER_NAME, "process.real_user.name", Keyword, Host, "Name of the real user.";
    PROCESS_REAL_GROUP_ID, "process.real_group.id", Id, Kernel, "Real group id.";
    PROCESS_SAVED_USER_ID, "process.saved_user.id", Id, Kernel, "Saved user id.";
    PROCESS_SAVED_GROUP_ID, "process.saved_group.id", Id, Kernel, "Saved group id.";
    PROCESS_EXT_LOGIN_USER_ID, "process.Ext.login_user.id", Id, Kernel, "Audit login uid: who logged in, whatever the user is now.";
    PROCESS_THREAD_CAPABILITIES_PERMITTED, "process.thread.capabilities.permitted", Keywords, Kernel, "Permitted capabilities by name (`CAP_SYS_ADMIN`).";
    PROCESS_THREAD_CAPABILITIES_EFFECTIVE, "process.thread.capabilities.effective", Keywords, Kernel, "Effective capabilities by name.";
    PROCESS_EXT_MEMFD_NAME, "process.Ext.memfd.name", Keyword, Kernel, "Name given to an anonymous memory file that is created or executed.";
    PROCESS_EXT_MEMFD_EXECUTED, "process.Ext.memfd.executed", Bool, Kernel, "Whether the executable is an anonymous memory file.";
    PROCESS_EXT_DELETED, "process.Ext.deleted", Bool, Kernel, "Whether the executable had no name any more when it started.";
    PROCESS_EXT_SCRIPT, "process.Ext.script", Path, Kernel, "File that an interpreter was started for by the kernel (`#!`).";
    PROCESS_EXT_SETUID, "process.Ext.setuid", Bool, Kernel, "Whether set-user-id, set-group-id or file capabilities took effect at exec.";
    PROCESS_EXT_STDIN, "process.Ext.stdin", Keyword, Kernel, "What standard input is at exec: `tty`, `pipe`, `socket`.";
    PROCESS_EXT_STDOUT, "process.Ext.stdout", Keyword, Kernel, "`socket` when standard output is one at exec.";
    PROCESS_EXT_EXECUTABLE_INODE, "process.Ext.executable.inode", Int, Kernel, "Inode number of the executable.";
    PROCESS_EXT_EXECUTABLE_MODE, "process.Ext.executable.mode", Int, Kernel, "Mode bits of the executable.";
    PROCESS_EXT_EXECUTABLE_USER_ID, "process.Ext.executable.user.id", Id, Kernel, "Owner of the executable.";
    PROCESS_EXT_NAMESPACE_PID, "process.Ext.namespace.pid", Int, Kernel, "Inode number of the pid namespace.";
    PROCESS_EXT_NAMESPACE_MNT, "process.Ext.namespace.mnt", Int, Kernel, "Inode number of the mount namespace.";
    PROCESS_EXT_NAMESPACE_NET, "process.Ext.namespace.net", Int, Kernel, "Inode number of the network namespace.";
    PROCESS_EXT_NAMESPACE_USER, "process.Ext.namespace.user", Int, Kernel, "Inode number of the user namespace.";
    PROCESS_EXT_NAMESPACE_CHANGED, "process.Ext.namespace.changed", Keywords, Kernel, "Namespaces that a `namespace_change` replaced: `mnt`, `pid`, `net`, `user`, `uts`, `ipc`, `cgroup`.";
    PROCESS_EXT_IN_HOST_NAMESPACES, "process.Ext.in_host_namespaces", Bool, State, "Whether pid and mount namespace are those of process 1.";
    PROCESS_PREVIOUS_EXECUTABLE, "process.previous.executable", Path, State, "What this process ran before its last exec.";
    PROCESS_PREVIOUS_NAME, "process.previous.name", Keyword, State, "Last component of that path.";
    PROCESS_PARENT_ENTITY_ID, "process.parent.entity_id", Keyword, State, "The parent's entity id.";
    PROCESS_PARENT_PID, "process.parent.pid", Int, State, "The parent's process id.";
    PROCESS_PARENT_NAME, "process.parent.name", Keyword, State, "The parent's name.";
    PROCESS_PARENT_EXECUTABLE, "process.parent.executable", Path, State, "The parent's executable.";
    PROCESS_PARENT_ARGS, "process.parent.args", Keywords, State, "The parent's arguments.";
    PROCESS_PARENT_ARGS_COUNT, "process.parent.args_count", Int, State, "Number of the parent's arguments.";
    PROCESS_PARENT_COMMAND_LINE, "process.parent.command_line", Keyword, State, "The parent's arguments joined by a space.";
    PROCESS_PARENT_WORKING_DIRECTORY, "process.parent.working_directory", Path, State, "The parent's working directory at its exec.";
    PROCESS_PARENT_INTERACTIVE, "process.parent.interactive", Bool, State, "Whether the parent is interactive.";
    PROCESS_PARENT_USER_ID, "process.parent.user.id", Id, State, "The parent's effective user id.";
    PROCESS_PARENT_USER_NAME, "process.parent.user.name", Keyword, Host, "The parent's user name.";
    PROCESS_PARENT_GROUP_ID, "process.parent.group.id", Id, State, "The parent's effective group id.";
    PROCESS_PARENT_GROUP_NAME, "process.parent.group.name", Keyword, Host, "The parent's group name.";
    PROCESS_PARENT_REAL_USER_ID, "process.parent.real_user.id", Id, State, "The parent's real user id.";
    PROCESS_PARENT_START, "process.parent.start", Time, State, "When the parent started.";
    PROCESS_GROUP_LEADER_ENTITY_ID, "process.group_leader.entity_id", Keyword, State, "Leader of the process group.";
    PROCESS_GROUP_LEADER_PID, "process.group_leader.pid", Int, State, "Process group id.";
    PROCESS_GROUP_LEADER_NAME, "process.group_leader.name", Keyword, State, "Its name.";
    PROCESS_GROUP_LEADER_EXECUTABLE, "process.group_leader.executable", Path, State, "Its executable.";
    PROCESS_SESSION_LEADER_ENTITY_ID, "process.session_leader.entity_id", Keyword, State, "Leader of the session.";
    PROCESS_SESSION_LEADER_PID, "process.session_leader.pid", Int, State, "Session id.";
    PROCESS_SESSION_LEADER_NAME, "process.session_leader.name", Keyword, State, "Its name.";
    PROCESS_SESSION_LEADER_EXECUTABLE, "process.session_leader.executable", Path, State, "Its executable.";
    PROCESS_SESSION_LEADER_SAME_AS_PROCESS, "process.session_leader.same_as_process", Bool, State, "Whether the process leads its session.";
    PROCESS_ENTRY_LEADER_ENTITY_ID, "process.entry_leader.entity_id", Keyword, State, "Nearest ancestor through which the session entered the host: a login, a service, a container.";
    PROCESS_ENTRY_LEADER_PID, "process.entry_leader.pid", Int, State, "Its process id.";
    PROCESS_ENTRY_LEADER_NAME, "process.entry_leader.name", Keyword, State, "Its name.";
    PROCESS_ENTRY_LEADER_EXECUTABLE, "process.entry_leader.executable", Path, State, "Its executable.";
    PROCESS_ENTRY_LEADER_ARGS, "process.entry_leader.args", Keywords, State, "Its arguments.";
    PROCESS_ENTRY_LEADER_SAME_AS_PROCESS, "process.entry_leader.same_as_process", Bool, State, "Whether the process is its own entry leader.";
    PROCESS_ENTRY_LEADER_ENTRY_META_TYPE, "process.entry_leader.entry_meta.type", Keyword, State, "How it entered: `init`, `sshd`, `terminal`, `container`, `systemd`, `cron`, `unknown`.";
    PROCESS_EXT_ANCESTRY, "process.Ext.ancestry", Keywords, State, "Entity ids of all known ancestors, parent first.";
    PROCESS_EXT_ANCESTORS_NAME, "process.Ext.ancestors.name", Keywords, State, "Names of all known ancestors, parent first.";
    PROCESS_EXT_PTRACE_CHILD_PID, "process.Ext.ptrace.child_pid", Int, Kernel, "Process that is traced.";
    PROCESS_EXT_SIGNAL_NUMBER, "process.Ext.signal.number", Int, Kernel, "Signal that is sent.";
    PROCESS_EXT_TARGET_PID, "process.Ext.target.pid", Int, Kernel, "Process that is acted on.";
    PROCESS_EXT_TARGET_ENTITY_ID, "process.Ext.target.entity_id", Keyword, State, "Entity id of the process that is acted on.";
    PROCESS_EXT_TARGET_NAME, "process.Ext.target.name", Keyword, State, "Name of the process that is acted on.";
    PROCESS_EXT_TARGET_EXECUTABLE, "process.Ext.target.executable", Path, State, "Executable of the process that is acted on.";
    PROCESS_EXT_LOAD_MODULE_NAME, "process.Ext.load_module.name", Keyword, Kernel, "Kernel module that is loaded.";
    PROCESS_EXT_LOAD_MODULE_PATH, "process.Ext.load_module.path", Path, Kernel, "File of that module, where known.";
    PROCESS_EXT_BPF_PROGRAM_NAME, "process.Ext.bpf.program.name", Keyword, Kernel, "Name of the BPF program that is loaded.";
    PROCESS_EXT_BPF_PROGRAM_ID, "process.Ext.bpf.program.id", Int, Kernel, "Its id.";
    USER_ID, "user.id", Id, Kernel, "Effective user id of the acting process.";
    USER_NAME, "user.name", Keyword, Host, "Its name.";
    USER_EFFECTIVE_ID, "user.effective.id", Id, Kernel, "The same as user.id.";
    USER_EXT_REAL_ID, "user.Ext.real.id", Id, Kernel, "Real user id.";
    USER_EXT_REAL_NAME, "user.Ext.real.name", Keyword, Host, "Its name.";
    USER_CHANGES_ID, "user.changes.id", Id, Kernel, "For `uid_change`: the user id before the change.";
    GROUP_ID, "group.id", Id, Kernel, "Effective group id of the acting process.";
    GROUP_NAME, "group.name", Keyword, Host, "Its name.";
    GROUP_EXT_REAL_ID, "group.Ext.real.id", Id, Kernel, "Real group id.";
    CONTAINER_ID, "container.id", Keyword, Host, "Container id, from the cgroup.";
    CONTAINER_RUNTIME, "container.runtime", Keyword, Host, "`docker`, `containerd`, `cri-o`, `podman`, `lxc`, `systemd-nspawn` ….";
    SYSTEMD_UNIT, "systemd.unit", Keyword, Host, "Unit of the process, from the cgroup.";
    SYSTEMD_SLICE, "systemd.slice", Keyword, Host, "Slice of the process, from the cgroup.";
    PROCESS_EXT_CGROUP_ID, "process.Ext.cgroup.id", Int, Kernel, "Id of the cgroup (v2).";
    PROCESS_EXT_CGROUP_PATH, "process.Ext.cgroup.path", Path, Host, "Path of the cgroup.";
    FILE_PATH, "file.path", Path, Kernel, "The file; after a rename or link its new name.";
    FILE_NAME, "file.name", Keyword, Kernel, "Last component of `file.path`.";
    FILE_DIRECTORY, "file.directory", Path, Kernel, "Directory of `file.path`.";
    FILE_EXTENSION, "file.extension", Keyword, Kernel, "What follows the last dot of `file.name`.";
    FILE_TYPE, "file.type", Keyword, Kernel, "`file`, `dir`, `symlink`, `device`, `fifo`, `socket`, where known.";
    FILE_INODE, "file.inode", Int, Kernel, "Inode number, where known.";
    FILE_SIZE, "file.size", Int, Kernel, "Size in bytes, where known.";
    FILE_MODE, "file.mode", Int, Kernel, "Permission bits with set-id and sticky bits, as a number, where known.";
    FILE_EXT_SETUID, "file.Ext.setuid", Bool, Kernel, "Whether the set-user-id or set-group-id bit is on.";
    FILE_UID, "file.uid", Id, Kernel, "Owner, where known.";
    FILE_GID, "file.gid", Id, Kernel, "Group, where known.";
    FILE_EXT_ORIGINAL_PATH, "file.Ext.original.path", Path, Kernel, "The name before a rename; the first name of a link.";
    FILE_EXT_ORIGINAL_NAME, "file.Ext.original.name", Keyword, Kernel, "Last component of that path.";
    FILE_EXT_ORIGINAL_EXTENSION, "file.Ext.original.extension", Keyword, Kernel, "Extension of that path.";
    FILE_EXT_CHANGED, "file.Ext.changed", Keywords, Kernel, "For `attribute_change`: `mode`, `owner`, `times`, `xattr`, `size`, where the source can tell.";
    FILE_EXT_OPEN_WRITE, "file.Ext.open.write", Bool, Kernel, "For `open`: whether it was opened for writing, where the source knows.";
    FILE_EXT_FILESYSTEM, "file.Ext.filesystem", Keyword, Kernel, "For `mount`: filesystem type.";
    SOURCE_IP, "source.ip", Ip, Kernel, "Address from which the connection comes.";
    SOURCE_PORT, "source.port", Int, Kernel, "Its port.";
    SOURCE_ADDRESS, "source.address", Keyword, Kernel, "The same address as text.";
    DESTINATION_IP, "destination.ip", Ip, Kernel, "Address to which the connection goes.";
    DESTINATION_PORT, "destination.port", Int, Kernel, "Its port.";
    DESTINATION_ADDRESS, "destination.address", Keyword, Kernel, "The same address as text.";
    NETWORK_DIRECTION, "network.direction", Keyword, Kernel, "`egress` or `ingress`.";
    NETWORK_TRANSPORT, "network.transport", Keyword, Kernel, "`tcp`, `udp`, `icmp` ….";
    NETWORK_TYPE, "network.type", Keyword, Kernel, "`ipv4` or `ipv6`.";
    DNS_QUESTION_NAME, "dns.question.name", Keyword, Kernel, "Name that is asked for.";
    DNS_QUESTION_TYPE, "dns.question.type", Keyword, Kernel, "`A`, `AAAA`, `TXT` ….";
}
