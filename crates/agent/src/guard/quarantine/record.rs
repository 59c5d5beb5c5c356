//! What is written down of a file: enough to give it back, and how far the act has come.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, fsync, openat, renameat};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::holders::Holders;
use super::meta::{Meta, Time};
use super::place::{Identity, open_own};
use super::refusal::Refusal;

/// Its name in the directory of the file.
pub(super) const NAME: &str = "record.json";
/// Its name as long as it is being written.
pub(super) const NEW: &str = "record.new";
/// Form of what is written. Another one is refused, not guessed at.
const VERSION: u32 = 1;
/// Bytes of a record: twice what extended attributes may have, and the rest.
const RECORD_MAX: u64 = 4 << 20;

/// Bytes that need not be text; in JSON they are hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Bytes {
    /// Those of a path.
    pub(super) fn of(path: &Path) -> Bytes {
        Bytes(path.as_os_str().as_bytes().to_vec())
    }

    /// As a path.
    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(std::ffi::OsString::from_vec(self.0.clone()))
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex(&self.0))
    }
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // A string takes all that is written.
        _ = write!(text, "{byte:02x}");
        text
    })
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(from)?;
        let digit =
            |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let byte = |pair: &[u8]| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        };
        let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
        bytes.map(Bytes).ok_or_else(|| D::Error::custom("not hexadecimal"))
    }
}

/// How far an act has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// It is being taken: either still in its place or here.
    Taking,
    /// It is here.
    Held,
    /// It is being given back.
    Restoring {
        /// Where to.
        to: Bytes,
        /// The copy that is made there, if it must be one.
        made: Option<Identity>,
    },
    /// It is wanted by nobody, and goes away for good.
    Deleting,
    /// It was given back; what is here is of no use any more.
    Restored,
}

/// How the file came here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Way {
    /// By a rename: it is the same inode.
    Moved,
    /// As a copy, because it was on another filesystem.
    Copied,
}

/// Times of the directory, which an act changes too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ParentTimes {
    /// Last access, before.
    pub(crate) atime: Time,
    /// Last change, before.
    pub(crate) before: Time,
    /// Last change, after the file was taken; the directory has not changed since if it still says so.
    pub(crate) after: Option<Time>,
}

/// What is known of a file in quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Form of the record.
    version: u32,
    /// Id.
    pub(crate) id: String,
    /// Where it was.
    pub(crate) path: Bytes,
    /// The same for people.
    pub(crate) shown: String,
    /// Which file it was.
    pub(crate) file: Identity,
    /// How it came here.
    pub(crate) way: Way,
    /// How far the act has come.
    pub(crate) state: State,
    /// What it was beside its content.
    pub(crate) meta: Meta,
    /// Times of its directory.
    pub(crate) parent: ParentTimes,
    /// Digest of the content, once it is here: see `content::digest`.
    pub(crate) digest: Option<String>,
    /// Who had it open or ran it, and has it still.
    pub(crate) holders: Holders,
    /// When it was taken, seconds since 1970.
    pub(crate) taken_at: i64,
}

impl Record {
    /// A record of what is about to be taken.
    pub(super) fn new(
        id: &str,
        path: &Path,
        file: Identity,
        meta: Meta,
        parent: ParentTimes,
    ) -> Record {
        Record {
            version: VERSION,
            id: id.to_owned(),
            path: Bytes::of(path),
            shown: super::shown(path),
            file,
            way: Way::Moved,
            state: State::Taking,
            meta,
            parent,
            digest: None,
            holders: super::holders::of(file),
            taken_at: crate::policy::load::now(),
        }
    }

    /// Reads the record of a file.
    pub(super) fn read(cell: &OwnedFd, id: &str) -> Result<Record, Refusal> {
        let unusable = |why: String| Refusal::Record { id: id.to_owned(), why };
        let file = open_own(cell, NAME).map_err(|error| unusable(error.to_string()))?;
        let mut text = Vec::new();
        let read = file.take(RECORD_MAX + 1).read_to_end(&mut text);
        read.map_err(|error| unusable(error.to_string()))?;
        if text.len() as u64 > RECORD_MAX {
            return Err(unusable(format!("it is longer than {RECORD_MAX} bytes")));
        }
        let record: Record = serde_json::from_slice(&text).map_err(|e| unusable(e.to_string()))?;
        if record.version != VERSION || record.id != id {
            return Err(unusable("it is of another version or another file".to_owned()));
        }
        Ok(record)
    }

    /// Writes it in place of the one before, and waits until it is on disk.
    pub(super) fn write(&self, cell: &OwnedFd) -> Result<(), Refusal> {
        let path = PathBuf::from(&self.id).join(NAME);
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| Refusal::Record { id: self.id.clone(), why: error.to_string() })?;
        let failed = |what| Refusal::io(what, &path);
        let flags =
            OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let new = openat(cell, NEW, flags, Mode::RUSR | Mode::WUSR).map_err(failed("write"))?;
        let mut new = File::from(new);
        new.write_all(&text)
            .and_then(|()| new.sync_all())
            .map_err(|error| Refusal::std("write", &path, error))?;
        renameat(cell, NEW, cell, NAME).and_then(|()| fsync(cell)).map_err(failed("write"))
    }
}
