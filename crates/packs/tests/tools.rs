//! Our signatures against the tools that made the formats: `minisign` of Debian and `ssh-keygen` of
//! OpenSSH, in both directions.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use jiff::Timestamp;
use packs::{Code, Judge, Level, Refusal, Ring, Trust, Untrusted, Verified};
use semver::Version;
use tempfile::TempDir;

const RULE: &str = r#"[[rule]]
id = "one"
name = "One"
description = "A rule."
severity = "low"
query = '''process where process.name == "nc"'''
"#;
const SOURCE: &str = "id = \"small\"\nversion = \"1.0.0\"\nserial = 1\n";

fn engine() -> Version {
    Version::new(0, 1, 0)
}

/// A directory with a pack and one of keys.
fn made() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let pack = dir.path().join("pack");
    fs::create_dir_all(pack.join("rules")).unwrap();
    fs::create_dir(dir.path().join("keys")).unwrap();
    fs::write(pack.join("pack.toml"), SOURCE).unwrap();
    fs::write(pack.join("rules/one.toml"), RULE).unwrap();
    let made = packs::make(&pack, &engine(), Timestamp::now()).unwrap();
    fs::write(pack.join("manifest.json"), made.manifest).unwrap();
    dir
}

/// Runs a tool in a directory; says what it said if that is not what was expected.
fn tool(dir: &Path, line: &str, fine: bool) {
    let words: Vec<&str> = line.split(' ').collect();
    let (program, args) = words.split_first().unwrap();
    let out = Command::new(program).args(args).current_dir(dir).stdin(Stdio::null()).output();
    let out = out.unwrap_or_else(|error| panic!("{program}: {error}; `cargo xtask setup`"));
    let said = [out.stdout, out.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert_eq!(out.status.success(), fine, "{line}: {said:?}");
}

fn verify(pack: &Path, keys: &Path) -> Result<Verified, Vec<Refusal>> {
    let ring = Ring::open(keys, &Trust::default())?;
    let (engine, now) = (engine(), Timestamp::now());
    let (place, strict, unsigned) = (Level::Untrusted, false, false);
    let judge = Judge { ring: &ring, now, engine: &engine, place, strict, unsigned };
    Untrusted::open(pack, files::Trust::Owner).map_err(|one| vec![one])?.verify(&judge)
}

fn refused(dir: &Path) -> Vec<Code> {
    let found = verify(&dir.join("pack"), &dir.join("keys"));
    found.err().unwrap_or_default().into_iter().map(|one| one.code).collect()
}

#[test]
fn what_minisign_signs_is_accepted_and_what_it_signed_in_the_old_way_is_not() {
    let dir = made();
    let at = dir.path();
    tool(at, "minisign -G -f -W -p keys/me.pub -s me.key", true);
    assert_eq!(refused(at), [Code::NoSignature]);
    tool(at, "minisign -S -s me.key -t hello -m pack/manifest.json", true);
    let pack = verify(&at.join("pack"), &at.join("keys")).unwrap();
    assert_eq!(pack.signers().len(), 1);
    assert_eq!(pack.signers()[0].comment, "hello");
    let shown = fs::read_to_string(at.join("keys/me.pub")).unwrap();
    let id = pack.signers()[0].key.as_str();
    // It leaves out zeros at the beginning.
    let short = id.trim_start_matches('0');
    assert!(shown.contains(&format!("key {short}\n")), "{id} in {shown}");
    assert_eq!(packs::KeyId::new(short).as_str(), id);
    tool(at, "minisign -S -l -s me.key -m pack/manifest.json", true);
    assert_eq!(refused(at), [Code::Legacy]);
}

#[test]
fn the_one_form_of_a_minisign_signature_is_accepted_by_minisign() {
    let dir = made();
    let at = dir.path();
    tool(at, "minisign -G -f -W -p keys/me.pub -s me.key", true);
    tool(at, "minisign -S -s me.key -m pack/manifest.json", true);
    let text = fs::read(at.join("pack/manifest.json.minisig")).unwrap();
    let (name, kept) = packs::signature_file(&text).unwrap();
    assert!(name.ends_with(".minisig"), "{name}");
    fs::write(at.join("kept"), &kept).unwrap();
    tool(at, "minisign -V -p keys/me.pub -x kept -m pack/manifest.json", true);
    tool(at, "minisign -V -p keys/me.pub -x kept -m pack/pack.toml", false);
}

#[test]
fn what_ssh_keygen_signs_for_packs_is_accepted_and_what_it_signs_for_others_is_not() {
    let dir = made();
    let at = dir.path();
    tool(at, "ssh-keygen -q -t ed25519 -N  -C me -f me", true);
    fs::copy(at.join("me.pub"), at.join("keys/me.pub")).unwrap();
    let sign = |namespace: &str| {
        drop(fs::remove_file(at.join("pack/manifest.json.sig")));
        tool(at, &format!("ssh-keygen -q -Y sign -n {namespace} -f me pack/manifest.json"), true);
        fs::rename(at.join("pack/manifest.json.sig"), at.join("pack/manifest.json.me.sshsig"))
            .unwrap();
    };
    sign("kestrel-pack");
    assert_eq!(refused(at), []);
    sign("git");
    assert_eq!(refused(at), [Code::Namespace]);
    tool(at, "ssh-keygen -q -t ed25519 -N  -C other -f other", true);
    tool(at, "ssh-keygen -q -Y sign -n kestrel-pack -f other pack/manifest.json", true);
    fs::rename(at.join("pack/manifest.json.sig"), at.join("pack/manifest.json.me.sshsig")).unwrap();
    assert_eq!(refused(at), [Code::UnknownKey]);
}

#[test]
fn the_one_form_of_an_ssh_signature_is_accepted_by_ssh_keygen() {
    let dir = made();
    let at = dir.path();
    tool(at, "ssh-keygen -q -t ed25519 -N  -C me -f me", true);
    tool(at, "ssh-keygen -q -Y sign -n kestrel-pack -f me pack/manifest.json", true);
    let text = fs::read(at.join("pack/manifest.json.sig")).unwrap();
    let (name, kept) = packs::signature_file(&text).unwrap();
    assert!(name.ends_with(".sshsig"), "{name}");
    fs::write(at.join("kept"), kept).unwrap();
    let key = fs::read_to_string(at.join("me.pub")).unwrap();
    fs::write(at.join("allowed"), format!("me {key}")).unwrap();
    let check = |file: &str| {
        let mut command = Command::new("ssh-keygen");
        command.args(["-Y", "verify", "-f", "allowed", "-I", "me", "-n", "kestrel-pack"]);
        let over = fs::File::open(at.join(file)).unwrap();
        command.args(["-s", "kept"]).current_dir(at).stdin(over).output().unwrap().status.success()
    };
    assert!(check("pack/manifest.json"));
    assert!(!check("pack/pack.toml"), "something else");
}

#[test]
fn a_new_ssh_key_is_introduced_by_an_old_one_only_for_that() {
    let dir = made();
    let at = dir.path();
    for name in ["old", "new"] {
        tool(at, &format!("ssh-keygen -q -t ed25519 -N  -C {name} -f {name}"), true);
        fs::copy(at.join(format!("{name}.pub")), at.join(format!("keys/{name}.pub"))).unwrap();
    }
    tool(at, "ssh-keygen -q -Y sign -n kestrel-pack -f new pack/manifest.json", true);
    let introduce = |namespace: &str| {
        drop(fs::remove_file(at.join("keys/new.pub.sig")));
        tool(at, &format!("ssh-keygen -q -Y sign -n {namespace} -f old keys/new.pub"), true);
    };
    introduce("kestrel-key");
    assert_eq!(refused(at), []);
    introduce("kestrel-pack");
    assert_eq!(refused(at), [Code::Namespace]);
}
