//! Packs in one file: the outer form, signatures of strangers, and, as if the operator's own directory
//! vouched for the bytes, the manifest and the rules.

use std::path::Path;

use jiff::Timestamp;
use packs::{Judge, Level, Refusal, Ring, Trust, Untrusted};
use semver::Version;

/// Any bytes as a pack, and as the manifest of one.
pub(crate) fn pack(data: &[u8]) {
    judge(data);
    // The fuzzer writes the manifest; what is around it is given.
    let mut framed = b"\x89KPACK\r\n".to_vec();
    let Ok(length) = u32::try_from(data.len()) else { return };
    for number in [1, length, 0] {
        framed.extend(number.to_le_bytes());
    }
    framed.extend(data);
    judge(&framed);
}

fn judge(bytes: &[u8]) {
    let open = || Untrusted::from_bytes(Path::new("/fuzz"), "fuzz.kpack", bytes.to_vec());
    let (ring, trust, engine) = (Ring::default(), Trust::default(), Version::new(1, 0, 0));
    let now = Timestamp::UNIX_EPOCH;
    let (place, strict, unsigned) = (Level::Untrusted, false, false);
    let stranger = Judge { ring: &ring, now, engine: &engine, place, strict, unsigned };
    let opened = match open() {
        Ok(pack) => pack,
        Err(refusal) => return told(&[refusal]),
    };
    match opened.verify(&stranger) {
        Ok(_) => panic!("nobody is known, and somebody vouches"),
        Err(refused) => told(&refused),
    }
    let local = Judge { place: Level::Local, unsigned: true, ..stranger };
    let verified = match open().map_err(|one| vec![one]).and_then(|pack| pack.verify(&local)) {
        Ok(verified) => verified,
        Err(refused) => return told(&refused),
    };
    match verified.to_file() {
        Ok(again) => assert_eq!(again, bytes, "what is read is written the same"),
        Err(refusal) => panic!("a pack that was read is not written: {refusal}"),
    }
    match verified.compile(&trust) {
        Ok(compiled) => {
            for rule in compiled.rules() {
                assert!(!rule.may.permits("kill"), "nothing was granted");
            }
            compiled.cost();
        }
        Err(refused) => told(&refused),
    }
}

/// Each refusal says something, on one line and without tricks.
fn told(refused: &[Refusal]) {
    assert!(!refused.is_empty(), "refused without a reason");
    for refusal in refused {
        let text = refusal.to_string();
        assert!(!refusal.message.is_empty(), "{text}");
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
}
