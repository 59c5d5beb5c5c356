//! Takes a file away: moved with its inode where a rename can do it, copied and unlinked elsewhere.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, fsync, mkdirat, openat, unlinkat};
use rustix::io::Errno;

use super::meta::{self, Meta};
use super::place::{Identity, Place, identity_at};
use super::record::{ParentTimes, Record, State, Way};
use super::refusal::Refusal;
use super::{CONTENT, Vault, content, is_id, protected};

/// Which file is meant: what was seen when it was decided to take it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Expected {
    /// Its identity, if it is known.
    pub(crate) file: Option<Identity>,
    /// Its length, if it is known.
    pub(crate) size: Option<u64>,
}

/// The name that a file has for a moment in its own directory, before it is unlinked or when it is
/// given back: what has the name of a file may be replaced, what has this one is ours.
pub(super) fn aside(id: &str) -> String {
    format!(".aegisbpf-{id}")
}

impl Vault {
    /// Takes a file. When this returns an error, the file is where it was, as it was; if the disk
    /// fails at the very end, it is here, and whoever opens the vault next says so.
    pub(crate) fn take(
        &self,
        id: &str,
        path: &Path,
        expected: Expected,
    ) -> Result<Record, Refusal> {
        if !is_id(id) || id == "lock" {
            return Err(Refusal::BadId(id.to_owned()));
        }
        let place = Place::hold(path)?;
        let file = place.file()?;
        let about = file.metadata().map_err(|error| Refusal::std("look at", path, error))?;
        let identity = Identity::of(&about);
        expect(path, identity, about.size(), expected)?;
        let state = self.path.parent().unwrap_or(&self.path);
        if let Some(why) = protected::why(path, identity, state, &self.limits.protected) {
            return Err(Refusal::Protected { path: path.to_owned(), why });
        }
        let meta = Meta::read(&file, path)?;
        self.room(path, meta.allocated)?;
        let parent = parent_times(&place)?;
        let mut record = Record::new(id, path, identity, meta, parent);
        match mkdirat(&self.dir, id, Mode::RWXU) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Err(Refusal::IdTaken(id.to_owned())),
            Err(error) => return Err(Refusal::io("make a directory in", &self.path)(error)),
        }
        let taken = self.carry_out(&mut record, &place, &file);
        if let Err(refusal) = taken {
            self.undo(&record, &place, &file)?;
            return Err(refusal);
        }
        Ok(record)
    }

    /// Whether the vault has room for one more.
    fn room(&self, path: &Path, bytes: u64) -> Result<(), Refusal> {
        let limits = &self.limits;
        if bytes > limits.file_bytes {
            return Err(Refusal::TooLarge {
                path: path.to_owned(),
                bytes,
                limit: limits.file_bytes,
            });
        }
        let (records, unreadable) = self.list()?;
        let files = records.len() + unreadable.len();
        if files >= limits.files {
            return Err(Refusal::Full(format!("{files} files, the limit is {}", limits.files)));
        }
        let held: u64 = records.iter().map(|record| record.meta.allocated).sum();
        if held.saturating_add(bytes) > limits.vault_bytes {
            let limit = limits.vault_bytes;
            return Err(Refusal::Full(format!(
                "{held} bytes and {bytes} more, the limit is {limit}"
            )));
        }
        Ok(())
    }

    fn carry_out(&self, record: &mut Record, place: &Place, file: &File) -> Result<(), Refusal> {
        let cell = self.cell(&record.id)?;
        record.write(&cell)?;
        rustix::fs::fsync(&self.dir).map_err(Refusal::io("write", &self.path))?;
        meta::loosen(file, &place.path)?;
        match place.rename_to(&cell, CONTENT) {
            Ok(()) => moved(record, place, file, &cell)?,
            Err(Errno::XDEV) => copied(record, place, file, &cell)?,
            Err(Errno::NOENT) => return Err(Refusal::NoFile(place.path.clone())),
            Err(Errno::PERM) if place.is_fixed() => {
                return Err(Refusal::ParentFixed(place.path.clone()));
            }
            Err(error) => return Err(Refusal::io("move", &place.path)(error)),
        }
        settle(record, place, &cell)
    }

    /// Brings a file back that could not be taken.
    pub(super) fn undo(&self, record: &Record, place: &Place, file: &File) -> Result<(), Refusal> {
        let failed = Refusal::io("put back", &place.path);
        let cell = self.cell(&record.id)?;
        if record.way == Way::Moved
            && identity_at(&cell, CONTENT.as_bytes()).map_err(&failed)?.is_some()
        {
            record.meta.apply(file, &place.path)?;
            place.rename_from(&cell, CONTENT).map_err(&failed)?;
        }
        let aside = aside(&record.id);
        if identity_at(&place.parent, aside.as_bytes()).map_err(&failed)? == Some(record.file) {
            place.rename_from(&place.parent, &aside).map_err(&failed)?;
        }
        // What was unlinked already is nowhere but here: it stays, and is settled next time.
        if place.identity()? != Some(record.file) {
            return Ok(());
        }
        record.meta.apply_flags(file, &place.path)?;
        self.remove(&record.id)
    }
}

/// Whether this is the file that is meant.
fn expect(path: &Path, identity: Identity, size: u64, expected: Expected) -> Result<(), Refusal> {
    let replaced = |why| Err(Refusal::Replaced { path: path.to_owned(), why });
    if let Some(file) = expected.file.filter(|file| *file != identity) {
        let of = |file: Identity| format!("inode {} of device {}", file.ino, file.dev);
        return replaced(format!("it is {}, not {}", of(identity), of(file)));
    }
    match expected.size.filter(|expected| *expected != size) {
        Some(expected) => replaced(format!("it has {size} bytes, not {expected}")),
        None => Ok(()),
    }
}

/// Times of the directory of a file.
pub(super) fn parent_times(place: &Place) -> Result<ParentTimes, Refusal> {
    let about = place.parent.metadata();
    let about =
        about.map_err(|error| Refusal::std("look at the directory of", &place.path, error))?;
    let (atime, before) =
        ((about.atime(), about.atime_nsec()), (about.mtime(), about.mtime_nsec()));
    Ok(ParentTimes { atime, before, after: None })
}

/// After a rename: it must be the file that was looked at, and nobody may run it by another name.
fn moved(record: &mut Record, place: &Place, file: &File, cell: &OwnedFd) -> Result<(), Refusal> {
    let here =
        identity_at(cell, CONTENT.as_bytes()).map_err(Refusal::io("look at", &place.path))?;
    if here != Some(record.file) {
        place.rename_from(cell, CONTENT).map_err(Refusal::io("put back", &place.path))?;
        let why = "another file had its name when it was moved".to_owned();
        return Err(Refusal::Replaced { path: place.path.clone(), why });
    }
    close(record, file, &place.path)
}

/// Shuts a file that was moved here, and finds its digest. Who has it open may have written until now.
pub(super) fn close(record: &mut Record, file: &File, path: &Path) -> Result<(), Refusal> {
    meta::shut(file, path)?;
    let about = file.metadata().map_err(|error| Refusal::std("look at", path, error))?;
    record.meta.size = about.size();
    record.meta.links = about.nlink();
    record.meta.atime = (about.atime(), about.atime_nsec());
    record.meta.mtime = (about.mtime(), about.mtime_nsec());
    let digest = content::digest(file).map_err(|error| Refusal::std("read", path, error))?;
    record.digest = Some(digest);
    Ok(())
}

/// From another filesystem: copied, compared, and then unlinked.
fn copied(record: &mut Record, place: &Place, file: &File, cell: &OwnedFd) -> Result<(), Refusal> {
    let path = &place.path;
    one_name(file, path)?;
    record.way = Way::Copied;
    record.write(cell)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let copy = openat(cell, CONTENT, flags, Mode::RUSR | Mode::WUSR);
    let copy = File::from(copy.map_err(Refusal::io("copy", path))?);
    let failed = |error| Refusal::std("copy", path, error);
    content::copy(file, &copy).and_then(|()| copy.sync_all()).map_err(failed)?;
    let digest = content::digest(&copy).map_err(failed)?;
    let now = Meta::read(file, path)?;
    let same = now.size == record.meta.size && now.mtime == record.meta.mtime;
    if !same || content::digest(file).map_err(failed)? != digest {
        let help = "stop who writes to it first";
        return Err(Refusal::Changed { path: path.clone(), when: "while it was copied", help });
    }
    record.digest = Some(digest);
    record.write(cell)?;
    unlink(record, place, file)
}

/// Unlinks the file that was copied and no other: it gets a name of our own first.
fn unlink(record: &Record, place: &Place, file: &File) -> Result<(), Refusal> {
    let aside = aside(&record.id);
    let failed = Refusal::io("unlink", &place.path);
    place.rename_to(&place.parent, &aside).map_err(|error| match error {
        Errno::PERM if place.is_fixed() => Refusal::ParentFixed(place.path.clone()),
        error => failed(error),
    })?;
    let now = identity_at(&place.parent, aside.as_bytes()).map_err(&failed)?;
    let whole = if now == Some(record.file) {
        one_name(file, &place.path)
    } else {
        let why = "another file had its name when it was unlinked".to_owned();
        Err(Refusal::Replaced { path: place.path.clone(), why })
    };
    if whole.is_err() {
        place.rename_from(&place.parent, &aside).map_err(&failed)?;
        return whole;
    }
    unlinkat(&place.parent, &aside, AtFlags::empty()).map_err(failed)
}

/// A copy leaves the other names of a file behind.
fn one_name(file: &File, path: &Path) -> Result<(), Refusal> {
    let about = file.metadata().map_err(|error| Refusal::std("look at", path, error))?;
    match about.nlink() {
        0 | 1 => Ok(()),
        links => Err(Refusal::HardLinked { path: path.to_owned(), links }),
    }
}

/// The file is here: writes that down.
pub(super) fn settle(record: &mut Record, place: &Place, cell: &OwnedFd) -> Result<(), Refusal> {
    fsync(&place.parent).map_err(Refusal::io("write the directory of", &place.path))?;
    record.parent.after = Some(parent_times(place)?.before);
    record.state = State::Held;
    record.write(cell)
}
