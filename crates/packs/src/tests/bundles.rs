//! Bundles of policies: the same attacks as on packs of rules, each with its own code, and those that
//! make one thing of the other.

use std::fs;
use std::path::Path;

use super::given::*;
use crate::{
    Bundle, Change, Code, Installed, Judge, Level, Refusal, Ring, Trust, Untrusted, is_pack,
};

const SOURCE: &str = "id = \"base\"\nkind = \"policy\"\nversion = \"1.0.0\"\nserial = 7\n\
                      not_after = \"2030-01-01T00:00:00Z\"\nmin_engine = \"0.1.0\"\n";
const POLICY: &str = "apiVersion: aegisbpf.io/v1\nkind: Policy\nmetadata: {name: p}\nspec:\n  \
                      rules: [{id: a, subject: {user: root}, deny: read, files: /srv/one}]\n";

fn bundle_of(source: &str) -> Pack {
    Pack::with(&[("pack.toml", source), ("policies/one.yaml", POLICY), ("README.md", "Hello.\n")])
}

fn small() -> Pack {
    bundle_of(SOURCE)
}

fn read(bytes: &[u8], ring: &Ring) -> Result<Bundle, Vec<Refusal>> {
    let opened = Untrusted::from_bytes(Path::new("/x"), "base.kpack", bytes.to_vec());
    let verified = opened.map_err(|why| vec![why])?.verify(&judge(ring, &engine()))?;
    verified.policies()?.trusted()
}

fn open(pack: &Pack, ring: &Ring) -> Result<Bundle, Vec<Refusal>> {
    verify(pack, ring)?.policies()?.trusted()
}

/// An attack on a bundle that two have signed, and the code that it is refused with first.
type Attack = (&'static str, fn(&Pack, &[Pen; 2]), Code);

const ATTACKS: &[Attack] = &[
    ("another policy", |b, _| swap(b, "deny: read", "deny: open"), Code::Digest),
    ("a longer policy", |b, _| swap(b, "/srv/one", "/srv/other"), Code::Size),
    ("another readme", |b, _| b.put("README.md", b"Hallo.\n"), Code::Digest),
    ("one file in the place of another", exchanged, Code::Size),
    ("a policy more", |b, _| b.put("policies/two.yaml", POLICY.as_bytes()), Code::ExtraFile),
    ("a file less", |b, _| remove(b, "README.md"), Code::MissingFile),
    ("no manifest", |b, _| remove(b, "manifest.json"), Code::NotAPack),
    ("a serial in the manifest", |b, _| b.forge(": 7", ": 8"), Code::BadSignature),
    ("a later end", |b, _| b.forge("2030", "2031"), Code::BadSignature),
    ("no signature at all", |b, p| p.iter().for_each(|pen| unsign(b, pen)), Code::NoSignature),
    ("one of two signatures", |b, pens| unsign(b, &pens[1]), Code::TooFew),
    ("a stranger for the second", stranger, Code::TooFew),
    ("a signature cut off", |b, p| edit(b, &p[0], |text| text.truncate(100)), Code::Malformed),
    ("another comment", |b, p| edit(b, &p[0], comment), Code::BadSignature),
    ("another header, signed by one", resigned, Code::BadSignature),
    ("over its time, signed anew", |b, p| anew(b, p, "2030-01", "2026-01"), Code::Expired),
    ("for a newer engine", |b, p| anew(b, p, "\"0.1.0\"", "\"0.2.0\""), Code::Engine),
    ("said to have rules", |b, p| anew(b, p, "\n  \"kind\": \"policy\",", ""), Code::Purpose),
    ("kind said twice", |b, p| anew(b, p, "\"policy\"", "\"rules\""), Code::NotCanonical),
    ("no such kind", |b, p| anew(b, p, "\"policy\"", "\"shell\""), Code::Manifest),
    ("fields of rules", |b, p| anew(b, p, "\"fields\": []", FIELDS), Code::Value),
];

const FIELDS: &str = "\"fields\": [\n    \"process.name\"\n  ]";

#[test]
fn each_attack_on_a_bundle_has_its_code() {
    let pens = [Pen::new(), Pen::new()];
    let two = trust("threshold = 2");
    let ring = ring(&pens.each_ref(), &two);
    for (name, attack, code) in ATTACKS {
        let bundle = small();
        for pen in &pens {
            bundle.sign(pen);
        }
        attack(&bundle, &pens);
        assert_eq!(codes(open(&bundle, &ring)).first(), Some(code), "{name}");
        assert!(is_pack(bundle.path()), "{name}: nothing turns it into plain files");
    }
    let untouched = small();
    for pen in &pens {
        untouched.sign(pen);
    }
    let read = open(&untouched, &ring).unwrap();
    assert_eq!(read.texts(), [("policies/one.yaml".to_owned(), POLICY.to_owned())]);
    assert_eq!(read.policies().policies.len(), 1, "the control");
}

fn swap(bundle: &Pack, what: &str, by: &str) {
    bundle.put("policies/one.yaml", POLICY.replacen(what, by, 1).as_bytes());
}

fn remove(bundle: &Pack, name: &str) {
    fs::remove_file(bundle.at(name)).unwrap();
}

fn exchanged(bundle: &Pack, _: &[Pen; 2]) {
    bundle.put("README.md", POLICY.as_bytes());
    bundle.put("policies/one.yaml", b"Hello.\n");
}

fn unsign(bundle: &Pack, pen: &Pen) {
    remove(bundle, &format!("manifest.json.{}.minisig", pen.id()));
}

fn stranger(bundle: &Pack, pens: &[Pen; 2]) {
    unsign(bundle, &pens[1]);
    bundle.sign(&Pen::new());
}

fn edit(bundle: &Pack, pen: &Pen, by: fn(&mut String)) {
    let path = bundle.at(&format!("manifest.json.{}.minisig", pen.id()));
    let mut text = fs::read_to_string(&path).unwrap();
    by(&mut text);
    fs::write(path, text).unwrap();
}

fn comment(text: &mut String) {
    *text = text.replace(": a test", ": another");
}

/// One of the two signs another header; the signature of the other is left as it was.
fn resigned(bundle: &Pack, pens: &[Pen; 2]) {
    bundle.forge("\"serial\": 7", "\"serial\": 8");
    bundle.sign(&pens[0]);
}

/// Both sign another header.
fn anew(bundle: &Pack, pens: &[Pen; 2], what: &str, by: &str) {
    bundle.forge(what, by);
    for pen in pens {
        bundle.sign(pen);
    }
}

#[test]
fn each_byte_of_a_bundle_counts_and_none_may_miss_or_follow() {
    let pen = Pen::new();
    let ring = ring(&[&pen], &trust(""));
    let bundle = small();
    bundle.sign(&pen);
    let whole = bundle.to_file();
    assert!(read(&whole, &ring).is_ok(), "the control");
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x01;
        assert_eq!(codes(read(&bytes, &ring)).len(), 1, "byte {at}");
        let expected = if at < 8 { Code::NotAPack } else { Code::Truncated };
        assert_eq!(codes(read(&whole[..at], &ring)), [expected], "cut at {at}");
    }
    let mut longer = whole;
    longer.push(0);
    assert_eq!(codes(read(&longer, &ring)), [Code::Trailing]);
}

#[test]
fn keys_that_do_not_count_put_no_policy_in_force() {
    let pen = Pen::new();
    let id = pen.id();
    let bundle = small();
    bundle.sign(&pen);
    let opened = |text: &str, pens: &[&Pen]| codes(open(&bundle, &ring(pens, &trust(text))));
    let key = |more: &str| format!("[[key]]\nid = \"{id}\"\n{more}");
    assert_eq!(opened("", &[&pen]), [], "the control");
    assert_eq!(opened("", &[&Pen::new()]), [Code::UnknownKey]);
    assert_eq!(opened(&format!("revoked = [\"{id}\"]"), &[&pen]), [Code::Revoked]);
    let over = key("not_after = \"2026-01-01T00:00:00Z\"");
    assert_eq!(opened(&over, &[&pen]), [Code::KeyExpired]);
    assert_eq!(opened(&key("trust = \"untrusted\""), &[&pen]), [Code::Stranger]);
    assert_eq!(opened(&key("trust = \"shipped\""), &[&pen]), []);
    // A directory that is root's is enough for rules, and not for policies.
    let (none, engine) = (Ring::default(), engine());
    let local = Judge { place: Level::Local, ..judge(&none, &engine) };
    let verified = small().open().unwrap().verify(&local).unwrap();
    assert_eq!(codes(verified.policies().unwrap().trusted()), [Code::Stranger]);
}

#[test]
fn rules_are_no_policies_and_policies_no_rules() {
    let pen = Pen::new();
    let ring = ring(&[&pen], &trust(""));
    let (rules, policies) = (Pack::small(), small());
    for pack in [&rules, &policies] {
        pack.sign(&pen);
    }
    assert_eq!(codes(open(&rules, &ring)), [Code::Purpose]);
    assert_eq!(codes(compile(&policies, &ring, &Trust::default())), [Code::Purpose]);
    assert_eq!(codes(open(&policies, &ring)), []);
    assert_eq!(codes(compile(&rules, &ring, &Trust::default())), []);
}

#[test]
fn a_mistake_in_a_policy_is_one_of_its_bundle() {
    let make = |text: &str| {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("pack.toml"), SOURCE).unwrap();
        fs::write(dir.path().join("one.yaml"), text).unwrap();
        codes(crate::make(dir.path(), &engine(), now()))
    };
    assert_eq!(make(POLICY), []);
    assert_eq!(make(&POLICY.replace("/srv/one", "srv")), [Code::Rule]);
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("pack.toml"), SOURCE).unwrap();
    assert_eq!(codes(crate::make(dir.path(), &engine(), now())), [Code::MissingFile]);
}

#[test]
fn no_older_bundle_takes_the_place_of_a_newer_one() {
    let pen = Pen::new();
    let ring = ring(&[&pen], &trust(""));
    let version = |serial: u64| {
        let bundle = bundle_of(&SOURCE.replace("serial = 7", &format!("serial = {serial}")));
        bundle.sign(&pen);
        open(&bundle, &ring).unwrap().into_verified()
    };
    let mut installed = Installed::default();
    installed.note(&version(7));
    assert_eq!(installed.change(&version(6), false).unwrap_err().code, Code::RollBack);
    assert!(matches!(installed.change(&version(6), true), Ok(Change::Forced(_))));
    assert_eq!(installed.change(&version(8), false).unwrap().as_str(), "newer");
}

#[test]
fn what_is_in_the_envelope_is_known_without_being_read() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("plain")).unwrap();
    fs::write(at("plain/one.yaml"), POLICY).unwrap();
    assert!(!is_pack(&at("plain")) && !is_pack(&at("none")) && !is_pack(&at("plain/one.yaml")));
    for name in ["pack.toml", "manifest.json", "manifest.json.minisig", "MANIFEST.JSON"] {
        fs::create_dir_all(at(name)).unwrap();
        fs::write(at(name).join(name), "x").unwrap();
        assert!(is_pack(&at(name)), "{name}");
    }
    fs::write(at("a.kpack"), "").unwrap();
    fs::write(at("b.yaml"), b"\x89KPACK\r\nx").unwrap();
    assert!(is_pack(&at("a.kpack")) && is_pack(&at("b.yaml")));
}
