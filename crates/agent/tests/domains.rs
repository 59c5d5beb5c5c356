//! Rules about DNS names: they hold for the addresses that this host's resolver gives.

use std::net::TcpListener;
use std::process::Command;

use crate::lab::{root, until};
use crate::policies::{document, err};
use crate::prevention::{PATIENCE, Scene};

/// Whether the program may connect to an address; if not, for the reason that we gave.
fn connects(scene: &Scene, address: &str) -> bool {
    let script = format!("exec 3<>/dev/tcp/{address}/{}", scene.port);
    let output = Command::new(scene.lab.path("x")).args(["-c", &script]).output().unwrap();
    let denied = err(&output).contains("not permitted");
    assert!(output.status.success() || denied, "{output:?}");
    !denied
}

#[test]
fn a_rule_about_a_name_holds_for_its_addresses_and_no_others() {
    if !root("a_rule_about_a_name_holds_for_its_addresses_and_no_others") {
        return;
    }
    let scene = Scene::new();
    let other = TcpListener::bind(("127.0.0.2", scene.port)).unwrap();
    std::thread::spawn(move || other.incoming().for_each(drop));
    let rule = |names: &str| {
        let program = scene.lab.path("x");
        let spec = format!(
            "  rules: [{{id: a, subject: {{executable: {}}}, deny: connect, domains: {names}}}]\n",
            program.display()
        );
        document("scratch", &spec)
    };
    let names = format!("['localhost:{}', unknown.invalid]", scene.port);
    let file = scene.policy("p.yaml", &rule(&names));
    assert!(connects(&scene, "127.0.0.1"));
    let agent = scene.start(&["--enforce", "--policy", file.to_str().unwrap()]);
    until("the name has an address", PATIENCE, || !connects(&scene, "127.0.0.1"));
    assert!(connects(&scene, "127.0.0.2"), "an address that is not the name's");
    assert_eq!(scene.connect("/bin/bash"), Ok(()), "nobody denies it to others");
    let shown = scene.show();
    assert!(shown.to_string().contains("domain unknown.invalid"), "{shown:#}");
    assert!(!shown.to_string().contains("domain localhost"), "{shown:#}");
    assert_eq!(shown["agent"]["in_kernel"]["is_what_was_given"], true, "{shown:#}");
    let port = format!("['localhost:{}']", if scene.port == 1 { 2 } else { 1 });
    let applied = scene.apply("q.yaml", &rule(&port), &[]);
    assert!(applied.status.success(), "{}", err(&applied));
    assert!(connects(&scene, "127.0.0.1"), "the rule is about another port");
    assert!(agent.stop().success());
}
