//! Whose word is enough on this host: the operator's keys, and what he trusts them with.
//!
//! Packs of rules and bundles of policies are judged by the same files.

use std::path::{Path, PathBuf};

use packs::limits::MAX_CONFIG;
use packs::{Code, Judge, Level, Refusal, Ring, Trust, Version};

/// Where public keys are unless said otherwise.
const KEYS_DIR: &str = "/etc/aegisbpf/keys";
/// Where it is said whom the operator trusts, and with what.
const TRUST_FILE: &str = "/etc/aegisbpf/trust.toml";

/// The operator's files, read.
pub(crate) struct Operator {
    /// Whom he trusts, and with what.
    pub(crate) trust: Trust,
    /// His files as they were read.
    pub(crate) files: Files,
    ring: Ring,
    engine: Version,
}

/// Files of the operator: what they are called, and what they hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Files {
    /// Whom he trusts, and with what.
    pub(crate) trust: Option<(String, Vec<u8>)>,
    /// Keys, and what introduces them.
    pub(crate) keys: Vec<(String, Vec<u8>)>,
    /// Ids of the keys that are known.
    pub(crate) known: Vec<String>,
    /// Ids of those whose signatures count no longer.
    pub(crate) revoked: Vec<String>,
}

impl Operator {
    /// Reads what was named; else what is at the usual places, if something is there.
    pub(crate) fn open(
        keys: Option<&Path>,
        trust: Option<&Path>,
    ) -> Result<Operator, Vec<Refusal>> {
        let mut files = Files::default();
        let trust = match there(trust, TRUST_FILE) {
            None => Trust::default(),
            Some(path) => {
                let bytes = files::read_bytes(&path, MAX_CONFIG, files::Trust::Owner)
                    .map_err(|error| vec![packs::unread(&error)])?;
                let place = path.display().to_string();
                let trust = Trust::read(&place, &String::from_utf8_lossy(&bytes));
                files.trust = Some((place, bytes));
                trust.map_err(|refusal| vec![refusal])?
            }
        };
        if let Some(path) = there(keys, KEYS_DIR) {
            files.keys = Ring::files(&path)?;
        }
        let ring = Ring::read(&files.keys, &trust)?;
        files.known = ring.ids().into_iter().map(ToString::to_string).collect();
        files.revoked = trust.revoked.iter().map(ToString::to_string).collect();
        Ok(Operator { trust, files, ring, engine: engine()? })
    }

    /// Who judges, now, what is found where it counts as `place` without a signature.
    pub(crate) fn judge(&self, place: Level, strict: bool) -> Judge<'_> {
        let (ring, engine) = (&self.ring, &self.engine);
        Judge { ring, now: jiff::Timestamp::now(), engine, place, strict, unsigned: false }
    }
}

/// What was named, or the usual place if something is there.
fn there(named: Option<&Path>, usual: &str) -> Option<PathBuf> {
    let usual = || Some(PathBuf::from(usual)).filter(|path| files::exists(path));
    named.map(Path::to_owned).or_else(usual)
}

/// The same two places whether something is there or not, for who looks whether it changed.
pub(crate) fn places(keys: Option<&Path>, trust: Option<&Path>) -> [PathBuf; 2] {
    [(keys, KEYS_DIR), (trust, TRUST_FILE)]
        .map(|(named, usual)| named.unwrap_or(Path::new(usual)).to_owned())
}

/// This version, which packs may need to be a newer one.
pub(crate) fn engine() -> Result<Version, Vec<Refusal>> {
    let version = env!("CARGO_PKG_VERSION");
    Version::parse(version).map_err(|error| vec![Refusal::new(Code::Engine, version, error)])
}
