//! What rules do to files, to the network, and from now on: a real agent, real files, real cgroups.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::isolate::Cgroup;
use crate::lab::{AGENT, Agent, Lab, root, until};
use crate::prevention::Scene;

/// Whatever a busy machine needs.
const PATIENCE: Duration = Duration::from_mins(1);

/// A rule with a response.
pub(crate) fn rule(lab: &Lab, id: &str, query: &str, more: &str) {
    let text = format!(
        "[[rule]]\nid = \"{id}\"\nname = \"n\"\ndescription = \"A test.\"\nseverity = \"high\"\n{more}\n\
         query = '''{query}'''\n"
    );
    fs::write(lab.path("rules").join(format!("{id}.toml")), text).unwrap();
}

pub(crate) fn starts(lab: &Lab, program: &str) -> String {
    let path = lab.path(program).display().to_string();
    format!("process where event.type == \"start\" and process.executable == \"{path}\"")
}

fn start(lab: &Lab, more: &[&str]) -> Agent {
    let mut command = lab.command();
    command.arg("--state-dir").arg(lab.path("state")).args(more);
    lab.launch(command)
}

/// A command with the directories of this lab.
pub(crate) fn ask(lab: &Lab, words: &[&str]) -> Output {
    let mut command = Command::new(AGENT);
    command.args(words).arg("--state-dir").arg(lab.path("state"));
    if !["audit", "quarantine"].contains(&words[0]) {
        command.arg("--runtime-dir").arg(lab.path("run"));
    }
    command.output().unwrap()
}

pub(crate) fn json(lab: &Lab, words: &[&str]) -> Value {
    let output = ask(lab, &[words, &["-o", "json"]].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

/// The last line of the audit log of which this holds.
pub(crate) fn last(lab: &Lab, holds: impl Fn(&Value) -> bool) -> Option<Value> {
    let text = fs::read_to_string(lab.path("state/audit.jsonl")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).rfind(holds)
}

/// The decision about this response, once there is one, and what came of it.
pub(crate) fn outcome(lab: &Lab, decision: &str) -> (Value, Value) {
    let decided = || last(lab, |line| line["action"] == "response" && line["decision"] == decision);
    until("it is decided", PATIENCE, || decided().is_some());
    let line = decided().unwrap();
    if decision != "do" {
        return (line, Value::Null);
    }
    let of = |one: &Value| one["action"] == "response-outcome" && one["of"] == line["seq"];
    until("something came of it", PATIENCE, || last(lab, of).is_some());
    let came = last(lab, of).unwrap();
    (line, came)
}

fn roll_back(lab: &Lab, id: &Value) {
    let done = ask(lab, &["actions", "rollback", &id.to_string(), "--reason", "a test"]);
    assert!(done.status.success(), "{done:?}");
    let of = |one: &Value| one["of"] == *id && one["outcome"] == "rolled-back";
    until("it is rolled back", PATIENCE, || last(lab, of).is_some());
}

/// A program that sleeps; it ends with this value.
struct Sleeper(Child);

impl Sleeper {
    fn start(lab: &Lab, name: &str) -> Sleeper {
        if !lab.path(name).exists() {
            fs::copy("/bin/sleep", lab.path(name)).unwrap();
        }
        Sleeper(Command::new(lab.path(name)).arg("300").stdin(Stdio::null()).spawn().unwrap())
    }

    /// The same in a cgroup.
    fn within(lab: &Lab, name: &str, cgroup: &Cgroup) -> Sleeper {
        fs::copy("/bin/sleep", lab.path(name)).unwrap();
        let script = "echo $$ > \"$1/cgroup.procs\"; exec \"$0\" 300";
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).arg(lab.path(name)).arg(&cgroup.0).stdin(Stdio::null());
        Sleeper(command.spawn().unwrap())
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_rule_takes_the_file_of_its_event_and_rollback_gives_it_back() {
    if !root("a_rule_takes_the_file_of_its_event_and_rollback_gives_it_back") {
        return;
    }
    let lab = Lab::new();
    rule(&lab, "program", &starts(&lab, "x"), "response = [\"quarantine\"]");
    let would = start(&lab, &[]);
    let one = Sleeper::start(&lab, "x");
    let (line, _) = outcome(&lab, "would");
    assert_eq!(line["file"], lab.path("x").to_str().unwrap(), "{line}");
    assert!(lab.path("x").exists(), "detection only");
    drop(one);
    would.stop();

    // On another filesystem than what is kept: it is copied there and back.
    let far = tempfile::tempdir_in("/dev/shm").unwrap();
    let [doc, other] = ["doc", "other"].map(|name| far.path().join(name));
    let query = format!(
        "file where event.action == \"open\" and file.path in (\"{}\", \"{}.none\")",
        doc.display(),
        other.display()
    );
    rule(&lab, "file", &query, "response = [\"quarantine\"]");
    let agent = start(&lab, &["--enforce", "--action-ttl", "3s"]);
    let [_one, mut control] = ["x", "y"].map(|name| Sleeper::start(&lab, name));
    let (line, came) = outcome(&lab, "do");
    assert_eq!((&line["rule"], &came["outcome"]), (&"program".into(), &"done".into()), "{came}");
    assert!(!lab.path("x").exists() && lab.path("y").exists());
    assert!(control.0.try_wait().unwrap().is_none());
    let name = format!("action-{}", line["seq"]);
    assert_eq!(json(&lab, &["quarantine", "list"])["files"][0]["id"], name.as_str());
    // It has no time to live: it would come back as what it was.
    std::thread::sleep(Duration::from_secs(5));
    assert!(!lab.path("x").exists());
    roll_back(&lab, &line["seq"]);
    assert_eq!(fs::read(lab.path("x")).unwrap(), fs::read("/bin/sleep").unwrap());

    // Who opened it has ended long ago; the file is taken all the same.
    for path in [&other, &doc] {
        fs::write(path, "text").unwrap();
        assert!(Command::new("cat").arg(path).stdout(Stdio::null()).status().unwrap().success());
    }
    until("it is taken", PATIENCE, || !doc.exists());
    assert!(other.exists(), "the control");
    // If it was opened twice, the second time it is not there any more: one of them took it.
    let taken = |one: &Value| {
        let is_done = |came: &Value| came["of"] == one["seq"] && came["outcome"] == "done";
        one["rule"] == "file" && one["decision"] == "do" && last(&lab, is_done).is_some()
    };
    until("that it was taken is written down", PATIENCE, || last(&lab, taken).is_some());
    let line = last(&lab, taken).unwrap();
    agent.kill();
    // Its worker would answer for the next one.
    until("its worker has gone, too", PATIENCE, || lab.status().is_none());
    let agent = start(&lab, &["--enforce"]);
    roll_back(&lab, &line["seq"]);
    assert_eq!(fs::read_to_string(&doc).unwrap(), "text", "also by the next agent");
    agent.stop();
}

#[test]
fn what_is_not_to_be_taken_stays_and_the_outcome_says_why() {
    if !root("what_is_not_to_be_taken_stays_and_the_outcome_says_why") {
        return;
    }
    let lab = Lab::new();
    fs::create_dir(lab.path("kept")).unwrap();
    rule(&lab, "kept", &starts(&lab, "kept/x"), "response = [\"quarantine\"]");
    let kept = lab.path("kept").display().to_string();
    let agent = start(&lab, &["--enforce", "--protect", &kept]);
    let _one = Sleeper::start(&lab, "kept/x");
    let (_, came) = outcome(&lab, "do");
    let reason = came["reason"].as_str().unwrap();
    assert!(came["outcome"] == "failed" && reason.starts_with("protected: "), "{came}");
    assert!(lab.path("kept/x").exists());
    assert_eq!(json(&lab, &["actions", "list"])[0]["in_effect_until"], Value::Null);
    agent.stop();
}

#[test]
fn a_rule_cuts_the_cgroup_of_its_process_off_until_it_is_over_or_rolled_back() {
    if !root("a_rule_cuts_the_cgroup_of_its_process_off") {
        return;
    }
    let lab = Lab::new();
    let cgroup = Cgroup::new(&lab, "deed");
    rule(&lab, "cuts", &starts(&lab, "x"), "response = [\"isolate\"]");
    let agent = start(&lab, &["--enforce", "--action-ttl", "20s", "--isolate-allow", "192.0.2.77"]);
    let cut = || json(&lab, &["isolate", "status"])["isolations"].as_array().unwrap().clone();
    // Of the cgroup of all nothing is cut off: that is the host.
    let outside = Sleeper::start(&lab, "x");
    let (line, _) = outcome(&lab, "refused");
    assert!(line["reason"].as_str().unwrap().contains("`isolate-host`"), "{line}");
    assert!(cut().is_empty());
    drop(outside);

    let inside = Sleeper::within(&lab, "x", &cgroup);
    let (line, came) = outcome(&lab, "do");
    assert_eq!(line["cgroup"], cgroup.0.to_str().unwrap());
    assert!(came["outcome"] == "done" && came["within_reach"][0] == "192.0.2.77", "{came}");
    assert_eq!(cut()[0]["id"], format!("action-{}", line["seq"]));
    let again = Sleeper::within(&lab, "x2", &cgroup);
    drop((inside, again));
    roll_back(&lab, &line["seq"]);
    assert!(cut().is_empty());

    let inside = Sleeper::within(&lab, "x", &cgroup);
    until("it is cut off again", PATIENCE, || !cut().is_empty());
    agent.kill();
    assert_eq!(cut().len(), 1, "though who did it was killed");
    until("it is over by itself", PATIENCE, || cut().is_empty());
    drop(inside);
    let agent = start(&lab, &[]);
    let expired = |one: &Value| one["outcome"] == "expired";
    until("the next agent says so", PATIENCE, || last(&lab, expired).is_some());
    agent.stop();
}

/// Whether nobody may connect any more.
fn is_denied(scene: &Scene) -> bool {
    let refused = scene.connect(scene.lab.path("x").to_str().unwrap()).err();
    assert!(refused.iter().all(|reason| reason.contains("not permitted")), "{refused:?}");
    refused.is_some()
}

#[test]
fn what_came_too_late_to_be_denied_is_denied_from_then_on() {
    if !root("what_came_too_late_to_be_denied_is_denied_from_then_on") {
        return;
    }
    let scene = Scene::new();
    let port = scene.port;
    // The kernel does not count arguments: it cannot decide this before the act.
    let query = format!(
        "network where event.action == \"connection_attempted\" and destination.port == {port} and \
         process.args_count > 1"
    );
    rule(&scene.lab, "late", &query, "response = [\"deny\"]\nplacement = \"any\"");
    let agent = scene.start(&["--enforce", "--action-ttl", "25s"]);
    assert!(!is_denied(&scene), "the first one gets through");
    let (line, came) = outcome(&scene.lab, "do");
    assert_eq!(line["denied"], format!("127.0.0.1:{port}"), "{line}");
    assert_eq!(came["outcome"], "done", "{came}");
    assert!(is_denied(&scene));
    roll_back(&scene.lab, &line["seq"]);
    assert!(!is_denied(&scene));
    let (second, came) = {
        let newer = |one: &Value| one["decision"] == "do" && one["seq"] != line["seq"];
        until("it is decided again", PATIENCE, || last(&scene.lab, newer).is_some());
        outcome(&scene.lab, "do")
    };
    assert_eq!(came["outcome"], "done", "{came}");
    assert!(is_denied(&scene));
    until("its time is over", PATIENCE, || !is_denied(&scene));
    assert_ne!(second["seq"], line["seq"]);
    agent.stop();
}

#[test]
fn the_recording_around_an_alert_is_kept_without_enforcing() {
    if !root("the_recording_around_an_alert_is_kept_without_enforcing") {
        return;
    }
    let lab = Lab::new();
    rule(&lab, "keeps", &starts(&lab, "x"), "response = [\"capture\"]");
    let agent = start(&lab, &["--history", "off"]);
    let one = Sleeper::start(&lab, "x");
    let (line, _) = outcome(&lab, "refused");
    assert!(line["reason"].as_str().unwrap().contains("`--history off`"), "{line}");
    assert!(!lab.path("state/captures").exists());
    drop(one);
    agent.stop();

    let agent = start(&lab, &["--history", "64MiB,1h", "--capture-after", "3s"]);
    let _one = Sleeper::start(&lab, "x");
    let (line, came) = outcome(&lab, "do");
    assert!(came["outcome"] == "done" && came["bytes"].as_u64() > Some(0), "{came}");
    agent.stop();
    // What the history forgets stays.
    fs::remove_dir_all(lab.path("state/worker/own/history")).unwrap();
    let kestrel = PathBuf::from(AGENT).with_file_name("kestrel");
    assert!(kestrel.exists(), "build it first: cargo build -p kestrel");
    let alert = line["alert"].as_str().unwrap();
    let mut replay = Command::new(kestrel);
    replay.arg("replay").arg(lab.path("state/captures").join(alert));
    replay.arg("--rules").arg(lab.path("rules")).args(["-o", "ndjson"]);
    let output = replay.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains(alert), "{output:?}");
}

#[test]
fn a_name_that_means_more_than_one_file_is_not_denied() {
    if !root("a_name_that_means_more_than_one_file_is_not_denied") {
        return;
    }
    let lab = Lab::new();
    let named: PathBuf = lab.path("a*b");
    let query = format!(
        "file where event.action == \"open\" and file.path == \"{}\" and process.args_count > 0",
        named.display()
    );
    rule(&lab, "late", &query, "response = [\"deny\"]\nplacement = \"any\"");
    fs::write(&named, "text").unwrap();
    let agent = start(&lab, &["--enforce", "--on-exit", "release"]);
    assert!(Command::new("cat").arg(&named).stdout(Stdio::null()).status().unwrap().success());
    let (line, _) = outcome(&lab, "refused");
    assert!(line["reason"].as_str().unwrap().contains("no rule can name"), "{line}");
    assert!(json(&lab, &["block", "list"]).as_array().unwrap().is_empty());
    agent.stop();
}

/// Takes requests of HTTP, one after the other, and answers them with these codes; what they said.
fn receiver(codes: &'static [&'static str]) -> (u16, std::sync::mpsc::Receiver<(String, Value)>) {
    use std::io::{BufRead, BufReader, Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, got) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for code in codes {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line == "\r\n" {
                    break;
                }
                head += &line;
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            write!(stream, "HTTP/1.1 {code}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .unwrap();
            sender.send((head, serde_json::from_slice(&body).unwrap())).unwrap();
        }
    });
    (port, got)
}

#[test]
fn somebody_elsewhere_is_told_and_only_whom_the_operator_named() {
    if !root("somebody_elsewhere_is_told_and_only_whom_the_operator_named") {
        return;
    }
    let lab = Lab::new();
    rule(&lab, "tells", &starts(&lab, "x"), "response = [\"webhook\"]");
    let agent = start(&lab, &["--enforce"]);
    let one = Sleeper::start(&lab, "x");
    let (line, _) = outcome(&lab, "refused");
    assert!(line["reason"].as_str().unwrap().contains("without `--webhook`"), "{line}");
    drop(one);
    agent.stop();

    // The second answer is good; the third, to the next alert, names another address.
    let codes = &["503 Busy", "204 Done", "302 Found\r\nLocation: http://127.0.0.1:1/"];
    let (port, got) = receiver(codes);
    let url = format!("http://127.0.0.1:{port}/hook?token=secret");
    let agent = start(&lab, &["--enforce", "--webhook", &url]);
    let two = Sleeper::start(&lab, "x");
    let (line, came) = outcome(&lab, "do");
    assert_eq!(came["outcome"], "done", "{came}");
    let (head, first) = got.recv_timeout(PATIENCE).unwrap();
    let (_, told) = got.recv_timeout(PATIENCE).unwrap();
    assert!(head.starts_with("POST /hook?token=secret HTTP/1.1\r\n"), "{head}");
    assert_eq!((&first, &told["alert"]), (&told, &line["alert"]), "tried again, the same");
    assert_eq!((&told["rule"], &told["pid"]), (&"tells".into(), &two.0.id().into()));
    assert_eq!(told["executable"], lab.path("x").to_str().unwrap());

    let _three = Sleeper::start(&lab, "x");
    until("the redirection is refused", PATIENCE, || {
        last(&lab, |line| line["action"] == "response-outcome" && line["outcome"] == "failed")
            .is_some()
    });
    let failed = last(&lab, |line| line["outcome"] == "failed").unwrap();
    assert!(failed["reason"].as_str().unwrap().contains("names another address"), "{failed}");
    agent.stop();
    let log = fs::read_to_string(lab.path("state/audit.jsonl")).unwrap();
    assert!(!log.contains("token=secret"), "the address is in no log");
}

/// Answers one request over TLS, whatever it is.
const TLS: &str = "import http.server, ssl, sys
class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers['Content-Length']))
        self.send_response(204); self.end_headers()
    def log_message(self, *args): pass
server = http.server.HTTPServer(('127.0.0.1', 0), Hook)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()";

#[test]
fn a_receiver_is_told_over_tls_if_the_host_trusts_it() {
    use std::io::{BufRead, BufReader, Write};
    let lab = Lab::new();
    let (cert, key) = (lab.path("cert.pem"), lab.path("key.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=localhost",
        "-days",
        "2",
    ]);
    openssl.args(["-addext", "subjectAltName=DNS:localhost"]);
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    let made = openssl.arg("-out").arg(&cert).arg("-keyout").arg(&key).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let mut server = Command::new("python3");
    let server = server.args(["-c", TLS]).arg(&cert).arg(&key).stdout(Stdio::piped()).spawn();
    let mut server = Sleeper(server.unwrap());
    let mut port = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let post = |trusted: Option<&PathBuf>| {
        let mut post = Command::new(AGENT);
        post.arg("post").stdin(Stdio::piped()).stderr(Stdio::piped());
        post.envs(trusted.map(|file| ("SSL_CERT_FILE", file)));
        let mut post = post.spawn().unwrap();
        let input = format!("https://localhost:{}/hook\n{{}}\n", port.trim());
        post.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        post.wait_with_output().unwrap()
    };
    let told = post(Some(&cert));
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let refused = post(None);
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && text.contains("certificate"), "{text}");
}
