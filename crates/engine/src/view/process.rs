//! Fields of the acting process itself.

use model::field::{self, FieldId};
use model::names;
use model::op::Kind;
use model::value::Value;
use model::wire::{
    Body, FLAG_CUT_ARGS, RecTask, TASK_SECURE, TASK_STDIN_PIPE, TASK_STDIN_SOCKET, TASK_STDIN_TTY,
    TASK_STDOUT_SOCKET,
};

use super::{View, id, integer, list, maybe, nonzero, push_bits, push_joined, push_words, text};
use crate::process::{Image, Process};
use crate::scratch::Made;

impl View<'_> {
    /// `process.` up to the ids.
    pub(super) fn own(&self, field: FieldId) -> Value<'_> {
        let process = self.process;
        match field {
            field::PROCESS_ENTITY_ID => {
                self.key().map_or(Value::Null, |key| self.entity(Made::EntityId, key))
            }
            field::PROCESS_PID => nonzero(self.header.pid.into()),
            field::PROCESS_THREAD_ID => nonzero(self.header.tid.into()),
            field::PROCESS_START => {
                self.key().map_or(Value::Null, |key| Value::Int(self.host.wall(key.start)))
            }
            field::PROCESS_NAME => maybe(self.image().map(Image::name)),
            field::PROCESS_EXECUTABLE => maybe(self.image().map(Image::exe)),
            field::PROCESS_ARGS => list(self.args().bytes),
            field::PROCESS_ARGS_COUNT => nonzero(self.args().count.into()),
            field::PROCESS_ARGS_TRUNCATED => {
                let args = self.args();
                if args.bytes.is_empty() { Value::Null } else { Value::Bool(args.cut) }
            }
            field::PROCESS_COMMAND_LINE => {
                let join = |buffer: &mut _| push_joined(buffer, self.args().bytes);
                text(self.scratch.made(Made::CommandLine, join))
            }
            field::PROCESS_WORKING_DIRECTORY => maybe(self.image().map(Image::cwd)),
            field::PROCESS_ENV_VARS => {
                let known = || self.image().map(Image::env).unwrap_or_default();
                let all = self.exec().map_or_else(known, |task| self.record.bytes(task.env));
                let pick = |buffer: &mut _| self.table.variables.push(buffer, all);
                list(self.scratch.made(Made::Variables, pick))
            }
            field::PROCESS_TITLE => {
                let told = self.task().map(|task| self.record.bytes(task.comm));
                let told = told.filter(|comm| !comm.is_empty());
                maybe(told.or_else(|| self.image().map(Image::comm)))
            }
            field::PROCESS_INTERACTIVE => process.map_or(Value::Null, interactive),
            field::PROCESS_TTY_CHAR_DEVICE_MAJOR => process
                .filter(|it| it.tty != 0)
                .map_or(Value::Null, |it| integer(u64::from(it.tty >> 8))),
            field::PROCESS_TTY_CHAR_DEVICE_MINOR => process
                .filter(|it| it.tty != 0)
                .map_or(Value::Null, |it| integer(u64::from(it.tty & 0xff))),
            field::PROCESS_EXIT_CODE => match self.record.body() {
                Body::Task(task) if self.kind() == Kind::Exit => exit_code(task.exit_code),
                _ => Value::Null,
            },
            _ => self.own_ids(field),
        }
    }

    fn own_ids(&self, field: FieldId) -> Value<'_> {
        let ids = self.process.map(|process| process.ids).unwrap_or_default();
        let caps = self.process.and_then(|process| process.caps);
        let names = |made, mask| {
            let fill = |buffer: &mut _| push_words(buffer, names::capabilities(mask));
            list(self.scratch.made(made, fill))
        };
        match field {
            field::PROCESS_USER_ID => id(self.uid()),
            field::PROCESS_USER_NAME => maybe(self.facts.user(self.uid())),
            field::PROCESS_GROUP_ID => id(self.gid()),
            field::PROCESS_GROUP_NAME => maybe(self.facts.group(self.gid())),
            field::PROCESS_REAL_USER_ID => id(ids.ruid),
            field::PROCESS_REAL_USER_NAME => maybe(self.facts.user(ids.ruid)),
            field::PROCESS_REAL_GROUP_ID => id(ids.rgid),
            field::PROCESS_SAVED_USER_ID => id(ids.suid),
            field::PROCESS_SAVED_GROUP_ID => id(ids.sgid),
            field::PROCESS_EXT_LOGIN_USER_ID => id(ids.login),
            field::PROCESS_THREAD_CAPABILITIES_PERMITTED => {
                caps.map_or(Value::Null, |(permitted, _)| names(Made::CapsPermitted, permitted))
            }
            field::PROCESS_THREAD_CAPABILITIES_EFFECTIVE => {
                caps.map_or(Value::Null, |(_, effective)| names(Made::CapsEffective, effective))
            }
            _ => self.own_image(field),
        }
    }

    fn own_image(&self, field: FieldId) -> Value<'_> {
        let image = self.image();
        let flag = |bit| image.map_or(Value::Null, |image| Value::Bool(image.flags & bit != 0));
        match field {
            field::PROCESS_EXT_MEMFD_NAME => match self.record.body() {
                Body::File(file) if self.kind() == Kind::Memfd => {
                    text(self.record.bytes(file.name))
                }
                _ => maybe(image.and_then(Image::memfd_name)),
            },
            field::PROCESS_EXT_MEMFD_EXECUTED => {
                image.map_or(Value::Null, |image| Value::Bool(image.is_memfd()))
            }
            field::PROCESS_EXT_DELETED => {
                image.map_or(Value::Null, |image| Value::Bool(image.is_deleted()))
            }
            field::PROCESS_EXT_SCRIPT => {
                let script = image.filter(|it| it.flags & model::wire::TASK_SCRIPT != 0);
                maybe(script.map(Image::script))
            }
            field::PROCESS_EXT_SETUID => flag(TASK_SECURE),
            field::PROCESS_EXT_STDIN => image.map_or(Value::Null, |image| stdin(image.flags)),
            field::PROCESS_EXT_STDOUT => match image {
                Some(image) if image.flags & TASK_STDOUT_SOCKET != 0 => Value::str("socket"),
                _ => Value::Null,
            },
            field::PROCESS_EXT_EXECUTABLE_INODE => nonzero(image.map_or(0, |it| it.inode)),
            field::PROCESS_EXT_EXECUTABLE_MODE => {
                nonzero(image.map_or(0, |it| u64::from(it.mode & 0o7777)))
            }
            // The owner 0 is a real one; the file is unknown if it has no mode.
            field::PROCESS_EXT_EXECUTABLE_USER_ID => {
                image.filter(|it| it.mode != 0).map_or(Value::Null, |it| id(it.owner))
            }
            _ => self.own_namespaces(field),
        }
    }

    fn own_namespaces(&self, field: FieldId) -> Value<'_> {
        let ns = self.process.map(|process| process.ns).unwrap_or_default();
        match field {
            field::PROCESS_EXT_NAMESPACE_PID => nonzero(ns.pid.into()),
            field::PROCESS_EXT_NAMESPACE_MNT => nonzero(ns.mnt.into()),
            field::PROCESS_EXT_NAMESPACE_NET => nonzero(ns.net.into()),
            field::PROCESS_EXT_NAMESPACE_USER => nonzero(ns.user.into()),
            field::PROCESS_EXT_NAMESPACE_CHANGED => match self.record.body() {
                Body::Act(act) if self.kind() == Kind::Namespace => {
                    list(self.scratch.made(Made::NamespacesChanged, |buffer| {
                        push_bits(buffer, act.value, names::NAMESPACES);
                    }))
                }
                _ => Value::Null,
            },
            field::PROCESS_EXT_IN_HOST_NAMESPACES => {
                let first =
                    self.table.at(1, self.header.time).and_then(|slot| self.table.get(slot));
                let Some(first) = first.map(|first| first.ns) else { return Value::Null };
                if [first.pid, first.mnt, ns.pid, ns.mnt].contains(&0) {
                    return Value::Null;
                }
                Value::Bool((first.pid, first.mnt) == (ns.pid, ns.mnt))
            }
            _ => Value::Null,
        }
    }

    /// What ran when the event happened: an exec that is told late shows what it put there, not
    /// what a snapshot or a later exec has told since.
    fn image(&self) -> Option<&Image> {
        let process = self.process?;
        let is_late = self.kind() == Kind::Exec && process.told > self.header.time;
        if is_late { process.previous.as_deref() } else { process.image.as_deref() }
    }

    fn task(&self) -> Option<&RecTask> {
        match self.record.body() {
            Body::Task(task) => Some(task),
            _ => None,
        }
    }

    /// The record, if it is an exec: it holds more than the table keeps.
    fn exec(&self) -> Option<&RecTask> {
        self.task().filter(|_| self.kind() == Kind::Exec)
    }

    fn args(&self) -> Args<'_> {
        if let Some(task) = self.exec() {
            let bytes = self.record.bytes(task.args);
            return Args { bytes, count: task.argc, cut: self.record.has(FLAG_CUT_ARGS) };
        }
        self.image().map(Args::of).unwrap_or_default()
    }
}

/// Arguments, from the record or the table.
#[derive(Default)]
pub(super) struct Args<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) count: u32,
    cut: bool,
}

impl<'a> Args<'a> {
    pub(super) fn of(image: &'a Image) -> Args<'a> {
        Args { bytes: image.args(), count: image.argc, cut: image.args_cut }
    }
}

/// Whether a terminal controls the process or feeds it; absent if nothing told.
pub(super) fn interactive(process: &Process) -> Value<'static> {
    if process.told == 0 {
        return Value::Null;
    }
    let flags = process.image.as_deref().map_or(0, |image| image.flags);
    Value::Bool(process.tty != 0 || flags & TASK_STDIN_TTY != 0)
}

fn stdin(flags: u32) -> Value<'static> {
    match () {
        () if flags & TASK_STDIN_TTY != 0 => Value::str("tty"),
        () if flags & TASK_STDIN_SOCKET != 0 => Value::str("socket"),
        () if flags & TASK_STDIN_PIPE != 0 => Value::str("pipe"),
        () => Value::Null,
    }
}

/// As shells show it: the status, or 128 and the signal that killed the process.
fn exit_code(status: u32) -> Value<'static> {
    let (code, signal) = ((status >> 8) & 0xff, status & 0x7f);
    integer(u64::from(if signal == 0 { code } else { 128 + signal }))
}
