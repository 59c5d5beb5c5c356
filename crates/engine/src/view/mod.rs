//! One event as rules and outputs see it: the record, what the table knows of its process, and
//! what the host told, behind the names of the field table.
//!
//! A field is filled where it applies and is known, and absent otherwise; nothing is made up.
//! Values that have to be put together (command lines, entity ids, lists) are made when they are
//! first asked for, in buffers that the engine owns and uses again.

mod ancestors;
mod object;
mod process;
mod relatives;

pub use ancestors::Ancestor;

use std::cell::OnceCell;

use model::action::{self, Action};
use model::field::{self, FieldId};
use model::names;
use model::op::Kind;
use model::value::{Fields, List, Value};
use model::wire::{
    Body, FLAG_DENIED, FLAG_NO_CREDS, FLAG_NO_START, FLAG_UNTRUSTED, PROVIDER_CGROUP,
    PROVIDER_FENTRY, PROVIDER_LSM, RecHeader, Record,
};

use crate::cgroup::Cgroup;
use crate::facts::Facts;
use crate::host::Known;
use crate::lineage::{self, Entry};
use crate::process::{Key, NO_ID, Process};
use crate::scratch::{Made, Scratch};
use crate::table::Table;

/// `-EINPROGRESS`: a connection that is neither made nor refused yet.
const IN_PROGRESS: i32 = -115;

/// One event. Lives for the call that is given it.
pub struct View<'a> {
    pub(crate) record: &'a Record<'a>,
    pub(crate) header: &'a RecHeader,
    pub(crate) words: Action,
    pub(crate) process: Option<&'a Process>,
    pub(crate) old_uid: Option<u32>,
    pub(crate) sequence: u64,
    pub(crate) table: &'a Table,
    pub(crate) facts: &'a Facts,
    pub(crate) host: &'a Known,
    pub(crate) scratch: &'a Scratch,
    entry: OnceCell<Option<Entry<'a>>>,
}

/// What an event is seen against.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) table: &'a Table,
    pub(crate) facts: &'a Facts,
    pub(crate) host: &'a Known,
    pub(crate) scratch: &'a Scratch,
}

impl std::fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(model::json::document(self)).finish()
    }
}

impl<'a> View<'a> {
    pub(crate) fn new(
        record: &'a Record<'a>,
        process: Option<&'a Process>,
        old_uid: Option<u32>,
        sequence: u64,
        scene: Scene<'a>,
    ) -> View<'a> {
        let Scene { table, facts, host, scratch } = scene;
        let (header, words) = (record.header(), action::of(record.kind()));
        let entry = OnceCell::new();
        View {
            record,
            header,
            words,
            process,
            old_uid,
            sequence,
            table,
            facts,
            host,
            scratch,
            entry,
        }
    }

    /// What happened.
    pub fn kind(&self) -> Kind {
        self.record.kind()
    }

    /// The record behind the event.
    pub fn record(&self) -> &'a Record<'a> {
        self.record
    }

    fn entry(&self) -> Option<Entry<'a>> {
        let make = || Some(lineage::entry(self.table, self.facts, self.process?));
        *self.entry.get_or_init(make)
    }

    fn event(&self, field: FieldId) -> Value<'_> {
        let host = &self.host.host;
        match field {
            field::TIMESTAMP => Value::Int(self.host.wall(self.header.time)),
            field::EVENT_SEQUENCE => integer(self.sequence),
            field::EVENT_KIND => Value::str("event"),
            field::EVENT_CATEGORY => words(self.words.category),
            field::EVENT_TYPE => words(self.words.types),
            field::EVENT_ACTION => Value::str(self.words.action),
            field::EVENT_OUTCOME => word(self.outcome()),
            field::EVENT_MODULE => Value::str("aegisbpf"),
            field::EVENT_DATASET | field::DATA_STREAM_DATASET => Value::str(self.words.dataset),
            field::EVENT_PROVIDER => word(names::provider(self.header.provider)),
            field::EVENT_TRUSTED => Value::Bool(!self.record.has(FLAG_UNTRUSTED)),
            field::DATA_STREAM_NAMESPACE => Value::str("default"),
            field::HOST_OS_TYPE => Value::str("linux"),
            field::HOST_ID => text(host.machine_id.as_bytes()),
            field::HOST_NAME => text(host.hostname.as_bytes()),
            field::HOST_IP if self.host.ips.is_empty() => Value::Null,
            field::HOST_IP => Value::List(List::Values(&self.host.ips)),
            field::HOST_BOOT_ID => text(host.boot_id.as_bytes()),
            field::AGENT_ID => text(host.agent_id.as_bytes()),
            _ => self.owner(field),
        }
    }

    /// Users and groups outside `process.`, container and unit.
    fn owner(&self, field: FieldId) -> Value<'_> {
        let ids = self.process.map(|process| process.ids).unwrap_or_default();
        let cgroup = self.cgroup();
        match field {
            field::USER_ID | field::USER_EFFECTIVE_ID => id(self.uid()),
            field::USER_NAME => maybe(self.facts.user(self.uid())),
            field::USER_EXT_REAL_ID => id(ids.ruid),
            field::USER_EXT_REAL_NAME => maybe(self.facts.user(ids.ruid)),
            field::USER_CHANGES_ID => self.changed_user(),
            field::GROUP_ID => id(self.gid()),
            field::GROUP_NAME => maybe(self.facts.group(self.gid())),
            field::GROUP_EXT_REAL_ID => id(ids.rgid),
            field::CONTAINER_ID => maybe(cgroup.and_then(Cgroup::container)),
            field::CONTAINER_RUNTIME => word(cgroup.and_then(Cgroup::runtime)),
            field::SYSTEMD_UNIT => maybe(cgroup.and_then(Cgroup::unit)),
            field::SYSTEMD_SLICE => maybe(cgroup.and_then(Cgroup::slice)),
            field::PROCESS_EXT_CGROUP_ID => nonzero(self.cgroup_id()),
            field::PROCESS_EXT_CGROUP_PATH => maybe(cgroup.and_then(Cgroup::path)),
            _ => self.object(field),
        }
    }

    /// Known for what was refused, for connections, and where the source reports only what has
    /// been done; a hook before the operation does not know how it will end.
    fn outcome(&self) -> Option<&'static str> {
        if self.record.has(FLAG_DENIED) {
            return Some("failure");
        }
        if let Body::Net(net) = self.record.body() {
            return match net.result {
                0 => Some("success"),
                result if result < 0 && result != IN_PROGRESS => Some("failure"),
                _ => None,
            };
        }
        let before = [PROVIDER_LSM, PROVIDER_FENTRY, PROVIDER_CGROUP];
        let is_after = !before.contains(&u32::from(self.header.provider));
        is_after.then_some("success")
    }

    fn uid(&self) -> u32 {
        let told = Some(self.header.uid).filter(|_| !self.record.has(FLAG_NO_CREDS));
        let known = || self.process.map_or(NO_ID, |process| process.ids.uid);
        told.filter(|uid| *uid != NO_ID).unwrap_or_else(known)
    }

    fn gid(&self) -> u32 {
        let told = Some(self.header.gid).filter(|_| !self.record.has(FLAG_NO_CREDS));
        let known = || self.process.map_or(NO_ID, |process| process.ids.gid);
        told.filter(|gid| *gid != NO_ID).unwrap_or_else(known)
    }

    fn changed_user(&self) -> Value<'_> {
        match self.record.body() {
            Body::Ids(ids) if self.kind() == Kind::Setuid => {
                let told = Some(ids.old_uid).filter(|uid| *uid != NO_ID);
                id(told.or(self.old_uid).unwrap_or(NO_ID))
            }
            _ => Value::Null,
        }
    }

    fn cgroup_id(&self) -> u64 {
        match self.header.cgroup {
            0 => self.process.map_or(0, |process| process.cgroup),
            told => told,
        }
    }

    fn cgroup(&self) -> Option<&'a Cgroup> {
        self.facts.place(self.cgroup_id(), self.process)
    }

    /// Number and start of the acting process, ns since boot.
    pub fn acting(&self) -> Option<(u32, u64)> {
        self.key().map(|key| (key.pid, key.start))
    }

    /// The acting process, also if the table does not know it.
    pub(crate) fn key(&self) -> Option<Key> {
        let header = self.header;
        let told = header.flags & FLAG_NO_START == 0 && header.pid != 0 && header.start != 0;
        let told = told.then_some(Key { pid: header.pid, start: header.start });
        self.process.map(|process| process.key).or(told)
    }

    fn entity(&self, made: Made, process: Key) -> Value<'_> {
        Value::Str(self.scratch.made(made, |buffer| {
            push_hex(buffer, self.host.entity(process));
        }))
    }
}

impl Fields for View<'_> {
    fn extra(&self) -> bool {
        false
    }

    fn get(&self, field: FieldId) -> Value<'_> {
        // Ranges of the table: one comparison instead of a walk through all groups.
        if field < field::PROCESS_ENTITY_ID {
            self.event(field)
        } else if field < field::PROCESS_PREVIOUS_EXECUTABLE {
            self.own(field)
        } else if field < field::USER_ID {
            self.relative(field)
        } else {
            self.owner(field)
        }
    }
}

fn push_hex(buffer: &mut Vec<u8>, number: u128) {
    buffer.extend((0..32).rev().map(|digit| {
        let nibble = (number >> (4 * digit)) & 0xf;
        b"0123456789abcdef".get(usize::try_from(nibble).unwrap_or(0)).copied().unwrap_or(b'0')
    }));
}

fn integer(number: u64) -> Value<'static> {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Absent if zero, which is what the kernel half writes for unknown.
fn nonzero(number: u64) -> Value<'static> {
    if number == 0 { Value::Null } else { integer(number) }
}

fn id(number: u32) -> Value<'static> {
    if number == NO_ID { Value::Null } else { Value::Int(number.into()) }
}

fn text(bytes: &[u8]) -> Value<'_> {
    if bytes.is_empty() { Value::Null } else { Value::Str(bytes) }
}

fn maybe(bytes: Option<&[u8]>) -> Value<'_> {
    text(bytes.unwrap_or_default())
}

fn word(word: Option<&'static str>) -> Value<'static> {
    word.map_or(Value::Null, Value::str)
}

fn words(words: &'static [&'static str]) -> Value<'static> {
    if words.is_empty() { Value::Null } else { Value::List(List::Words(words)) }
}

/// A list of strings that end in NUL.
fn list(bytes: &[u8]) -> Value<'_> {
    if bytes.is_empty() { Value::Null } else { Value::List(List::Nul(bytes)) }
}

/// Appends each word, ended by NUL.
fn push_words(buffer: &mut Vec<u8>, words: impl Iterator<Item = &'static str>) {
    for word in words {
        buffer.extend_from_slice(word.as_bytes());
        buffer.push(0);
    }
}

/// Names of the bits of a mask.
fn push_bits(buffer: &mut Vec<u8>, mask: u64, names: &'static [(u64, &'static str)]) {
    push_words(buffer, names.iter().filter(|(bit, _)| mask & bit != 0).map(|(_, name)| *name));
}

/// Arguments joined by a space.
fn push_joined(buffer: &mut Vec<u8>, args: &[u8]) {
    let args = args.strip_suffix(b"\0").unwrap_or(args);
    buffer.extend(args.iter().map(|byte| if *byte == 0 { b' ' } else { *byte }));
}

#[cfg(test)]
mod tests;
