//! What a worker begins with, after one that ended and from a store that somebody was at.

use std::fs;
use std::path::PathBuf;

use clap::Parser;
use serde_json::Value as Json;
use tempfile::TempDir;

use super::*;
use crate::cli::{Cli, Command};
use crate::rules::Kind;

/// Rules and a state directory.
struct Host {
    dir: TempDir,
}

impl Host {
    fn new() -> Host {
        let host = Host { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(host.at("rules")).unwrap();
        host.rule("one");
        host
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn rule(&self, id: &str) {
        let text = format!(
            "[[rule]]\nid = \"{id}\"\nname = \"n\"\ndescription = \"d\"\nseverity = \"low\"\n\
             query = '''process where process.name == \"nc\"'''\n"
        );
        fs::write(self.at(&format!("rules/{id}.toml")), text).unwrap();
    }

    /// The worker of another process.
    fn generations(&self, more: &[&str]) -> Generations {
        let mut words = vec!["aegisbpf".to_owned(), "run".to_owned()];
        for (option, name) in [("--rules", "rules"), ("--state-dir", "state")] {
            words.extend([option.to_owned(), self.at(name).display().to_string()]);
        }
        words.extend(more.iter().map(|word| (*word).to_owned()));
        let Command::Run(args) = Cli::parse_from(words).command else { panic!() };
        let audit = Arc::new(Audit::at(&self.at("state")));
        Generations::new(&args, Seen::default(), audit)
    }

    fn audited(&self, action: &str) -> Vec<Json> {
        Audit::at(&self.at("state")).lines(|one| one == action).unwrap()
    }
}

fn told(fresh: &Fresh) -> (Option<u64>, usize, bool) {
    let generation = fresh.set.generation.as_ref().unwrap();
    (generation.number, fresh.set.loaded, generation.held.is_some())
}

fn reload(host: &Host) -> Result<Fresh, Failure> {
    let generations = host.generations(&[]);
    generations.answer(Ask::Directories(Why::Reload.into()), &generations.args)
}

#[test]
fn what_is_held_and_tried_is_so_for_the_places_that_were_named() {
    let host = Host::new();
    assert_eq!(told(&host.generations(&[]).begin(0).unwrap()), (Some(1), 1, false));
    host.rule("two");
    let fresh = reload(&host).unwrap();
    assert!(matches!(fresh.trial, OnTrial::Begins(2, _)), "the control");
    let back = host.generations(&[]);
    back.answer(Ask::Rollback(Some(1), Why::Rollback.into()), &back.args).unwrap();
    assert_eq!(told(&host.generations(&[]).begin(0).unwrap()), (Some(1), 1, true), "it holds");

    fs::create_dir(host.at("other")).unwrap();
    host.rule("three");
    fs::rename(host.at("rules/three.toml"), host.at("other/three.toml")).unwrap();
    let other = host.at("other").display().to_string();
    let fresh = host.generations(&["--rules", &other]).begin(0).unwrap();
    assert_eq!((told(&fresh), fresh.trial), ((Some(3), 3, false), OnTrial::Over));
}

#[test]
fn files_that_ended_a_worker_which_read_them_are_held_back_until_they_change() {
    let host = Host::new();
    assert_eq!(told(&host.generations(&[]).begin(0).unwrap()), (Some(1), 1, false));
    host.rule("two");
    let second = host.generations(&[]);
    second.reading(Some(look(&second.args)));
    assert_eq!(told(&host.generations(&[]).begin(1).unwrap()), (Some(1), 1, true));
    let [line] = &host.audited("rules-reverted")[..] else { panic!() };
    assert_eq!(line["reason"], "the worker ended while it read other rules");
    assert_eq!(told(&host.generations(&[]).begin(2).unwrap()), (Some(1), 1, true), "still");
    host.rule("three");
    assert_eq!(told(&host.generations(&[]).begin(3).unwrap()), (Some(2), 3, false));
    // The control: a reading that ended, well or not, is nobody's end.
    assert!(reload(&host).is_ok());
    fs::write(host.at("rules/bad.toml"), "[[rule]]\n").unwrap();
    assert_eq!(reload(&host).unwrap_err().exit, Exit::Config);
    assert_eq!(host.generations(&[]).store.standing().unwrap().reading, None);
    assert_eq!(host.audited("rules-refused").len(), 1);
}

#[test]
fn broken_files_do_not_end_a_worker_that_takes_the_place_of_another() {
    let host = Host::new();
    host.generations(&[]).begin(0).unwrap();
    fs::write(host.at("rules/bad.toml"), "[[rule]]\n").unwrap();
    assert_eq!(host.generations(&[]).begin(0).unwrap_err().exit, Exit::Config, "the first one");
    let fresh = host.generations(&[]).begin(1).unwrap();
    assert_eq!(told(&fresh), (Some(1), 1, false));
    let error = fresh.set.reload.unwrap().error.unwrap();
    assert!(error.contains("nothing is loaded"), "{error}");
}

#[test]
fn a_damaged_generation_is_not_run() {
    let host = Host::new();
    host.generations(&[]).begin(0).unwrap();
    host.rule("two");
    let second = host.generations(&[]);
    second.begin(0).unwrap();
    let back = || Ask::Rollback(None, Why::Rollback.into());
    assert_eq!(told(&second.answer(back(), &second.args).unwrap()), (Some(1), 1, true));
    assert_eq!(told(&host.generations(&[]).begin(0).unwrap()), (Some(1), 1, true), "the control");
    fs::write(second.store.place(1).join("files/0"), "").unwrap();
    assert_eq!(told(&host.generations(&[]).begin(0).unwrap()), (Some(3), 2, false));
    let line = host.audited("rules-refused").pop().unwrap();
    assert!(line["reason"].as_str().unwrap().contains("is not as it was written"), "{line}");
    let failure = second.answer(Ask::Rollback(Some(1), Why::Rollback.into()), &second.args);
    assert_eq!(failure.unwrap_err().exit, Exit::Failed);
    // A generation of plain rules is none for strict mode.
    let strict = host.generations(&["--strict"]);
    let strict = RunArgs { rules: Vec::new(), ..strict.args.clone() };
    let strict = Generations::new(&strict, Seen::default(), Arc::new(Audit::at(&host.at("state"))));
    let refused = strict.answer(Ask::Rollback(Some(2), Why::Rollback.into()), &strict.args);
    assert!(refused.unwrap_err().to_string().contains("strict mode takes none"));
}

#[test]
fn a_script_beside_a_rule_file_comes_back_as_it_was() {
    let host = Host::new();
    let rules = "[[script]]\nname = \"own\"\nfile = \"own.luau\"\n\n[[rule]]\nid = \"asks\"\nname = \
                 \"n\"\ndescription = \"d\"\nseverity = \"low\"\nquery = '''process where \
                 own.f(process.name)'''\n";
    fs::write(host.at("rules/asks.toml"), rules).unwrap();
    let code = |is: bool| format!("return {{ f = function(name) return {is} end }}\n");
    fs::write(host.at("rules/own.luau"), code(true)).unwrap();
    let first = host.generations(&[]).begin(0).unwrap();
    assert_eq!(told(&first), (Some(1), 2, false));
    fs::write(host.at("rules/own.luau"), code(false)).unwrap();
    let fresh = reload(&host).unwrap();
    assert_eq!(told(&fresh), (Some(2), 2, false), "another script is another generation");
    let OnTrial::Begins(2, ids) = &fresh.trial else { panic!("{:?}", fresh.trial) };
    assert_eq!(*ids, HashSet::from(["asks".to_owned()]), "and another rule that asks it");
    let generations = host.generations(&[]);
    let made = generations.stored(1, true).unwrap();
    let kept = made.contents.unwrap();
    let script = kept.iter().find(|one| matches!(one.kind, Kind::Script { .. })).unwrap();
    assert_eq!(script.bytes, code(true).into_bytes());
    assert_eq!(made.fresh.recorded, first.recorded, "what a recording tells of them");
}

#[test]
fn what_was_taken_back_is_not_taken_back_twice_and_no_broken_one_is_gone_back_to() {
    let host = Host::new();
    host.generations(&[]).begin(0).unwrap();
    host.rule("two");
    let fresh = reload(&host).unwrap();
    assert_eq!(
        (told(&fresh), fresh.trial.clone()),
        ((Some(2), 2, false), OnTrial::Begins(2, HashSet::from(["two".to_owned()])),)
    );
    let generations = host.generations(&[]);
    let revert =
        |number| generations.answer(Ask::Revert(number, "it floods".to_owned()), &generations.args);
    assert!(revert(1).unwrap_err().to_string().contains("not on trial"), "it is not in force");
    assert_eq!(told(&revert(2).unwrap()), (Some(1), 1, true));
    assert!(revert(2).unwrap_err().to_string().contains("not on trial any more"));
    host.rule("three");
    assert_eq!(told(&reload(&host).unwrap()), (Some(3), 3, false));
    let back = generations.answer(Ask::Rollback(None, Why::Rollback.into()), &generations.args);
    assert_eq!(told(&back.unwrap()), (Some(1), 1, true), "2 broke");
    // Nothing is on trial where that is switched off.
    let off = host.generations(&["--rules-trial", "0"]);
    host.rule("four");
    let fresh = off.answer(Ask::Directories(Why::Reload.into()), &off.args).unwrap();
    assert_eq!((told(&fresh).0, fresh.trial), (Some(4), OnTrial::Over));
}

#[test]
fn a_worker_that_writes_its_own_store_is_granted_nothing_by_it() {
    let host = Host::new();
    host.generations(&[]).begin(0).unwrap();
    let worker = host.generations(&[]);
    let look = |known: &[&String]| {
        let known = known.iter().map(|one| (*one).clone()).collect();
        let (rules, set) = in_force(&worker.args, &known).unwrap();
        let ids = rules.loaded.program.rules.iter().map(|rule| rule.meta.id.clone());
        (ids.collect::<Vec<_>>(), set)
    };
    let (rules, known) = look(&[]);
    let known = known.expect("the operator's directories were read");
    assert_eq!(rules, ["one"]);
    // He goes back to it after the operator has another rule: a set that was read before counts.
    host.rule("two");
    reload(&host).unwrap();
    worker.answer(Ask::Rollback(Some(1), Why::Rollback.into()), &worker.args).unwrap();
    assert_eq!(look(&[&known]), (vec!["one".to_owned()], None), "the control");
    assert_eq!(look(&[]).0, ["one", "two"], "unknown sets are those of the directories");
    // Now the same generation with a rule of the worker's own, and digests that fit.
    let mut about = worker.store.about(1).unwrap();
    let place = worker.store.place(1);
    let text = fs::read_to_string(place.join("files/0")).unwrap().replace("\"one\"", "\"evil\"");
    about.files[0].sha256 = ::packs::Sha256::of(text.as_bytes());
    about.files[0].bytes = text.len() as u64;
    about.sha256 = digest(&about.files, false);
    fs::write(place.join("files/0"), text).unwrap();
    fs::write(place.join("about.json"), serde_json::to_vec(&about).unwrap()).unwrap();
    assert_eq!(look(&[&about.sha256]).0, ["evil"], "the control: it would run");
    let (rules, set) = look(&[&known]);
    assert_eq!(rules, ["one", "two"]);
    assert!(set.is_some(), "and they come from the directories");
}
