//! Alerts put together by trees of processes, and what is not told again.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::lab::{Lab, root, signal, until};
use crate::policies::document;
use crate::prevention::Scene;

const PATIENCE: Duration = Duration::from_secs(30);

fn incidents(lab: &Lab) -> Vec<Value> {
    let output = lab.ask(&["incidents", "-o", "json"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn alerts_of_a_tree_are_one_incident_that_outlives_the_agent() {
    if !root("alerts_of_a_tree_are_one_incident_that_outlives_the_agent") {
        return;
    }
    let lab = Lab::new();
    lab.rule("second", &lab.path("y").display().to_string());
    let agent = lab.start();
    let mut told = Vec::new();
    for name in ["x", "x", "y", "x"] {
        told.push(agent.alert(lab.run_scratch(name), PATIENCE).expect("the control: it is told"));
    }
    let last = &told[3]["incident"];
    assert_eq!((&last["alerts"], &last["alike"]), (&4.into(), &3.into()), "{last}");
    assert!(told.iter().all(|alert| alert["incident"]["id"] == last["id"]));
    assert_eq!(last["id"], told[0]["alert"]["id"], "it is named after what it began with");
    let all = incidents(&lab);
    let [one] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(
        (&one["open"], &one["alerts"], &one["severity"]),
        (&true.into(), &4.into(), &"high".into())
    );
    let found: Vec<_> =
        one["findings"].as_array().unwrap().iter().map(|it| (&it["rule"], &it["count"])).collect();
    assert_eq!(found, [(&"scratch".into(), &3.into()), (&"second".into(), &1.into())]);
    // The tree leads from this test to what it started.
    let own = std::process::id();
    let of =
        |pid: u32| one["processes"].as_array().unwrap().iter().find(move |it| it["pid"] == pid);
    let pid = u32::try_from(told[2]["process"]["pid"].as_u64().unwrap()).unwrap();
    assert_eq!(of(pid).unwrap()["parent"], of(own).unwrap()["entity_id"]);
    let id = last["id"].as_str().unwrap();
    let story = lab.ask(&["incidents", &id[..8]]);
    let story = String::from_utf8(story.stdout).unwrap();
    assert!(story.contains("T1204.002") && story.contains("[1 alerts]"), "{story}");
    assert_eq!(lab.ask(&["incidents", "none-such"]).status.code(), Some(1));
    agent.stop();
    let agent = lab.start();
    let alert = agent.alert(lab.run_scratch("x"), PATIENCE).expect("it is told");
    assert_eq!(alert["incident"]["alerts"], 5, "the same tree, the same boot");
    assert_eq!(alert["incident"]["id"], last["id"]);
    agent.stop();
}

#[test]
fn what_is_denied_to_a_process_is_of_the_incident_of_its_tree() {
    if !root("what_is_denied_to_a_process_is_of_the_incident_of_its_tree") {
        return;
    }
    let scene = Scene::new();
    let kept = scene.policy("kept", "text");
    let program = scene.lab.path("x").display().to_string();
    let subject = format!("subject: {{executable: {program}}}");
    let text = document(
        "p",
        &format!(
            "  rules:\n    - {{id: connects, {subject}, deny: connect, peers: '127.0.0.1:{}'}}\n    \
             - {{id: reads, {subject}, deny: read, files: {}}}\n",
            scene.port,
            kept.display()
        ),
    );
    let policy = scene.policy("p.yaml", &text);
    let agent = scene.start(&["--enforce", "--policy", policy.to_str().unwrap()]);
    // One hook of the network, and one of files: they know of the process in different ways.
    let script =
        format!("exec 3<>/dev/tcp/127.0.0.1/{}; read line < {}", scene.port, kept.display());
    let ran = Command::new(&program).args(["-c", &script]).output().unwrap();
    assert!(!ran.status.success(), "{ran:?}");
    let mut told = Vec::new();
    while told.len() < 3 {
        let alert = agent.next(PATIENCE).unwrap_or_else(|| panic!("only {told:#?}"));
        if alert["process"]["executable"] == *program {
            told.push(alert);
        }
    }
    let (started, denied): (Vec<_>, Vec<_>) =
        told.iter().partition(|it| it["rule"]["id"] == "scratch");
    let [started] = started.as_slice() else { panic!("{told:#?}") };
    let rules: BTreeSet<_> = denied.iter().map(|it| it["rule"]["id"].as_str().unwrap()).collect();
    assert_eq!(rules, ["connects", "reads"].into(), "the control: both were denied");
    for denial in denied {
        for at in ["/process/entity_id", "/process/parent/entity_id", "/incident/id"] {
            let (its, others) = (denial.pointer(at), started.pointer(at));
            assert!(its.is_some() && its == others, "{at}: {denial:#} {started:#}");
        }
    }
    let all = incidents(&scene.lab);
    let [one] = all.as_slice() else { panic!("{all:#?}") };
    assert_eq!(one["alerts"], 3, "{one:#}");
    assert!(agent.stop().success());
}

/// A rule about an executable, which asks for its end.
fn deadly(lab: &Lab, id: &str, name: &str) {
    lab.rule(id, &lab.path(name).display().to_string());
    let path = lab.path("rules").join(format!("{id}.toml"));
    let text = fs::read_to_string(&path).unwrap();
    let text = text.replace("severity =", "response = [\"kill\"]\nseverity =");
    fs::write(&path, text).unwrap();
}

fn put(lab: &Lab, name: &str, text: &str) -> PathBuf {
    let path = lab.path("suppressions").join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn covered(lab: &Lab, id: &str) -> Option<u64> {
    let output = lab.ask(&["suppressions", "-o", "json"]);
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let all = list["suppressions"].as_array().unwrap();
    all.iter().find(|one| one["id"] == id)?["covered"].as_u64()
}

#[test]
fn what_is_suppressed_is_neither_told_nor_acted_upon() {
    if !root("what_is_suppressed_is_neither_told_nor_acted_upon") {
        return;
    }
    let lab = Lab::new();
    deadly(&lab, "deadly", "y");
    fs::create_dir(lab.path("suppressions")).unwrap();
    let program = lab.path("y").display().to_string();
    let day = jiff::Zoned::now().date().tomorrow().unwrap();
    let text = format!(
        "[[suppression]]\nid = \"known\"\nrule = \"deadly\"\nwhere = 'process.executable == \"{program}\"'\n\
         reason = \"a test\"\nexpires = {day}\n"
    );
    let file = put(&lab, "known.toml", &text);
    let directory = lab.path("suppressions").display().to_string();
    let agent = lab.start_with(&["--suppressions", &directory]);
    let quiet = lab.run_scratch("y");
    let (alert, lines) = agent.alert_and_lines(lab.run_scratch("x"), PATIENCE);
    alert.expect("the control: another rule goes on");
    assert!(!lines.contains(&format!("\"pid\":{quiet},")), "{lines}");
    assert_eq!(covered(&lab, "known"), Some(1));
    // A broken file changes nothing.
    put(&lab, "broken.toml", "[[suppression]]\nid = 1\n");
    let notice = agent.notice("suppressions_refused", PATIENCE).expect("it is told");
    assert!(notice["message"].as_str().unwrap().contains("broken.toml"), "{notice}");
    fs::remove_file(lab.path("suppressions").join("broken.toml")).unwrap();
    // Without it, the same is told and would be acted upon.
    fs::remove_file(file).unwrap();
    until("it is read again", PATIENCE, || covered(&lab, "known").is_none());
    let loud = lab.run_scratch("y");
    agent.alert(loud, PATIENCE).expect("the control: now it is told");
    let would = || {
        let state = lab.path("state").display().to_string();
        let output = std::process::Command::new(crate::lab::AGENT)
            .args(["audit", "tail", "-o", "json", "-n", "1000", "--state-dir", &state])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    until("it would have been ended", PATIENCE, || would().contains(&format!("\"pid\":{loud}")));
    assert!(!would().contains(&format!("\"pid\":{quiet}")), "{}", would());
    // What is suggested covers what was told, as the history shows, and then the real thing.
    let words = ["suppressions", "suggest", "deadly", "--reason", "a test"];
    let suggested = String::from_utf8(lab.ask(&words).stdout).unwrap();
    agent.stop();
    let file = put(&lab, "suggested.toml", &suggested);
    let test = std::process::Command::new(crate::lab::AGENT)
        .args(["suppressions", "test", "-o", "json", "--state-dir"])
        .args([lab.path("state"), file])
        .output()
        .unwrap();
    let outcome: Value =
        serde_json::from_slice(&test.stdout).unwrap_or_else(|_| panic!("{test:?}"));
    assert_eq!(outcome["suppressions"][0]["covered"], 2, "{outcome} {suggested}");
    assert_eq!(outcome["left"].as_array().unwrap().len(), 0, "{outcome}");
    let agent = lab.start_with(&["--suppressions", &directory, "--no-watch"]);
    lab.run_scratch("y");
    agent.alert(lab.run_scratch("x"), PATIENCE).expect("the control");
    assert_eq!(covered(&lab, "deadly-y"), Some(1), "{suggested}");
    // Who does not look at files reads them again when somebody asks.
    put(&lab, "known.toml", &text);
    assert!(lab.ask(&["reload"]).status.success());
    until("it is read with the rules", PATIENCE, || covered(&lab, "known") == Some(0));
    assert_eq!(covered(&lab, "deadly-y"), Some(1), "what stays keeps its figures");
    put(&lab, "known.toml", &text.replace("\"known\"", "\"other\""));
    std::thread::sleep(3 * Duration::from_secs(1));
    assert_eq!(covered(&lab, "other"), None, "the control: nobody asked");
    signal(agent.guard(), nix::sys::signal::Signal::SIGHUP);
    until("SIGHUP asks, too", PATIENCE, || covered(&lab, "other") == Some(0));
    agent.stop();
}

#[test]
fn suppressions_that_are_wrong_keep_the_agent_from_starting() {
    if !root("suppressions_that_are_wrong_keep_the_agent_from_starting") {
        return;
    }
    let lab = Lab::new();
    fs::create_dir(lab.path("suppressions")).unwrap();
    put(
        &lab,
        "a.toml",
        "[[suppression]]\nid = \"a\"\nrule = \"x\"\nwhere = 'process.nmae == 1'\nreason = \"r\"\nexpires = 2026-01-01\n",
    );
    let mut command = lab.command();
    command.args(["--state-dir"]).arg(lab.path("state"));
    let output = command.arg("--suppressions").arg(lab.path("suppressions")).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{told}");
    assert!(told.contains("a.toml") && told.contains("process.nmae"), "{told}");
}
