//! Scripts of strangers in a running agent: what they may not do, and what becomes of those that break
//! their terms.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::lab::{Agent, Lab, root, until};
use crate::packs::{Packs, left_out, rule, rules, run};

/// Whatever a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long nothing must happen to somebody who was not to be killed.
const SPARED: Duration = Duration::from_secs(1);
/// Violations until a script of a trusted key is in quarantine, as docs/packs.md has it.
const VIOLATIONS: u64 = 5;

/// A module with its memory and the mark of the ABI.
pub(crate) fn module(text: &str) -> Vec<u8> {
    let mark = "(memory (export \"memory\") 1) (func (export \"kestrel_abi_v1\"))";
    wat::parse_str(format!("(module {text} {mark})")).unwrap()
}

/// The table of a script and a rule that asks it about each program of the lab.
pub(crate) fn asks(file: &str, more: &str, rule_more: &str) -> Vec<u8> {
    let table = format!("[[script]]\nname = \"own\"\nfile = \"{file}\"\n{more}\n");
    let condition = "process.executable like \"$LAB*\" and own.f(process.executable)";
    (table + &rule("asks", condition, rule_more)).into_bytes()
}

/// The same that says something and asks for an action, in both languages.
fn killers() -> [(&'static str, Vec<u8>); 2] {
    let wasm = module(
        "(import \"kestrel_v1\" \"emit\" (func $emit (param i32 i32 i32) (result i32)))
         (import \"kestrel_v1\" \"request\" (func $request (param i32 i32) (result i32)))
         (data (i32.const 0) \"look\") (data (i32.const 16) \"kill\")
         (func (export \"f\") (param i32) (result i32)
           (drop (call $emit (i32.const -1) (i32.const 0) (i32.const 4)))
           (drop (call $request (i32.const 16) (i32.const 4)))
           (i32.const 1))",
    );
    let luau = "return { f = function(path)\n  emit(\"look\")\n  request(\"kill\")\n  return true\nend }\n";
    [("own.wasm", wasm), ("own.luau", luau.as_bytes().to_vec())]
}

/// Starts a program of the lab that lives until it is killed, and gives the alert of a rule about it
/// once the agent has had time to do more.
fn victim(lab: &Lab, agent: &Agent) -> (Option<Value>, bool) {
    std::fs::copy("/bin/sleep", lab.path("victim")).unwrap();
    let mut child = Command::new(lab.path("victim")).arg("60").spawn().unwrap();
    let alert = agent.alert(child.id(), PATIENCE);
    std::thread::sleep(SPARED);
    let lives = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    (alert, lives)
}

#[test]
fn a_script_that_may_only_alert_cannot_kill_and_its_try_is_told_and_written_down() {
    if !root("a_script_that_may_only_alert_cannot_kill_and_its_try_is_told_and_written_down") {
        return;
    }
    for (file, code) in killers() {
        let lab = Lab::new();
        let packs = Packs::new(&lab);
        packs.signed("p", 1, &[("r.toml", &asks(file, "", "")), (file, &code)]);
        let agent = lab.launch(packs.command());
        let may = rules(&lab)["scripts"][0]["may"].clone();
        assert_eq!(may, json!(["alert"]), "{file}");
        let (alert, lives) = victim(&lab, &agent);
        let alert = alert.unwrap_or_else(|| panic!("{file}: no alert"));
        assert!(lives, "{file}: the process was killed");
        let said = json!([{ "message": "look" }, { "request": "kill", "granted": false }]);
        assert_eq!(alert["kestrel"]["script"], said, "{file}: what it emits arrives");
        until("it is written down", PATIENCE, || !packs.audited("action-refused").is_empty());
        let [line] = &packs.audited("action-refused")[..] else { panic!("{file}") };
        assert_eq!((&line["granted"], &line["cause"]), (&false.into(), &"refused".into()));
        assert_eq!(line["detail"], "it may not `kill`");
        assert_eq!((&line["script"], &line["rules"][0]), (&"own".into(), &"asks".into()));
        assert_eq!((&line["pack"], &line["level"]), (&"p 1.0.1".into(), &"signed".into()));
        assert!(agent.stop().success());
    }
}

#[test]
fn a_rule_or_script_that_asks_to_kill_without_a_grant_is_refused_when_it_is_loaded() {
    if !root("a_rule_or_script_that_asks_to_kill_without_a_grant_is_refused_when_it_is_loaded") {
        return;
    }
    let lab = Lab::new();
    let packs = Packs::new(&lab);
    let [(file, code), _] = killers();
    let wants = asks(file, "capabilities = [\"kill\"]", "");
    packs.signed("script", 1, &[("r.toml", &wants), (file, &code)]);
    let any = "process.executable like \"$LAB*\"";
    let both = rule("kills", any, "response = [\"kill\"]") + &rule("modest", any, "");
    packs.signed("rule", 1, &[("r.toml", both.as_bytes())]);
    let agent = lab.launch(packs.command());
    assert_eq!(run(&lab), ["modest"], "the neighbour of the rule runs");
    for id in ["asks", "kills"] {
        let all = rules(&lab);
        let mut all = all["left_out"].as_array().unwrap().iter();
        let one = all.find(|one| one["id"] == id).unwrap_or_else(|| panic!("{id}"));
        let reason = one["reason"].as_str().unwrap();
        assert!(reason.contains("[E155]") && reason.contains("kill"), "{id}: {reason}");
    }
    let refused = packs.audited("pack-loaded");
    assert!(refused.iter().all(|line| line["not_loaded"][0]["code"] == "E155"), "{refused:?}");
    // The control: granted, it is loaded, and what the script asks for is granted to it.
    packs.trust("[[grant]]\nkey = \"KEY\"\ncapabilities = [\"kill\"]\n");
    until("the grant is read", PATIENCE, || run(&lab).len() == 3);
    assert_eq!(left_out(&lab), "[]");
    let (alert, _) = victim(&lab, &agent);
    let mut told = alert.into_iter().chain(std::iter::from_fn(|| agent.next(SPARED)));
    let said = told.find_map(|alert| alert.pointer("/kestrel/script/1").cloned());
    assert_eq!(said, Some(json!({ "request": "kill", "granted": true })));
    assert!(packs.audited("action-refused").is_empty());
    assert!(agent.stop().success());
}

/// A module that traps about programs called `bad`, and says yes about all others.
fn traps() -> Vec<u8> {
    module(
        "(import \"kestrel_v1\" \"glob\" (func $glob (param i32 i32) (result i32)))
         (func (export \"f\") (param $path i32) (result i32)
           (if (call $glob (i32.const 0) (local.get $path)) (then (unreachable)))
           (i32.const 1))",
    )
}

/// `GET /v1/metrics` of the control socket.
fn metrics(lab: &Lab) -> String {
    let mut socket = UnixStream::connect(lab.path("run/control.sock")).unwrap();
    write!(socket, "GET /v1/metrics HTTP/1.0\r\nHost: agent\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

/// Rules that raise an alert about a program of the lab, one of which always does.
fn raised(lab: &Lab, agent: &Agent, name: &str) -> Vec<String> {
    let pid = lab.run_scratch(name);
    let mut ids = Vec::new();
    // Alerts of one event come one after the other; that of the neighbour is the last.
    while ids.last().is_none_or(|id| id != "neighbour") {
        let alert = agent.alert(pid, PATIENCE).expect("the neighbour's");
        ids.push(alert["rule"]["id"].as_str().unwrap().to_owned());
    }
    ids
}

#[test]
fn a_script_that_traps_is_put_in_quarantine_and_released_and_its_neighbours_go_on() {
    if !root("a_script_that_traps_is_put_in_quarantine_and_released_and_its_neighbours_go_on") {
        return;
    }
    let lab = Lab::new();
    let packs = Packs::new(&lab);
    let own = asks("own.wasm", "globs = { bad = \"*/bad\" }", "");
    let other = String::from_utf8(own.clone()).unwrap();
    let other = other.replace("own", "other").replace("\"asks\"", "\"neighbour\"");
    let fine = module("(func (export \"f\") (param i32) (result i32) (i32.const 1))");
    packs.signed("p", 1, &[("r.toml", &own), ("own.wasm", &traps())]);
    packs.signed("q", 1, &[("r.toml", other.as_bytes()), ("other.wasm", &fine)]);
    let agent = lab.launch(packs.command());
    let standing = || {
        let all = rules(&lab);
        let mut all = all["scripts"].as_array().unwrap().iter();
        all.find(|script| script["name"] == "own").unwrap().clone()
    };
    assert_eq!(raised(&lab, &agent, "good"), ["asks", "neighbour"], "the control");
    for _ in 1..VIOLATIONS {
        assert_eq!(raised(&lab, &agent, "bad"), ["neighbour"]);
    }
    let before = standing();
    assert_eq!((&before["state"], &before["violations"]), (&"ok".into(), &(VIOLATIONS - 1).into()));
    assert_eq!(raised(&lab, &agent, "good"), ["asks", "neighbour"], "one is too few");

    lab.run_scratch("bad");
    let notice = agent.notice("kestrel-script-quarantine", PATIENCE).expect("it is told");
    let message = notice["message"].as_str().unwrap();
    assert!(message.contains("`own` is in quarantine (trap:"), "{message}");
    assert!(message.contains("aegisbpf rules release own"), "{message}");
    let about = &notice["aegisbpf"]["health"];
    assert_eq!((&about["rules"], &about["pack"]), (&json!(["asks"]), &"p 1.0.1".into()));
    let now = standing();
    assert_eq!(
        (&now["state"], &now["causes"]["trap"]),
        (&"quarantined".into(), &VIOLATIONS.into())
    );
    assert!(now["quarantined"].as_str().unwrap().starts_with("trap: "), "{now}");
    assert_eq!(now["rules"], json!(["asks"]), "whose rule finds nothing now");
    let shown = String::from_utf8(lab.ask(&["rules"]).stdout).unwrap();
    assert!(shown.contains("quarantined trap: "), "{shown}");
    let figures = metrics(&lab);
    for line in [
        "aegisbpf_script_quarantined 1".to_owned(),
        format!("aegisbpf_script_violations_total{{script=\"own\",cause=\"trap\"}} {VIOLATIONS}"),
    ] {
        assert!(figures.contains(&line), "{line}: {figures}");
    }
    assert_eq!(raised(&lab, &agent, "good"), ["neighbour"], "it is asked no more");
    assert!(lab.ask(&["reload"]).status.success());
    assert_eq!(raised(&lab, &agent, "good"), ["neighbour"], "a reload is no way out");

    let release = || lab.ask(&["rules", "release", "own", "--reason", "looked at it"]);
    let released = release();
    assert_eq!(String::from_utf8_lossy(&released.stdout), "own is asked again\n", "{released:?}");
    assert_eq!(raised(&lab, &agent, "good"), ["asks", "neighbour"]);
    assert_eq!((&standing()["state"], &standing()["violations"]), (&"ok".into(), &0.into()));
    assert!(metrics(&lab).contains("aegisbpf_script_quarantined 0"));
    let again = release();
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    assert!(String::from_utf8_lossy(&again.stderr).contains("no script `own` is in quarantine"));
    let [line] = &packs.audited("script-quarantined")[..] else { panic!() };
    assert_eq!((&line["script"], &line["cause"]), (&"own".into(), &"trap".into()));
    let [line] = &packs.audited("script-released")[..] else { panic!() };
    assert_eq!((&line["script"], &line["uid"]), (&"own".into(), &0.into()));
    assert_eq!(line["reason"], "looked at it");
    assert!(agent.stop().success());
}
