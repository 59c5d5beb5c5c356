//! Rules about more than one event.

use std::time::Duration;

use crate::lab::{Lab, root};

/// Whatever a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A rule whose steps are starts of programs of the lab.
pub(crate) fn sequence(lab: &Lab, id: &str, maxspan: &str, steps: &[(&str, &str)]) {
    let step = |(not, name): &(&str, &str)| {
        let program = lab.path(name);
        format!(
            "  {not}[process where event.type == \"start\" and process.executable == \"{}\"]\n",
            program.display()
        )
    };
    let steps: String = steps.iter().map(step).collect();
    let text = format!(
        "[[rule]]\nid = \"{id}\"\nname = \"Programs in order\"\ndescription = \"A test.\"\n\
         severity = \"high\"\nquery = '''\nsequence with maxspan={maxspan}\n{steps}'''\n"
    );
    std::fs::write(lab.path("rules").join(format!("{id}.toml")), text).unwrap();
}

#[test]
fn a_sequence_that_began_before_a_reload_ends_after_it_with_both_events() {
    if !root("a_sequence_that_began_before_a_reload_ends_after_it_with_both_events") {
        return;
    }
    let lab = Lab::new();
    sequence(&lab, "pair", "1m", &[("", "a"), ("", "b")]);
    let agent = lab.start();
    let first = lab.run_scratch("a");
    // Sorts before the sequence, whose number is then another one.
    lab.rule("another", &lab.path("y").display().to_string());
    let reloaded = lab.ask(&["reload"]);
    assert!(reloaded.status.success(), "{reloaded:?}");
    let second = lab.run_scratch("b");
    let alert = agent.alert(second, PATIENCE).expect("an alert about the second program");
    assert_eq!(alert["rule"]["id"], "pair");
    let pid = |at: usize| alert["events"][at]["document"]["process"]["pid"].as_u64();
    assert_eq!((pid(0), pid(1), pid(2)), (Some(first.into()), Some(second.into()), None));
    assert!(agent.stop().success());
}

#[test]
fn what_did_not_follow_is_told_when_its_time_is_over() {
    if !root("what_did_not_follow_is_told_when_its_time_is_over") {
        return;
    }
    let lab = Lab::new();
    sequence(&lab, "alone", "1s", &[("", "a"), ("!", "b")]);
    let agent = lab.start();
    lab.run_scratch("a");
    lab.run_scratch("b");
    let alone = lab.run_scratch("a");
    let alert = agent.next(PATIENCE).expect("an alert about the program that was not followed");
    assert_eq!((&alert["rule"]["id"], &alert["process"]["pid"]), (&"alone".into(), &alone.into()));
    assert!(alert["process"]["Ext"]["ancestors"][0]["name"].is_string(), "{alert}");
    assert!(agent.stop().success());
}
