//! Whatever goes wrong on the way, what was in force before stays in force.

use std::fs;
use std::path::Path;

use model::policy::Operation;

use super::*;

/// An agent that notes what it is given, and may refuse it.
#[derive(Default)]
struct Agent {
    given: Vec<u64>,
    refuses: bool,
    offer: Offer,
}

impl Enforce for Agent {
    fn name(&self) -> Option<String> {
        Some("a test".to_owned())
    }

    fn mode(&self) -> Mode {
        Mode::Enforce
    }

    fn offer(&self) -> Offer {
        self.offer.clone()
    }

    fn put(&mut self, staged: &Staged) -> Result<(), Failure> {
        if self.refuses {
            return Err(Failure::new(Exit::Failed, "the kernel has no room"));
        }
        self.given.push(staged.generation);
        Ok(())
    }
}

fn text(object: &str) -> String {
    format!(
        "apiVersion: aegisbpf.io/v1\nkind: Policy\nmetadata: {{name: p}}\nspec:\n  \
         rules: [{{id: a, subject: {{user: root}}, deny: read, files: {object}}}]\n"
    )
}

/// Writes a policy about an object and says what is wanted.
fn wanted(dir: &Path, object: &str) -> Wanted {
    let path = dir.join("p.yaml");
    fs::write(&path, text(object)).unwrap();
    Wanted { paths: vec![path], reason: Some("a test".to_owned()), ..Wanted::default() }
}

fn code(stop: &Stop) -> &'static str {
    match stop {
        Stop::Refused(refused) => refused.0.diagnostics[0].code.as_str(),
        Stop::Unverified(refused) => refused[0].code.as_str(),
        Stop::Failed(_) => "failed",
    }
}

#[test]
fn generations_follow_each_other_and_can_be_gone_back_to() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    let mut agent = Agent::default();
    for (object, generation) in [("/srv/one", 1), ("/srv/two", 2)] {
        let (_, active) = apply(&store, &wanted(dir.path(), object), &mut agent).unwrap();
        assert_eq!((active.generation, store.active().unwrap()), (generation, Some(generation)));
    }
    let (target, active) = rollback(&store, None, Some("it was wrong"), &mut agent).unwrap();
    assert_eq!((target, active.generation, agent.given.clone()), (1, 3, vec![1, 2, 3]));
    let (one, three) = (store.read(1).unwrap(), store.read(3).unwrap());
    assert_eq!(one.about.sha256, three.about.sha256);
    assert_eq!(one.about.rules, three.about.rules);
    assert_eq!(store.sources(&three.about).unwrap()[0].text, text("/srv/one"));
    // The one before is the one with other texts, not the one before by number.
    assert_eq!(rollback(&store, None, None, &mut agent).unwrap().0, 2);
    let again = rollback(&store, Some(4), None, &mut agent).unwrap_err();
    assert!(matches!(again, Stop::Failed(failure) if failure.to_string().contains("already")));

    let changes = store.changes().unwrap();
    let actions: Vec<&str> = changes.iter().map(|one| one["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["apply", "apply", "rollback", "rollback"]);
    assert_eq!(changes[0]["before"], serde_json::Value::Null);
    assert_eq!(changes[2]["before"]["generation"], 2);
    assert_eq!(changes[2]["after"]["sha256"], one.about.sha256);
    assert_eq!(changes[2]["reason"], "it was wrong");
    assert_eq!(changes[2]["who"]["pid"], std::process::id());
}

#[test]
fn what_fails_at_any_step_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    let mut agent = Agent::default();
    apply(&store, &wanted(dir.path(), "/srv/one"), &mut agent).unwrap();
    let good = store.read(1).unwrap();

    let missing = Wanted { paths: vec![dir.path().join("none")], ..Wanted::default() };
    assert_eq!(code(&apply(&store, &missing, &mut agent).unwrap_err()), "E051");
    let mut wrong = wanted(dir.path(), "/srv/two");
    wrong.expected.sha256 = Some("0".repeat(64));
    assert_eq!(code(&apply(&store, &wrong, &mut agent).unwrap_err()), "E052");
    assert_eq!(
        code(&apply(&store, &wanted(dir.path(), "relative"), &mut agent).unwrap_err()),
        "E004"
    );
    assert_eq!(
        code(&apply(&store, &wanted(dir.path(), "/a/../b"), &mut agent).unwrap_err()),
        "E053"
    );
    assert_eq!(
        code(&apply(&store, &wanted(dir.path(), "/etc/shadow"), &mut agent).unwrap_err()),
        "E054"
    );
    agent.offer = Offer::nothing("no hook");
    assert_eq!(
        code(&apply(&store, &wanted(dir.path(), "/srv/two"), &mut agent).unwrap_err()),
        "E056"
    );
    agent.offer = Offer::default();
    agent.refuses = true;
    let refused = apply(&store, &wanted(dir.path(), "/srv/two"), &mut agent).unwrap_err();
    assert!(matches!(refused, Stop::Failed(failure) if failure.to_string().contains("no room")));
    let back = rollback(&store, Some(7), None, &mut agent).unwrap_err();
    assert!(
        matches!(back, Stop::Failed(failure) if failure.to_string().contains("no generation 7"))
    );

    assert_eq!((store.active().unwrap(), store.list().unwrap()), (Some(1), vec![1]));
    assert_eq!(store.read(1).unwrap().tables, good.tables);
    assert_eq!(agent.given, [1]);
    let changes = store.changes().unwrap();
    assert_eq!(changes.last().unwrap()["action"], "apply-failed");

    // What is accepted and forced goes through.
    agent.refuses = false;
    let mut forced = wanted(dir.path(), "/etc/shadow");
    forced.force = true;
    agent.offer = Offer::nothing("no hook");
    forced.accepted = Operations::default().with(Operation::Read);
    assert_eq!(apply(&store, &forced, &mut agent).unwrap().1.generation, 2);
    // It stays accepted when the same is put in force once more, as for a rule of the command line.
    let again = Wanted { again: true, force: true, ..Wanted::default() };
    assert_eq!(apply(&store, &again, &mut agent).unwrap().1.generation, 3);
    let about = store.read(3).unwrap().about;
    assert_eq!(about.refused_by(&agent.offer), None);
    let plain = store.read(1).unwrap().about.refused_by(&agent.offer).unwrap();
    assert!(plain.starts_with("p/a at ") && plain.contains("`read` cannot"), "{plain}");
}

#[test]
fn a_crash_leaves_the_generation_before() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    let mut agent = Agent::default();
    apply(&store, &wanted(dir.path(), "/srv/one"), &mut agent).unwrap();
    let root = dir.path().join("policy");
    // Half a generation beside the others, half a line in the audit log, a generation that was
    // staged and never got active.
    fs::create_dir(root.join("generations/.new-x")).unwrap();
    let staged = {
        let locked = store.lock().unwrap();
        let ready = prepare(&store, &wanted(dir.path(), "/srv/two"), 2, &agent).unwrap();
        locked.stage(&ready, &Who::me()).unwrap()
    };
    let journal = dir.path().join("audit.jsonl");
    let mut lines = fs::read_to_string(&journal).unwrap();
    lines.push_str("{\"action\": \"app");
    fs::write(&journal, lines).unwrap();
    assert_eq!((staged.generation, store.active().unwrap()), (2, Some(1)));
    assert_eq!(store.changes().unwrap().len(), 1);
    // The next one goes on from there.
    let (_, active) = apply(&store, &wanted(dir.path(), "/srv/three"), &mut agent).unwrap();
    assert_eq!(active.generation, 3);

    // Tables that were changed on disk are not used.
    let tables = root.join("generations/3/tables");
    let mut bytes = fs::read(&tables).unwrap();
    bytes.truncate(bytes.len() / 2);
    fs::write(&tables, bytes).unwrap();
    let broken = store.read(3).unwrap_err();
    assert!(broken.to_string().contains("tables"), "{broken}");
}

#[test]
fn old_generations_go_and_the_one_in_force_stays() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    let mut agent = Agent::default();
    for number in 0..20 {
        let wanted = wanted(dir.path(), &format!("/srv/{number}"));
        apply(&store, &wanted, &mut agent).unwrap();
    }
    let kept = store.list().unwrap();
    assert_eq!((kept.len(), kept[0], store.active().unwrap()), (16, 5, Some(20)));
}
