//! Signed bundles: whatever is done to one, it is refused with its code, and what was in force before
//! stays in force.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use minisign::KeyPair;
use tempfile::TempDir;

use super::*;

const SOURCE: &str = "id = \"base\"\nkind = \"policy\"\nversion = \"1.0.0\"\nserial = 7\n\
                      not_after = \"2099-01-01T00:00:00Z\"\nmin_engine = \"0.1.0\"\n";
const POLICY: &str = "apiVersion: aegisbpf.io/v1\nkind: Policy\nmetadata: {name: p}\nspec:\n  \
                      rules: [{id: a, subject: {user: root}, deny: read, files: /srv/one}]\n";

/// Two people who sign, a bundle, and a store; all in one directory.
struct Desk {
    dir: TempDir,
    pens: [KeyPair; 2],
}

/// Takes what it is given, and counts it.
#[derive(Default)]
struct Kernel(Vec<u64>);

impl Enforce for Kernel {
    fn name(&self) -> Option<String> {
        Some("a test".to_owned())
    }

    fn mode(&self) -> Mode {
        Mode::Enforce
    }

    fn offer(&self) -> Offer {
        Offer::default()
    }

    fn put(&mut self, staged: &Staged) -> Result<(), Failure> {
        self.0.push(staged.generation);
        Ok(())
    }
}

fn id(pen: &KeyPair) -> String {
    let number: [u8; 8] = pen.pk.keynum().try_into().unwrap();
    format!("{:016X}", u64::from_le_bytes(number))
}

impl Desk {
    fn new() -> Desk {
        let pens = [(); 2].map(|()| KeyPair::generate_unencrypted_keypair().unwrap());
        let desk = Desk { dir: tempfile::tempdir().unwrap(), pens };
        fs::create_dir(desk.at("keys")).unwrap();
        for pen in &desk.pens {
            let public = pen.pk.to_box().unwrap().into_string();
            fs::write(desk.at(&format!("keys/{}.pub", id(pen))), public).unwrap();
        }
        desk.trust("");
        desk
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What the operator says beside that two must have signed.
    fn trust(&self, more: &str) {
        fs::write(self.at("trust.toml"), format!("threshold = 2\n{more}")).unwrap();
    }

    /// Writes the bundle, with a manifest that fits.
    fn write(&self, source: &str, policy: &str) {
        drop(fs::remove_dir_all(self.at("b")));
        fs::create_dir_all(self.at("b/policies")).unwrap();
        fs::write(self.at("b/pack.toml"), source).unwrap();
        fs::write(self.at("b/policies/one.yaml"), policy).unwrap();
        let engine = crate::operator::engine().unwrap();
        let made = packs::make(&self.at("b"), &engine, jiff::Timestamp::now()).unwrap();
        fs::write(self.at("b/manifest.json"), made.manifest).unwrap();
    }

    fn sign(&self, pen: &KeyPair) {
        let manifest = fs::read(self.at("b/manifest.json")).unwrap();
        let over = Cursor::new(manifest);
        let made = minisign::sign(Some(&pen.pk), &pen.sk, over, Some("a test"), Some("x"));
        fs::write(self.signature(pen), made.unwrap().into_string()).unwrap();
    }

    fn signature(&self, pen: &KeyPair) -> PathBuf {
        self.at(&format!("b/manifest.json.{}.minisig", id(pen)))
    }

    fn signed(&self, serial: u64, policy: &str) {
        self.write(&SOURCE.replace("serial = 7", &format!("serial = {serial}")), policy);
        self.pens.iter().for_each(|pen| self.sign(pen));
    }

    /// Puts another text in the place of one of the manifest.
    fn forge(&self, what: &str, by: &str) {
        edit(&self.at("b/manifest.json"), what, by);
    }

    fn store(&self) -> Store {
        Store::at(&self.at("state"))
    }

    fn wanted(&self) -> Wanted {
        let (keys, trust) = (Some(self.at("keys")), Some(self.at("trust.toml")));
        Wanted {
            paths: vec![self.at("b")],
            vouch: Vouch { keys, trust, older: false },
            reason: Some("a test".to_owned()),
            ..Wanted::default()
        }
    }
}

fn edit(path: &Path, what: &str, by: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(what), "{what} is not in {text}");
    fs::write(path, text.replacen(what, by, 1)).unwrap();
}

fn code<T>(done: Result<T, Stop>) -> &'static str {
    match done {
        Ok(_) => "in force",
        Err(Stop::Unverified(refused)) => refused[0].code.as_str(),
        Err(Stop::Refused(refused)) => refused.0.diagnostics[0].code.as_str(),
        Err(Stop::Failed(failure)) => panic!("{failure}"),
    }
}

/// An attack on a newer bundle that both have signed, and the code it is refused with.
type Attack = (&'static str, fn(&Desk), &'static str);

const ATTACKS: &[Attack] = &[
    ("a flipped bit in a policy", |d| flip(&d.at("b/policies/one.yaml"), 40), "E119"),
    ("a flipped bit in the manifest", |d| flip(&d.at("b/manifest.json"), 40), "E133"),
    ("a flipped bit in a signature", |d| other_letter(&d.signature(&d.pens[0]), 60), "E133"),
    ("a flipped bit in its comment", |d| edit(&first(d), ": a test", ": b test"), "E133"),
    ("a swapped policy", |d| put(d, "policies/one.yaml", &older_text()), "E118"),
    ("a policy more", |d| put(d, "policies/two.yaml", POLICY), "E116"),
    ("the source gone", |d| fs::remove_file(d.at("b/pack.toml")).unwrap(), "E117"),
    ("a later serial", |d| d.forge("\"serial\": 8", "\"serial\": 9"), "E133"),
    ("an older serial", |d| d.signed(6, POLICY), "E141"),
    ("the same serial, another policy", |d| d.signed(7, &older_text()), "E142"),
    ("over its time", |d| resigned(d, "2099-01-01", "2026-01-01"), "E140"),
    ("for a newer agent", |d| resigned(d, "\"0.1.0\"", "\"9.9.9\""), "E143"),
    ("a revoked key", |d| d.trust(&format!("revoked = [\"{}\"]", id(&d.pens[1]))), "E136"),
    ("both keys revoked", revoked, "E134"),
    ("a key whose time is over", expired, "E136"),
    ("an unknown key", |d| fs::remove_file(key(d, 1)).unwrap(), "E136"),
    (
        "both keys unknown",
        |d| [0, 1].iter().for_each(|n| fs::remove_file(key(d, *n)).unwrap()),
        "E132",
    ),
    ("one of two signatures missing", |d| fs::remove_file(first(d)).unwrap(), "E136"),
    ("both missing", unsigned, "E130"),
    ("one signs another header", header, "E133"),
    ("a truncated signature", |d| truncate(&first(d), 90), "E131"),
    ("a truncated policy", |d| truncate(&d.at("b/policies/one.yaml"), 40), "E118"),
    ("no manifest", |d| fs::remove_file(d.at("b/manifest.json")).unwrap(), "E101"),
    ("a truncated file", |d| joined(d, |bytes| bytes.truncate(bytes.len() - 1)), "E103"),
    ("bytes after the end", |d| joined(d, |bytes| bytes.push(b'\n')), "E104"),
    ("a magic that is none", |d| joined(d, |bytes| bytes[1] ^= 1), "E101"),
    ("a link for a policy", linked, "E107"),
    ("a policy that others write", |d| open_up(&d.at("b/policies/one.yaml")), "E108"),
    ("keys that others write", |d| open_up(&d.at("keys")), "E108"),
    ("a trust file that others write", |d| open_up(&d.at("trust.toml")), "E108"),
    ("plain files", plain, "E148"),
    ("a key that is not trusted", untrusted, "E147"),
];

fn older_text() -> String {
    POLICY.replace("/srv/one", "/srv/other")
}

fn first(desk: &Desk) -> PathBuf {
    desk.signature(&desk.pens[0])
}

fn key(desk: &Desk, number: usize) -> PathBuf {
    desk.at(&format!("keys/{}.pub", id(&desk.pens[number])))
}

fn put(desk: &Desk, name: &str, text: &str) {
    fs::write(desk.at("b").join(name), text).unwrap();
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// Another letter of base64: with any other bit the text might be none at all.
fn other_letter(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    fs::write(path, bytes).unwrap();
}

fn truncate(path: &Path, length: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes.truncate(length);
    fs::write(path, bytes).unwrap();
}

fn resigned(desk: &Desk, what: &str, by: &str) {
    desk.forge(what, by);
    desk.pens.iter().for_each(|pen| desk.sign(pen));
}

fn header(desk: &Desk) {
    desk.forge("\"serial\": 8", "\"serial\": 9");
    desk.sign(&desk.pens[0]);
}

fn revoked(desk: &Desk) {
    desk.trust(&format!("revoked = [\"{}\", \"{}\"]", id(&desk.pens[0]), id(&desk.pens[1])));
}

fn expired(desk: &Desk) {
    let over = "not_after = \"2026-01-01T00:00:00Z\"";
    desk.trust(&format!("[[key]]\nid = \"{}\"\n{over}", id(&desk.pens[0])));
}

fn untrusted(desk: &Desk) {
    let key = |pen| format!("[[key]]\nid = \"{}\"\ntrust = \"untrusted\"\n", id(pen));
    desk.trust(&(key(&desk.pens[0]) + &key(&desk.pens[1])));
}

fn unsigned(desk: &Desk) {
    desk.pens.iter().for_each(|pen| fs::remove_file(desk.signature(pen)).unwrap());
}

/// What is left when everything that says that it was signed is taken away.
fn plain(desk: &Desk) {
    unsigned(desk);
    fs::remove_file(desk.at("b/manifest.json")).unwrap();
    fs::remove_file(desk.at("b/pack.toml")).unwrap();
}

/// The same bundle as one file, after something was done to it. It has the name of the directory.
fn joined(desk: &Desk, by: fn(&mut Vec<u8>)) {
    let trust = packs::Trust::open(&desk.at("trust.toml")).unwrap();
    let ring = packs::Ring::open(&desk.at("keys"), &trust).unwrap();
    let engine = crate::operator::engine().unwrap();
    let (now, place) = (jiff::Timestamp::now(), packs::Level::Untrusted);
    let (strict, unsigned) = (false, false);
    let judge = packs::Judge { ring: &ring, now, engine: &engine, place, strict, unsigned };
    let opened = packs::Untrusted::open(&desk.at("b"), Trust::Owner).unwrap();
    let mut bytes = opened.verify(&judge).unwrap().to_file().unwrap();
    by(&mut bytes);
    fs::write(desk.at("b.kpack"), bytes).unwrap();
}

fn linked(desk: &Desk) {
    fs::rename(desk.at("b/policies/one.yaml"), desk.at("away")).unwrap();
    std::os::unix::fs::symlink(desk.at("away"), desk.at("b/policies/one.yaml")).unwrap();
}

fn open_up(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).unwrap().permissions().mode() | 0o022;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn each_attack_on_a_bundle_is_refused_and_the_generation_before_stays_in_force() {
    for (name, attack, expected) in ATTACKS {
        let desk = Desk::new();
        let (store, mut kernel) = (desk.store(), Kernel::default());
        desk.signed(7, POLICY);
        assert_eq!(code(apply(&store, &desk.wanted(), &mut kernel)), "in force", "{name}");
        let before = store.read(1).unwrap();
        desk.signed(8, &POLICY.replace("/srv/one", "/srv/two"));
        attack(&desk);
        let mut wanted = desk.wanted();
        if desk.at("b.kpack").exists() {
            wanted.paths = vec![desk.at("b.kpack")];
        }
        assert_eq!(code(apply(&store, &wanted, &mut kernel)), *expected, "{name}");
        assert_eq!((store.active().unwrap(), kernel.0), (Some(1), vec![1]), "{name}");
        assert_eq!(store.read(1).unwrap().tables, before.tables, "{name}");
        let last = store.changes().unwrap().pop().unwrap();
        assert_eq!(last["action"], "apply-refused", "{name}");
        assert_eq!(last["bundles"]["refused"][0]["code"], *expected, "{name}");
    }
}

#[test]
fn a_newer_bundle_takes_the_place_of_an_older_one_in_both_forms() {
    let desk = Desk::new();
    let (store, mut kernel) = (desk.store(), Kernel::default());
    desk.signed(7, POLICY);
    assert_eq!(code(apply(&store, &desk.wanted(), &mut kernel)), "in force");
    assert_eq!(code(apply(&store, &desk.wanted(), &mut kernel)), "in force", "the same again");
    desk.signed(8, &older_text());
    joined(&desk, |_| {});
    let file = Wanted { paths: vec![desk.at("b.kpack")], ..desk.wanted() };
    assert_eq!(code(apply(&store, &file, &mut kernel)), "in force");
    let about = store.about(3).unwrap();
    let source = &about.bundles[0];
    assert_eq!((source.change.as_str(), source.record.serial), ("newer", 8));
    assert_eq!((source.level.as_str(), source.signers.len()), ("signed", 2));
    assert!(about.sources[0].name.ends_with("b.kpack/policies/one.yaml"), "{:?}", about.sources);
    // Rules of the command line make it anew, and it stays what it was.
    let again = Wanted { again: true, ..Wanted::default() };
    assert_eq!(code(apply(&store, &again, &mut kernel)), "in force");
    assert_eq!(store.about(4).unwrap().bundles, about.bundles);
}

#[test]
fn a_way_back_is_forced_with_a_reason_and_written_down() {
    let desk = Desk::new();
    let (store, mut kernel) = (desk.store(), Kernel::default());
    desk.signed(8, POLICY);
    apply(&store, &desk.wanted(), &mut kernel).unwrap();
    desk.signed(6, &older_text());
    assert_eq!(code(apply(&store, &desk.wanted(), &mut kernel)), "E141");
    let mut forced = desk.wanted();
    forced.vouch.older = true;
    assert_eq!(code(apply(&store, &forced, &mut kernel)), "in force");
    let last = store.changes().unwrap().pop().unwrap();
    assert_eq!((&last["action"], &last["reason"]), (&"apply".into(), &"a test".into()));
    let bundle = &last["bundles"][0];
    assert_eq!((&bundle["change"], &bundle["serial"]), (&"forced".into(), &6.into()));
    // Force is for this once, and for nothing but age and owner.
    desk.signed(5, POLICY);
    assert_eq!(code(apply(&store, &desk.wanted(), &mut kernel)), "E141");
    fs::remove_file(first(&desk)).unwrap();
    assert_eq!(code(apply(&store, &forced, &mut kernel)), "E136");
}

#[test]
fn what_was_in_force_is_known_when_the_record_is_lost() {
    let desk = Desk::new();
    let (store, mut kernel) = (desk.store(), Kernel::default());
    desk.signed(8, POLICY);
    apply(&store, &desk.wanted(), &mut kernel).unwrap();
    fs::remove_file(store.beside("bundles.json")).unwrap();
    desk.signed(7, POLICY);
    assert_eq!(code(apply(&store, &desk.wanted(), &mut kernel)), "E141", "the generation tells");
    fs::write(store.beside("bundles.json"), "x").unwrap();
    assert_eq!(code(apply(&store, &desk.wanted(), &mut kernel)), "E144", "broken is not empty");
}

/// A pack of rules: one that denies a file, a sequence whose last step is denied, one that alerts.
fn rules(desk: &Desk) {
    let rule = |id: &str, response: &str, query: &str| {
        format!(
            "[[rule]]\nid = \"{id}\"\nname = \"n\"\ndescription = \"d\"\nseverity = \
             \"low\"\nresponse = [{response}]\nquery = '''{query}'''\n"
        )
    };
    let open =
        |path: &str| format!("file where event.action == \"open\" and file.path == \"{path}\"");
    let steps = format!(
        "sequence by process.entity_id with maxspan=1s [{}] [network where event.action == \
         \"connection_attempted\"]",
        open("/srv/a")
    );
    let text = rule("file", "\"deny\"", &open("/srv/one"))
        + &rule("steps", "\"deny\"", &steps)
        + &rule("alerts", "", &open("/srv/two"));
    drop(fs::remove_dir_all(desk.at("b")));
    fs::create_dir_all(desk.at("b/rules")).unwrap();
    fs::write(desk.at("b/pack.toml"), SOURCE.replace("kind = \"policy\"\n", "")).unwrap();
    fs::write(desk.at("b/rules/one.toml"), text).unwrap();
    let engine = crate::operator::engine().unwrap();
    let made = packs::make(&desk.at("b"), &engine, jiff::Timestamp::now()).unwrap();
    fs::write(desk.at("b/manifest.json"), made.manifest).unwrap();
    desk.pens.iter().for_each(|pen| desk.sign(pen));
}

#[test]
fn rules_of_a_pack_deny_what_was_granted_and_nothing_else() {
    let desk = Desk::new();
    let (store, mut kernel) = (desk.store(), Kernel::default());
    rules(&desk);
    // State is not given to who only signed; without it the sequence is refused as well.
    assert_eq!(code(apply(&store, &desk.wanted(), &mut kernel)), "E155", "nothing is granted");
    assert_eq!((store.active().unwrap(), kernel.0.len()), (None, 0));
    let grant = |rules: &str, words: &str| {
        format!(
            "[[grant]]\nkey = \"{}\"\nrules = [{rules}]\ncapabilities = [{words}]\n",
            id(&desk.pens[0])
        )
    };
    desk.trust(&grant("\"file\"", "\"deny\", \"inline\""));
    assert_eq!(code(apply(&store, &desk.wanted(), &mut kernel)), "in force");
    let about = store.about(1).unwrap();
    let names = |about: &crate::policy::store::About| {
        about.rules.iter().map(|one| one.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&about), ["file"], "{:?}", about.bundles);
    assert!(about.rules[0].may().permits("deny") && !about.rules[0].may().permits("kill"));
    assert_eq!(about.arms("steps").unwrap_err(), "the rule is not among the policies in force");
    // It stays so when it is made anew, whoever asks.
    let again = Wanted { again: true, ..Wanted::default() };
    assert_eq!(code(apply(&store, &again, &mut kernel)), "in force");
    assert_eq!(names(&store.about(2).unwrap()), ["file"]);
    // With the grant the sequence is followed, too.
    let all = "\"deny\", \"inline\", \"state\"";
    desk.trust(&grant("", all));
    assert_eq!(code(apply(&store, &desk.wanted(), &mut kernel)), "in force");
    let mut about = store.about(3).unwrap();
    assert_eq!(names(&about), ["file", "steps"]);
    assert_eq!(about.arms("steps"), Ok(()));
    // The guard asks again, by what it has read itself.
    let text = serde_json::to_string(&about).unwrap().replace("\"deny\",", "");
    about = serde_json::from_str(&text).unwrap();
    let refused = about.arms("steps").unwrap_err();
    assert!(refused.starts_with("the rule may not deny, only alert"), "{refused}");
}

#[test]
fn plain_files_go_on_where_the_operator_named_no_keys() {
    let desk = Desk::new();
    let (store, mut kernel) = (desk.store(), Kernel::default());
    desk.signed(7, POLICY);
    plain(&desk);
    let open = Wanted { vouch: Vouch::default(), ..desk.wanted() };
    assert_eq!(code(apply(&store, &open, &mut kernel)), "in force", "the control");
    let mut trust = Wanted { vouch: Vouch::default(), ..desk.wanted() };
    fs::write(desk.at("trust.toml"), "signed_policies = true\n").unwrap();
    trust.vouch.trust = Some(desk.at("trust.toml"));
    assert_eq!(code(apply(&store, &trust, &mut kernel)), "E148");
}
