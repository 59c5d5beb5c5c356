//! Bytes that are tables, and bytes that are not.

use model::policy::{Mode, Operation, Policy};
use proptest::collection::vec;
use proptest::prelude::*;

use super::agree::options;
use super::random;
use crate::blob::{MAGIC, Section, VERSION};
use crate::network::Endpoint;
use crate::subjects::Process;
use crate::{Bits, Tables, compile};

fn tables(policies: &[Policy]) -> Tables {
    compile(policies, &options(Mode::Enforce)).unwrap().tables
}

/// Asks for everything once: a number that leads outside would be found.
fn use_all(tables: &Tables) {
    let everyone = Process { fits: Bits::ALL, ..Process::default() };
    let peer = Endpoint { address: "10.1.2.3".parse().unwrap(), port: 80, protocol: 6 };
    for operation in Operation::ALL {
        for labels in [
            tables.label_path(b"/etc/ssl/my-secret.pem"),
            tables.label_moved(tables.start(b"/etc")),
            tables.label_peer(&peer, *operation, &[2, 7, u32::MAX]),
            tables.label_hash(&[2; 32]),
            tables.label_capability(21),
            tables.label_process(&everyone),
            tables.label_created(&everyone),
        ] {
            let decision = tables.decide(&everyone, *operation, &labels);
            assert!(decision.arms.0.len() == crate::limits::WORDS);
            tables.audits(&everyone, *operation, &labels);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn what_was_written_is_read(policies in vec(random::policy(), 1..4)) {
        let tables = tables(&policies);
        let bytes = tables.encode().unwrap();
        prop_assert_eq!(Tables::parse(&bytes).unwrap(), tables);
    }

    #[test]
    fn damaged_bytes_never_panic(
        policies in vec(random::policy(), 1..3),
        damage in vec((any::<prop::sample::Index>(), any::<u32>(), 0..4_u8), 1..6),
        cut in proptest::option::weighted(0.1, any::<prop::sample::Index>()),
    ) {
        let mut bytes = tables(&policies).encode().unwrap();
        for (at, value, kind) in damage {
            // Most of it in the head, where the places are.
            let words = if kind == 0 { bytes.len() / 4 } else { bytes.len().min(2000) / 4 };
            let at = at.index(words) * 4;
            let value = if kind == 1 { value } else { value % 300 };
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
            prop_assert!(Tables::parse(&bytes).is_err(), "{} bytes", bytes.len());
        } else if let Ok(tables) = Tables::parse(&bytes) {
            use_all(&tables);
        }
    }

    #[test]
    fn noise_is_no_table(mut noise in vec(any::<u8>(), 0..4096), head in any::<bool>()) {
        if head && noise.len() >= 8 {
            noise[..4].copy_from_slice(&MAGIC.to_le_bytes());
            noise[4..8].copy_from_slice(&VERSION.to_le_bytes());
        }
        prop_assert_eq!(Tables::parse(&noise).map_err(|error| error.code()).err(), Some("T005"));
    }
}

/// Where a section is: the place of its entry in the head, its place and its length, in bytes.
fn find(bytes: &[u8], section: Section) -> (usize, usize, usize) {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let entry = (406 + 2 * section as usize) * 4;
    (entry, word(entry) * 4, word(entry + 4) * 4)
}

#[test]
fn each_kind_of_damage_has_its_message() {
    let sound = tables(&[super::table::everything()]).encode().unwrap();
    assert!(Tables::parse(&sound).is_ok());
    let put = |bytes: &mut Vec<u8>, at: usize, value: u32| {
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    };
    let place = |section, item: usize| find(&sound, section).1 + item * 4;
    for (what, at, value) in [
        ("no tables of policies", 0, 7),
        ("another version", 4, 99),
        ("cut off", 16, 8),
        ("not that of its section", 20, 0),
        ("not as many states as the head says", 28, 1),
        ("who is limited", 18 * 4, u32::MAX),
        ("begins inside", find(&sound, Section::Sets).0, 2),
        ("ends inside of an item", find(&sound, Section::Sets).0 + 4, 7),
        ("ends outside", find(&sound, Section::Sets).0 + 4, 1 << 30),
        ("a state leads outside", place(Section::PathStates, 2), u32::MAX),
        ("a state leads outside", place(Section::PathStates, 3), 1 << 20),
        ("an entry leads outside", place(Section::PathEntries, 256), 0x00ff_fffe << 8),
        ("a number is too large", place(Section::PathLabels, 1), 1 << 20),
        ("a number is too large", place(Section::PathLive, 1), 1 << 20),
        ("a hit without a label", place(Section::TextHits, 1), 1 << 31),
        ("a number is too large", place(Section::HitLabels, 0), 1 << 20),
        ("a number is too large", place(Section::Labels, 3), 1 << 20),
        ("a row ends outside", place(Section::RowEntries, 3), 1 << 20),
        ("no known kind", place(Section::Entries, 0), 5),
        ("a number is too large", place(Section::Defaults, 0), 1 << 20),
        ("a number is too large", place(Section::LabelSubjects, 0), 1 << 20),
        ("a label is too large", place(Section::Hashes, 8), 1 << 20),
        ("more subjects", place(Section::Processes, 0), 256),
        ("classes do not cover", place(Section::Classes, 1), 1 << 20),
        ("a label is too large", place(Section::Ranges, 2), 1 << 20),
        ("a prefix or a class", place(Section::NetsV4, 0), 33),
        ("a prefix or a class", place(Section::NetsV6, 5), 1 << 20),
        ("a protocol is too large", place(Section::Protocols, 0), 1 << 16),
        ("steps are not those", place(Section::StepsV4, 3), 2),
        ("steps are not those", place(Section::StepsV6, 4), 2),
    ] {
        let mut bytes = sound.clone();
        put(&mut bytes, at, value);
        let error = Tables::parse(&bytes).expect_err(what);
        assert_eq!(error.code(), "T005");
        assert!(error.to_string().contains(what), "{what}: {error}");
    }
    let mut longer = sound.clone();
    longer.extend([0; 4]);
    assert!(Tables::parse(&longer).is_err(), "something behind it");
    assert!(Tables::parse(&[]).is_err());
}
