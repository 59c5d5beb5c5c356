//! Signatures over places in the chain, as `ssh-keygen -Y sign -n aegisbpf-audit` makes them.
//!
//! Who can write the log can also write all of it anew, but not what a key signed that he does not have.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use ssh_key::{HashAlg, LineEnding, PrivateKey, PublicKey, SshSig};

use super::{Link, LogError};

/// What the signature is for: one that was made for anything else does not count.
const NAMESPACE: &str = "aegisbpf-audit";
/// Bytes of a file with a key.
pub const KEY_MAX: u64 = 16 << 10;

/// What is signed of a place.
fn message(link: &Link) -> String {
    format!("aegisbpf audit log, line {}, SHA-256 {}\n", link.seq, link.hash)
}

/// Signs places in the chain.
#[derive(Debug)]
pub struct Signer(PrivateKey);

impl Signer {
    /// With a key as `ssh-keygen -t ed25519` makes it, without a passphrase. `path` is where it was read: whoever
    /// did that has seen to it that nobody else can.
    ///
    /// # Errors
    /// If it is no such key.
    pub fn new(text: &str, path: &Path) -> Result<Signer, LogError> {
        let wrong = |reason: String| LogError::Key { path: path.to_owned(), reason };
        let key = PrivateKey::from_openssh(text.trim_end());
        let key = key.map_err(|error| wrong(format!("not a private key of OpenSSH: {error}")))?;
        if key.is_encrypted() || !key.algorithm().is_ed25519() {
            return Err(wrong("it must be an Ed25519 key without a passphrase".to_owned()));
        }
        Ok(Signer(key))
    }

    pub(super) fn sign(&self, link: &Link) -> Result<String, LogError> {
        let signature = self.0.sign(NAMESPACE, HashAlg::Sha512, message(link).as_bytes());
        let text = signature.and_then(|signature| signature.to_pem(LineEnding::LF));
        text.map_err(|error| LogError::Key {
            path: "the audit key".into(),
            reason: error.to_string(),
        })
    }
}

/// Checks them.
#[derive(Debug)]
pub struct Verifier(PublicKey);

impl Verifier {
    /// With the key of a file, as `ssh-keygen` writes public ones.
    ///
    /// # Errors
    /// If the file cannot be read, or is no such key.
    pub fn read(path: &Path) -> Result<Verifier, LogError> {
        let key = PublicKey::from_openssh(read(path)?.trim_end());
        let wrong = |error| LogError::Key {
            path: path.to_owned(),
            reason: format!("not a public key of OpenSSH: {error}"),
        };
        key.map(Verifier).map_err(wrong)
    }

    /// Whether this key has signed that place.
    pub(super) fn has_signed(&self, signature: &str, link: &Link) -> bool {
        let signature = SshSig::from_pem(signature);
        signature.is_ok_and(|one| self.0.verify(NAMESPACE, message(link).as_bytes(), &one).is_ok())
    }
}

fn read(path: &Path) -> Result<String, LogError> {
    let mut text = String::new();
    let file = File::open(path).map_err(LogError::io("read", path))?;
    file.take(KEY_MAX).read_to_string(&mut text).map_err(LogError::io("read", path))?;
    Ok(text)
}
