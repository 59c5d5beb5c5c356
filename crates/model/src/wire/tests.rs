//! No bytes can make decoding panic, and what is decoded is what was written.

use proptest::prelude::*;
use zerocopy::FromZeros;

use super::*;

/// Bytes at an address divisible by eight, whatever the allocator does.
fn aligned(bytes: &[u8]) -> Vec<u64> {
    let mut words = vec![0u64; bytes.len().div_ceil(8)];
    zerocopy::IntoBytes::as_mut_bytes(words.as_mut_slice())[..bytes.len()].copy_from_slice(bytes);
    words
}

fn unlink(path: &[u8]) -> Vec<u64> {
    let mut tail = Builder::<RecFile>::new();
    let mut fixed = RecFile::new_zeroed();
    fixed.h.kind = 20;
    fixed.h.pid = 7;
    fixed.path = tail.push(path);
    aligned(&tail.finish(&fixed))
}

/// The word of the header that holds `len` and `flags`, with another length.
fn with_len(word: u64, len: u32) -> u64 {
    word & !0xffff_ffff | u64::from(len)
}

fn parse(words: &[u64]) -> Result<Record<'_>, WireError> {
    Record::parse(zerocopy::IntoBytes::as_bytes(words))
}

#[test]
fn a_record_reads_back() {
    let words = unlink(b"/tmp/x");
    let record = parse(&words).unwrap();
    let Body::File(file) = record.body() else { panic!("{record:?}") };
    assert_eq!((record.kind(), record.header().pid), (Kind::Unlink, 7));
    assert_eq!(record.bytes(file.path), b"/tmp/x");
    assert_eq!(record.as_bytes().len(), size_of::<RecFile>() + 6, "padding is not part of it");
}

#[test]
fn spans_outside_are_empty() {
    let words = unlink(b"/tmp/x");
    let record = parse(&words).unwrap();
    for span in [Span { off: u16::MAX, len: u16::MAX }, Span { off: 0, len: u16::MAX }] {
        assert_eq!(record.bytes(span), b"");
    }
}

#[test]
fn errors_name_their_reason() {
    let mut words = unlink(b"/tmp/x");
    assert!(matches!(parse(&words[..4]), Err(WireError::Short { what: "header", have: 32 })));
    let bytes = zerocopy::IntoBytes::as_bytes(words.as_slice()).to_vec();
    let mut shifted = vec![0u64; words.len() + 1];
    let room = zerocopy::IntoBytes::as_mut_bytes(shifted.as_mut_slice());
    room[1..=bytes.len()].copy_from_slice(&bytes);
    assert!(matches!(
        Record::parse(&room[1..=bytes.len()]),
        Err(WireError::Short { what: "header", .. })
    ));

    words[5] = with_len(words[5], 1_000_000);
    let have = words.len() * 8;
    assert_eq!(parse(&words).unwrap_err(), WireError::Length { says: 1_000_000, have });
    words[5] = with_len(words[5], 100);
    assert_eq!(parse(&words).unwrap_err(), WireError::Short { what: "unlink", have: 100 });
    words[6] = 63;
    assert_eq!(parse(&words).unwrap_err(), WireError::Kind(63));
}

#[test]
fn a_builder_never_exceeds_the_longest_record() {
    let mut tail = Builder::<RecFile>::new();
    let first = tail.push(&vec![b'a'; 65_000]);
    let second = tail.push(&vec![b'b'; 65_000]);
    assert_eq!(first.len, 65_000);
    let mut fixed = RecFile::new_zeroed();
    fixed.h.kind = 20;
    let words = aligned(&tail.finish(&fixed));
    let record = parse(&words).unwrap();
    assert_eq!(usize::from(second.off) + usize::from(second.len), RECORD_MAX as usize - 1);
    assert!(record.bytes(second).iter().all(|byte| *byte == b'b'));
}

proptest! {
    #[test]
    fn random_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        kind in 0u16..70,
        len in 0u32..700,
    ) {
        let mut words = aligned(&bytes);
        if words.len() > 6 {
            words[5] = with_len(words[5], len);
            words[6] = (words[6] & !0xffff) | u64::from(kind);
        }
        if let Ok(record) = parse(&words) {
            prop_assert_eq!(record.as_bytes().len(), len as usize);
            let spans = match record.body() {
                Body::Task(r) => vec![r.comm, r.exe, r.script, r.args, r.env, r.cwd],
                Body::Ids(_) => vec![],
                Body::File(r) => vec![r.path, r.old_path, r.name],
                Body::Net(r) => vec![r.name],
                Body::Act(r) => vec![r.name, r.path],
            };
            for span in spans {
                let cut = record.bytes(span).len();
                prop_assert!(cut == usize::from(span.len) || cut == 0);
            }
        }
    }
}
