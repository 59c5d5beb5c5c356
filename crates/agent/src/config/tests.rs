//! The configuration against files of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use clap::{Args, Command};

use super::*;
use crate::cli::OnExit;

fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
}

fn with(root: &Path, words: &[&str], variables: &[(&str, &str)]) -> Result<Effective, Failure> {
    let words: Vec<OsString> = words.iter().map(Into::into).collect();
    let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
    effective(&words, &Layers::below(root), variables.collect::<Vec<_>>().into_iter())
}

fn origin(effective: &Effective, key: &str) -> String {
    let one = effective.settings.iter().find(|one| one.key.to_string() == key).unwrap();
    one.origin.to_string()
}

#[test]
fn each_option_of_run_is_a_key_or_is_none_for_a_reason() {
    let run = RunArgs::augment_args(Command::new("run"));
    let options = run.get_arguments().filter_map(clap::Arg::get_long);
    let mut options: Vec<&str> = options.filter(|one| !keys::NO_KEYS.contains(one)).collect();
    let mut known: Vec<&str> = keys().map(|key| key.option).collect();
    options.sort_unstable();
    known.sort_unstable();
    assert_eq!(known, options);
}

#[test]
fn without_a_file_everything_is_as_without_one() {
    let root = tempfile::tempdir().unwrap();
    let none = with(root.path(), &[], &[]).unwrap();
    assert!(!none.args.enforce && none.args.max_alerts == 1000 && none.args.rules.is_empty());
    assert!(none.settings.iter().all(|one| one.origin == Origin::Default));
}

#[test]
fn the_later_is_stronger_and_says_where_it_comes_from() {
    let root = tempfile::tempdir().unwrap();
    let at = root.path();
    write(at, "usr/lib/aegisbpf/config.d/50.toml", "[output]\nmax_alerts = 1\nevents = true\n");
    write(
        at,
        "etc/aegisbpf/config.toml",
        "[output]\nmax_alerts = 2\n[rules]\ndirectories = ['/a', '/b']\n",
    );
    write(at, "run/aegisbpf/config.d/10.toml", "[output]\nmax_alerts = 3\n");
    let max = |words: &[&str], variables: &[(&str, &str)]| {
        let read = with(at, words, variables).unwrap();
        (read.args.max_alerts, origin(&read, "output.max_alerts"))
    };
    assert_eq!(max(&[], &[]).0, 3);
    write(at, "etc/aegisbpf/config.d/20.toml", "\n[output]\nmax_alerts = 4 # four\n");
    let (four, from) = max(&[], &[]);
    assert!(four == 4 && from.ends_with("etc/aegisbpf/config.d/20.toml:3"), "{from}");
    let variables = [("AEGISBPF_OUTPUT__MAX_ALERTS", "5"), ("AEGISBPF_LOG", "debug")];
    assert_eq!(max(&[], &variables), (5, "variable AEGISBPF_OUTPUT__MAX_ALERTS".to_owned()));
    assert_eq!(max(&["--max-alerts", "6"], &variables), (6, "command line".to_owned()));
    let read = with(at, &[], &[]).unwrap();
    assert!(read.args.events, "what nobody else names stays");
    assert_eq!(read.args.rules, [Path::new("/a"), Path::new("/b")]);
    let read = with(at, &["--rules", "/c"], &[]).unwrap();
    assert_eq!(read.args.rules, [Path::new("/c")], "a list is replaced, not made longer");
    let read = with(at, &[], &[("AEGISBPF_RULES__DIRECTORIES", "['/d', '/e']")]).unwrap();
    assert_eq!(read.args.rules, [Path::new("/d"), Path::new("/e")]);
}

#[test]
fn a_file_of_the_same_name_takes_the_place_of_another_and_a_link_to_null_switches_it_off() {
    let root = tempfile::tempdir().unwrap();
    let at = root.path();
    write(at, "usr/lib/aegisbpf/config.d/50.toml", "[output]\nevents = true\nmax_alerts = 7\n");
    assert!(with(at, &[], &[]).unwrap().args.events);
    write(at, "etc/aegisbpf/config.d/50.toml", "[output]\nno_alerts = true\n");
    let read = with(at, &[], &[]).unwrap();
    assert!(read.args.no_alerts && !read.args.events && read.args.max_alerts == 1000);
    let link = at.join("etc/aegisbpf/config.d/50.toml");
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    let read = with(at, &[], &[]).unwrap();
    assert!(!read.args.no_alerts && !read.args.events);
}

#[test]
fn the_command_line_can_take_back_enforcement() {
    let root = tempfile::tempdir().unwrap();
    let at = root.path();
    let text = "[policy]\nenforce = true\nself_protect = true\non_exit = 'release'\n";
    write(at, "etc/aegisbpf/config.toml", text);
    let read = with(at, &[], &[]).unwrap();
    assert!(read.args.enforce && read.args.self_protect && read.args.on_exit == OnExit::Release);
    let read = with(at, &["--audit"], &[]).unwrap();
    assert!(read.args.audit && !read.args.enforce && !read.args.self_protect);
    assert_eq!(read.args.on_exit, OnExit::Release);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (text, expected) in [
        ("[output]\nmax_alerts = 'x'\n", ":2: `output.max_alerts` is a number"),
        ("[output]\n\nmax_alerts = 0\n", ":3: `output.max_alerts`: invalid value '0'"),
        ("[output]\nevents = 1\n", ":2: `output.events` is `true` or `false`"),
        (
            "[output]\nmax-alerts = 1\n",
            ":2: there is no `output.max-alerts`; `output.max_alerts` is",
        ),
        ("max_alerts = 1\n", ":1: `max_alerts` stands in no table; `output.max_alerts` is"),
        ("[policy]\non_exit = 'never'\n", ":2: `policy.on_exit`: invalid value 'never'"),
        (
            "[policy]\nself_protect = true\n",
            "configuration: the following required arguments were not provided: --enforce",
        ),
        ("[state]\nhistory = '1MiB,1h'\n", ":2: `state.history`: invalid value"),
        ("[rules]\ndirectories = [1]\n", ":2: `rules.directories` holds text"),
        ("[rules]\nstrict = true\nstrict = false\n", ":3: duplicate key"),
        ("[rules\n", ":1: "),
    ] {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "etc/aegisbpf/config.toml", text);
        let failure = with(root.path(), &[], &[]).unwrap_err();
        assert!(failure.to_string().contains(expected), "{text}: {failure}");
        assert_eq!(failure.exit, Exit::Config, "{text}");
    }
    let root = tempfile::tempdir().unwrap();
    let failure = with(root.path(), &[], &[("AEGISBPF_OUTPUT__EVENT", "true")]).unwrap_err();
    assert!(failure.to_string().contains("AEGISBPF_OUTPUT__EVENT: there is no such key"));
}

#[test]
fn a_file_that_others_can_write_is_not_obeyed() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "etc/aegisbpf/config.toml", "[output]\nevents = true\n");
    assert!(with(root.path(), &[], &[]).unwrap().args.events, "the control");
    let path = root.path().join("etc/aegisbpf/config.toml");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let failure = with(root.path(), &[], &[]).unwrap_err();
    assert!(failure.to_string().contains("others can write this"), "{failure}");
}

#[test]
fn the_schema_takes_what_is_taken_and_refuses_types_that_are_refused() {
    let place = "https://aegisbpf.test/config.schema.json";
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.add_resource(place, schema()).unwrap();
    let index = compiler.compile(place, &mut schemas).unwrap();
    let root = tempfile::tempdir().unwrap();
    for (text, sound) in [
        ("[rules]\ndirectories = ['/a']\nstrict = true\n", true),
        ("[rules]\npacks = '/a'\n[output]\nmax_alerts = 7\nformat = 'compact'\n", true),
        ("[policy]\nenforce = true\non_exit = 'keep'\n[state]\nhistory = '8MiB,1h'\n", true),
        ("[output]\nmax_alerts = 'seven'\n", false),
        ("[output]\nformat = 'yaml'\n", false),
        ("[policy]\nenforce = 'yes'\n", false),
        ("[rules]\nkeep-going = true\n", false),
        ("[alerts]\n", false),
    ] {
        write(root.path(), "etc/aegisbpf/config.toml", text);
        let document: serde_json::Value = toml::from_str(text).unwrap();
        assert_eq!(schemas.validate(&document, index).is_ok(), sound, "{text}");
        assert_eq!(with(root.path(), &[], &[]).is_ok(), sound, "{text}");
    }
}

#[test]
fn the_page_has_each_key_with_its_option_and_its_example_is_sound() {
    let page = include_str!("../../../../docs/config.md");
    for key in keys() {
        let row = format!("| `{key}` | `--{}` | ", key.option);
        assert!(page.contains(&row), "{key}");
    }
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "etc/aegisbpf/config.d/20-enforce.toml", example.unwrap());
    let read = with(root.path(), &[], &[]).unwrap();
    assert!(read.args.enforce);
    assert_eq!(read.args.history, "4GiB,7d".parse().unwrap());
}
