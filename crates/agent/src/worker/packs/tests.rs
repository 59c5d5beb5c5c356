//! Packs as the agent loads them: who may do what, what is refused, and what runs on then.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use clap::Parser;
use minisign::KeyPair;
use serde_json::Value as Json;
use tempfile::TempDir;

use crate::audit::Audit;
use crate::cli::{Cli, Command};
use crate::exit::{Exit, Failure};
use crate::worker::rules::{Rules, When, read};

/// A host with keys, packs and a state directory; and somebody who signs.
struct Host {
    dir: TempDir,
    pen: KeyPair,
}

const QUERY: &str = "process where process.name == \"nc\"";

fn rule(id: &str, query: &str, more: &str) -> String {
    format!(
        "[[rule]]\nid = \"{id}\"\nname = \"n\"\ndescription = \"d\"\nseverity = \"low\"\n{more}\n\
         query = '''{query}'''\n"
    )
}

fn id(pen: &KeyPair) -> String {
    let number: [u8; 8] = pen.pk.keynum().try_into().unwrap();
    format!("{:016X}", u64::from_le_bytes(number))
}

impl Host {
    fn new() -> Host {
        let pen = KeyPair::generate_unencrypted_keypair().unwrap();
        let host = Host { dir: tempfile::tempdir().unwrap(), pen };
        for name in ["keys", "packs", "rules"] {
            fs::create_dir(host.at(name)).unwrap();
        }
        host.know(&host.pen);
        host.trust("");
        host
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn know(&self, pen: &KeyPair) {
        let public = pen.pk.to_box().unwrap().into_string();
        fs::write(self.at(&format!("keys/{}.pub", id(pen))), public).unwrap();
    }

    fn trust(&self, text: &str) {
        fs::write(self.at("trust.toml"), text).unwrap();
    }

    /// A pack with these rules, which nobody has signed.
    fn unsigned(&self, name: &str, serial: u64, rules: &str) -> PathBuf {
        let path = self.at("packs").join(name);
        drop(fs::remove_dir_all(&path));
        fs::create_dir_all(path.join("rules")).unwrap();
        let source = format!(
            "id = \"{name}\"\nversion = \"1.0.{serial}\"\nserial = {serial}\n\
             not_after = \"2099-01-01T00:00:00Z\"\nmin_engine = \"0.1.0\"\n"
        );
        fs::write(path.join("pack.toml"), source).unwrap();
        fs::write(path.join("rules/r.toml"), rules).unwrap();
        let engine = crate::operator::engine().unwrap();
        let made = ::packs::make(&path, &engine, jiff::Timestamp::now()).unwrap();
        fs::write(path.join("manifest.json"), made.manifest).unwrap();
        path
    }

    fn signed_by(&self, pen: &KeyPair, name: &str, serial: u64, rules: &str) -> PathBuf {
        let path = self.unsigned(name, serial, rules);
        let over = Cursor::new(fs::read(path.join("manifest.json")).unwrap());
        let made = minisign::sign(Some(&pen.pk), &pen.sk, over, Some("a test"), Some("x")).unwrap();
        let file = path.join(format!("manifest.json.{}.minisig", id(pen)));
        fs::write(file, made.into_string()).unwrap();
        path
    }

    fn signed(&self, name: &str, serial: u64, rules: &str) -> PathBuf {
        self.signed_by(&self.pen, name, serial, rules)
    }

    fn read(&self, when: When, more: &[&str]) -> Result<Rules, Failure> {
        let path = |name: &str| self.at(name).display().to_string();
        let (packs, keys, trust) = (path("packs"), path("keys"), path("trust.toml"));
        let (state, rules) = (path("state"), path("rules"));
        let mut words = vec!["aegisbpf", "run", "--packs", &packs, "--keys", &keys];
        words.extend(["--trust", &trust, "--state-dir", &state]);
        if !more.contains(&"--strict") {
            words.extend(["--rules", &rules]);
        }
        words.extend(more);
        let Command::Run(args) = Cli::parse_from(words).command else { panic!() };
        read(&args, when, Some(&Audit::at(&self.at("state"))))
    }

    fn start(&self) -> Rules {
        self.read(When::Start, &[]).unwrap()
    }

    fn reload(&self) -> Rules {
        self.read(When::Reload, &[]).unwrap()
    }

    /// Lines of the audit log with this action.
    fn audited(&self, action: &str) -> Vec<Json> {
        let text = fs::read_to_string(self.at("state/audit.jsonl")).unwrap_or_default();
        let lines = text.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
        lines.filter(|line| line["action"] == action).collect()
    }
}

/// Ids of what runs, with the level of each.
fn run(rules: &Rules) -> Vec<(String, &'static str)> {
    rules.infos().iter().map(|info| (info.id.clone(), info.level)).collect()
}

fn is(id: &str, level: &'static str) -> (String, &'static str) {
    (id.to_owned(), level)
}

fn edit(path: &Path, what: &str, by: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(what), "{what} is not in {text}");
    fs::write(path, text.replacen(what, by, 1)).unwrap();
}

#[test]
fn packs_and_plain_files_run_side_by_side_each_within_its_terms() {
    let host = Host::new();
    let stranger = KeyPair::generate_unencrypted_keypair().unwrap();
    host.know(&stranger);
    host.trust(&format!(
        "[[key]]\nid = \"{}\"\ntrust = \"untrusted\"\n[[grant]]\nkey = \"{}\"\ncapabilities = \
         [\"kill\"]\n",
        id(&stranger),
        id(&host.pen)
    ));
    fs::write(host.at("rules/p.toml"), rule("plain", QUERY, "")).unwrap();
    host.signed("good", 1, &rule("good", QUERY, "response = [\"kill\"]"));
    host.signed_by(&stranger, "strange", 1, &rule("strange", QUERY, ""));
    host.unsigned("own", 1, &rule("own", QUERY, ""));
    let rules = host.start();
    let expected = [
        is("good", "signed"),
        is("plain", "local"),
        is("own", "local"),
        is("strange", "untrusted"),
    ];
    assert_eq!(run(&rules), expected, "{:?}", rules.left_out);
    let infos = rules.infos();
    let [good, plain, own, strange] = &infos[..] else { panic!() };
    assert_eq!(
        (good.pack.as_deref(), &good.signers[..]),
        (Some("good 1.0.1"), &[id(&host.pen)][..])
    );
    assert_eq!((&good.may[..], &own.may[..]), (&["alert", "kill"][..], &["alert"][..]));
    assert_eq!((plain.pack.as_deref(), strange.max_alerts, good.max_alerts), (None, 60, 0));
    let kept: Vec<_> = rules.loaded.program.rules.iter().map(|rule| rule.meta.kept).collect();
    assert_eq!(kept, [Some(65_536), Some(65_536), Some(65_536), Some(1_024)]);
    assert_eq!(host.audited("pack-loaded").len(), 3);
    // What nobody changed is written once, but for strangers' packs.
    host.reload();
    let again: Vec<Json> = host.audited("pack-loaded").split_off(3);
    assert_eq!(again.len(), 1, "{again:?}");
    assert_eq!((&again[0]["id"], &again[0]["change"]), (&"strange".into(), &"same".into()));
}

#[test]
fn a_rule_that_asks_for_more_than_was_granted_is_not_loaded_and_its_neighbour_is() {
    let host = Host::new();
    let kill = rule("kills", QUERY, "response = [\"kill\"]");
    host.signed("p", 1, &(kill + &rule("modest", QUERY, "")));
    let rules = host.start();
    assert_eq!(run(&rules), [is("modest", "signed")]);
    let [left] = &rules.left_out[..] else { panic!("{:?}", rules.left_out) };
    assert_eq!(left.id.as_deref(), Some("kills"));
    assert!(left.reason.contains("[E155]") && left.reason.contains("needs kill"), "{left:?}");
    let line = &host.audited("pack-loaded")[0]["not_loaded"][0];
    assert_eq!(line["code"], "E155", "{line}");
    let grant = "[[grant]]\nkey = \"KEY\"\ncapabilities = [\"kill\"]\n";
    host.trust(&grant.replace("KEY", &id(&host.pen)));
    assert_eq!(run(&host.reload()), [is("kills", "signed"), is("modest", "signed")]);
    // In strict mode no grant is enough.
    let strict = host.read(When::Start, &["--strict"]).unwrap();
    assert_eq!(run(&strict), [is("modest", "untrusted")]);
    assert!(strict.left_out[0].reason.contains("[E156]"), "{:?}", strict.left_out);
}

/// What is done to a pack that runs, and why it is refused then.
type Attack = (&'static str, fn(&Host, &Path), &'static str);

const ATTACKS: &[Attack] = &[
    ("a rule is another", |_, p| edit(&p.join("rules/r.toml"), "nc", "nx"), "E119"),
    ("the manifest is", |_, p| edit(&p.join("manifest.json"), ": 2", ": 3"), "E133"),
    ("a file more", |_, p| fs::write(p.join("rules/s.toml"), "").unwrap(), "E116"),
    ("no manifest", |_, p| fs::remove_file(p.join("manifest.json")).unwrap(), "E101"),
    ("an older one", |host, _| drop(host.signed("p", 1, &rule("one", QUERY, ""))), "E141"),
    ("the same serial", |host, _| drop(host.signed("p", 2, &rule("other", QUERY, ""))), "E142"),
    ("another owner", other_owner, "E145"),
    ("others can write it", |_, p| open_up(&p.join("rules/r.toml")), "E108"),
];

fn other_owner(host: &Host, _: &Path) {
    let other = KeyPair::generate_unencrypted_keypair().unwrap();
    host.know(&other);
    host.signed_by(&other, "p", 9, &rule("one", QUERY, ""));
}

fn open_up(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
}

#[test]
fn the_last_good_version_of_a_pack_that_is_refused_runs_on() {
    for (name, attack, code) in ATTACKS {
        let host = Host::new();
        let path = host.signed("p", 2, &rule("two", QUERY, ""));
        host.signed("q", 1, &rule("neighbour", QUERY, ""));
        assert_eq!(run(&host.start()), [is("two", "signed"), is("neighbour", "signed")]);
        attack(&host, &path);
        let rules = host.reload();
        assert_eq!(run(&rules), [is("two", "signed"), is("neighbour", "signed")], "{name}");
        let told = &rules.left_out[0].reason;
        assert!(told.contains("1.0.2 runs instead") && told.contains(code), "{name}: {told}");
        assert_eq!(host.audited("pack-refused")[0]["refusals"][0]["code"], *code, "{name}");
        assert_eq!(host.audited("pack-kept")[0]["serial"], 2, "{name}");
        // Also by an agent that starts then; and not once the operator has taken it away.
        assert_eq!(run(&host.start()).len(), 2, "{name}");
        fs::remove_dir_all(&path).unwrap();
        assert_eq!(run(&host.reload()), [is("neighbour", "signed")], "{name}");
        assert_eq!(fs::read_dir(host.at("state/packs")).unwrap().count(), 1, "{name}");
    }
}

#[test]
fn a_key_that_is_revoked_takes_the_last_good_version_out_too() {
    let host = Host::new();
    host.signed("p", 2, &rule("two", QUERY, ""));
    fs::write(host.at("rules/p.toml"), rule("plain", QUERY, "")).unwrap();
    assert_eq!(run(&host.start()), [is("two", "signed"), is("plain", "local")]);
    host.trust(&format!("revoked = [\"{}\"]", id(&host.pen)));
    let rules = host.reload();
    assert_eq!(run(&rules), [is("plain", "local")]);
    assert!(rules.left_out[0].reason.contains("[E134]"), "{:?}", rules.left_out);
}

#[test]
fn a_start_with_a_refused_pack_fails_unless_it_is_told_to_go_on() {
    let host = Host::new();
    fs::write(host.at("rules/p.toml"), rule("plain", QUERY, "")).unwrap();
    let path = host.signed("p", 2, &rule("two", QUERY, ""));
    edit(&path.join("rules/r.toml"), "nc", "nx");
    let failure = host.read(When::Start, &[]).unwrap_err();
    assert_eq!(failure.exit, Exit::Config);
    assert!(failure.to_string().contains("[E119]"), "{failure}");
    let rules = host.read(When::Start, &["--keep-going"]).unwrap();
    assert_eq!((run(&rules), rules.refused), (vec![is("plain", "local")], 1));
}

#[test]
fn strict_mode_takes_signed_packs_only_and_as_those_of_strangers() {
    let host = Host::new();
    let path = host.signed("p", 1, &rule("one", QUERY, ""));
    let strict = host.read(When::Start, &["--strict"]).unwrap();
    assert_eq!(run(&strict), [is("one", "untrusted")]);
    assert_eq!(strict.infos()[0].max_alerts, 60);
    assert_eq!(strict.loaded.program.rules[0].meta.kept, Some(1_024));
    host.read(When::Reload, &["--strict"]).unwrap();
    assert_eq!(host.audited("pack-loaded").len(), 2, "every load is written down");
    let plain = host.at("rules").display().to_string();
    let failure = host.read(When::Start, &["--strict", "--rules", &plain]).unwrap_err();
    assert_eq!(failure.exit, Exit::Config);
    assert!(failure.to_string().contains("[E148]"), "{failure}");
    fs::remove_dir_all(path).unwrap();
    host.unsigned("p", 1, &rule("one", QUERY, ""));
    let other = Host { dir: host.dir, pen: host.pen };
    fs::remove_dir_all(other.at("state")).unwrap();
    let failure = other.read(When::Start, &["--strict"]).unwrap_err();
    assert!(failure.to_string().contains("[E130]"), "{failure}");
}

#[test]
fn nobody_takes_the_place_of_somebody_more_trusted() {
    let host = Host::new();
    let stranger = KeyPair::generate_unencrypted_keypair().unwrap();
    host.know(&stranger);
    host.trust(&format!("[[key]]\nid = \"{}\"\ntrust = \"untrusted\"\n", id(&stranger)));
    // It comes first by name.
    host.signed_by(&stranger, "aaa", 1, &rule("one", "process where false", ""));
    host.signed("zzz", 1, &rule("one", QUERY, ""));
    let rules = host.start();
    assert_eq!(run(&rules), [is("one", "signed")]);
    assert!(rules.left_out.iter().any(|one| one.file.contains("/aaa/")), "{:?}", rules.left_out);
}

#[test]
fn a_directory_of_packs_that_others_can_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let host = Host::new();
    host.signed("p", 1, &rule("one", QUERY, ""));
    let open = |name: &str, mode: u32| {
        fs::set_permissions(host.at(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    for (name, mode) in [("packs", 0o775), ("packs", 0o777), ("keys", 0o775), ("trust.toml", 0o666)]
    {
        let before = fs::metadata(host.at(name)).unwrap().permissions().mode() & 0o7777;
        open(name, mode);
        let failure = host.read(When::Start, &[]).unwrap_err();
        assert!(failure.to_string().contains("[E108]"), "{name}: {failure}");
        open(name, before);
    }
    assert_eq!(run(&host.start()), [is("one", "signed")], "the control");
    std::os::unix::fs::symlink(host.at("packs/p"), host.at("packs/q")).unwrap();
    assert!(host.read(When::Start, &[]).unwrap_err().to_string().contains("[E107]"));
}
