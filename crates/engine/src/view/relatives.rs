//! Fields of other processes: the parent, leaders, ancestors, and the one that is acted on.

use model::field::{self, FieldId};
use model::op::Kind;
use model::value::Value;
use model::wire::{Body, RecAct};

use super::process::{Args, interactive};
use super::{View, id, list, maybe, nonzero, push_hex, push_joined, text, word};
use crate::lineage::{ancestors, leader};
use crate::process::{Image, Key, Process, base_name};
use crate::scratch::Made;

impl<'a> View<'a> {
    /// `process.previous` to the end of `process.`.
    pub(super) fn relative(&self, field: FieldId) -> Value<'_> {
        if field < field::PROCESS_PARENT_ENTITY_ID {
            let previous = self.process.and_then(|process| process.previous.as_deref());
            let path = previous.map(Image::exe);
            return match field {
                field::PROCESS_PREVIOUS_EXECUTABLE => maybe(path),
                field::PROCESS_PREVIOUS_NAME => maybe(path.map(base_name)),
                _ => Value::Null,
            };
        }
        if field < field::PROCESS_GROUP_LEADER_ENTITY_ID {
            return self.of_parent(field);
        }
        if field < field::PROCESS_EXT_PTRACE_CHILD_PID {
            return self.of_leaders(field);
        }
        self.of_target(field)
    }

    /// Number and start of the parent, ns since boot; none if it is not known which one it is.
    pub fn parent_key(&self) -> Option<(u32, u64)> {
        let key = self.process?.parent;
        (key.pid != 0 && key.start != 0).then_some((key.pid, key.start))
    }

    fn parent(&self) -> Option<&'a Process> {
        self.table.get(self.table.find(self.process?.parent)?)
    }

    fn of_parent(&self, field: FieldId) -> Value<'_> {
        // The link outlives the parent's entry: pid, start and identity stay known.
        let key = self.process.map(|process| process.parent).filter(|key| key.pid != 0);
        match field {
            field::PROCESS_PARENT_ENTITY_ID => {
                return key.map_or(Value::Null, |key| self.entity(Made::ParentEntityId, key));
            }
            field::PROCESS_PARENT_PID => return nonzero(key.map_or(0, |key| key.pid.into())),
            field::PROCESS_PARENT_START => {
                return key.map_or(Value::Null, |key| Value::Int(self.host.wall(key.start)));
            }
            _ => {}
        }
        let Some(parent) = self.parent() else { return Value::Null };
        let image = parent.image.as_deref();
        let args = image.map(Args::of).unwrap_or_default();
        match field {
            field::PROCESS_PARENT_NAME => maybe(parent.name()),
            field::PROCESS_PARENT_EXECUTABLE => maybe(parent.executable()),
            field::PROCESS_PARENT_ARGS => list(args.bytes),
            field::PROCESS_PARENT_ARGS_COUNT => nonzero(args.count.into()),
            field::PROCESS_PARENT_COMMAND_LINE => {
                let join = |buffer: &mut _| push_joined(buffer, args.bytes);
                text(self.scratch.made(Made::ParentCommandLine, join))
            }
            field::PROCESS_PARENT_WORKING_DIRECTORY => maybe(image.map(Image::cwd)),
            field::PROCESS_PARENT_INTERACTIVE => interactive(parent),
            field::PROCESS_PARENT_USER_ID => id(parent.ids.uid),
            field::PROCESS_PARENT_USER_NAME => maybe(self.facts.user(parent.ids.uid)),
            field::PROCESS_PARENT_GROUP_ID => id(parent.ids.gid),
            field::PROCESS_PARENT_GROUP_NAME => maybe(self.facts.group(parent.ids.gid)),
            field::PROCESS_PARENT_REAL_USER_ID => id(parent.ids.ruid),
            _ => Value::Null,
        }
    }

    fn of_leaders(&self, field: FieldId) -> Value<'_> {
        let Some(process) = self.process else { return Value::Null };
        let lead = |id| leader(self.table, id, self.header.time).filter(|_| id != 0);
        let key = |leader: Option<&Process>, made| {
            leader.map_or(Value::Null, |leader| self.entity(made, leader.key))
        };
        match field {
            field::PROCESS_GROUP_LEADER_PID => nonzero(process.pgid.into()),
            field::PROCESS_GROUP_LEADER_ENTITY_ID => {
                key(lead(process.pgid), Made::GroupLeaderEntityId)
            }
            field::PROCESS_GROUP_LEADER_NAME => maybe(lead(process.pgid).and_then(Process::name)),
            field::PROCESS_GROUP_LEADER_EXECUTABLE => {
                maybe(lead(process.pgid).and_then(Process::executable))
            }
            field::PROCESS_SESSION_LEADER_PID => nonzero(process.sid.into()),
            field::PROCESS_SESSION_LEADER_ENTITY_ID => {
                key(lead(process.sid), Made::SessionLeaderEntityId)
            }
            field::PROCESS_SESSION_LEADER_NAME => maybe(lead(process.sid).and_then(Process::name)),
            field::PROCESS_SESSION_LEADER_EXECUTABLE => {
                maybe(lead(process.sid).and_then(Process::executable))
            }
            field::PROCESS_SESSION_LEADER_SAME_AS_PROCESS => match process.sid {
                0 => Value::Null,
                sid => Value::Bool(sid == process.key.pid),
            },
            field::PROCESS_EXT_ANCESTRY => list(self.scratch.made(Made::Ancestry, |buffer| {
                for ancestor in ancestors(self.table, process) {
                    push_hex(buffer, self.host.entity(ancestor.key));
                    buffer.push(0);
                }
            })),
            field::PROCESS_EXT_ANCESTORS_NAME => {
                list(self.scratch.made(Made::AncestorNames, |buffer| {
                    let names = ancestors(self.table, process).filter_map(Process::name);
                    names.for_each(|name| {
                        buffer.extend_from_slice(name);
                        buffer.push(0);
                    });
                }))
            }
            _ => self.of_entry_leader(field),
        }
    }

    fn of_entry_leader(&self, field: FieldId) -> Value<'_> {
        let Some(entry) = self.entry() else { return Value::Null };
        let leader = entry.leader;
        match field {
            field::PROCESS_ENTRY_LEADER_ENTITY_ID => {
                self.entity(Made::EntryLeaderEntityId, leader.key)
            }
            field::PROCESS_ENTRY_LEADER_PID => nonzero(leader.key.pid.into()),
            field::PROCESS_ENTRY_LEADER_NAME => maybe(leader.name()),
            field::PROCESS_ENTRY_LEADER_EXECUTABLE => maybe(leader.executable()),
            field::PROCESS_ENTRY_LEADER_ARGS => {
                list(leader.image.as_deref().map(Image::args).unwrap_or_default())
            }
            field::PROCESS_ENTRY_LEADER_SAME_AS_PROCESS => {
                Value::Bool(self.key() == Some(leader.key))
            }
            field::PROCESS_ENTRY_LEADER_ENTRY_META_TYPE => word(Some(entry.kind)),
            _ => Value::Null,
        }
    }

    fn of_target(&self, field: FieldId) -> Value<'_> {
        let Body::Act(act) = self.record.body() else { return Value::Null };
        match (self.kind(), field) {
            (Kind::Ptrace, field::PROCESS_EXT_PTRACE_CHILD_PID) => nonzero(act.target_pid.into()),
            (Kind::Signal, field::PROCESS_EXT_SIGNAL_NUMBER) => nonzero(act.op.into()),
            (Kind::Ptrace | Kind::Signal, field::PROCESS_EXT_TARGET_PID) => {
                nonzero(act.target_pid.into())
            }
            (Kind::Ptrace | Kind::Signal, _) => self.of_known_target(field, act),
            (Kind::Module, field::PROCESS_EXT_LOAD_MODULE_NAME) => {
                text(self.record.bytes(act.name))
            }
            (Kind::Module, field::PROCESS_EXT_LOAD_MODULE_PATH) => {
                text(self.record.bytes(act.path))
            }
            (Kind::Bpf, field::PROCESS_EXT_BPF_PROGRAM_NAME) => text(self.record.bytes(act.name)),
            (Kind::Bpf, field::PROCESS_EXT_BPF_PROGRAM_ID) => nonzero(act.value),
            _ => Value::Null,
        }
    }

    fn of_known_target(&self, field: FieldId, act: &RecAct) -> Value<'_> {
        let slot = self.table.resolve(act.target_pid, act.target_start, self.header.time);
        let target = slot.and_then(|slot| self.table.get(slot));
        match field {
            field::PROCESS_EXT_TARGET_ENTITY_ID => {
                let told = Key { pid: act.target_pid, start: act.target_start };
                let told = Some(told).filter(|key| key.pid != 0 && key.start != 0);
                let key = target.map(|target| target.key).or(told);
                key.map_or(Value::Null, |key| self.entity(Made::TargetEntityId, key))
            }
            field::PROCESS_EXT_TARGET_NAME => maybe(target.and_then(Process::name)),
            field::PROCESS_EXT_TARGET_EXECUTABLE => maybe(target.and_then(Process::executable)),
            _ => Value::Null,
        }
    }
}
