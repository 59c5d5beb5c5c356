//! Whose signature counts, and which version may follow which.

use super::given::*;
use crate::{Change, Code, Installed, Judge, Level, Ring, Trust};

/// A small pack that all of them signed.
fn signed_by(pens: &[&Pen]) -> Pack {
    let pack = Pack::small();
    for pen in pens {
        pack.sign(pen);
    }
    pack
}

#[test]
fn keys_that_do_not_count_each_have_their_code() {
    let pen = Pen::new();
    let (id, pack) = (pen.id(), signed_by(&[&pen]));
    let judged = |text: &str, pens: &[&Pen]| codes(verify(&pack, &ring(pens, &trust(text))));
    assert_eq!(judged("", &[&pen]), [], "the control");
    assert_eq!(judged("", &[&Pen::new()]), [Code::UnknownKey]);
    assert_eq!(judged(&format!("revoked = [\"{id}\"]"), &[&pen]), [Code::Revoked]);
    let until = |time: &str| format!("[[key]]\nid = \"{id}\"\nnot_after = \"{time}\"");
    assert_eq!(judged(&until("2026-06-01T00:00:00Z"), &[&pen]), [Code::KeyExpired]);
    assert_eq!(judged(&until("2026-06-01T00:00:01Z"), &[&pen]), [], "a second longer");
}

#[test]
fn a_place_vouches_for_what_nobody_signed_and_signatures_for_the_rest() {
    let pen = Pen::new();
    let (signed, unsigned) = (signed_by(&[&pen]), Pack::small());
    let (engine, id) = (engine(), pen.id());
    let judged = |pack: &Pack, text: &str, pens: &[&Pen], looked_at: bool| {
        let ring = ring(pens, &trust(text));
        let known = judge(&ring, &engine);
        let local = Judge { place: Level::Local, unsigned: looked_at, ..known };
        codes(pack.open().unwrap().verify(&local))
    };
    let revoked = format!("revoked = [\"{id}\"]");
    let over = format!("[[key]]\nid = \"{id}\"\nnot_after = \"2026-01-01T00:00:00Z\"");
    assert_eq!(judged(&unsigned, "", &[], false), [], "the control");
    for (text, pens, code) in [
        ("", &[][..], Code::UnknownKey),
        ("", &[&Pen::new()], Code::UnknownKey),
        ("threshold = 2", &[&pen], Code::TooFew),
        (revoked.as_str(), &[&pen], Code::Revoked),
        (over.as_str(), &[&pen], Code::KeyExpired),
    ] {
        assert_eq!(judged(&signed, text, pens, false), [code], "{text}");
        // Who only looks need not know the keys; what was revoked is refused to him, too.
        let looked: &[Code] = if code == Code::Revoked { &[code] } else { &[] };
        assert_eq!(judged(&signed, text, pens, true), looked, "{text}, looked at");
    }
    assert_eq!(judged(&signed, "", &[&pen], false), [], "a key that is known");
}

#[test]
fn as_many_owners_as_the_operator_wants_must_have_signed() {
    let pens = [Pen::new(), Pen::new(), Pen::new()];
    let [first, second, third] = &pens;
    let two = trust("threshold = 2");
    let all = ring(&[first, second, third], &two);
    assert_eq!(codes(verify(&signed_by(&[first, third]), &all)), []);
    assert_eq!(codes(verify(&signed_by(&[first]), &all)), [Code::TooFew]);
    let stranger = Pen::new();
    let found = codes(verify(&signed_by(&[first, &stranger]), &all));
    assert_eq!(found, [Code::TooFew, Code::UnknownKey]);
    // One key in two files is one.
    let twice = signed_by(&[first]);
    let again = first.sign(twice.manifest().as_bytes());
    twice.put("manifest.json.again.minisig", &again);
    assert_eq!(codes(verify(&twice, &all)), [Code::TooFew]);
    // A signature that does not fit is never made good by others.
    let wrong = signed_by(&[first, second]);
    wrong.put(&format!("manifest.json.{}.minisig", third.id()), &third.sign(b"something else"));
    assert_eq!(codes(verify(&wrong, &all)), [Code::BadSignature]);
    let revoked = trust(&format!("threshold = 2\nrevoked = [\"{}\"]", second.id()));
    let fewer = ring(&[first, second, third], &revoked);
    let found = codes(verify(&signed_by(&[first, second]), &fewer));
    assert_eq!(found, [Code::TooFew, Code::Revoked]);
    assert_eq!(codes(verify(&signed_by(&pens.each_ref()), &fewer)), [], "two are left");
}

/// Files of a directory: an old key, and a new one that it introduced.
fn introduced(old: &Pen, new: &Pen) -> Vec<(String, Vec<u8>)> {
    let signature = old.sign(&new.public());
    vec![
        ("old.pub".to_owned(), old.public()),
        ("new.pub".to_owned(), new.public()),
        ("new.pub.minisig".to_owned(), signature),
    ]
}

#[test]
fn a_key_that_a_known_one_introduced_counts_as_the_same_owner() {
    let (old, new) = (Pen::new(), Pen::new());
    let files = introduced(&old, &new);
    let ring_of = |trust: &Trust| Ring::read(&files, trust).unwrap();
    let by_new = signed_by(&[&new]);
    assert_eq!(codes(verify(&by_new, &ring_of(&trust("")))), []);
    let both = signed_by(&[&old, &new]);
    let two = trust("threshold = 2");
    assert_eq!(codes(verify(&both, &ring_of(&two))), [Code::TooFew], "one owner");
    assert_eq!(codes(verify(&both, &ring(&[&old, &new], &two))), [], "two owners: the control");
    // The time of the old one may be over; if it was stolen, what it introduced falls with it.
    let over = format!("[[key]]\nid = \"{}\"\nnot_after = \"2026-01-01T00:00:00Z\"", old.id());
    assert_eq!(codes(verify(&by_new, &ring_of(&trust(&over)))), []);
    assert_eq!(codes(verify(&signed_by(&[&old]), &ring_of(&trust(&over)))), [Code::KeyExpired]);
    let revoked = trust(&format!("revoked = [\"{}\"]", old.id()));
    assert_eq!(codes(verify(&by_new, &ring_of(&revoked))), [Code::Revoked]);
    // Grants of the old one are those of the new one.
    let granted = format!("[[grant]]\nkey = \"{}\"\ncapabilities = [\"deny\"]", old.id());
    let keys = verify(&by_new, &ring_of(&trust(&granted))).unwrap().vouched.keys;
    assert!(keys.iter().any(|key| key.as_str() == old.id()), "{keys:?}");
}

#[test]
fn strangers_and_strict_mode_make_a_pack_untrusted() {
    let (known, stranger) = (Pen::new(), Pen::new());
    let text = format!("[[key]]\nid = \"{}\"\ntrust = \"untrusted\"", stranger.id());
    let ring = ring(&[&known, &stranger], &trust(&text));
    let level = |pens: &[&Pen]| verify(&signed_by(pens), &ring).unwrap().level();
    assert_eq!(level(&[&known]), Level::Signed);
    assert_eq!(level(&[&stranger]), Level::Untrusted);
    assert_eq!(level(&[&known, &stranger]), Level::Signed);
    let engine = engine();
    let strict = Judge { strict: true, ..judge(&ring, &engine) };
    let pack = signed_by(&[&known]).open().unwrap().verify(&strict).unwrap();
    assert_eq!(pack.level(), Level::Untrusted);
    assert_eq!(pack.signers()[0].comment, "a test");
}

#[test]
fn no_older_version_takes_the_place_of_a_newer_one() {
    let pen = Pen::new();
    let ring = ring(&[&pen], &trust(""));
    let version = |serial: u64, version: &str| {
        let source = SOURCE.replace("serial = 7", &format!("serial = {serial}"));
        let source = source.replace("1.2.0", version);
        let pack = Pack::with(&[("pack.toml", &source), ("rules/one.toml", RULE)]);
        pack.sign(&pen);
        verify(&pack, &ring).unwrap()
    };
    let (six, seven, other) = (version(6, "9.0.0"), version(7, "1.2.0"), version(7, "1.2.1"));
    let mut installed = Installed::default();
    assert_eq!(installed.change(&seven, false), Ok(Change::New));
    installed.note(&seven);
    assert_eq!(installed.change(&seven, false), Ok(Change::Same));
    let newer = installed.change(&version(8, "1.0.0"), false).unwrap();
    assert_eq!(newer.before().unwrap().serial, 7, "the serial decides, not the version");
    let refused = |pack: &crate::Verified| installed.change(pack, false).unwrap_err().code;
    assert_eq!(refused(&six), Code::RollBack);
    assert_eq!(refused(&other), Code::Equivocation);
    let forced = installed.change(&six, true).unwrap();
    assert_eq!((forced.as_str(), forced.before().unwrap().serial), ("forced", 7));
    // A stranger takes no id that is taken, whatever the serial; the owner's next key does.
    let other = Pen::new();
    let source = SOURCE.replace("serial = 7", "serial = 99");
    let taken = Pack::with(&[("pack.toml", &source), ("rules/one.toml", RULE)]);
    taken.sign(&other);
    let both = Ring::read(&introduced(&pen, &other), &trust("")).unwrap();
    let alone = super::given::ring(&[&other], &trust(""));
    let by = |ring| verify(&taken, ring).unwrap();
    assert_eq!(refused(&by(&alone)), Code::Owner);
    assert_eq!(installed.change(&by(&both), false).unwrap().as_str(), "newer");
    assert_eq!(installed.change(&by(&alone), true).unwrap().as_str(), "forced");
    // The record outlives the program, and a broken one is not an empty one.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("packs.json");
    assert_eq!(Installed::open(&path).unwrap(), Installed::default(), "before the first");
    installed.save(&path).unwrap();
    assert_eq!(Installed::open(&path).unwrap(), installed);
    std::fs::write(&path, "{}x").unwrap();
    assert_eq!(Installed::open(&path).unwrap_err().code, Code::Configuration);
}
