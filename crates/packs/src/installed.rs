//! Which packs are installed: so that no older one takes the place of a newer one.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::path::Path;

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::code::{Code, Refusal, unread};
use crate::digest::Sha256;
use crate::limits::MAX_CONFIG;
use crate::verified::Verified;

/// The record of installed packs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Installed {
    /// By id.
    packs: BTreeMap<String, Record>,
}

/// What is known of an installed pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Ids of keys that vouched for it, those that introduced them included; none for a pack that its
    /// directory vouched for.
    pub keys: Vec<String>,
    /// Digest of its manifest.
    pub manifest: Sha256,
    /// Its serial.
    pub serial: u64,
    /// Its version.
    pub version: Version,
}

/// What installing a pack would change. Each is told in the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// There is none of this id.
    New,
    /// It is this one.
    Same,
    /// It takes the place of an older one.
    Newer(Record),
    /// It takes the place of one that it may not take, since that was forced: a roll-back.
    Forced(Record),
}

impl Change {
    /// The word used in output and in the audit log.
    pub fn as_str(&self) -> &'static str {
        match self {
            Change::New => "new",
            Change::Same => "same",
            Change::Newer(_) => "newer",
            Change::Forced(_) => "forced",
        }
    }

    /// What was there before.
    pub fn before(&self) -> Option<&Record> {
        match self {
            Change::New | Change::Same => None,
            Change::Newer(record) | Change::Forced(record) => Some(record),
        }
    }
}

impl Record {
    /// What is kept of a pack.
    pub fn of(pack: &Verified) -> Record {
        let mut keys: Vec<String> = keys(pack).collect();
        keys.sort();
        keys.dedup();
        Record {
            keys,
            manifest: pack.digest,
            serial: pack.manifest.serial,
            version: pack.manifest.version.clone(),
        }
    }
}

impl Installed {
    /// Reads the record. There is none before the first pack; that nobody else can write it is
    /// checked like everything that is obeyed.
    pub fn open(path: &Path) -> Result<Installed, Refusal> {
        let bytes = match files::read_bytes(path, MAX_CONFIG, files::Trust::Owner) {
            Err(files::ReadError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                return Ok(Installed::default());
            }
            read => read.map_err(|error| unread(&error))?,
        };
        serde_json::from_slice(&bytes)
            .map_err(|error| Refusal::new(Code::Configuration, &path.display().to_string(), error))
    }

    /// What is known of a pack.
    pub fn get(&self, id: &str) -> Option<&Record> {
        self.packs.get(id)
    }

    /// What a pack would change. An older one, another one of the same serial, and one of another
    /// owner are refused unless they are forced: ids are free to take, and a stranger's pack must not
    /// put a trusted one out of use.
    pub fn change(&self, pack: &Verified, force: bool) -> Result<Change, Refusal> {
        let Some(known) = self.packs.get(&pack.manifest.id) else { return Ok(Change::New) };
        if known.manifest == pack.digest {
            return Ok(Change::Same);
        }
        let (serial, place) = (pack.manifest.serial, &pack.place);
        let same_owner = known.keys.is_empty() || keys(pack).any(|key| known.keys.contains(&key));
        let (code, what) = if !same_owner {
            (Code::Owner, format!("installed is one signed by {}", known.keys.join(", ")))
        } else if serial > known.serial {
            return Ok(Change::Newer(known.clone()));
        } else {
            let same = serial == known.serial;
            let what =
                format!("serial {serial}, installed is {} ({})", known.serial, known.version);
            (if same { Code::Equivocation } else { Code::RollBack }, what)
        };
        if force {
            return Ok(Change::Forced(known.clone()));
        }
        Err(Refusal::new(code, place, what))
    }

    /// Notes a pack as installed.
    pub fn note(&mut self, pack: &Verified) {
        self.put(&pack.manifest.id, Record::of(pack));
    }

    /// The same for what is known of it.
    pub fn put(&mut self, id: &str, record: Record) {
        self.packs.insert(id.to_owned(), record);
    }

    /// The same, unless a newer one is known.
    pub fn raise(&mut self, id: &str, record: Record) {
        if self.packs.get(id).is_none_or(|known| known.serial < record.serial) {
            self.put(id, record);
        }
    }

    /// Writes the record; whoever reads it sees the old one or the new one.
    pub fn save(&self, path: &Path) -> Result<(), Refusal> {
        let failed = |error: std::io::Error| {
            Refusal::new(Code::Unreadable, &path.display().to_string(), error)
        };
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let mut file =
            tempfile::NamedTempFile::new_in(directory.unwrap_or(Path::new("."))).map_err(failed)?;
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        file.write_all(&bytes).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(path).map(drop).map_err(|error| failed(error.error))
    }
}

fn keys(pack: &Verified) -> impl Iterator<Item = String> {
    pack.vouched.keys.iter().map(ToString::to_string)
}
