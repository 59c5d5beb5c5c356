//! A pack as it was found: bytes that nobody vouches for yet.

use std::path::{Path, PathBuf};

use files::{Directory, ReadError};
use jiff::Timestamp;
use semver::Version;

use crate::code::{Code, Refusal, unread};
use crate::digest::Sha256;
use crate::frame::Frame;
use crate::keys::Ring;
use crate::level::Level;
use crate::limits::{
    MAX_FILES, MAX_MANIFEST, MAX_PACK, MAX_REFUSALS, MAX_SIGNATURE, MAX_SIGNATURES,
};
use crate::manifest::{FileEntry, Manifest};
use crate::name::MANIFEST;
use crate::signature::Signature;
use crate::verified::Verified;
use crate::vouch::vouch;

/// A pack that was opened. Nothing of it was read but its outer form.
#[derive(Debug)]
pub struct Untrusted {
    place: String,
    path: PathBuf,
    manifest: Vec<u8>,
    /// What each is called in messages, and its bytes.
    signatures: Vec<(String, Vec<u8>)>,
    files: Files,
}

#[derive(Debug)]
enum Files {
    /// A directory, and the names of all files in it.
    Directory(Directory, Vec<String>),
    /// The files one after the other.
    Joined(Vec<u8>),
}

/// What a pack is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Judge<'a> {
    /// Known keys.
    pub ring: &'a Ring,
    /// The time.
    pub now: Timestamp,
    /// The version of this engine.
    pub engine: &'a Version,
    /// What a pack is for where it was found, without any signature: [`Level::Shipped`] and
    /// [`Level::Local`] only for directories that nobody else can write.
    pub place: Level,
    /// Treat it as [`Level::Untrusted`] whoever signed it.
    pub strict: bool,
    /// Overlook signatures that do not count, as for a pack without any: for who looks at a pack or
    /// signs it, and runs nothing of it.
    pub unsigned: bool,
}

impl Untrusted {
    /// Opens a directory or a file.
    pub fn open(path: &Path, trust: files::Trust) -> Result<Untrusted, Refusal> {
        let place = path.display().to_string();
        if !files::metadata(path).is_ok_and(|about| about.is_dir()) {
            let bytes = files::read_bytes(path, MAX_PACK, trust).map_err(|error| unread(&error))?;
            return Untrusted::from_bytes(&real(path)?, &place, bytes);
        }
        let directory = Directory::open(path, trust).map_err(|error| unread(&error))?;
        let names =
            directory.names(MAX_FILES + MAX_SIGNATURES + 1).map_err(|error| unread(&error))?;
        if !names.iter().any(|name| name == MANIFEST) {
            return Err(Refusal::new(Code::NotAPack, &place, "there is no `manifest.json`"));
        }
        let manifest = directory.read(MANIFEST, MAX_MANIFEST).map_err(|error| unread(&error))?;
        let mut signatures = Vec::new();
        for name in names.iter().filter(|name| is_signature(name)) {
            if signatures.len() == MAX_SIGNATURES {
                let what = format!("more than {MAX_SIGNATURES} signatures");
                return Err(Refusal::new(Code::TooMany, &place, what));
            }
            let bytes = directory.read(name, MAX_SIGNATURE).map_err(|error| unread(&error))?;
            signatures.push((format!("{place}/{name}"), bytes));
        }
        let path = real(path)?;
        let files = Files::Directory(directory, names);
        Ok(Untrusted { place, path, manifest, signatures, files })
    }

    /// The same from the bytes of a file; `place` is what it is called in messages.
    pub fn from_bytes(path: &Path, place: &str, mut bytes: Vec<u8>) -> Result<Untrusted, Refusal> {
        let frame = Frame::read(place, &bytes)?;
        let numbered = frame.signatures.iter().zip(1..);
        let signatures = numbered
            .map(|(bytes, number)| (format!("{place}, signature {number}"), bytes.to_vec()))
            .collect();
        let manifest = frame.manifest.to_vec();
        // The files stay where they are: of what nobody vouches for there are no two copies.
        let before = bytes.len() - frame.files.len();
        bytes.drain(..before);
        let (place, path) = (place.to_owned(), path.to_owned());
        Ok(Untrusted { place, path, manifest, signatures, files: Files::Joined(bytes) })
    }

    /// Checks signatures, then reads the manifest, then compares each file with it.
    pub fn verify(self, judge: &Judge<'_>) -> Result<Verified, Vec<Refusal>> {
        let one = |refusal| vec![refusal];
        let signatures = self.signatures().map_err(one)?;
        let vouched = vouch(&self.place, &self.manifest, &signatures, judge)?;
        // From here on the bytes of the manifest are the signer's, or the operator's own.
        let manifest = Manifest::read(&self.manifest).map_err(|refusal| {
            let place = format!("{}/{}", self.place, refusal.place);
            one(Refusal { place, ..refusal })
        })?;
        self.usable(&manifest, vouched.level, judge).map_err(one)?;
        let files = self.contents(&manifest)?;
        Ok(Verified {
            place: self.place,
            path: self.path,
            digest: Sha256::of(&self.manifest),
            bytes: self.manifest,
            manifest,
            files,
            signatures: signatures.into_iter().map(|(_, signature)| signature).collect(),
            vouched,
        })
    }

    fn signatures(&self) -> Result<Vec<(String, Signature)>, Refusal> {
        let read = |(place, bytes): &(String, Vec<u8>)| {
            let signature = Signature::read(place, bytes)?;
            // A file has one form: nothing rides along in what no signature covers.
            if matches!(self.files, Files::Joined(_)) && signature.canonical().as_bytes() != bytes {
                let what = "not in the form that `kestrel pack build` writes";
                return Err(Refusal::new(Code::Malformed, place, what));
            }
            Ok((place.clone(), signature))
        };
        self.signatures.iter().map(read).collect()
    }

    /// Whether it may be used now and here.
    fn usable(&self, manifest: &Manifest, level: Level, judge: &Judge<'_>) -> Result<(), Refusal> {
        if manifest.not_after <= judge.now {
            let what = format!("good until {}, now it is {}", manifest.not_after, judge.now);
            return Err(Refusal::new(Code::Expired, &self.place, what));
        }
        if manifest.min_engine > *judge.engine {
            let what = format!("needs {}, this is {}", manifest.min_engine, judge.engine);
            return Err(Refusal::new(Code::Engine, &self.place, what));
        }
        let kinds = level.terms().kinds;
        match manifest.rules.iter().find(|rule| !kinds.contains(&rule.kind)) {
            Some(rule) => {
                let (kind, level) = (rule.kind.as_str(), level.as_str());
                let what = format!("`{}` is `{kind}`, and the pack {level}", rule.id);
                Err(Refusal::new(Code::Kind, &self.place, what))
            }
            None => Ok(()),
        }
    }

    /// What the files hold, in the order of the manifest, each compared with it.
    fn contents(&self, manifest: &Manifest) -> Result<Vec<Vec<u8>>, Vec<Refusal>> {
        let found = match &self.files {
            Files::Joined(bytes) => vec![cut(&self.place, bytes, &manifest.files)],
            Files::Directory(directory, names) => {
                self.listed(manifest, names)?;
                let read = |file: &FileEntry| match directory.read(&file.path, file.size) {
                    Ok(bytes) => {
                        compare(&self.place, file, &bytes)?;
                        Ok(vec![bytes])
                    }
                    Err(ReadError::TooMuch { .. }) => Err(other_size(&self.place, file)),
                    Err(error) => Err(unread(&error)),
                };
                manifest.files.iter().map(read).collect()
            }
        };
        let (mut files, mut refused) = (Vec::new(), Vec::new());
        for one in found {
            match one {
                Ok(some) => files.extend(some),
                Err(refusal) => refused.push(refusal),
            }
        }
        refused.truncate(MAX_REFUSALS);
        if refused.is_empty() { Ok(files) } else { Err(refused) }
    }

    /// A directory holds what the manifest lists and nothing else.
    fn listed(&self, manifest: &Manifest, names: &[String]) -> Result<(), Vec<Refusal>> {
        let at = |name: &str| format!("{}/{name}", self.place);
        let extra = names.iter().filter(|name| {
            let is_listed = manifest.files.binary_search_by(|file| file.path.cmp(name)).is_ok();
            *name != MANIFEST && !is_signature(name) && !is_listed
        });
        let extra =
            extra.map(|name| Refusal::new(Code::ExtraFile, &at(name), "not in the manifest"));
        let missing = manifest.files.iter().filter(|file| names.binary_search(&file.path).is_err());
        let missing = missing
            .map(|file| Refusal::new(Code::MissingFile, &at(&file.path), "the manifest lists it"));
        let refused: Vec<Refusal> = extra.chain(missing).take(MAX_REFUSALS).collect();
        if refused.is_empty() { Ok(()) } else { Err(refused) }
    }
}

/// Where it really is: a grant for a directory does not hold for what a link or `..` leads to.
fn real(path: &Path) -> Result<PathBuf, Refusal> {
    files::real(path)
        .map_err(|error| Refusal::new(Code::Unreadable, &path.display().to_string(), error))
}

/// Cuts joined files at the sizes that were signed.
fn cut(place: &str, joined: &[u8], files: &[FileEntry]) -> Result<Vec<Vec<u8>>, Refusal> {
    let (mut rest, mut all) = (joined, Vec::new());
    for file in files {
        let size = usize::try_from(file.size).unwrap_or(usize::MAX);
        let Some((bytes, after)) = rest.split_at_checked(size) else {
            let what = format!("it ends within `{}`", file.path);
            return Err(Refusal::new(Code::Truncated, place, what));
        };
        compare(place, file, bytes)?;
        all.push(bytes.to_vec());
        rest = after;
    }
    if !rest.is_empty() {
        let what = format!("{} bytes follow the last file", rest.len());
        return Err(Refusal::new(Code::Trailing, place, what));
    }
    Ok(all)
}

fn other_size(place: &str, file: &FileEntry) -> Refusal {
    let what = format!("not the {} bytes that were signed", file.size);
    Refusal::new(Code::Size, &format!("{place}/{}", file.path), what)
}

fn compare(place: &str, file: &FileEntry, bytes: &[u8]) -> Result<(), Refusal> {
    if bytes.len() as u64 != file.size {
        return Err(other_size(place, file));
    }
    let digest = Sha256::of(bytes);
    if digest != file.sha256 {
        let place = format!("{place}/{}", file.path);
        let what = format!("its SHA-256 is {digest}, signed was {}", file.sha256);
        return Err(Refusal::new(Code::Digest, &place, what));
    }
    Ok(())
}

/// Whether this is the name of a signature of the manifest: `manifest.json.minisig` or, as
/// `ssh-keygen` calls it, `manifest.json.sig`; with a word in between for more than one.
pub(crate) fn is_signature(name: &str) -> bool {
    let after = name.strip_prefix(MANIFEST).and_then(|after| after.strip_prefix('.'));
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric());
    after.is_some_and(|after| {
        let (word, end) = after.rsplit_once('.').unwrap_or(("signature", after));
        matches!(end, "minisig" | "sshsig" | "sig") && is_word(word)
    })
}
