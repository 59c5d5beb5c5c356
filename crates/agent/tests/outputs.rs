//! Alerts on their way to real receivers: files, HTTP, rsyslog over UDP, TCP and TLS, journald, NATS. Each receiver is away
//! for a while, and nothing is lost.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::lab::{AGENT, Agent, Lab, root, signal, until};
use crate::receivers::{
    Journal, PATIENCE, Running, base64, certificate, free_port, hook, nats, nats_server, rsyslog,
};

/// Starts the agent with this output.
pub(crate) fn forward(lab: &Lab, output: &str) -> Agent {
    lab.start_with(&["--forward", output])
}

/// Raises an alert; its id.
pub(crate) fn raise(lab: &Lab, agent: &Agent) -> String {
    let pid = lab.run_scratch("x");
    let alert = agent.alert(pid, PATIENCE).expect("an alert");
    alert["alert"]["id"].as_str().unwrap().to_owned()
}

/// What the agent says of its only output.
pub(crate) fn figures(lab: &Lab) -> Value {
    // The guard answers each question with what it last heard.
    lab.status()
        .map_or(Value::Null, |status| status["kernel_counters"]["outputs"]["all"][0].clone())
}

pub(crate) fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Waits until these ids have arrived, in this order; a receiver may have got one twice.
pub(crate) fn arrived(path: &Path, ids: &[&str]) {
    let seen = || {
        let mut seen: Vec<String> = Vec::new();
        for line in lines(path) {
            // Its own id comes first; that of its incident, which is that of another alert, later.
            let found = ids.iter().filter_map(|id| Some((line.find(*id)?, *id)));
            let id = found.min().map(|(_, id)| id.to_owned());
            seen.extend(id.filter(|id| !seen.contains(id)));
        }
        seen
    };
    until("all have arrived", PATIENCE, || seen().len() == ids.len());
    assert_eq!(seen(), ids, "in their order");
}

#[test]
fn a_file_is_written_rotated_by_others_and_survives_restarts() {
    if !root("a_file_is_written_rotated_by_others_and_survives_restarts") {
        return;
    }
    let lab = Lab::new();
    let (path, moved) = (lab.path("alerts"), lab.path("alerts.old"));
    let output = format!("file:{}#format=ecs", path.display());
    let agent = forward(&lab, &output);
    let first = raise(&lab, &agent);
    arrived(&path, &[&first]);
    let one: Value = serde_json::from_str(&lines(&path)[0]).unwrap();
    assert_eq!(
        (&one["event"]["id"], &one["event"]["severity"]),
        (&first.as_str().into(), &73.into())
    );
    fs::rename(&path, &moved).unwrap();
    let second = raise(&lab, &agent);
    arrived(&path, &[&second]);

    // A worker, and then the whole agent, that are killed lose nothing of it.
    let worker = lab.status().unwrap()["worker"]["pid"].as_u64().unwrap();
    signal(u32::try_from(worker).unwrap(), nix::sys::signal::Signal::SIGKILL);
    until("another worker", PATIENCE, || {
        lab.status().is_some_and(|status| status["worker"]["restarts"] == 1)
    });
    let third = raise(&lab, &agent);
    agent.kill();
    // Its worker ends by itself, and must not answer for the next one.
    until("it has gone", PATIENCE, || lab.status().is_none());
    let agent = forward(&lab, &output);
    let fourth = raise(&lab, &agent);
    arrived(&path, &[&second, &third, &fourth]);
    assert!(lines(&moved).iter().all(|line| !line.contains(&second)));
    until("all is told", PATIENCE, || figures(&lab)["backlog_bytes"] == 0);
    assert!(agent.stop().success());
}

#[test]
fn a_webhook_that_is_away_loses_nothing_and_that_is_seen() {
    if !root("a_webhook_that_is_away_loses_nothing_and_that_is_seen") {
        return;
    }
    let lab = Lab::new();
    let (port, out) = (free_port(), lab.path("got"));
    fs::write(lab.path("token"), "s3cret\n").unwrap();
    let mode =
        |mode| fs::set_permissions(lab.path("token"), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    let token = lab.path("token");
    let output = format!("http://127.0.0.1:{port}/#format=falco&token-file={}", token.display());
    let agent = forward(&lab, &output);
    let (one, two) = (raise(&lab, &agent), raise(&lab, &agent));
    let says =
        |what: &str| figures(&lab)["last_error"].as_str().is_some_and(|it| it.contains(what));
    until("a secret that all can read is not used", PATIENCE, || says("token: open to others"));
    mode(0o600);
    until("it is seen that nobody is there", PATIENCE, || says("refused"));
    let seen = figures(&lab);
    assert!(seen["backlog_bytes"].as_u64() > Some(0) && seen["sent"] == 0, "{seen}");
    assert!(seen["last_error"].as_str().unwrap().contains("refused"), "{seen}");

    let receiver = hook(port, &out, 0.0);
    arrived(&out, &[&one, &two]);
    let line = lines(&out).remove(0);
    let (head, body) = line.split_once('{').unwrap();
    assert_eq!(head, "Bearer s3cret ", "out of a file, and on no command line");
    let told: Value = serde_json::from_str(&format!("{{{body}")).unwrap();
    assert_eq!((&told["rule"], &told["priority"]), (&"Scratch program".into(), &"Error".into()));
    assert_eq!(told["output_fields"]["proc.exepath"], lab.path("x").to_str().unwrap());
    until("it is seen that all is well", PATIENCE, || {
        let seen = figures(&lab);
        seen["state"] == "ok" && seen["sent"] == 2 && seen["backlog_bytes"] == 0
    });

    // Receiver and agent go and come back; the agent first.
    drop(receiver);
    let three = raise(&lab, &agent);
    agent.stop();
    let agent = forward(&lab, &output);
    let four = raise(&lab, &agent);
    let _receiver = hook(port, &out, 0.0);
    arrived(&out, &[&one, &two, &three, &four]);
    let argv = fs::read_to_string(format!("/proc/{}/cmdline", agent.guard())).unwrap();
    assert!(!argv.contains("s3cret"));
}

/// Sends to an rsyslog that is stopped for a while and started again.
fn stays_whole(lab: &Lab, output: &str, input: &str) {
    let out = lab.path("got");
    let receiver = rsyslog(lab, input, &out);
    let agent = forward(lab, output);
    let one = raise(lab, &agent);
    arrived(&out, &[&one]);
    let line = lines(&out).remove(0);
    let head =
        format!("aegisbpf err [aegisbpf@32473 id=\"{one}\" rule=\"scratch\" severity=\"high\"]");
    assert!(line.starts_with(&head), "{line}");
    receiver.stop();
    let two = raise(lab, &agent);
    until("it is seen that nobody is there", PATIENCE, || figures(lab)["state"] == "retrying");
    let three = raise(lab, &agent);
    let _receiver = rsyslog(lab, input, &out);
    arrived(&out, &[&one, &two, &three]);
    let message = lines(&out).pop().unwrap();
    let (_, document) = message.split_once("] ").unwrap();
    let document: Value = serde_json::from_str(document.trim()).unwrap();
    assert_eq!(document["alert"]["id"], three, "it arrives whole");
}

#[test]
fn syslog_over_tcp_is_taken_by_rsyslog_and_waits_for_it() {
    if !root("syslog_over_tcp_is_taken_by_rsyslog_and_waits_for_it") {
        return;
    }
    let (lab, port) = (Lab::new(), free_port());
    let input = format!(
        "module(load=\"imtcp\")\ninput(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\")"
    );
    stays_whole(&lab, &format!("syslog+tcp://127.0.0.1:{port}"), &input);
}

#[test]
fn syslog_over_tls_is_taken_by_rsyslog_if_its_certificate_is_good() {
    if !root("syslog_over_tls_is_taken_by_rsyslog_if_its_certificate_is_good") {
        return;
    }
    let (lab, port) = (Lab::new(), free_port());
    let (cert, key) = certificate(&lab);
    let input = format!(
        "global(defaultNetstreamDriver=\"gtls\" defaultNetstreamDriverCAFile=\"{0}\" \
         defaultNetstreamDriverCertFile=\"{0}\" defaultNetstreamDriverKeyFile=\"{1}\")\n\
         module(load=\"imtcp\" streamDriver.name=\"gtls\" streamDriver.mode=\"1\" \
         streamDriver.authMode=\"anon\")\ninput(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\")",
        cert.display(),
        key.display(),
    );
    let url = format!("syslog+tls://localhost:{port}");
    stays_whole(&lab, &format!("{url}#ca={}", cert.display()), &input);

    // Whoever is not known gets nothing.
    let (lab, out) = (Lab::new(), lab.path("got"));
    let before = lines(&out).len();
    let _receiver = rsyslog(&lab, &input, &out);
    let agent = forward(&lab, &url);
    raise(&lab, &agent);
    until("the certificate is refused", PATIENCE, || {
        figures(&lab)["last_error"].as_str().is_some_and(|why| why.contains("certificate"))
    });
    assert_eq!(lines(&out).len(), before);
}

#[test]
fn syslog_over_udp_is_taken_by_rsyslog() {
    if !root("syslog_over_udp_is_taken_by_rsyslog") {
        return;
    }
    let (lab, port) = (Lab::new(), free_port());
    let out = lab.path("got");
    let input = format!(
        "module(load=\"imudp\")\ninput(type=\"imudp\" address=\"127.0.0.1\" port=\"{port}\")"
    );
    let _receiver = rsyslog(&lab, &input, &out);
    // Nobody says that a datagram has arrived, so the receiver has to be there first.
    let hex = format!("{port:04X}");
    until("rsyslog listens", PATIENCE, || {
        fs::read_to_string("/proc/net/udp").unwrap().contains(&format!("0100007F:{hex} "))
    });
    let agent = forward(&lab, &format!("syslog+udp://127.0.0.1:{port}#format=cef"));
    let one = raise(&lab, &agent);
    arrived(&out, &[&one]);
    assert!(lines(&out)[0].contains("] CEF:0|AegisBPF|aegisbpf|"), "{:?}", lines(&out));
}

#[test]
fn journald_gets_fields_and_may_be_started_again() {
    if !root("journald_gets_fields_and_may_be_started_again") {
        return;
    }
    let lab = Lab::new();
    let name = format!("aegisbpf-test-{}", std::process::id());
    let mut journal = Journal { name, running: None };
    let socket = journal.directory().join("socket");
    let agent = forward(&lab, &format!("journald:{}", socket.display()));
    let one = raise(&lab, &agent);
    until("it is seen that nobody is there", PATIENCE, || figures(&lab)["state"] == "retrying");
    journal.start();
    until("the alert is in the journal", PATIENCE, || !journal.entries().is_empty());
    let entry = journal.entries().remove(0);
    assert_eq!(
        (&entry["AEGISBPF_ID"], &entry["AEGISBPF_RULE"]),
        (&one.as_str().into(), &"scratch".into())
    );
    assert_eq!((&entry["PRIORITY"], &entry["MESSAGE"]), (&"3".into(), &"Scratch program".into()));
    assert_eq!(entry["_UID"], "0", "journald says whose it is");
    let document: Value =
        serde_json::from_str(entry["AEGISBPF_DOCUMENT"].as_str().unwrap()).unwrap();
    assert_eq!(document["alert"]["id"], one);

    // A journald that is started again has another socket at the same place.
    journal.running.take().unwrap().stop();
    journal.start();
    let two = raise(&lab, &agent);
    until("the next one is there, too", PATIENCE, || {
        journal.entries().iter().any(|entry| entry["AEGISBPF_ID"] == two)
    });
}

/// The forwarder alone, with a spool that says this; it is told of the output as the guard does it.
pub(crate) fn alone(lab: &Lab, first: u64, lines: &[String], output: &str) -> Running {
    let spool = lab.path("state/worker/own/spool");
    fs::create_dir_all(&spool).unwrap();
    fs::write(spool.join(format!("{first:020}.jsonl")), lines.join("\n") + "\n").unwrap();
    let mut command = Command::new(AGENT);
    // Under its list, as below an agent.
    command.args(["--confine", "aegisbpf-output", "forward", "--state-dir"]);
    command.arg(lab.path("state"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    write!(child.stdin.as_mut().unwrap(), "{output}\n\n").unwrap();
    Running(child)
}

pub(crate) fn alert(id: &str, more: &str) -> String {
    format!(
        "{{\"alert\":{{\"id\":\"{id}\"}},\"severity\":\"high\",\"event\":{{\"kind\":\"alert\"}},\"message\":\"m{more}\"}}"
    )
}

#[test]
fn an_entry_larger_than_a_datagram_reaches_journald_whole() {
    if !root("an_entry_larger_than_a_datagram_reaches_journald_whole") {
        return;
    }
    let lab = Lab::new();
    let mut journal =
        Journal { name: format!("aegisbpf-large-{}", std::process::id()), running: None };
    journal.start();
    let lines = [alert("small", ""), alert("large", &"x".repeat(1 << 20)), alert("last", "")];
    let output = format!("journald:{}", journal.directory().join("socket").display());
    let _forwarder = alone(&lab, 0, &lines, &output);
    until("all are in the journal", PATIENCE, || journal.entries().len() == 3);
    let entries = journal.entries();
    let ids: Vec<&Value> = entries.iter().map(|entry| &entry["AEGISBPF_ID"]).collect();
    assert_eq!(ids, ["small", "large", "last"]);
    assert_eq!(entries[1]["MESSAGE"].as_str().unwrap().len(), (1 << 20) + 1);
}

#[test]
fn a_slow_receiver_gets_all_in_order_and_learns_of_a_gap() {
    if !root("a_slow_receiver_gets_all_in_order_and_learns_of_a_gap") {
        return;
    }
    let lab = Lab::new();
    let (port, out) = (free_port(), lab.path("got"));
    let _receiver = hook(port, &out, 0.005);
    // The first of these is the eighth that ever was: seven were given up before this output had them.
    let all: Vec<String> = (0..300).map(|number| alert(&format!("n{number}."), "")).collect();
    let mut forwarder = alone(&lab, 7, &all, &format!("http://127.0.0.1:{port}/"));
    until("all have arrived", PATIENCE, || lines(&out).len() >= 301);
    let got = lines(&out);
    assert!(got[0].contains("\"output_lost\"") && got[0].contains("\"lost\":7"), "{}", got[0]);
    for (number, line) in got.iter().skip(1).enumerate() {
        assert!(line.contains(&format!("\"n{number}.\"")), "{number}: {line}");
    }
    // Its input ends, and so does it; what it said last is how it stands.
    drop(forwarder.0.stdin.take());
    let said = BufReader::new(forwarder.0.stdout.take().unwrap()).lines().map_while(Result::ok);
    let figures: Vec<Value> = said.map(|line| serde_json::from_str(&line).unwrap()).collect();
    assert!(forwarder.0.wait().unwrap().success());
    let waited = figures.iter().any(|all| all[0]["backlog_bytes"].as_u64() > Some(0));
    assert!(waited, "what waits is seen: {figures:?}");
    let cursor = lab.path(&format!("state/outputs/http-127.0.0.1-{port}.cursor"));
    assert!(fs::read_to_string(cursor).unwrap().ends_with(" 307"), "the next line to tell");
}

#[test]
fn a_collector_gets_logs() {
    if !root("a_collector_gets_logs") {
        return;
    }
    let lab = Lab::new();
    let (port, out) = (free_port(), lab.path("got"));
    let agent = forward(&lab, &format!("otlp+http://127.0.0.1:{port}/v1/logs"));
    let (one, two) = (raise(&lab, &agent), raise(&lab, &agent));
    let _receiver = hook(port, &out, 0.0);
    until("all have arrived", PATIENCE, || {
        let text = fs::read_to_string(&out).unwrap_or_default();
        text.contains(&one) && text.contains(&two)
    });
    let line = lines(&out).remove(0);
    let request: Value = serde_json::from_str(line.trim_start_matches("- ")).unwrap();
    let record = &request["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
    assert_eq!((&record["severityNumber"], &record["eventName"]), (&17.into(), &"exec".into()));
    assert_eq!(record["attributes"][0]["value"]["stringValue"], one.as_str());
}

#[test]
fn a_stream_of_nats_keeps_what_it_is_told_once() {
    if !root("a_stream_of_nats_keeps_what_it_is_told_once") {
        return;
    }
    let (lab, port) = (Lab::new(), free_port());
    let agent = forward(&lab, &format!("nats://127.0.0.1:{port}/alerts.host"));
    let one = raise(&lab, &agent);
    until("it is seen that nobody is there", PATIENCE, || figures(&lab)["state"] == "retrying");
    let server = nats_server(&lab, port);
    let failures = figures(&lab)["failures"].as_u64().unwrap();
    // A server without the stream keeps nothing, so nothing has arrived.
    until("it is tried again", PATIENCE, || figures(&lab)["failures"].as_u64() > Some(failures));
    assert_eq!(figures(&lab)["sent"], 0);
    let stream = r#"{"name":"ALERTS","subjects":["alerts.>"],"storage":"file"}"#;
    let made = nats(port, "$JS.API.STREAM.CREATE.ALERTS", stream).unwrap();
    assert_eq!(made["config"]["name"], "ALERTS", "{made}");
    let has = |count: u64| {
        let about = nats(port, "$JS.API.STREAM.INFO.ALERTS", "");
        about.is_some_and(|about| about["state"]["messages"] == count)
    };
    until("the alert is in the stream", PATIENCE, || has(1));
    server.stop();
    let two = raise(&lab, &agent);
    until("it is seen that nobody is there", PATIENCE, || figures(&lab)["state"] == "retrying");
    let three = raise(&lab, &agent);
    let _server = nats_server(&lab, port);
    until("all are in the stream", PATIENCE, || has(3));
    for (number, id) in [one, two, three].iter().enumerate() {
        let asked = format!("{{\"seq\":{}}}", number + 1);
        let kept = nats(port, "$JS.API.STREAM.MSG.GET.ALERTS", &asked).unwrap();
        let head = base64(kept["message"]["hdrs"].as_str().unwrap());
        assert!(head.contains(&format!("Nats-Msg-Id: {id}")), "{head}");
        let told: Value =
            serde_json::from_str(&base64(kept["message"]["data"].as_str().unwrap())).unwrap();
        assert_eq!(&told["alert"]["id"], id.as_str());
    }
}

#[test]
fn what_is_too_large_for_a_receiver_does_not_hold_up_the_rest() {
    if !root("what_is_too_large_for_a_receiver_does_not_hold_up_the_rest") {
        return;
    }
    let (lab, port) = (Lab::new(), free_port());
    let _server = nats_server(&lab, port);
    let stream = r#"{"name":"ALERTS","subjects":["alerts.>"]}"#;
    assert!(nats(port, "$JS.API.STREAM.CREATE.ALERTS", stream).unwrap()["error"].is_null());
    // A server of NATS takes one MiB unless it is told otherwise.
    let all = [alert("one", ""), alert("large", &"x".repeat(2 << 20)), alert("last", "")];
    let mut forwarder = alone(&lab, 0, &all, &format!("nats://127.0.0.1:{port}/alerts.host"));
    until("the last one is in the stream", PATIENCE, || {
        let about = nats(port, "$JS.API.STREAM.INFO.ALERTS", "");
        about.is_some_and(|about| about["state"]["messages"] == 2)
    });
    drop(forwarder.0.stdin.take());
    let said = BufReader::new(forwarder.0.stdout.take().unwrap()).lines().map_while(Result::ok);
    let figures: Value = serde_json::from_str(&said.last().unwrap()).unwrap();
    assert_eq!((&figures[0]["sent"], &figures[0]["refused"]), (&2.into(), &1.into()), "{figures}");
    assert!(figures[0]["last_error"].as_str().unwrap().contains("max payload"), "{figures}");
}

#[test]
fn what_cannot_be_an_output_is_refused_at_start() {
    if !root("what_cannot_be_an_output_is_refused_at_start") {
        return;
    }
    let lab = Lab::new();
    for (outputs, reason) in [
        (&["ftp://host/"][..], "begins with one of file"),
        (&["file:/tmp/a", "file:/var/a"], "two outputs are called `file-a`"),
    ] {
        let mut command = lab.command();
        for output in outputs {
            command.args(["--forward", output]);
        }
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(reason), "{text}");
    }
}
