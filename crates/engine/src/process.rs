//! One process, and the image (what exec left) that it shares with its forks.

use std::sync::Arc;

use model::wire::{FLAG_CUT_ARGS, RecHeader, RecTask, Record, Span, TASK_DELETED, TASK_MEMFD};

use crate::cgroup::Cgroup;
use crate::variables::Variables;

/// An id that the source did not know.
pub(crate) const NO_ID: u32 = u32::MAX;
/// Bytes of arguments kept for a process; its own exec event has all of them.
pub const TABLE_ARGS_MAX: usize = 4096;
/// Bytes of the variables kept for a process: rules ask for a handful.
pub const TABLE_ENV_MAX: usize = 2048;

/// What identifies a process on one boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Key {
    pub(crate) pid: u32,
    /// Start of the process as the kernel counts it, ns since boot. Nothing coarser will do: in a
    /// small pid namespace, or by writing to `ns_last_pid`, a pid can be had twice within the
    /// 10 ms in which `/proc` counts.
    pub(crate) start: u64,
}

/// Where a part of an [`Image`] lies in its bytes.
type Part = (u16, u16);

/// What exec left. Never changes, so forks share it.
#[derive(Debug)]
pub(crate) struct Image {
    bytes: Box<[u8]>,
    exe: Part,
    args: Part,
    env: Part,
    cwd: Part,
    script: Part,
    comm: Part,
    pub(crate) argc: u32,
    pub(crate) args_cut: bool,
    /// `TASK_*` of the exec.
    pub(crate) flags: u32,
    pub(crate) inode: u64,
    pub(crate) mode: u32,
    pub(crate) owner: u32,
    /// When the record of this image was made: forks before it had the previous one.
    pub(crate) time: u64,
}

impl Image {
    /// The image in a record; parts that the record lacks come from `older`, if that is an image
    /// of the same executable.
    pub(crate) fn of(
        record: &Record<'_>,
        task: &RecTask,
        older: Option<&Image>,
        variables: &Variables,
    ) -> Image {
        let text = |span: Span| record.bytes(span);
        let exe = text(task.exe);
        let older = older.filter(|older| exe.is_empty() || older.exe() == exe);
        let mut environment = Vec::new();
        variables.push(&mut environment, text(task.env));
        let mut bytes = Vec::new();
        let mut keep = |new: &[u8], old: Option<&[u8]>, max: usize| -> Part {
            let part = if new.is_empty() { old.unwrap_or_default() } else { new };
            let part = part.get(..max).unwrap_or(part);
            let at = bytes.len();
            bytes.extend_from_slice(part);
            // The bounds of all parts together are far below 64 KiB.
            (u16::try_from(at).unwrap_or_default(), u16::try_from(part.len()).unwrap_or_default())
        };
        let path = model::wire::PATH_MAX_BYTES as usize;
        let exe = keep(exe, older.map(Image::exe), path);
        let args = keep(text(task.args), older.map(Image::args), TABLE_ARGS_MAX);
        let env = keep(&environment, older.map(Image::env), TABLE_ENV_MAX);
        let cwd = keep(text(task.cwd), older.map(Image::cwd), path);
        let script = keep(text(task.script), older.map(Image::script), path);
        let comm = keep(text(task.comm), older.map(Image::comm), 16);
        let given = usize::from(task.args.len);
        let told_file = task.exe_ino != 0;
        let cut = given > TABLE_ARGS_MAX || record.has(FLAG_CUT_ARGS);
        Image {
            bytes: bytes.into_boxed_slice(),
            exe,
            args,
            env,
            cwd,
            script,
            comm,
            argc: if given == 0 { older.map_or(task.argc, |old| old.argc) } else { task.argc },
            args_cut: if given == 0 { older.is_some_and(|old| old.args_cut) } else { cut },
            flags: task.task_flags | older.map_or(0, |old| old.flags),
            inode: if told_file { task.exe_ino } else { older.map_or(0, |old| old.inode) },
            mode: if told_file { task.exe_mode } else { older.map_or(0, |old| old.mode) },
            owner: if told_file { task.exe_uid } else { older.map_or(0, |old| old.owner) },
            time: record.header().time,
        }
    }

    fn part(&self, (at, len): Part) -> &[u8] {
        let at = usize::from(at);
        self.bytes.get(at..at + usize::from(len)).unwrap_or_default()
    }

    pub(crate) fn exe(&self) -> &[u8] {
        self.part(self.exe)
    }

    pub(crate) fn args(&self) -> &[u8] {
        self.part(self.args)
    }

    pub(crate) fn env(&self) -> &[u8] {
        self.part(self.env)
    }

    pub(crate) fn cwd(&self) -> &[u8] {
        self.part(self.cwd)
    }

    pub(crate) fn script(&self) -> &[u8] {
        self.part(self.script)
    }

    pub(crate) fn comm(&self) -> &[u8] {
        self.part(self.comm)
    }

    /// Last component of the executable. Where that is unknown, as for kernel threads, which have
    /// none, the process goes by its comm.
    pub(crate) fn name(&self) -> &[u8] {
        if self.exe().is_empty() { self.comm() } else { base_name(self.exe()) }
    }

    pub(crate) fn is_memfd(&self) -> bool {
        self.flags & TASK_MEMFD != 0
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.flags & TASK_DELETED != 0
    }

    /// Name of the anonymous memory file that runs, which the kernel shows as `/memfd:NAME`.
    pub(crate) fn memfd_name(&self) -> Option<&[u8]> {
        let path = self.exe();
        let path = path.strip_prefix(b"/").unwrap_or(path);
        let name = path.strip_prefix(b"memfd:").filter(|_| self.is_memfd())?;
        Some(name.strip_suffix(b" (deleted)").unwrap_or(name))
    }

    /// Bytes of memory that the image takes.
    pub(crate) fn weight(&self) -> usize {
        self.bytes.len() + size_of::<Image>()
    }
}

/// What follows the last slash.
pub(crate) fn base_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

/// User and group ids; [`NO_ID`] where unknown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ids {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) ruid: u32,
    pub(crate) rgid: u32,
    pub(crate) suid: u32,
    pub(crate) sgid: u32,
    pub(crate) login: u32,
}

impl Default for Ids {
    fn default() -> Self {
        Ids {
            uid: NO_ID,
            gid: NO_ID,
            ruid: NO_ID,
            rgid: NO_ID,
            suid: NO_ID,
            sgid: NO_ID,
            login: NO_ID,
        }
    }
}

/// Inode numbers of the namespaces that fields show; 0 where unknown.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Namespaces {
    pub(crate) pid: u32,
    pub(crate) mnt: u32,
    pub(crate) net: u32,
    pub(crate) user: u32,
}

/// Where a process is in the cgroups of version 1.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) cgroup: Arc<Cgroup>,
    /// Pid and mount namespace that it had then; zero until they are told.
    pub(crate) namespaces: (u32, u32),
}

/// One process, running or ended.
#[derive(Debug, Default)]
pub(crate) struct Process {
    pub(crate) key: Key,
    /// The process that forked it; pid 0: unknown.
    pub(crate) parent: Key,
    pub(crate) image: Option<Arc<Image>>,
    /// What it ran before its last exec.
    pub(crate) previous: Option<Arc<Image>>,
    pub(crate) ids: Ids,
    pub(crate) ns: Namespaces,
    /// Permitted and effective capabilities.
    pub(crate) caps: Option<(u64, u64)>,
    pub(crate) pgid: u32,
    pub(crate) sid: u32,
    pub(crate) tty: u32,
    pub(crate) cgroup: u64,
    /// Asked for only where version 1 is in use.
    pub(crate) place: Option<Place>,
    /// Time of the last record that told ids, session and namespaces; 0: none did, and all that is
    /// known is that it exists.
    pub(crate) told: u64,
    /// Time of the last record that told user, group or cgroup.
    pub(crate) touched: u64,
    /// When it ended; 0: it runs.
    pub(crate) ended: u64,
    /// Whether its end was told, and not only concluded.
    pub(crate) left: bool,
    /// Processes in the table whose parent this is.
    pub(crate) children: u32,
    /// Whether it waits in the queue of ended processes.
    pub(crate) queued: bool,
}

impl Process {
    pub(crate) fn is_running(&self) -> bool {
        self.ended == 0
    }

    /// Name, if it is known.
    pub(crate) fn name(&self) -> Option<&[u8]> {
        self.image.as_deref().map(Image::name).filter(|name| !name.is_empty())
    }

    /// Path of the executable, if it is known.
    pub(crate) fn executable(&self) -> Option<&[u8]> {
        self.image.as_deref().map(Image::exe).filter(|path| !path.is_empty())
    }

    /// Takes over what a task record tells of ids, session and namespaces.
    pub(crate) fn describe(&mut self, task: &RecTask) {
        let ids = &mut self.ids;
        for (field, told) in [
            (&mut ids.ruid, task.ruid),
            (&mut ids.rgid, task.rgid),
            (&mut ids.suid, task.suid),
            (&mut ids.sgid, task.sgid),
            (&mut ids.login, task.loginuid),
        ] {
            set(field, told, NO_ID);
        }
        let ns = &mut self.ns;
        for (field, told) in [
            (&mut ns.pid, task.ns_pid),
            (&mut ns.mnt, task.ns_mnt),
            (&mut ns.net, task.ns_net),
            (&mut ns.user, task.ns_user),
            (&mut self.pgid, task.pgid),
            (&mut self.sid, task.sid),
        ] {
            set(field, told, 0);
        }
        if let Some(place) = self.place.as_mut().filter(|place| place.namespaces == (0, 0)) {
            place.namespaces = (self.ns.pid, self.ns.mnt);
        }
        self.caps = Some((task.cap_permitted, task.cap_effective));
        self.tty = task.tty;
        self.told = task.h.time.max(1);
    }

    /// Takes over what every record tells of its process, unless a later one has told it.
    pub(crate) fn touch(&mut self, header: &RecHeader) {
        if header.time < self.touched {
            return;
        }
        self.touched = header.time;
        if header.flags & model::wire::FLAG_NO_CREDS == 0 {
            set(&mut self.ids.uid, header.uid, NO_ID);
            set(&mut self.ids.gid, header.gid, NO_ID);
        }
        set(&mut self.cgroup, header.cgroup, 0);
    }
}

/// Takes over a value unless it is the one that means unknown.
pub(crate) fn set<T: Copy + PartialEq>(field: &mut T, told: T, unknown: T) {
    if told != unknown {
        *field = told;
    }
}
