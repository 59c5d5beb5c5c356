//! The emergency switch: who switched enforcement off, when and why.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Store, Who, failed, write};
use crate::exit::Failure;

/// Bytes of the file.
const MAX: u64 = 64 << 10;

/// Enforcement is off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Emergency {
    /// Why.
    pub(crate) reason: String,
    /// Who did it.
    pub(crate) who: Who,
    /// When, seconds since 1970.
    pub(crate) since: i64,
    /// Whether it stays so when the agent starts again.
    pub(crate) persist: bool,
}

fn path(state: &Path) -> PathBuf {
    Store::at(state).root.join("emergency")
}

impl Emergency {
    /// What is known; none if enforcement is on.
    pub(crate) fn read(state: &Path) -> Result<Option<Emergency>, Failure> {
        let path = path(state);
        match super::read(&path, MAX) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| failed("read", &path, &error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path, &error)),
        }
    }

    /// Notes it. The store is locked by the caller.
    pub(crate) fn write(&self, state: &Path) -> Result<(), Failure> {
        let path = path(state);
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        write::replace(&path, &bytes).map_err(|error| failed("write", &path, &error))
    }

    /// Forgets it.
    pub(crate) fn end(state: &Path) -> Result<(), Failure> {
        let path = path(state);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove", &path, &error))
            }
            _ => Ok(()),
        }
    }
}
