//! Attacks on what is signed, on the directory and on the signatures: each is refused with its own
//! code, beside the same pack untouched.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::given::*;
use crate::{Code, Judge, Level, Ring};

/// What is done to a small pack, and the one code that it must be refused with.
struct Attack {
    name: &'static str,
    /// Before it is signed: what a signer could have been brought to sign.
    before: fn(&Pack),
    /// After it was signed.
    after: fn(&Pack),
    code: Code,
}

const NOTHING: fn(&Pack) = |_| {};

fn signed(name: &'static str, before: fn(&Pack), code: Code) -> Attack {
    Attack { name, before, after: NOTHING, code }
}

fn later(name: &'static str, after: fn(&Pack), code: Code) -> Attack {
    Attack { name, before: NOTHING, after, code }
}

fn run(attacks: Vec<Attack>) {
    let pen = Pen::new();
    let ring = ring(&[&pen], &trust(""));
    for attack in attacks {
        let pack = Pack::small();
        (attack.before)(&pack);
        pack.sign(&pen);
        (attack.after)(&pack);
        let found = codes(compile(&pack, &ring, &trust("")));
        assert_eq!(found, [attack.code], "{}", attack.name);
    }
    let untouched = Pack::small();
    untouched.sign(&pen);
    assert_eq!(codes(compile(&untouched, &ring, &trust(""))), [], "the control");
}

#[test]
fn what_a_directory_holds_beside_what_was_signed_is_refused() {
    run(vec![
        later("an extra file", |pack| pack.put("rules/two.toml", b"x"), Code::ExtraFile),
        later("a hidden file", |pack| pack.put("rules/.two.toml", b"x"), Code::ExtraFile),
        later("nearly a signature", |pack| pack.put("manifest.json.a", b"x"), Code::ExtraFile),
        later("a name that is no text", extra_bytes, Code::ExtraFile),
        later("an empty directory", |pack| fs::create_dir(pack.at("no")).unwrap(), Code::ExtraFile),
        later("a missing file", |p| fs::remove_file(p.at("pack.toml")).unwrap(), Code::MissingFile),
        later("another content", |pack| edit(pack, "nc", "nx"), Code::Digest),
        later("a longer content", |pack| edit(pack, "nc", "ncat"), Code::Size),
        later("a shorter content", |pack| edit(pack, "nc", "n"), Code::Size),
        later("a link to a file", |pack| link(pack, "rules/one.toml"), Code::NotRegular),
        later("a link to a directory", |pack| link(pack, "rules"), Code::NotRegular),
        later("a link for the manifest", |pack| link(pack, "manifest.json"), Code::NotRegular),
        later("a link that leads nowhere", dangling, Code::NotRegular),
        later("a pipe", pipe, Code::NotRegular),
        later("a file that others write", |pack| open_up(pack, "pack.toml"), Code::Writable),
        later("a directory that others write", |pack| open_up(pack, "rules"), Code::Writable),
        later("a manifest that others write", |p| open_up(p, "manifest.json"), Code::Writable),
        later("no manifest", |p| fs::remove_file(p.at("manifest.json")).unwrap(), Code::NotAPack),
    ]);
}

fn edit(pack: &Pack, what: &str, by: &str) {
    let text = fs::read_to_string(pack.at("rules/one.toml")).unwrap();
    pack.put("rules/one.toml", text.replacen(what, by, 1).as_bytes());
}

fn extra_bytes(pack: &Pack) {
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::OsStr::from_bytes(b"rules/\xff.toml");
    fs::write(pack.path().join(name), "x").unwrap();
}

/// Moves a thing out of the pack and links it back: the same bytes, by another way.
fn link(pack: &Pack, name: &str) {
    let away = pack.path().with_extension("away");
    fs::rename(pack.at(name), &away).unwrap();
    symlink(&away, pack.at(name)).unwrap();
}

fn dangling(pack: &Pack) {
    symlink("/nowhere/at/all", pack.at("rules/two.toml")).unwrap();
}

fn pipe(pack: &Pack) {
    let made = std::process::Command::new("mkfifo").arg(pack.at("rules/pipe")).status().unwrap();
    assert!(made.success());
}

fn open_up(pack: &Pack, name: &str) {
    let path = pack.at(name);
    let mut mode = fs::metadata(&path).unwrap().permissions();
    mode.set_mode(mode.mode() | 0o022);
    fs::set_permissions(path, mode).unwrap();
}

/// What was put in the place of what before it was signed: a name for it, both texts, the code.
const FORGED: &[(&str, &str, &str, Code)] = &[
    ("no JSON", "{", "[", Code::Manifest),
    ("a key twice", "\"serial\": 7,", "\"serial\": 7,\n \"serial\": 7,", Code::Manifest),
    ("a key that is none", "\"serial\"", "\"sirial\"", Code::Manifest),
    ("a fraction", "\"serial\": 7", "\"serial\": 7.0", Code::Manifest),
    ("a number as text", "\"serial\": 7", "\"serial\": \"7\"", Code::Manifest),
    ("a negative number", "\"serial\": 7", "\"serial\": -7", Code::Manifest),
    ("one more blank", "\"serial\": 7", "\"serial\":  7", Code::NotCanonical),
    ("other line ends", "{\n", "{\r\n", Code::NotCanonical),
    ("an escape", "\"small\"", "\"\\u0073mall\"", Code::NotCanonical),
    ("another order", "\"alert\"", "\"state\",\n \"alert\"", Code::NotCanonical),
    ("a word twice", "\"alert\"", "\"alert\",\n \"alert\"", Code::NotCanonical),
    ("another time zone", "00:00:00Z", "01:00:00+01:00", Code::NotCanonical),
    ("an unknown format", "\"format\": 1", "\"format\": 2", Code::Format),
    ("an id that is a way", "\"small\"", "\"../small\"", Code::Value),
    ("serial 0", "\"serial\": 7", "\"serial\": 0", Code::Value),
    ("a huge serial", ": 7", ": 9007199254740992", Code::Value),
    ("an unknown capability", "\"alert\"", "\"root\"", Code::UnknownCapability),
    ("a huge file", "\"size\": ", "\"size\": 9999999", Code::TooLarge),
    ("a negative size", "\"size\": ", "\"size\": -1", Code::Manifest),
    ("a time that is over", "2030-01", "2026-01", Code::Expired),
    ("a newer engine", "\"0.1.0\"", "\"0.1.1\"", Code::Engine),
    ("a way out", "\"rules/one.toml\"", "\"../one.toml\"", Code::Traversal),
    ("an absolute way", "\"rules/one.toml\"", "\"/rules/one\"", Code::Traversal),
    ("another case", "\"pack.toml\"", "\"Rules/pack.toml\"", Code::Folded),
    ("letters of two forms", "\"pack.toml\"", "\"\u{e9}.toml\"", Code::NotAscii),
    ("a control character", "\"pack.toml\"", "\"a\\u001b.toml\"", Code::Character),
    ("the pack's own name", "\"pack.toml\"", "\"manifest.json\"", Code::Reserved),
    ("a rule in no file", "\"file\": \"rules", "\"file\": \"ru", Code::NotListed),
    ("Wasm", "\"kind\": \"eql\"", "\"kind\": \"wasm\"", Code::NotListed),
    ("Lua", "\"kind\": \"eql\"", "\"kind\": \"lua\"", Code::NotListed),
    ("no such kind", "\"kind\": \"eql\"", "\"kind\": \"sh\"", Code::Manifest),
];

#[test]
fn a_manifest_has_one_form_and_sound_values_whoever_signed_it() {
    let pen = Pen::new();
    let ring = ring(&[&pen], &trust(""));
    for (name, what, by, code) in FORGED {
        let pack = Pack::small();
        pack.forge(what, by);
        pack.sign(&pen);
        assert_eq!(codes(compile(&pack, &ring, &trust(""))), [*code], "{name}");
    }
    run(vec![
        signed("a digest in capitals", capitals, Code::Manifest),
        signed("deep nesting", nested, Code::Manifest),
        signed("a long name", long_name, Code::LongName),
        signed("a large manifest", large, Code::TooLarge),
    ]);
}

fn nested(pack: &Pack) {
    pack.put("manifest.json", "[".repeat(50_000).as_bytes());
}

fn long_name(pack: &Pack) {
    pack.forge("\"pack.toml\"", &format!("\"{}\"", "p".repeat(300)));
}

fn capitals(pack: &Pack) {
    let text = pack.manifest();
    let at = text.find("\"sha256\": \"").unwrap() + 11;
    let digest = text[at..at + 64].to_owned();
    pack.forge(&digest, &digest.replace(|one: char| one.is_ascii_lowercase(), "A"));
}

fn large(pack: &Pack) {
    let blanks = " ".repeat(usize::try_from(crate::limits::MAX_MANIFEST).unwrap() + 1);
    pack.put("manifest.json", blanks.as_bytes());
}

#[test]
fn signatures_that_are_none_are_refused() {
    run(vec![
        later("none", remove_signatures, Code::NoSignature),
        later("an empty one", |p| p.put("manifest.json.minisig", b""), Code::Malformed),
        later(
            "one that is no text",
            |p| p.put("manifest.json.minisig", &[0xff; 80]),
            Code::Malformed,
        ),
        later("a torn one", torn, Code::Malformed),
        later("a large one", |p| p.put("manifest.json.sshsig", &[b'a'; 5000]), Code::TooLarge),
        later("many", many, Code::TooMany),
        later(
            "another manifest",
            |p| p.forge("\"serial\": 7", "\"serial\": 8"),
            Code::BadSignature,
        ),
        later("one of another file", moved, Code::BadSignature),
        later("an edited comment", commented, Code::BadSignature),
    ]);
}

fn signature_of(pack: &Pack) -> std::path::PathBuf {
    let entries = fs::read_dir(pack.path()).unwrap().map(|entry| entry.unwrap().path());
    entries.into_iter().find(|path| path.extension().is_some_and(|end| end == "minisig")).unwrap()
}

fn remove_signatures(pack: &Pack) {
    fs::remove_file(signature_of(pack)).unwrap();
}

fn torn(pack: &Pack) {
    let path = signature_of(pack);
    let text = fs::read(&path).unwrap();
    fs::write(path, &text[..text.len() - 20]).unwrap();
}

fn many(pack: &Pack) {
    let text = fs::read(signature_of(pack)).unwrap();
    for number in 0..=crate::limits::MAX_SIGNATURES {
        pack.put(&format!("manifest.json.{number}.minisig"), &text);
    }
}

/// A good signature of the same key over something else.
fn moved(pack: &Pack) {
    let signature = fs::read(signature_of(pack)).unwrap();
    pack.build();
    pack.forge("\"serial\": 7", "\"serial\": 6");
    fs::write(signature_of(pack), signature).unwrap();
}

fn commented(pack: &Pack) {
    let path = signature_of(pack);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("trusted comment: a test"), "{text}");
    fs::write(path, text.replace(": a test", ": another")).unwrap();
}

#[test]
fn a_pack_that_a_local_directory_vouches_for_needs_no_signature_but_strict_mode_does() {
    let (pack, ring) = (Pack::small(), Ring::default());
    let engine = engine();
    let elsewhere = judge(&ring, &engine);
    let local = Judge { place: Level::Local, ..elsewhere };
    let verify = |judge| pack.open().unwrap().verify(&judge);
    assert_eq!(verify(local).unwrap().level(), Level::Local);
    assert_eq!(codes(verify(elsewhere)), [Code::NoSignature]);
    assert_eq!(codes(verify(Judge { strict: true, ..local })), [Code::NoSignature]);
}
