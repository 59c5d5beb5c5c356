//! A pack whose bytes are vouched for.

use std::path::{Path, PathBuf};

use crate::code::{Code, Refusal};
use crate::compiled::Compiled;
use crate::digest::Sha256;
use crate::frame::Frame;
use crate::level::Level;
use crate::manifest::Manifest;
use crate::signature::{KeyId, Signature};
use crate::trust::Trust;
use crate::vouch::{Signer, Vouched};

/// A pack whose manifest is vouched for, and whose files are those of the manifest.
pub struct Verified {
    pub(crate) place: String,
    pub(crate) path: PathBuf,
    /// The manifest as it was signed.
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: Sha256,
    pub(crate) manifest: Manifest,
    /// What the files hold, in the order of the manifest.
    pub(crate) files: Vec<Vec<u8>>,
    pub(crate) signatures: Vec<Signature>,
    pub(crate) vouched: Vouched,
}

impl std::fmt::Debug for Verified {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digest = self.digest;
        out.debug_struct("Verified").field("digest", &digest).finish_non_exhaustive()
    }
}

impl Verified {
    /// What it is, needs and holds.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The manifest as it was signed.
    pub fn manifest_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Digest of the manifest, and so of all of it.
    pub fn digest(&self) -> Sha256 {
        self.digest
    }

    /// Where it was found.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How far it is trusted.
    pub fn level(&self) -> Level {
        self.vouched.level
    }

    /// Who vouches for it; nobody, where its place does.
    pub fn signers(&self) -> &[Signer] {
        &self.vouched.signers
    }

    /// Keys whose signatures are there and do not count here.
    pub fn other_keys(&self) -> &[KeyId] {
        &self.vouched.others
    }

    /// What a file of it holds.
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        let at = self.manifest.files.binary_search_by(|file| file.path.as_str().cmp(name)).ok()?;
        self.files.get(at).map(Vec::as_slice)
    }

    /// Where a file of it is, for people.
    pub fn at(&self, file: &str) -> String {
        format!("{}/{file}", self.place)
    }

    /// Names and texts of these files; and those that are no texts.
    pub(crate) fn texts<'n>(
        &self,
        names: impl IntoIterator<Item = &'n str>,
    ) -> (Vec<(String, String)>, Vec<Refusal>) {
        let (mut texts, mut refused) = (Vec::new(), Vec::new());
        for name in names {
            match str::from_utf8(self.file(name).unwrap_or_default()) {
                Ok(text) => texts.push((name.to_owned(), text.to_owned())),
                Err(_) => refused.push(Refusal::new(Code::Rule, &self.at(name), "not UTF-8")),
            }
        }
        (texts, refused)
    }

    /// The pack in one file, with all of its signatures.
    pub fn to_file(&self) -> Result<Vec<u8>, Refusal> {
        self.joined(&[])
    }

    /// The same with one signature more. It is not checked: who signs need not be known here.
    pub fn to_file_with(&self, signature: &[u8]) -> Result<Vec<u8>, Refusal> {
        let more = Signature::read("the new signature", signature)?;
        self.joined(&[more])
    }

    fn joined(&self, more: &[Signature]) -> Result<Vec<u8>, Refusal> {
        let again = |old: &&Signature| more.iter().all(|new| new.key != old.key);
        let signatures = self.signatures.iter().filter(again).chain(more);
        let frame = Frame {
            manifest: &self.bytes,
            signatures: signatures.map(|one| one.canonical().as_bytes()).collect(),
            files: &self.files.concat(),
        };
        frame.write(&self.place)
    }

    /// Compiles its rules, and holds them against what the manifest says of them.
    pub fn compile(self, trust: &Trust) -> Result<Compiled, Vec<Refusal>> {
        Compiled::new(self, trust)
    }
}
