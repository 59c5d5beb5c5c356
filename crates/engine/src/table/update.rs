//! What each kind of record changes in the table.

use std::sync::Arc;

use model::op::Kind;
use model::wire::{
    Body, FLAG_NO_START, PROVIDER_CONNECTOR, RecAct, RecHeader, RecIds, RecTask, Record,
    TASK_THREAD,
};

use super::{Slot, Table};
use crate::cgroup::Cgroup;
use crate::process::{Image, Key, NO_ID, Place, Process, set};

/// What a record was about, and what it replaced.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Applied {
    /// The process, if it is known.
    pub(crate) slot: Option<Slot>,
    /// Effective user before the record; [`NO_ID`]: unknown.
    pub(crate) old_uid: Option<u32>,
    /// The record tells a second time what has been told: it is no event.
    pub(crate) again: bool,
}

impl Table {
    /// Takes over what a record tells.
    pub(crate) fn apply(&mut self, record: &Record<'_>) -> Applied {
        let header = record.header();
        self.now = self.now.max(header.time);
        self.make_room();
        let Some(slot) = self.actor(header) else { return Applied::default() };
        let Some(process) = self.get_mut(slot) else { return Applied::default() };
        let old_uid = Some(process.ids.uid).filter(|uid| *uid != NO_ID);
        process.touch(header);
        // Two threads that end at once each find, on kernels before 6.16, that they were the last.
        let again = record.kind() == Kind::Exit && std::mem::replace(&mut process.left, true);
        match record.body() {
            Body::Task(_) if again => {}
            Body::Task(task) if task.task_flags & TASK_THREAD != 0 => {}
            Body::Task(task) => match record.kind() {
                Kind::Exec => self.exec(slot, record, task),
                Kind::Fork => self.fork(slot, record, task),
                Kind::Exit => self.exit(slot, record, task),
                _ => self.found(slot, record, task),
            },
            // Sources in user space tell late, even after the end; only what a record of ids,
            // session and namespaces has told since must not be undone.
            Body::Ids(ids) if header.time >= process.told => {
                change_ids(process, record.kind(), ids);
            }
            Body::Act(act) if header.time >= process.told && record.kind() == Kind::Namespace => {
                change_namespace(process, act);
            }
            _ => {}
        }
        self.expire();
        Applied { slot: Some(slot), old_uid, again }
    }

    /// The process that acted; it becomes known by that.
    fn actor(&mut self, header: &RecHeader) -> Option<Slot> {
        if header.pid == 0 {
            return None;
        }
        if header.flags & FLAG_NO_START == 0 && header.start != 0 {
            return Some(self.ensure(Key { pid: header.pid, start: header.start }));
        }
        let slot = self.at(header.pid, header.time);
        if slot.is_none() {
            self.stats.unresolved += 1;
        }
        slot
    }

    fn exec(&mut self, slot: Slot, record: &Record<'_>, task: &RecTask) {
        self.link(slot, parent_of(task));
        let older = self.get(slot).and_then(|process| process.image.clone());
        // Nothing is taken from the older image: an exec replaces all of it.
        let image = self.hold(Image::of(record, task, None, &self.variables));
        let Some(process) = self.get_mut(slot) else { return };
        let dropped = if process.told > record.header().time {
            // Told late: a later record of this very process has said what it runs now. (The image
            // may be younger than that without being its own: a fork shares its parent's.)
            process.previous.replace(image)
        } else {
            process.describe(task);
            process.image = Some(image);
            std::mem::replace(&mut process.previous, older)
        };
        self.release(dropped);
    }

    fn fork(&mut self, slot: Slot, record: &Record<'_>, task: &RecTask) {
        self.link(slot, parent_of(task));
        self.inherit_place(slot);
        let Some(process) = self.get(slot) else { return };
        // Told late, the exec that came first has put its image there already.
        let is_late = process.image.is_some();
        if !is_late || process.previous.is_none() {
            let parent = self.find(process.parent).and_then(|parent| self.get(parent));
            let shared = parent.and_then(|parent| image_at(parent, record.header().time));
            let exe = record.bytes(task.exe);
            let shared = shared.filter(|image| exe.is_empty() || image.exe() == exe).cloned();
            let image = match shared {
                Some(shared) => Some(shared),
                None if exe.is_empty() => None,
                None => Some(self.hold(Image::of(record, task, None, &self.variables))),
            };
            if let Some(process) = self.get_mut(slot) {
                let place = if is_late { &mut process.previous } else { &mut process.image };
                *place = image;
            }
        }
        if let Some(process) = self.get_mut(slot).filter(|process| process.told == 0) {
            process.describe(task);
        }
    }

    /// A fork is in the cgroups of its parent. That a parent was gone before it could be asked says
    /// nothing of its children.
    fn inherit_place(&mut self, slot: Slot) {
        let Some(process) = self.get(slot).filter(|process| process.place.is_none()) else {
            return;
        };
        let parent = self.find(process.parent).and_then(|parent| self.get(parent));
        let place = parent.and_then(|parent| parent.place.clone());
        let place = place.filter(|place| place.cgroup.path().is_some());
        if let Some(process) = self.get_mut(slot) {
            process.place = place;
        }
    }

    /// The host told where the process is.
    pub(crate) fn place(&mut self, key: Key, cgroup: Cgroup) {
        self.make_room();
        let slot = self.ensure(key);
        if let Some(process) = self.get_mut(slot) {
            process.place = Some(Place { cgroup: Arc::new(cgroup), namespaces: (0, 0) });
        }
    }

    fn exit(&mut self, slot: Slot, record: &Record<'_>, task: &RecTask) {
        if self.get(slot).is_some_and(|process| process.told == 0) {
            self.found(slot, record, task);
        }
        self.end(slot, record.header().time);
    }

    /// A process that the record describes but did not change.
    fn found(&mut self, slot: Slot, record: &Record<'_>, task: &RecTask) {
        self.link(slot, parent_of(task));
        let Some(process) = self.get_mut(slot) else { return };
        let time = record.header().time;
        if process.told <= time {
            process.describe(task);
        }
        let older = process.image.clone();
        let shows_image =
            task.exe.len > 0 || task.args.len > 0 || (older.is_none() && task.comm.len > 0);
        if !shows_image || older.as_ref().is_some_and(|older| older.time > time) {
            return;
        }
        let image = self.hold(Image::of(record, task, older.as_deref(), &self.variables));
        let replaced = match self.get_mut(slot) {
            Some(process) => process.image.replace(image),
            None => Some(image),
        };
        drop(older);
        self.release(replaced);
    }
}

fn parent_of(task: &RecTask) -> Key {
    Key { pid: task.ppid, start: task.parent_start }
}

/// What the process ran at that time.
fn image_at(process: &Process, time: u64) -> Option<&Arc<Image>> {
    let image = process.image.as_ref()?;
    if image.time <= time { Some(image) } else { process.previous.as_ref().or(Some(image)) }
}

fn change_ids(process: &mut Process, kind: Kind, told: &RecIds) {
    let ids = &mut process.ids;
    match kind {
        // What the source could not tell of changed ids is not known any more.
        Kind::Setuid => (ids.ruid, ids.suid) = (told.ruid, told.suid),
        Kind::Setgid => (ids.rgid, ids.sgid) = (told.rgid, told.sgid),
        _ => {
            set(&mut ids.ruid, told.ruid, NO_ID);
            set(&mut ids.rgid, told.rgid, NO_ID);
            set(&mut ids.suid, told.suid, NO_ID);
            set(&mut ids.sgid, told.sgid, NO_ID);
        }
    }
    set(&mut process.sid, told.sid, 0);
    set(&mut process.pgid, told.pgid, 0);
    match kind {
        Kind::Setsid => {
            // The caller leads the new session and group, which have no terminal yet.
            process.sid = process.key.pid;
            process.pgid = process.key.pid;
            process.tty = 0;
        }
        Kind::Setgid => {}
        // A change of user may take capabilities away, and the connector does not say which.
        _ if u32::from(told.h.provider) == PROVIDER_CONNECTOR => process.caps = None,
        _ => process.caps = Some((told.cap_permitted, told.cap_effective)),
    }
}

fn change_namespace(process: &mut Process, act: &RecAct) {
    let ns = &mut process.ns;
    let fields =
        [("mnt", &mut ns.mnt), ("pid", &mut ns.pid), ("net", &mut ns.net), ("user", &mut ns.user)];
    // The number is of the one namespace that changed; of several, none is known any more.
    let one = act.value.is_power_of_two();
    let number = u32::try_from(act.value2).ok().filter(|_| one).unwrap_or(0);
    for (name, field) in fields {
        let flag = model::names::NAMESPACES.iter().find(|(_, known)| *known == name);
        if flag.is_some_and(|(flag, _)| act.value & flag != 0) {
            *field = number;
        }
    }
}
