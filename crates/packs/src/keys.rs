//! The keys that are known here: a directory of `*.pub`, those of the operator and those that they
//! introduced.
//!
//! A key with a signature beside it (`new.pub` and `new.pub.minisig` or `new.pub.sig`) is known
//! only through the key that signed it, and is the same owner's: it has the same trust and the same
//! grants, and both together are one of the signatures that a pack needs. All others are there
//! because the operator put them there.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use jiff::Timestamp;

use crate::code::{Code, Refusal, unread};
use crate::level::Level;
use crate::limits::{MAX_CHAIN, MAX_KEY, MAX_KEYS, MAX_SIGNATURE};
use crate::signature::{KEY_NAMESPACE, KeyId, PublicKey, Signature};
use crate::trust::Trust;

/// A known key.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) public: PublicKey,
    /// This key, and those that introduced it, the operator's own last.
    pub(crate) line: Vec<KeyId>,
    pub(crate) level: Level,
    not_after: Option<Timestamp>,
}

impl Key {
    /// Who owns it: the operator's own key from which it comes.
    pub(crate) fn owner(&self) -> &KeyId {
        self.line.last().unwrap_or(&self.public.id)
    }

    /// Why its signatures do not count now.
    pub(crate) fn refused(&self, ring: &Ring, now: Timestamp) -> Option<(Code, String)> {
        if let Some(id) = self.line.iter().find(|id| ring.revoked.contains(*id)) {
            return Some((Code::Revoked, format!("{id} was revoked")));
        }
        let end = self.not_after.filter(|end| *end <= now)?;
        Some((Code::KeyExpired, format!("{} was good until {end}", self.public.id)))
    }
}

/// All keys that are known here.
#[derive(Clone, Default)]
pub struct Ring {
    keys: HashMap<KeyId, Key>,
    revoked: HashSet<KeyId>,
    pub(crate) threshold: usize,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Ring").field("keys", &self.ids()).finish_non_exhaustive()
    }
}

impl Ring {
    /// Reads a directory of keys; nobody but root and we may be able to write it.
    pub fn open(path: &Path, trust: &Trust) -> Result<Ring, Vec<Refusal>> {
        Ring::read(&Ring::files(path)?, trust)
    }

    /// The files of such a directory: their names, and what they hold.
    pub fn files(path: &Path) -> Result<Vec<(String, Vec<u8>)>, Vec<Refusal>> {
        let one = |refusal| vec![refusal];
        let directory = files::Directory::open(path, files::Trust::Owner)
            .map_err(|error| one(unread(&error)))?;
        let names = directory.names(MAX_KEYS).map_err(|error| one(unread(&error)))?;
        let mut found = Vec::new();
        for name in names.into_iter().filter(|name| !name.contains('/')) {
            if is_key(&name) || introduced(&name).is_some() {
                let bytes = directory.read(&name, MAX_KEY.max(MAX_SIGNATURE));
                found.push((name, bytes.map_err(|error| one(unread(&error)))?));
            }
        }
        Ok(found)
    }

    /// The same from names and what they hold.
    pub fn read(found: &[(String, Vec<u8>)], trust: &Trust) -> Result<Ring, Vec<Refusal>> {
        let mut ring = Ring {
            keys: HashMap::new(),
            revoked: trust.revoked.iter().cloned().collect(),
            threshold: trust.threshold,
        };
        let mut pending = Vec::new();
        let mut refused = Vec::new();
        for (name, bytes) in found.iter().filter(|(name, _)| is_key(name)) {
            let signatures: Vec<&(String, Vec<u8>)> =
                found.iter().filter(|(other, _)| introduced(other) == Some(name)).collect();
            match PublicKey::read(name, bytes) {
                Err(refusal) => refused.push(refusal),
                Ok(key) if signatures.is_empty() => {
                    refused.extend(ring.add(name, key, Vec::new(), trust).err());
                }
                Ok(key) => pending.push((name, bytes, key, signatures)),
            }
        }
        // Each round finds at least those that the keys of the round before introduced.
        for _ in 0..=MAX_CHAIN {
            let mut left = Vec::new();
            for (name, bytes, key, signatures) in std::mem::take(&mut pending) {
                match ring.introduction(bytes, &signatures) {
                    Ok(Some(line)) => refused.extend(ring.add(name, key, line, trust).err()),
                    Ok(None) => left.push((name, bytes, key, signatures)),
                    Err(refusal) => refused.push(refusal),
                }
            }
            pending = left;
        }
        refused.extend(pending.iter().map(|(name, ..)| {
            Refusal::new(Code::UnknownKey, name, "no known key has introduced it")
        }));
        if refused.is_empty() { Ok(ring) } else { Err(refused) }
    }

    /// The line of the key that introduced these bytes; none if that is not known yet.
    fn introduction(
        &self,
        bytes: &[u8],
        signatures: &[&(String, Vec<u8>)],
    ) -> Result<Option<Vec<KeyId>>, Refusal> {
        for (name, text) in signatures {
            let signature = Signature::read(name, text)?;
            let Some(by) = self.keys.get(&signature.key) else { continue };
            signature.check(name, &by.public, bytes, KEY_NAMESPACE)?;
            if by.line.len() > MAX_CHAIN {
                let what = format!("more than {MAX_CHAIN} keys stand between it and yours");
                return Err(Refusal::new(Code::Key, name, what));
            }
            return Ok(Some(by.line.clone()));
        }
        Ok(None)
    }

    fn add(
        &mut self,
        name: &str,
        public: PublicKey,
        mut line: Vec<KeyId>,
        trust: &Trust,
    ) -> Result<(), Refusal> {
        let same =
            |known: &&Key| known.public.point == public.point || known.public.id == public.id;
        if let Some(known) = self.keys.values().find(same) {
            let what =
                format!("the same as {}, which would make one signature two", known.public.id);
            return Err(Refusal::new(Code::Key, name, what));
        }
        let terms = trust.keys.iter().find(|key| key.id == public.id);
        let parent = line.first().and_then(|id| self.keys.get(id));
        let level = match (terms, parent) {
            (Some(terms), _) => terms.level,
            (None, Some(parent)) => parent.level,
            (None, None) => Level::Signed,
        };
        let not_after = terms.and_then(|terms| terms.not_after);
        line.insert(0, public.id.clone());
        self.keys.insert(public.id.clone(), Key { public, line, level, not_after });
        Ok(())
    }

    pub(crate) fn get(&self, id: &KeyId) -> Option<&Key> {
        self.keys.get(id)
    }

    /// Ids of all keys, sorted.
    pub fn ids(&self) -> Vec<&KeyId> {
        let mut ids: Vec<&KeyId> = self.keys.keys().collect();
        ids.sort();
        ids
    }
}

fn is_key(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|end| end == "pub")
}

/// The name of the key that this is a signature of.
fn introduced(name: &str) -> Option<&str> {
    let (key, end) = name.rsplit_once('.')?;
    (matches!(end, "minisig" | "sshsig" | "sig") && is_key(key)).then_some(key)
}
