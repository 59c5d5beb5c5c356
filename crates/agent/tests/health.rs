//! Rules that are too noisy or too slow, and what the agent says of them.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::lab::{Lab, root, until};

const PATIENCE: Duration = Duration::from_secs(30);

/// What `rules -o json` says of a rule.
fn rule(lab: &Lab, id: &str) -> Value {
    let output = lab.ask(&["rules", "-o", "json"]);
    assert!(output.status.success(), "{output:?}");
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rules = list["rules"].as_array().unwrap();
    rules.iter().find(|rule| rule["id"] == id).unwrap().clone()
}

#[test]
fn a_noisy_rule_is_counted_and_silences_no_other() {
    if !root("a_noisy_rule_is_counted_and_silences_no_other") {
        return;
    }
    let lab = Lab::new();
    lab.rule("quiet", &lab.path("y").display().to_string());
    let agent = lab.start_with(&["--max-alerts", "5"]);
    for _ in 0..5 {
        agent.alert(lab.run_scratch("x"), PATIENCE).expect("up to the limit all are told");
    }
    let beyond: Vec<u32> = (0..7).map(|_| lab.run_scratch("x")).collect();
    let notice = agent.notice("rule_noisy", PATIENCE).expect("it is told that more are counted");
    assert_eq!(notice["rule"]["id"], "scratch");
    assert_eq!(notice["aegisbpf"]["health"]["limit"], 5);
    let alert = agent.alert(lab.run_scratch("y"), PATIENCE).expect("another rule goes on");
    assert_eq!(alert["rule"]["id"], "quiet");
    until("all matches are counted", PATIENCE, || rule(&lab, "scratch")["suppressed"] == 7);
    let noisy = rule(&lab, "scratch");
    assert_eq!(
        (&noisy["state"], &noisy["alerts"], &noisy["matches"]),
        (&"noisy".into(), &5.into(), &12.into())
    );
    assert_eq!((&noisy["format"], &noisy["severity"]), (&"own".into(), &"high".into()));
    assert_eq!(rule(&lab, "quiet")["state"], "ok");
    until("the status names it", PATIENCE, || {
        lab.status().is_some_and(|status| status["events"]["rules_noisy"][0] == "scratch")
    });
    let text = String::from_utf8_lossy(&lab.ask(&["status"]).stdout).into_owned();
    assert!(text.contains("too noisy: scratch") && text.contains("7 only counted"), "{text}");
    let alerts = lab.ask(&["alerts", "-o", "json"]).stdout;
    for pid in beyond {
        let needle = format!("\"pid\":{pid},");
        assert!(
            !String::from_utf8_lossy(&alerts).contains(&needle),
            "{pid} was to be counted only"
        );
    }
    // The rest of the count is told at the end, if not before.
    let guard = agent.guard();
    crate::lab::signal(guard, nix::sys::signal::Signal::SIGTERM);
    let notice = agent.notice("alerts_suppressed", PATIENCE).expect("the count is told");
    assert_eq!(notice["aegisbpf"]["health"]["suppressed"], 7);
    assert!(agent.stop().success());
}

#[test]
fn a_slow_rule_is_told_and_a_quick_one_is_not() {
    if !root("a_slow_rule_is_told_and_a_quick_one_is_not") {
        return;
    }
    let lab = Lab::new();
    // Matches nothing, though all texts that it requires are there: in the wrong order. So it has to
    // look at each byte of the command line in vain, many times.
    let patterns = (0..40).map(|number| format!("\".*[a-e]x.*y{number}\""));
    let query = format!(
        "process where process.command_line regex ({})",
        patterns.collect::<Vec<_>>().join(", ")
    );
    let text = format!(
        "[[rule]]\nid = \"slow\"\nname = \"Slow\"\ndescription = \"A test.\"\n\
         severity = \"low\"\nquery = '''{query}'''\n"
    );
    std::fs::write(lab.path("rules/slow.toml"), text).unwrap();
    let agent = lab.start();
    std::fs::copy("/bin/true", lab.path("long")).unwrap();
    let mut runs = 0;
    // Each command line is another one: what is known of a text is not looked for again.
    until("the slow rule is told", PATIENCE, || {
        runs += 1;
        let first = (0..40).map(|number| format!("y{number}"));
        let words = (0..30).map(|word| format!("{word}-{runs}-{}", "abcde".repeat(200)));
        let words = first.chain(words).chain(["ax".to_owned()]);
        assert!(Command::new(lab.path("long")).args(words).status().unwrap().success());
        lab.status().is_some_and(|status| status["events"]["rules_slow"][0] == "slow")
    });
    println!("after {runs} programs");
    let notice = agent.notice("rule_slow", PATIENCE).expect("it is told");
    assert_eq!(notice["rule"]["id"], "slow");
    let health = &notice["aegisbpf"]["health"];
    assert!(health["cost_ns"].as_u64() > health["budget_ns"].as_u64(), "{health}");
    assert_eq!(rule(&lab, "slow")["state"], "slow");
    assert_eq!(rule(&lab, "scratch")["state"], "ok", "the rule beside it");
    assert!(rule(&lab, "scratch")["cost_ns"].as_u64() < rule(&lab, "slow")["cost_ns"].as_u64());
    let figures = crate::metrics::figures(&lab);
    assert!(crate::metrics::sum(&figures, "rules_slow", "") > 0.0, "{figures:?}");
    let cost = |id: &str| crate::metrics::sum(&figures, "rule_event_seconds", &format!("\"{id}\""));
    assert!(cost("slow") > cost("scratch") && cost("slow") < 1.0, "{figures:?}");
    let text = String::from_utf8_lossy(&lab.ask(&["rules"]).stdout).into_owned();
    assert!(text.lines().nth(1).unwrap().starts_with("slow "), "{text}");
    agent.alert(lab.run_scratch("x"), PATIENCE).expect("alerts go on");
    assert!(agent.stop().success());
}
