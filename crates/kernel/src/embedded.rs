//! The BPF objects inside this program, and whether they are what was built and what was signed.
//!
//! Their digests are compiled in apart from them. A release also carries a key and a signature over the list of the
//! digests, both of minisign, and loads nothing that the signature does not cover. They are put into a section of the
//! finished executable (`cargo xtask dist --sign-key`), so what is built first and signed afterwards, perhaps on another
//! machine, is one and the same program.

use minisign_verify::{PublicKey, Signature};
use sha2::{Digest, Sha256};

use crate::error::Error;

/// Bytes of [`SLOT`]: a key is a line of 56 letters, a signature four lines of which two are comments of the signer.
const SLOT_SIZE: usize = 1024;

/// Room for the key, as its line of base64, and below it the signature over [`list`], as minisign writes its file;
/// blank in what people build for themselves, and behind the text.
#[used]
// SAFETY: the section is of this one static, so nothing lies in it that the linker gives a meaning to.
#[unsafe(link_section = ".aegisbpf.sig")]
static SLOT: [u8; SLOT_SIZE] = [b' '; SLOT_SIZE];

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
        signer()?;
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

/// The key by which the objects are signed, as a line of base64, if this is a release; an error if the signature is not
/// one of this key over these objects.
pub fn signer() -> Result<Option<String>, Error> {
    // SAFETY: a static that nothing writes to. Volatile, since the compiler knows only what was there before the
    // release was signed.
    let slot = unsafe { std::ptr::read_volatile(&raw const SLOT) };
    signed(&slot, &list())
}

fn signed(slot: &[u8], list: &str) -> Result<Option<String>, Error> {
    let slot = slot.trim_ascii_end();
    if slot.is_empty() {
        return Ok(None);
    }
    let refused = |why: &dyn std::fmt::Display| {
        let reason = format!("the signature over their digests does not hold: {why}");
        Error::Modified { reason }
    };
    let text = std::str::from_utf8(slot).map_err(|error| refused(&error))?;
    let (line, signature) =
        text.split_once('\n').ok_or_else(|| refused(&"there is a key and no signature"))?;
    let key = PublicKey::from_base64(line).map_err(|error| refused(&error))?;
    let signature = Signature::decode(signature).map_err(|error| refused(&error))?;
    key.verify(list.as_bytes(), &signature, false).map_err(|error| refused(&error))?;
    Ok(Some(line.to_owned()))
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
        let pair = || minisign::KeyPair::generate_unencrypted_keypair().unwrap();
        let (ours, stranger, list) = (pair(), pair(), list());
        let slot = |key: &minisign::KeyPair, pen: &minisign::KeyPair, over: &str| {
            let made = minisign::sign(None, &pen.sk, std::io::Cursor::new(over), None, None);
            let text = format!("{}\n{}", key.pk.to_base64(), made.unwrap().into_string());
            assert!(text.len() <= SLOT_SIZE, "it does not fit: {}", text.len());
            format!("{text:SLOT_SIZE$}").into_bytes()
        };
        let sound = slot(&ours, &ours, &list);
        assert_eq!(signed(&sound, &list).unwrap(), Some(ours.pk.to_base64()), "the control");
        let refused = |slot: &[u8], list: &str| {
            let error = signed(slot, list).unwrap_err();
            assert!(matches!(error, Error::Modified { .. }), "{error}");
            assert!(error.to_string().contains("does not hold"), "{error}");
        };
        refused(&sound, &list.replacen("sensors", "changed", 1));
        refused(&slot(&ours, &stranger, &list), &list);
        refused(ours.pk.to_base64().as_bytes(), &list);
        let mut bent = sound.clone();
        // A letter of the signature itself: behind the key's line and the comment.
        let at = sound.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).unwrap().0;
        bent[at + 40] = if bent[at + 40] == b'A' { b'B' } else { b'A' };
        refused(&bent, &list);
    }

    #[test]
    fn what_people_build_for_themselves_is_not_signed() {
        assert_eq!(signer().unwrap(), None);
    }
}
