//! What a crash left: every act that began is ended, or undone, before anything else is done.
//!
//! | the record says | and | then |
//! |---|---|---|
//! | nothing, there is none | no file is here: not yet, or not any more | the directory goes away |
//! | taking | the file is in its place | its flags are set again; the record goes away |
//! | taking | the file is here, or beside its place | the act is ended |
//! | taking | it is nowhere, and no whole copy is here | somebody else removed it; the record goes away |
//! | restoring | the file is in its place | the act is ended |
//! | restoring | it is not | it stays in quarantine |
//! | deleting | | what is left here goes away |
//! | restored | | what is left here goes away |

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, unlinkat};

use super::meta;
use super::place::{Place, identity_at, open_own};
use super::record::{NAME, Record, State, Way};
use super::refusal::Refusal;
use super::restore::hold_again;
use super::take::{aside, close, settle};
use super::{CONTENT, Vault};

/// What was found of an act that was cut off, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leftover {
    /// Id of the file.
    pub(crate) id: String,
    /// Its path, for people; empty if it is not known.
    pub(crate) path: String,
    /// What became of it, as a word that programs can rely on.
    pub(crate) code: &'static str,
    /// The same for people.
    pub(crate) message: String,
}

/// The file is where it was.
const UNDONE: (&str, &str) =
    ("not-taken", "was cut off before the file was moved; it is in its place");
/// The file is in quarantine.
const TAKEN: (&str, &str) = ("taken", "was cut off when the file was moved; it is in quarantine");
/// The file is away.
const GONE: (&str, &str) =
    ("gone", "was cut off before the file was moved; somebody else removed it since");
/// The file is back.
const BACK: (&str, &str) =
    ("restored", "was cut off when the file was given back; it is in its place");
/// The file is not back.
const KEPT: (&str, &str) =
    ("not-restored", "was cut off before the file was given back; it is in quarantine");
/// The file is no more.
const DELETED: (&str, &str) = ("deleted", "was cut off when the file was deleted; it is no more");
/// There is neither a record nor a file.
const EMPTY: (&str, &str) =
    ("empty", "was cut off before anything was done, or after all was; no file is here");

impl Vault {
    /// Settles all that is unsettled. What cannot be is told, too, and left as it is.
    pub(super) fn recover(&self) -> Result<Vec<Leftover>, Refusal> {
        let mut found = Vec::new();
        for id in self.ids()? {
            let cell = self.cell(&id)?;
            let record = match self.recorded(&id, &cell) {
                Ok(Some(record)) => record,
                Ok(None) => {
                    self.remove(&id)?;
                    found.push(told(&id, "", EMPTY));
                    continue;
                }
                Err(refusal) => {
                    found.push(unsettled(&id, "", &refusal));
                    continue;
                }
            };
            let shown = record.shown.clone();
            match self.settle_one(&cell, record) {
                Ok(None) => {}
                Ok(Some(outcome)) => found.push(told(&id, &shown, outcome)),
                Err(refusal) => found.push(unsettled(&id, &shown, &refusal)),
            }
        }
        Ok(found)
    }

    /// The record, if the act came so far; without one there must be no content either.
    fn recorded(&self, id: &str, cell: &OwnedFd) -> Result<Option<Record>, Refusal> {
        let failed = Refusal::io("look at", &self.path.join(id));
        let has = |name: &str| identity_at(cell, name.as_bytes()).map_err(&failed);
        if has(NAME)?.is_none() && has(CONTENT)?.is_none() {
            return Ok(None);
        }
        Record::read(cell, id).map(Some)
    }

    fn settle_one(
        &self,
        cell: &OwnedFd,
        record: Record,
    ) -> Result<Option<(&'static str, &'static str)>, Refusal> {
        match &record.state {
            State::Held => Ok(None),
            State::Taking => self.settle_taking(cell, record).map(Some),
            State::Restoring { to, .. } => {
                let to = to.path();
                self.settle_restoring(cell, record, &to).map(Some)
            }
            State::Deleting => self.remove(&record.id).map(|()| Some(DELETED)),
            State::Restored => self.remove(&record.id).map(|()| Some(BACK)),
        }
    }

    fn settle_taking(
        &self,
        cell: &OwnedFd,
        mut record: Record,
    ) -> Result<(&'static str, &'static str), Refusal> {
        let path = record.path.path();
        let failed = Refusal::io("look at", &path);
        let here = identity_at(cell, CONTENT.as_bytes()).map_err(&failed)?;
        let moved = record.way == Way::Moved && here == Some(record.file);
        if moved {
            let file = open_own(cell, CONTENT).map_err(Refusal::io("open", &path))?;
            close(&mut record, &file, &path)?;
        }
        let place = match Place::hold(&path) {
            Ok(place) => place,
            // Its directory went away when it was empty.
            Err(Refusal::ParentGone(_)) if record.digest.is_some() => {
                record.state = State::Held;
                record.write(cell)?;
                return Ok(TAKEN);
            }
            Err(refusal) => return Err(refusal),
        };
        if moved {
            settle(&mut record, &place, cell)?;
            return Ok(TAKEN);
        }
        if record.way == Way::Moved && here.is_some() {
            // Another file had its name when it was moved.
            place.rename_from(cell, CONTENT).map_err(Refusal::io("put back", &path))?;
        }
        let aside = aside(&record.id);
        let beside = identity_at(&place.parent, aside.as_bytes()).map_err(&failed)?;
        if beside == Some(record.file) && record.digest.is_some() {
            unlinkat(&place.parent, &aside, AtFlags::empty()).map_err(&failed)?;
        } else if beside.is_some() && place.identity()?.is_none() {
            place.rename_from(&place.parent, &aside).map_err(Refusal::io("put back", &path))?;
        }
        if place.identity()? == Some(record.file) {
            let file = place.file()?;
            record.meta.apply_flags(&file, &path)?;
            self.remove(&record.id)?;
            return Ok(UNDONE);
        }
        if record.way == Way::Copied && record.digest.is_some() {
            settle(&mut record, &place, cell)?;
            return Ok(TAKEN);
        }
        self.remove(&record.id)?;
        Ok(GONE)
    }

    fn settle_restoring(
        &self,
        cell: &OwnedFd,
        mut record: Record,
        to: &Path,
    ) -> Result<(&'static str, &'static str), Refusal> {
        let State::Restoring { made, .. } = &record.state else { return Ok(KEPT) };
        let failed = Refusal::io("look at", to);
        let here = identity_at(cell, CONTENT.as_bytes()).map_err(&failed)?;
        let expected = made.unwrap_or(record.file);
        let place = match Place::hold(to) {
            Ok(place) => place,
            // Its directory has gone, and what was being made in it has, too.
            Err(Refusal::ParentGone(_)) if here.is_some() => {
                if record.way == Way::Moved {
                    let file = open_own(cell, CONTENT).map_err(failed)?;
                    meta::shut(&file, to)?;
                }
                record.state = State::Held;
                record.write(cell)?;
                return Ok(KEPT);
            }
            Err(refusal) => return Err(refusal),
        };
        let moved = made.is_none() && here.is_none();
        if place.identity()? == Some(expected) && (moved || made.is_some()) {
            let file = place.file()?;
            self.finish(&mut record, &place, &file, cell, false)?;
            return Ok(BACK);
        }
        let file = open_own(cell, CONTENT).map_err(Refusal::io("open", to))?;
        hold_again(&mut record, &place, &file, cell)?;
        Ok(KEPT)
    }
}

fn told(id: &str, path: &str, (code, message): (&'static str, &str)) -> Leftover {
    Leftover { id: id.to_owned(), path: path.to_owned(), code, message: message.to_owned() }
}

fn unsettled(id: &str, path: &str, refusal: &Refusal) -> Leftover {
    let message = format!("was cut off and cannot be settled: {refusal}");
    Leftover { id: id.to_owned(), path: path.to_owned(), code: refusal.code(), message }
}
