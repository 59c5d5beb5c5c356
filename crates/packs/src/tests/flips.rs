//! A small signed pack in one file, with each of its bytes changed, cut off, and followed by more.

use std::path::Path;

use super::given::*;
use crate::{Code, Untrusted};

fn file(pen: &Pen) -> Vec<u8> {
    let pack = Pack::small();
    pack.sign(pen);
    pack.to_file()
}

fn refused(bytes: &[u8], ring: &crate::Ring) -> Vec<Code> {
    let opened = Untrusted::from_bytes(Path::new("/x"), "small.kpack", bytes.to_vec());
    codes(opened.map_err(|why| vec![why]).and_then(|pack| pack.verify(&judge(ring, &engine()))))
}

#[test]
fn each_byte_that_is_changed_is_noticed() {
    let pen = Pen::new();
    let ring = ring(&[&pen], &trust(""));
    let whole = file(&pen);
    assert_eq!(refused(&whole, &ring), [], "the control");
    let mut seen = std::collections::BTreeMap::new();
    for at in 0..whole.len() {
        for change in [0x01, 0x20, 0x80] {
            let mut bytes = whole.clone();
            bytes[at] ^= change;
            let codes = refused(&bytes, &ring);
            assert_eq!(codes.len(), 1, "byte {at} ^ {change:#x}");
            *seen.entry(codes[0]).or_insert(0) += 1;
        }
    }
    for code in [
        Code::NotAPack,
        Code::Format,
        Code::TooLarge,
        Code::Malformed,
        Code::UnknownKey,
        Code::BadSignature,
        Code::Digest,
    ] {
        assert!(seen.contains_key(&code), "{code:?} is not among {seen:?}");
    }
}

#[test]
fn each_place_where_it_is_cut_is_noticed_and_so_is_what_follows() {
    let pen = Pen::new();
    let ring = ring(&[&pen], &trust(""));
    let whole = file(&pen);
    for end in 0..whole.len() {
        let codes = refused(&whole[..end], &ring);
        let expected = if end < 8 { Code::NotAPack } else { Code::Truncated };
        assert_eq!(codes, [expected], "cut at {end}");
    }
    let mut longer = whole.clone();
    longer.push(0);
    assert_eq!(refused(&longer, &ring), [Code::Trailing]);
}

#[test]
fn no_bit_of_a_signature_in_a_directory_changes_what_counts() {
    let pen = Pen::new();
    let ring = ring(&[&pen], &trust(""));
    let pack = Pack::small();
    let text = pen.sign(pack.manifest().as_bytes());
    let comment = text.iter().position(|byte| *byte == b'\n').unwrap();
    for at in 0..text.len() {
        let mut bytes = text.clone();
        bytes[at] ^= 0x01;
        pack.put("manifest.json.minisig", &bytes);
        let found = codes(verify(&pack, &ring));
        if at < comment {
            // The first line is not signed and means nothing: a directory takes what other tools
            // write.
            assert_eq!(found, [], "byte {at}");
        } else {
            assert_eq!(found.len(), 1, "byte {at}: {found:?}");
        }
    }
}
