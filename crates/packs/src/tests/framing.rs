//! The outer form: every announced length is compared with a limit before anything is kept, and
//! what is read is written the same.

use proptest::prelude::*;

use crate::Code;
use crate::frame::{Frame, MAGIC};
use crate::limits::{MAX_MANIFEST, MAX_SIGNATURE, MAX_SIGNATURES};

/// A sound one.
const MANIFEST: &str = include_str!("../../../../fuzz/regressions/pack/manifest");

#[test]
fn the_manifest_that_is_changed_below_is_sound() {
    assert_eq!(crate::Manifest::read(MANIFEST.as_bytes()).unwrap().id, "a");
}

fn header(numbers: &[u32], rest: &[u8]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for number in numbers {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(rest);
    bytes
}

#[test]
fn announced_lengths_are_bounded() {
    let over = |limit: u64| u32::try_from(limit).unwrap() + 1;
    let cases: &[(&str, Vec<u8>, Option<Code>)] = &[
        ("nothing in it", header(&[1, 0, 0], &[]), None),
        ("an empty file", Vec::new(), Some(Code::NotAPack)),
        ("a zip", b"PK\x03\x04 and what follows it".to_vec(), Some(Code::NotAPack)),
        ("a gzip", b"\x1f\x8b\x08\x00 and what follows".to_vec(), Some(Code::NotAPack)),
        ("a tar", [b"rules/".as_slice(), &[0; 506]].concat(), Some(Code::NotAPack)),
        ("line ends changed", b"\x89KPACK\n\x01\0\0\0".to_vec(), Some(Code::NotAPack)),
        ("version 0", header(&[0, 0, 0], &[]), Some(Code::Format)),
        ("version 2", header(&[2, 0, 0], &[]), Some(Code::Format)),
        ("no numbers", header(&[], &[]), Some(Code::Truncated)),
        ("a manifest too large", header(&[1, over(MAX_MANIFEST), 0], &[]), Some(Code::TooLarge)),
        ("the largest number", header(&[1, u32::MAX, 0], &[]), Some(Code::TooLarge)),
        ("a manifest beyond the end", header(&[1, 9, 0], b"short"), Some(Code::Truncated)),
        ("too many signatures", header(&[1, 0, 17], &[0; 68]), Some(Code::TooMany)),
        ("very many", header(&[1, 0, u32::MAX], &[]), Some(Code::TooMany)),
        ("lengths that are missing", header(&[1, 0, 16], &[]), Some(Code::Truncated)),
        (
            "a signature too large",
            header(&[1, 0, 1, over(MAX_SIGNATURE)], &[]),
            Some(Code::TooLarge),
        ),
        ("a signature beyond the end", header(&[1, 0, 1, 9], b"short"), Some(Code::Truncated)),
    ];
    assert_eq!(MAX_SIGNATURES, 16, "the cases above");
    for (name, bytes, code) in cases {
        let found = Frame::read("x", bytes).err().map(|refusal| refusal.code);
        assert_eq!(found, *code, "{name}");
    }
}

#[test]
fn a_file_above_the_limit_is_refused_without_a_look() {
    let bytes = vec![0; usize::try_from(crate::limits::MAX_PACK).unwrap() + 1];
    assert_eq!(Frame::read("x", &bytes).unwrap_err().code, Code::TooLarge);
}

proptest! {
    #[test]
    fn what_is_read_is_written_the_same(
        numbers in prop::collection::vec(0_u32..40, 0..6),
        rest in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let bytes = header(&[&[1], numbers.as_slice()].concat(), &rest);
        if let Ok(frame) = Frame::read("x", &bytes) {
            prop_assert_eq!(frame.write("x").unwrap(), bytes);
        }
    }

    #[test]
    fn a_changed_manifest_is_refused_or_is_another_one_in_the_same_form(
        at in 0_usize..700,
        cut in 0_usize..9,
        put in "[ \\n\"0-9a-z{}\\[\\],:.\\\\-]{0,6}",
    ) {
        let mut text = MANIFEST.to_owned();
        let (from, to) = (at.min(text.len()), (at + cut).min(text.len()));
        text.replace_range(from..to, &put);
        if let Ok(read) = crate::Manifest::read(text.as_bytes()) {
            prop_assert_eq!(read.write(), text.into_bytes());
        }
    }

    #[test]
    fn no_bytes_are_too_much(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(Frame::read("x", &bytes).is_err(), true, "none begins as packs do");
    }
}
