//! Packs of rules for an agent of a test: made, signed, and put where it looks.

use std::fs;
use std::io::Cursor;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use minisign::KeyPair;
use serde_json::Value;

use crate::lab::{Lab, root, until};

/// Whatever a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Somebody who signs packs, and the directories of a lab that they lie in.
pub(crate) struct Packs<'a> {
    lab: &'a Lab,
    pen: KeyPair,
}

/// The id of a key, as minisign prints it.
fn id(pen: &KeyPair) -> String {
    let number: [u8; 8] = pen.pk.keynum().try_into().unwrap();
    format!("{:016X}", u64::from_le_bytes(number))
}

impl Packs<'_> {
    /// A key that is trusted and nothing else.
    pub(crate) fn new(lab: &Lab) -> Packs<'_> {
        let packs = Packs { lab, pen: KeyPair::generate_unencrypted_keypair().unwrap() };
        for name in ["keys", "packs"] {
            fs::create_dir(lab.path(name)).unwrap();
        }
        let public = packs.pen.pk.to_box().unwrap().into_string();
        fs::write(lab.path("keys/own.pub"), public).unwrap();
        packs.trust("");
        packs
    }

    /// The operator's trust file; `KEY` in it is the key.
    pub(crate) fn trust(&self, text: &str) {
        let text = text.replace("KEY", &id(&self.pen));
        fs::write(self.lab.path("trust.toml"), text).unwrap();
    }

    /// A pack with these files, which nobody has signed; `$LAB` in texts is the lab.
    pub(crate) fn unsigned(&self, name: &str, serial: u64, files: &[(&str, &[u8])]) -> PathBuf {
        let path = self.lab.path("packs").join(name);
        drop(fs::remove_dir_all(&path));
        fs::create_dir_all(path.join("rules")).unwrap();
        let source = format!(
            "id = \"{name}\"\nversion = \"1.0.{serial}\"\nserial = {serial}\n\
             not_after = \"2099-01-01T00:00:00Z\"\nmin_engine = \"0.1.0\"\n"
        );
        fs::write(path.join("pack.toml"), source).unwrap();
        let home = self.lab.path("").display().to_string();
        for (name, bytes) in files {
            let bytes = str::from_utf8(bytes)
                .map_or_else(|_| bytes.to_vec(), |text| text.replace("$LAB", &home).into_bytes());
            fs::write(path.join("rules").join(name), bytes).unwrap();
        }
        let engine = packs::Version::parse(env!("CARGO_PKG_VERSION")).unwrap();
        let made = packs::make(&path, &engine, jiff::Timestamp::now())
            .unwrap_or_else(|refused| panic!("{name}: {refused:?}"));
        fs::write(path.join("manifest.json"), made.manifest).unwrap();
        path
    }

    /// The same, signed with the key.
    pub(crate) fn signed(&self, name: &str, serial: u64, files: &[(&str, &[u8])]) -> PathBuf {
        self.signed_by(&self.pen, name, serial, files)
    }

    /// The same, signed with another one.
    pub(crate) fn signed_by(
        &self,
        pen: &KeyPair,
        name: &str,
        serial: u64,
        files: &[(&str, &[u8])],
    ) -> PathBuf {
        let path = self.unsigned(name, serial, files);
        let over = Cursor::new(fs::read(path.join("manifest.json")).unwrap());
        let made = minisign::sign(Some(&pen.pk), &pen.sk, over, Some("a test"), Some("x")).unwrap();
        fs::write(path.join("manifest.json.minisig"), made.into_string()).unwrap();
        path
    }

    /// `run` as a command, with the packs, without plain rules.
    pub(crate) fn command(&self) -> Command {
        let mut command = self.lab.bare();
        for (option, name) in [
            ("--packs", "packs"),
            ("--keys", "keys"),
            ("--trust", "trust.toml"),
            ("--state-dir", "state"),
        ] {
            command.arg(option).arg(self.lab.path(name));
        }
        command
    }

    /// Lines of the audit log with this action.
    pub(crate) fn audited(&self, action: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.lab.path("state/audit.jsonl")).unwrap_or_default();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["action"] == action).collect()
    }
}

/// A rule about programs of the lab that are started; `$LAB` is the lab.
pub(crate) fn rule(id: &str, condition: &str, more: &str) -> String {
    format!(
        "[[rule]]\nid = \"{id}\"\nname = \"{id}\"\ndescription = \"A test.\"\nseverity = \"low\"\n\
         {more}\nquery = '''process where event.action == \"exec\" and {condition}'''\n"
    )
}

/// What `rules -o json` tells.
pub(crate) fn rules(lab: &Lab) -> Value {
    let output = lab.ask(&["rules", "-o", "json"]);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Ids of the rules that run.
pub(crate) fn run(lab: &Lab) -> Vec<String> {
    let rules = rules(lab);
    let ids = rules["rules"].as_array().unwrap().iter();
    ids.map(|rule| rule["id"].as_str().unwrap().to_owned()).collect()
}

/// Why packs and rules were left out, one text.
pub(crate) fn left_out(lab: &Lab) -> String {
    rules(lab)["left_out"].to_string()
}

fn version(lab: &Lab) -> Value {
    rules(lab)["rules"][0]["pack"].clone()
}

#[test]
fn an_older_pack_is_refused_until_an_operator_accepts_it() {
    if !root("an_older_pack_is_refused_until_an_operator_accepts_it") {
        return;
    }
    let lab = Lab::new();
    let packs = Packs::new(&lab);
    let one = rule("one", "process.executable == \"$LABx\"", "");
    packs.signed("p", 2, &[("r.toml", one.as_bytes())]);
    let mut command = packs.command();
    command.arg("--no-watch");
    let agent = lab.launch(command);
    assert_eq!(version(&lab), "p 1.0.2");
    packs.signed("p", 1, &[("r.toml", one.as_bytes())]);
    assert!(lab.ask(&["reload"]).status.success());
    assert_eq!(version(&lab), "p 1.0.2", "its last good version");
    assert!(left_out(&lab).contains("[E141]"), "{}", left_out(&lab));

    let accept = |words: &[&str]| {
        let output = lab.ask(&[&["rules", "accept"], words].concat());
        let said = [&output.stdout[..], &output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    let (code, said) = accept(&["p", "--reason", "2 is broken"]);
    assert!(code == Some(2) && said.contains("--older"), "{said}");
    let (code, said) = accept(&["q", "--older", "--reason", "a typing error"]);
    assert!(code == Some(78) && said.contains("[E149] q"), "{said}");
    assert_eq!(version(&lab), "p 1.0.2", "nothing was taken by that");
    assert!(packs.audited("pack-accepted").is_empty());

    let (code, said) = accept(&["p", "--older", "--reason", "2 is broken"]);
    assert_eq!((code, said.as_str()), (Some(0), "p runs as it lies there\n"));
    assert_eq!((version(&lab), left_out(&lab).as_str()), ("p 1.0.1".into(), "[]"));
    let [line] = &packs.audited("pack-accepted")[..] else { panic!() };
    assert_eq!((&line["id"], &line["serial"], &line["uid"]), (&"p".into(), &1.into(), &0.into()));
    assert_eq!((&line["before"]["serial"], &line["reason"]), (&2.into(), &"2 is broken".into()));
    // It was said once and for this one; who says it again means something else.
    assert!(lab.ask(&["reload"]).status.success());
    assert_eq!(version(&lab), "p 1.0.1");
    assert_eq!(accept(&["p", "--older", "--reason", "again"]).0, Some(78));
    agent.alert(lab.run_scratch("x"), PATIENCE).expect("its rule runs");
    assert!(agent.stop().success());
}

#[test]
fn a_pack_in_a_directory_of_root_is_local_only_if_nobody_signed_it() {
    if !root("a_pack_in_a_directory_of_root_is_local_only_if_nobody_signed_it") {
        return;
    }
    let lab = Lab::new();
    let packs = Packs::new(&lab);
    let of = |id: &str| rule(id, "process.executable == \"$LABx\"", "").into_bytes();
    packs.unsigned("own", 1, &[("r.toml", &of("own"))]);
    packs.signed("known", 1, &[("r.toml", &of("known"))]);
    let nobody = KeyPair::generate_unencrypted_keypair().unwrap();
    let stranger = packs.signed_by(&nobody, "strange", 1, &[("r.toml", &of("strange"))]);
    let refused = packs.command().output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(78), "{said}");
    assert!(said.contains("[E132]") && said.contains(&format!("by {}", id(&nobody))), "{said}");
    let mut command = packs.command();
    command.arg("--keep-going");
    let agent = lab.launch(command);
    let all = rules(&lab);
    let level = |id: &str| {
        let all = all["rules"].as_array().unwrap();
        all.iter().find(|rule| rule["id"] == id).map(|rule| rule["level"].clone())
    };
    assert_eq!(level("own"), Some("local".into()));
    assert_eq!(level("known"), Some("signed".into()));
    assert_eq!(level("strange"), None);
    assert!(left_out(&lab).contains(&format!("by {}", id(&nobody))), "{}", left_out(&lab));
    // By the agent that ended, too.
    let told = || packs.audited("pack-refused");
    until("both have told it", PATIENCE, || told().len() == 2);
    assert_eq!(told()[1]["refusals"][0]["code"], "E132");
    // Without the signature it is the word of whoever may write there.
    fs::remove_file(stranger.join("manifest.json.minisig")).unwrap();
    until("it is read again", PATIENCE, || run(&lab).contains(&"strange".to_owned()));
    assert!(agent.stop().success());
}
