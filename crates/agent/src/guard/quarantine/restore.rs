//! Gives a file back: to its place or another, as it was to the byte, or not at all.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, fsync, openat, unlinkat};
use rustix::io::Errno;

use super::meta::{self, Meta, set_times};
use super::place::{Identity, Place, identity_at, open_own};
use super::record::{Bytes, Record, State, Way};
use super::refusal::Refusal;
use super::take::{aside, parent_times};
use super::{CONTENT, Vault, content};

impl Vault {
    /// Gives a file back, to another path if one is given. What its holders wrote to it meanwhile is
    /// given back only if `changed` says so. Returns where it is now.
    pub(crate) fn restore(
        &self,
        id: &str,
        to: Option<&Path>,
        changed: bool,
    ) -> Result<(Record, PathBuf), Refusal> {
        let cell = self.cell(id)?;
        let mut record = held(&cell, id)?;
        let path = to.map_or_else(|| record.path.path(), Path::to_owned);
        let file = self.sound(&cell, &mut record, changed)?;
        let place = Place::hold(&path)?;
        if place.identity()?.is_some() {
            return Err(Refusal::NameTaken(path));
        }
        let parent = parent_times(&place)?;
        record.state = State::Restoring { to: Bytes::of(&path), made: None };
        record.write(&cell)?;
        let placed = match record.way {
            Way::Moved => move_back(&mut record, &place, &file, &cell),
            Way::Copied => copy_back(&mut record, &place, &file, &cell),
        };
        let placed = match placed {
            Ok(placed) => placed,
            Err(refusal) => {
                hold_again(&mut record, &place, &file, &cell)?;
                return Err(refusal);
            }
        };
        let untouched = to.is_none() && record.parent.after == Some(parent.before);
        self.finish(&mut record, &place, &placed, &cell, untouched)?;
        Ok((record, path))
    }

    /// Removes a file for good. Other names of it stay, with a mode that lets nobody run it.
    pub(crate) fn delete(&self, id: &str) -> Result<Record, Refusal> {
        let cell = self.cell(id)?;
        let mut record = held(&cell, id)?;
        record.state = State::Deleting;
        record.write(&cell)?;
        self.remove(id)?;
        Ok(record)
    }

    /// The content, if it is what was taken.
    fn sound(&self, cell: &OwnedFd, record: &mut Record, changed: bool) -> Result<File, Refusal> {
        let path = self.path.join(&record.id).join(CONTENT);
        let file = open_own(cell, CONTENT).map_err(Refusal::io("open", &path))?;
        let about = file.metadata().map_err(|error| Refusal::std("look at", &path, error))?;
        if record.way == Way::Moved && Identity::of(&about) != record.file {
            let why = "another file is in the quarantine in its place".to_owned();
            return Err(Refusal::Replaced { path, why });
        }
        let digest = content::digest(&file).map_err(|error| Refusal::std("read", &path, error))?;
        if record.digest.as_ref() == Some(&digest) {
            return Ok(file);
        }
        if !changed {
            let help = "who had it open may have written to it; `--changed` gives it back as it is";
            return Err(Refusal::Changed { path, when: "since it was taken", help });
        }
        record.digest = Some(digest);
        record.meta.size = about.size();
        record.meta.mtime = (about.mtime(), about.mtime_nsec());
        Ok(file)
    }

    /// The file is there: its flags, the times of its directory, and an end to the record.
    pub(super) fn finish(
        &self,
        record: &mut Record,
        place: &Place,
        file: &File,
        cell: &OwnedFd,
        untouched: bool,
    ) -> Result<(), Refusal> {
        record.meta.apply_flags(file, &place.path)?;
        let failed = Refusal::io("write the directory of", &place.path);
        if untouched {
            let times = record.parent;
            set_times(&place.parent, times.atime, times.before).map_err(&failed)?;
        }
        fsync(file).and_then(|()| fsync(&place.parent)).map_err(failed)?;
        record.state = State::Restored;
        record.write(cell)?;
        self.remove(&record.id)
    }
}

/// The record of a file that is here, and with which nothing else is being done.
fn held(cell: &OwnedFd, id: &str) -> Result<Record, Refusal> {
    let record = Record::read(cell, id)?;
    if record.state == State::Held {
        return Ok(record);
    }
    let why = "what was cut off before is not settled yet".to_owned();
    Err(Refusal::Record { id: id.to_owned(), why })
}

/// The very inode, if a rename can bring it there.
fn move_back(
    record: &mut Record,
    place: &Place,
    file: &File,
    cell: &OwnedFd,
) -> Result<File, Refusal> {
    record.meta.apply(file, &place.path)?;
    alike(&record.meta, file, &place.path)?;
    match place.rename_from(cell, CONTENT) {
        Ok(()) => file.try_clone().map_err(|e| Refusal::std("hold", &place.path, e)),
        Err(Errno::XDEV) if record.meta.links > 1 => {
            Err(Refusal::HardLinked { path: place.path.clone(), links: record.meta.links })
        }
        Err(Errno::XDEV) => copy_back(record, place, file, cell),
        Err(error) => Err(refused(place, error)),
    }
}

/// A new file beside the place, made the same, compared, and then given its name.
fn copy_back(
    record: &mut Record,
    place: &Place,
    file: &File,
    cell: &OwnedFd,
) -> Result<File, Refusal> {
    let path = &place.path;
    let aside = aside(&record.id);
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = openat(&place.parent, &aside, flags, Mode::RUSR | Mode::WUSR);
    let made = File::from(made.map_err(|error| refused(place, error))?);
    let about = made.metadata().map_err(|error| Refusal::std("look at", path, error))?;
    let to = Bytes::of(path);
    let identity = Identity::of(&about);
    record.state = State::Restoring { to, made: Some(identity) };
    record.write(cell)?;
    let failed = |error| Refusal::std("copy to", path, error);
    content::copy(file, &made).map_err(failed)?;
    let digest = content::digest(&made).map_err(failed)?;
    if record.digest.as_ref() != Some(&digest) {
        let help = "try again";
        return Err(Refusal::Changed { path: path.clone(), when: "while it was copied", help });
    }
    record.meta.apply(&made, path)?;
    alike(&record.meta, &made, path)?;
    made.sync_all().map_err(failed)?;
    place.rename_from(&place.parent, &aside).map_err(|error| refused(place, error))?;
    if place.identity()? == Some(identity) {
        return Ok(made);
    }
    let why = "another file was put in its place when it was given back".to_owned();
    Err(Refusal::Replaced { path: path.clone(), why })
}

/// Whether a file is as it was; its flags come when it has its name.
fn alike(meta: &Meta, file: &File, path: &Path) -> Result<(), Refusal> {
    let different = meta.differences(&Meta::read(file, path)?);
    if different.is_empty() {
        return Ok(());
    }
    Err(Refusal::Unlike { path: path.to_owned(), what: different.join(", ") })
}

/// Why a file does not get its name.
fn refused(place: &Place, error: Errno) -> Refusal {
    match error {
        Errno::EXIST => Refusal::NameTaken(place.path.clone()),
        Errno::NOENT => Refusal::ParentGone(place.path.clone()),
        Errno::PERM if place.is_fixed() => Refusal::ParentFixed(place.path.clone()),
        error => Refusal::io("give back", &place.path)(error),
    }
}

/// It stays in quarantine: what was made of it elsewhere goes away.
pub(super) fn hold_again(
    record: &mut Record,
    place: &Place,
    file: &File,
    cell: &OwnedFd,
) -> Result<(), Refusal> {
    clear_aside(record, place)?;
    if record.way == Way::Moved {
        meta::shut(file, &place.path)?;
    }
    record.state = State::Held;
    record.write(cell)
}

/// Unlinks the copy that was being made beside the place, and nothing that somebody else put there.
fn clear_aside(record: &Record, place: &Place) -> Result<(), Refusal> {
    let State::Restoring { made, .. } = &record.state else { return Ok(()) };
    let aside = aside(&record.id);
    let failed = Refusal::io("remove what was made beside", &place.path);
    let there = identity_at(&place.parent, aside.as_bytes()).map_err(&failed)?;
    let ours = match (there, made) {
        (None, _) => false,
        (there, Some(made)) => there == Some(*made),
        // Cut off before it was written down: it is empty then, and root's.
        (Some(_), None) => {
            let about = rustix::fs::statat(&place.parent, &aside, AtFlags::SYMLINK_NOFOLLOW);
            about.is_ok_and(|about| about.st_size == 0 && about.st_uid == 0)
        }
    };
    if ours {
        unlinkat(&place.parent, &aside, AtFlags::empty()).map_err(failed)?;
    }
    Ok(())
}
