//! What the tests begin with: a small pack in a directory, a key, and who judges.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use minisign::KeyPair;
use semver::Version;
use tempfile::TempDir;

use crate::{Code, Compiled, Judge, Level, Refusal, Ring, Trust, Untrusted, Verified, make};

/// A rule that needs nothing but to alert.
pub(super) const RULE: &str = r#"[[rule]]
id = "one"
name = "One"
description = "A rule."
severity = "low"
attack = ["T1059"]
query = '''process where process.name == "nc"'''
[[rule.test]]
name = "it"
alert = true
event = { event.category = "process", process.name = "nc" }
[[rule.test]]
name = "not it"
alert = false
event = { event.category = "process", process.name = "ls" }
"#;
/// What its author says of the pack.
pub(super) const SOURCE: &str = "id = \"small\"\nversion = \"1.2.0\"\nserial = 7\n\
                                 not_after = \"2030-01-01T00:00:00Z\"\nmin_engine = \"0.1.0\"\n";

/// A key of minisign.
pub(super) struct Pen {
    pub(super) pair: KeyPair,
}

impl Pen {
    pub(super) fn new() -> Pen {
        Pen { pair: KeyPair::generate_unencrypted_keypair().unwrap() }
    }

    /// The file of the public key.
    pub(super) fn public(&self) -> Vec<u8> {
        self.pair.pk.to_box().unwrap().into_string().into_bytes()
    }

    pub(super) fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        let (sk, pk) = (&self.pair.sk, Some(&self.pair.pk));
        let made = minisign::sign(pk, sk, Cursor::new(bytes), Some("a test"), Some("whatever"));
        made.unwrap().into_string().into_bytes()
    }

    /// As `minisign` prints it.
    pub(super) fn id(&self) -> String {
        let number: [u8; 8] = self.pair.pk.keynum().try_into().unwrap();
        format!("{:016X}", u64::from_le_bytes(number))
    }
}

/// A pack in a directory of its own.
pub(super) struct Pack {
    pub(super) dir: TempDir,
}

impl Pack {
    /// With these files, and a manifest that fits.
    pub(super) fn with(files: &[(&str, &str)]) -> Pack {
        let pack = Pack { dir: tempfile::tempdir().unwrap() };
        for (name, text) in files {
            pack.put(name, text.as_bytes());
        }
        pack.build();
        pack
    }

    /// The same with texts that were made.
    pub(super) fn with_files(files: &[(&str, String)]) -> Pack {
        let files: Vec<(&str, &str)> =
            files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        Pack::with(&files)
    }

    pub(super) fn small() -> Pack {
        Pack::with(&[("pack.toml", SOURCE), ("rules/one.toml", RULE)])
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(super) fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(super) fn build(&self) {
        let made = make(self.path(), &engine(), now()).unwrap();
        self.put("manifest.json", &made.manifest);
    }

    pub(super) fn manifest(&self) -> String {
        fs::read_to_string(self.at("manifest.json")).unwrap()
    }

    /// Puts another text in the place of one of the manifest, before it is signed.
    pub(super) fn forge(&self, what: &str, by: &str) {
        let text = self.manifest();
        assert!(text.contains(what), "{what} is not in {text}");
        self.put("manifest.json", text.replacen(what, by, 1).as_bytes());
    }

    pub(super) fn sign(&self, pen: &Pen) {
        let signature = pen.sign(self.manifest().as_bytes());
        self.put(&format!("manifest.json.{}.minisig", pen.id()), &signature);
    }

    pub(super) fn open(&self) -> Result<Untrusted, Refusal> {
        Untrusted::open(self.path(), files::Trust::Owner)
    }

    /// The same pack in one file.
    pub(super) fn to_file(&self) -> Vec<u8> {
        let (ring, engine) = (Ring::default(), engine());
        let local = Judge { place: Level::Local, unsigned: true, ..judge(&ring, &engine) };
        self.open().unwrap().verify(&local).unwrap().to_file().unwrap()
    }
}

pub(super) fn engine() -> Version {
    Version::new(0, 1, 0)
}

pub(super) fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

pub(super) fn trust(text: &str) -> Trust {
    Trust::read("trust.toml", text).unwrap()
}

/// Keys of these pens.
pub(super) fn ring(pens: &[&Pen], trust: &Trust) -> Ring {
    let files: Vec<(String, Vec<u8>)> =
        pens.iter().map(|pen| (format!("{}.pub", pen.id()), pen.public())).collect();
    Ring::read(&files, trust).unwrap()
}

pub(super) fn judge<'a>(ring: &'a Ring, engine: &'a Version) -> Judge<'a> {
    Judge { ring, now: now(), engine, place: Level::Untrusted, strict: false, unsigned: false }
}

/// Opens and verifies.
pub(super) fn verify(pack: &Pack, ring: &Ring) -> Result<Verified, Vec<Refusal>> {
    pack.open().map_err(|refusal| vec![refusal])?.verify(&judge(ring, &engine()))
}

/// Opens, verifies and compiles.
pub(super) fn compile(pack: &Pack, ring: &Ring, trust: &Trust) -> Result<Compiled, Vec<Refusal>> {
    verify(pack, ring)?.compile(trust)
}

/// As a directory of the operator's own holds it, or as one that is signed, with a grant for `KEY`.
pub(super) fn judged(pack: &Pack, level: Level, grant: &str) -> Result<Compiled, Vec<Refusal>> {
    let pen = Pen::new();
    pack.sign(&pen);
    let (id, engine) = (pen.id(), engine());
    let mark = if level == Level::Untrusted { "untrusted" } else { "signed" };
    let text = format!("[[key]]\nid = \"{id}\"\ntrust = \"{mark}\"\n{}", grant.replace("KEY", &id));
    let trust = trust(&text);
    let (known, nobody) = (ring(&[&pen], &trust), Ring::default());
    let judge = match level {
        Level::Local => Judge { place: level, unsigned: true, ..judge(&nobody, &engine) },
        _ => judge(&known, &engine),
    };
    let found = pack.open().unwrap().verify(&judge)?;
    assert_eq!(found.level(), level);
    found.compile(&trust)
}

/// Codes of what was refused; each refusal says where, what and what to do.
pub(super) fn codes<T>(result: Result<T, Vec<Refusal>>) -> Vec<Code> {
    let refused = result.err().unwrap_or_default();
    for one in &refused {
        assert!(!one.place.is_empty() && !one.message.is_empty(), "{one:?}");
        assert!(one.to_string().ends_with(one.code.help()), "{one}");
    }
    refused.into_iter().map(|one| one.code).collect()
}
