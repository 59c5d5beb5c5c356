//! The BPF objects inside this program, and whether they are what was built and what was signed.
//!
//! Their digests are compiled in apart from them. A release is built with a key and a signature over the list of the
//! digests, too (`AEGISBPF_BPF_KEY` and `AEGISBPF_BPF_SIGNATURE`, both of minisign): it loads nothing
//! that the signature does not cover.

use minisign_verify::{PublicKey, Signature};
use sha2::{Digest, Sha256};

use crate::error::Error;

/// What a release is signed with; none for what people build for themselves.
const KEY: Option<&str> = option_env!("AEGISBPF_BPF_KEY");
/// The signature over [`list`].
const SIGNATURE: Option<&str> = option_env!("AEGISBPF_BPF_SIGNATURE");

/// libbpf wants the object in memory aligned like an ELF file.
#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);

/// An object, and the digest that it had when it was built.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Embedded {
    name: &'static str,
    bytes: &'static [u8],
    sha256: &'static str,
}

macro_rules! embedded {
    ($($object:ident $name:literal,)*) => {
        $(pub(crate) static $object: Embedded = {
            static BYTES: &Aligned<[u8]> =
                &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".bpf.o")));
            let sha256 = include_str!(concat!(env!("OUT_DIR"), "/", $name, ".sha256"));
            Embedded { name: $name, bytes: &BYTES.0, sha256 }
        };)*
        /// All objects.
        static ALL: &[&Embedded] = &[$(&$object),*];
    };
}

embedded! {
    SENSORS "sensors",
    PROBE "probe",
    ANSWERS "answers",
    ISOLATE "isolate",
    ENFORCE "enforce",
    FALLBACK "fallback",
}

impl Embedded {
    /// What may be loaded: what was built and, in a release, signed.
    pub(crate) fn checked(&self) -> Result<&'static [u8], Error> {
        self.check(self.bytes)?;
        signed(KEY.zip(SIGNATURE), &list())?;
        Ok(self.bytes)
    }

    /// What it is known by.
    pub(crate) fn sha256(&self) -> &'static str {
        self.sha256
    }

    fn check(&self, bytes: &[u8]) -> Result<(), Error> {
        let found = hex(&Sha256::digest(bytes));
        if found == self.sha256 {
            return Ok(());
        }
        let reason =
            format!("`{}` has the digest {found} and was built with {}", self.name, self.sha256);
        Err(Error::Modified { reason })
    }
}

/// Name and SHA-256 of each object, as `sha256sum` would print them: what a release signs.
pub fn list() -> String {
    ALL.iter().flat_map(|one| [one.sha256, "  ", one.name, ".bpf.o\n"]).collect()
}

/// Whether this is a release, whose objects are signed.
pub fn is_signed() -> bool {
    KEY.is_some() && SIGNATURE.is_some()
}

fn signed(by: Option<(&str, &str)>, list: &str) -> Result<(), Error> {
    let Some((key, signature)) = by else { return Ok(()) };
    let refused = |error: minisign_verify::Error| {
        let reason = format!("the signature over their digests does not hold: {error}");
        Error::Modified { reason }
    };
    let key = PublicKey::from_base64(key).map_err(refused)?;
    let signature = Signature::decode(signature).map_err(refused)?;
    key.verify(list.as_bytes(), &signature, false).map_err(refused)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a text does not fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_with_a_byte_that_was_changed_is_refused() {
        for object in ALL {
            assert!(object.checked().is_ok(), "the control: {}", object.name);
            let mut changed = object.bytes.to_vec();
            let middle = changed.len() / 2;
            changed[middle] ^= 1;
            let error = object.check(&changed).unwrap_err();
            assert!(matches!(error, Error::Modified { .. }), "{error}");
            assert!(error.to_string().contains(object.sha256), "{error}");
        }
    }

    #[test]
    fn a_release_takes_only_what_its_key_has_signed() {
        let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
        let (key, list) = (pair.pk.to_base64(), list());
        let sign = |text: &str| {
            let made = minisign::sign(None, &pair.sk, std::io::Cursor::new(text), None, None);
            made.unwrap().into_string()
        };
        assert!(signed(Some((&key, &sign(&list))), &list).is_ok(), "the control");
        let other = list.replacen("sensors", "changed", 1);
        let error = signed(Some((&key, &sign(&other))), &list).unwrap_err();
        assert!(error.to_string().contains("does not hold"), "{error}");
        let stranger = minisign::KeyPair::generate_unencrypted_keypair().unwrap().pk.to_base64();
        assert!(signed(Some((&stranger, &sign(&list))), &list).is_err(), "another key");
    }
}
