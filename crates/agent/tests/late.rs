//! What is denied, or cut off, from then on: no more than what was done, for as long as it was to last,
//! also when the agent was killed meanwhile.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::deeds::{ask, json, last, outcome, rule, starts};
use crate::isolate::Cgroup;
use crate::lab::{Agent, Lab, root, until};
use crate::policies::err;
use crate::prevention::{PATIENCE, Scene};

/// A rule that comes too late for the kernel, which does not count arguments.
fn late(scene: &Scene, id: &str, query: &str, more: &str) {
    let query = format!("{query} and process.args_count > 0");
    rule(&scene.lab, id, &query, &format!("response = [\"deny\"]\nplacement = \"any\"\n{more}"));
}

/// Reads a file with the program of the scene, or another one; what it says if it cannot.
fn read(program: &Path, file: &Path) -> Result<(), String> {
    let script = format!("read -r line < {}", file.display());
    let output = Command::new(program).args(["-c", &script]).output().unwrap();
    if output.status.success() { Ok(()) } else { Err(err(&output)) }
}

fn is_denied<T>(tried: &Result<T, String>) -> bool {
    let refused = tried.as_ref().err();
    assert!(refused.iter().all(|reason| reason.contains("not permitted")), "{refused:?}");
    refused.is_some()
}

/// Runs a program of the lab; the reason if it cannot be run.
fn run(program: &Path) -> Result<(), String> {
    let script = format!("{} 0", program.display());
    let output = Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
    if output.status.success() { Ok(()) } else { Err(err(&output)) }
}

fn tier(scene: &Scene) -> String {
    scene.show()["agent"]["tier"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn of_a_file_is_denied_what_was_done_and_can_be_denied_here() {
    if !root("of_a_file_is_denied_what_was_done_and_can_be_denied_here") {
        return;
    }
    let scene = Scene::new();
    let [kept, gone] = ["kept", "gone"].map(|name| scene.lab.path(name));
    fs::copy("/bin/rm", scene.lab.path("rm")).unwrap();
    let about = |action: &str, file: &Path, program: &str| {
        let (program, file) = (scene.lab.path(program), file.display());
        format!(
            "file where event.action == \"{action}\" and file.path == \"{file}\" and \
             process.executable == \"{}\"",
            program.display()
        )
    };
    late(&scene, "reads", &about("open", &kept, "x"), "");
    late(&scene, "removes", &about("deletion", &gone, "rm"), "");
    let program = scene.lab.path("x");
    for file in [&kept, &gone] {
        fs::write(file, "text\n").unwrap();
    }
    let agent = scene.start(&["--enforce"]);
    assert_eq!(read(&program, &kept), Ok(()), "the first time it comes too late");
    let (line, came) = outcome(&scene.lab, "do");
    assert_eq!((&line["rule"], &came["outcome"]), (&"reads".into(), &"done".into()), "{came}");
    assert!(is_denied(&read(&program, &kept)));
    assert_eq!(read(Path::new("/bin/bash"), &kept), Ok(()), "another program");
    assert_eq!(read(&program, &gone), Ok(()), "another file");
    if tier(&scene) == "lsm" {
        println!("SKIP what cannot be denied: LSM programs deny all of it");
        assert!(agent.stop().success());
        return;
    }
    // Where it is not known for what a file is opened, writing is among it, which is denied in part only.
    if line["operations"] == "read, write" {
        let said = came["said"].as_str().unwrap_or_else(|| panic!("{came}"));
        assert!(said.starts_with("`write` is not denied: partly: "), "{said}");
    } else {
        assert_eq!((&line["operations"], &came["said"]), (&"read".into(), &Value::Null), "{came}");
    }
    let list = json(&scene.lab, &["block", "list"]);
    assert_eq!(list[0]["operations"], serde_json::json!(["read"]), "{list:#}");
    // Nobody is asked before a file is removed, and that is what came of it.
    assert!(Command::new(scene.lab.path("rm")).arg(&gone).status().unwrap().success());
    let failed = |one: &Value| one["outcome"] == "failed";
    until("it cannot be denied", PATIENCE, || last(&scene.lab, failed).is_some());
    let came = last(&scene.lab, failed).unwrap();
    let line = last(&scene.lab, |one| one["seq"] == came["of"]).unwrap();
    assert_eq!((&line["rule"], &line["operations"]), (&"removes".into(), &"delete".into()));
    let reason = came["reason"].as_str().unwrap();
    assert!(reason.contains("E056") && reason.contains("`delete` cannot be enforced"), "{reason}");
    assert_eq!(json(&scene.lab, &["block", "list"]).as_array().unwrap().len(), 1, "as before");
    assert!(agent.stop().success());
}

/// Most of those that open a file have ended when somebody decides what becomes of it.
#[test]
fn what_a_process_did_that_is_ending_is_denied_from_then_on() {
    if !root("what_a_process_did_that_is_ending_is_denied_from_then_on") {
        return;
    }
    let scene = Scene::new();
    let kept = scene.policy("kept", "text\n");
    let program = scene.lab.path("x");
    let query = format!(
        "file where event.action == \"open\" and file.path == \"{}\" and process.executable == \"{}\"",
        kept.display(),
        program.display()
    );
    late(&scene, "reads", &query, "");
    let agent = scene.start(&["--enforce"]);
    // Nobody waits for it: it has its number, and executes nothing any more.
    let script = format!("read -r line < {}", kept.display());
    let mut child = Command::new(&program).args(["-c", &script]).spawn().unwrap();
    let stat = format!("/proc/{}/stat", child.id());
    until("it is ending", PATIENCE, || fs::read_to_string(&stat).unwrap().contains(") Z "));
    let (line, came) = outcome(&scene.lab, "do");
    assert_eq!(
        (&line["rule"], &came["outcome"]),
        (&"reads".into(), &"done".into()),
        "{line} {came}"
    );
    assert!(is_denied(&read(&program, &kept)));
    assert_eq!(read(Path::new("/bin/bash"), &kept), Ok(()), "another program");
    assert!(child.wait().unwrap().success());
    assert!(agent.stop().success());
}

#[test]
fn what_is_denied_of_a_program_a_file_and_an_address_ends_though_the_agent_was_killed() {
    if !root("what_is_denied_of_a_program_a_file_and_an_address_ends_though_the_agent_was_killed") {
        return;
    }
    let scene = Scene::new();
    let (program, once) = (scene.lab.path("x"), scene.lab.path("once"));
    let kept = scene.policy("kept", "text\n");
    fs::copy("/bin/sleep", &once).unwrap();
    late(&scene, "starts", &starts(&scene.lab, "once"), "");
    late(&scene, "opens", &format!("file where file.path == \"{}\"", kept.display()), "");
    let connects = format!(
        "network where event.action == \"connection_attempted\" and destination.port == {}",
        scene.port
    );
    // One that its rule lets last less than the others.
    late(&scene, "connects", &connects, "response_ttl = \"6s\"");
    let options = ["--enforce", "--action-ttl", "25s"];
    let agent = scene.start_to(&options);
    let connect = || scene.connect(program.to_str().unwrap());
    assert_eq!((run(&once), read(&program, &kept), connect()), (Ok(()), Ok(()), Ok(())));
    let denied = || [is_denied(&run(&once)), is_denied(&read(&program, &kept))];
    until("each is denied", PATIENCE, || {
        let done = |one: &Value| one["outcome"] == "done";
        last(&scene.lab, done).is_some() && denied() == [true, true] && is_denied(&connect())
    });
    until("its own time is over", PATIENCE, || !is_denied(&connect()));
    let ttl = last(&scene.lab, |one| one["rule"] == "connects" && one["decision"] == "do").unwrap();
    assert_eq!(ttl["ttl_s"], 6, "{ttl}");
    agent.kill();
    until("its worker has ended, too", PATIENCE, || scene.lab.status().is_none());
    fs::remove_dir_all(scene.lab.path("rules")).unwrap();
    fs::create_dir(scene.lab.path("rules")).unwrap();
    scene.lab.rule("other", "/nonexistent");
    let agent = scene.start_to(&options);
    until("their time is over", PATIENCE, || denied() == [false, false]);
    for id in ["starts", "opens"] {
        let over = |one: &Value| one["decision"] == "expired" && one["rule"] == id;
        until("it is written down", PATIENCE, || last(&scene.lab, over).is_some());
    }
    until("nothing is in effect", PATIENCE, || {
        json(&scene.lab, &["block", "list"]).as_array().unwrap().is_empty()
    });
    assert!(agent.stop().success());
    let off = scene.ask(&["emergency", "disable", "--reason", "the test ends"]);
    assert!(off.status.success(), "{off:?}");
}

/// An agent for which a cgroup of the test is the host: it sees no cgroup above.
fn start_inside(lab: &Lab, cgroup: &Path, options: &[&str]) -> Agent {
    const SCRIPT: &str = "echo $$ > \"$0/cgroup.procs\" && exec unshare --cgroup --mount \
                          --propagation private /bin/sh -c \
                          'mount --bind \"$CGROUP\" \"$0\" && exec \"$@\"' \"$@\"";
    let inner = lab.command();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", SCRIPT]).arg(cgroup).arg(cgroup.parent().unwrap());
    command.arg(inner.get_program()).args(inner.get_args());
    command.arg("--state-dir").arg(lab.path("state")).args(options);
    command.env("CGROUP", cgroup).stdin(Stdio::null());
    lab.launch(command)
}

/// Sends a datagram out of a network namespace of its own, from a cgroup; what it says if it cannot.
fn send(cgroup: Option<&Path>) -> Result<(), String> {
    const SCRIPT: &str = "ip link add near type veth peer name far && ip addr add 10.99.0.1/24 dev near \
                          && ip link set near up && ip link set far up && \
                          echo hello > /dev/udp/10.99.0.2/9";
    let enter = "[ -z \"$0\" ] || echo $$ > \"$0/cgroup.procs\"; exec unshare --net bash -c \"$1\"";
    let path = cgroup.unwrap_or(Path::new(""));
    let mut command = Command::new("/bin/sh");
    let output = command.args(["-c", enter]).arg(path).arg(SCRIPT).output().unwrap();
    if output.status.success() { Ok(()) } else { Err(err(&output)) }
}

#[test]
fn a_host_is_cut_off_until_it_is_over_though_the_agent_was_killed() {
    if !root("a_host_is_cut_off_until_it_is_over_though_the_agent_was_killed") {
        return;
    }
    let lab = Lab::new();
    let cgroup = Cgroup::new(&lab, "host");
    let within: PathBuf = cgroup.0.clone();
    rule(&lab, "cuts", &starts(&lab, "y"), "response = [\"isolate-host\"]\nresponse_ttl = \"20s\"");
    fs::copy("/bin/sleep", lab.path("y")).unwrap();
    let agent = start_inside(&lab, &within, &["--enforce"]);
    assert_eq!(send(Some(&within)), Ok(()), "before");
    assert!(Command::new(lab.path("y")).arg("0.1").status().unwrap().success());
    let (line, came) = outcome(&lab, "do");
    assert_eq!((&line["response"], &line["ttl_s"]), (&"isolate-host".into(), &20.into()));
    assert_eq!(came["outcome"], "done", "{came}");
    assert!(is_denied(&send(Some(&within))), "what is of this host");
    assert_eq!(send(None), Ok(()), "the control: what is of another one");
    agent.kill();
    assert!(is_denied(&send(Some(&within))), "though who did it was killed");
    until("it is over by itself", PATIENCE, || !is_denied(&send(Some(&within))));
    until("its worker has ended, too", PATIENCE, || lab.status().is_none());
    let agent = start_inside(&lab, &within, &[]);
    let over = |one: &Value| one["decision"] == "expired" && one["of"] == line["seq"];
    until("the next agent says so", PATIENCE, || last(&lab, over).is_some());
    assert!(agent.stop().success());
    let left = ask(&lab, &["isolate", "status", "-o", "json"]);
    let left: Value = serde_json::from_slice(&left.stdout).unwrap();
    assert_eq!(left["isolations"], Value::Array(Vec::new()));
    until("nobody is in it any more", PATIENCE, || {
        fs::read_to_string(within.join("cgroup.procs")).unwrap().is_empty()
    });
}
