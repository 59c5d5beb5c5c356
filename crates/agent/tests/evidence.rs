//! What was denied is told among the alerts and events, and counted; and rules find what their names
//! mean only later.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::lab::{root, until};
use crate::policies::{code, document, err, out};
use crate::prevention::{PATIENCE, Scene};
use crate::privileges::{GROUP, asks};

#[test]
fn a_denial_is_an_alert_and_an_event_and_is_counted() {
    if !root("a_denial_is_an_alert_and_an_event_and_is_counted") {
        return;
    }
    let scene = Scene::new();
    let text = scene.denying().replace("deny:", "severity: high, message: Ask us., deny:");
    let file = scene.policy("p.yaml", &text);
    fs::set_permissions(scene.lab.path("."), fs::Permissions::from_mode(0o755)).unwrap();
    let agent = scene.start(&["--enforce", "--policy", file.to_str().unwrap(), "--group", GROUP]);
    assert!(scene.is_denied());
    let is_ours = |document: &Value| document["rule"]["id"] == "no-connect";
    let mut told = None;
    until("the denial is printed among the alerts", PATIENCE, || {
        told = agent.next(Duration::from_millis(100)).filter(is_ours);
        told.is_some()
    });
    let told = told.unwrap();
    for (at, expected) in [
        ("/event/action", "connect"),
        ("/event/outcome", "failure"),
        ("/event/type/0", "denied"),
        ("/event/category/0", "network"),
        ("/rule/ruleset", "scratch"),
        ("/severity", "high"),
        ("/message", "Ask us."),
        ("/destination/ip", "127.0.0.1"),
        ("/alert/id", "1-1"),
    ] {
        assert_eq!(told.pointer(at).and_then(Value::as_str), Some(expected), "{at}: {told}");
    }
    assert_eq!(told["rule"]["file"], file.to_str().unwrap());
    assert_eq!(told["rule"]["line"], 5);
    assert_eq!(told["destination"]["port"], scene.port);
    // It has ended: only its number is certain.
    assert!(told["process"]["pid"].is_u64(), "{told}");
    for words in [&["alerts", "-o", "json"][..], &["events", "-o", "json"]] {
        let listed = out(&scene.lab.ask(words));
        let documents = listed.lines().filter_map(|line| serde_json::from_str(line).ok());
        assert_eq!(documents.filter(is_ours).count(), 1, "{words:?}: {listed}");
    }
    assert_eq!(code(&scene.ask(&["why", "1-1"])), Some(0));
    let listed = out(&scene.ask(&["why"]));
    let line = listed.lines().find(|line| line.starts_with("1-1 ")).unwrap();
    assert!(line.contains(" denied ") && line.contains(" connect "), "{listed}");
    // Members of the group read the same, and of the policy what the agent tells.
    let member = (12_345, nix::unistd::Group::from_name(GROUP).unwrap().unwrap().gid.as_raw());
    let state = scene.lab.path("state").display().to_string();
    let asked = |words: &[&str]| {
        out(&asks(&scene.lab, member, &[words, &["--state-dir", &state]].concat()))
    };
    assert_eq!(asked(&["why"]), listed);
    let documents: Value = serde_json::from_str(&asked(&["why", "-o", "json"])).unwrap();
    assert_eq!((&documents[0]["id"], &documents[1]), (&"1-1".into(), &Value::Null));
    let shown = asked(&["policy", "show"]);
    assert!(shown.contains("in the kernel: generation 1, as it was given"), "{shown}");
    assert!(shown.contains("to root alone") && !shown.contains("no-connect"), "{shown}");
    assert!(out(&scene.ask(&["policy", "show"])).contains("no-connect"), "the control");
    let status = scene.lab.status().unwrap();
    let policy = &status["kernel_counters"]["policy"];
    assert_eq!((&status["mode"], &policy["verdicts"]["denied"]), (&"enforce".into(), &1.into()));
    let text = out(&scene.lab.ask(&["status"]));
    assert!(text.contains("generation 1, enforce, tier fallback; 1 denied"), "{text}");
    assert!(agent.stop().success());
}

/// A cgroup that goes away.
struct Later(PathBuf);

impl Drop for Later {
    fn drop(&mut self) {
        let _gone = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_cgroup_that_is_made_later_is_found() {
    if !root("a_cgroup_that_is_made_later_is_found") {
        return;
    }
    let scene = Scene::new();
    let name = format!("later-{}", std::process::id());
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let at = mounts.find(|words| words.get(2) == Some(&"cgroup2")).unwrap()[1].to_owned();
    let cgroup = Later(PathBuf::from(at).join(&name));
    let (secret, port) = (scene.lab.path("secret"), scene.port);
    fs::write(&secret, "a secret\n").unwrap();
    let spec = format!(
        "  subjects: {{later: {{cgroup: /{name}}}}}\n  rules:\n    - {{id: net, subject: later, deny: \
         connect, peers: '127.0.0.1:{port}'}}\n    - {{id: file, subject: later, deny: read, files: \
         {}}}\n",
        secret.display()
    );
    let file = scene.policy("p.yaml", &document("scratch", &spec));
    let agent = scene.start(&["--enforce", "--policy", file.to_str().unwrap()]);
    let unknown = || scene.show()["agent"]["unknown_names"].to_string();
    assert!(unknown().contains(&name), "{}", unknown());
    let inside = |script: &str| {
        let procs = cgroup.0.join("cgroup.procs");
        let script = format!("echo $$ > {} && exec /bin/bash -c '{script}'", procs.display());
        Command::new("/bin/bash").args(["-c", &script]).output().unwrap()
    };
    fs::create_dir(&cgroup.0).unwrap();
    let connect = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
    let read = format!("read line < {}", secret.display());
    let took = until("the new cgroup is known", PATIENCE, || !inside(&connect).status.success());
    println!("a new cgroup was free for at most {took:?}");
    for script in [&connect, &read] {
        let tried = inside(script);
        assert!(err(&tried).contains("not permitted"), "{script}: {}", err(&tried));
        let outside = Command::new("/bin/bash").args(["-c", script]).output().unwrap();
        assert!(outside.status.success(), "{script}: no rule is about it");
    }
    assert_eq!(unknown(), "[]");
    assert_eq!(scene.show()["agent"]["in_kernel"]["is_what_was_given"], true);
    assert!(agent.stop().success());
}
