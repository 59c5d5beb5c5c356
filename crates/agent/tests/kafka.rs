//! Alerts on their way to a broker of Kafka that is not ours, read back by a client that is not ours either.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::lab::{AGENT, Lab, root, until};
use crate::outputs::{alert, alone, figures, forward, lines, raise};
use crate::receivers::{PATIENCE, Running, certificate, free_port};

/// Partitions of the topic: enough that a key decides.
const PARTITIONS: &str = "5";
const USER: &str = "aegisbpf";
const SECRET: &str = "s3cret";

/// Prints all records of `alerts` as lines of JSON, with the partition that this client would have chosen.
const READ: &str = "import json, sys
from kafka import KafkaConsumer, TopicPartition
from kafka.partitioner.default import murmur2
how = json.loads(sys.argv[2])
consumer = KafkaConsumer(bootstrap_servers=sys.argv[1], **how)
places = [TopicPartition('alerts', one) for one in sorted(consumer.partitions_for_topic('alerts') or [])]
ends = consumer.end_offsets(places)
consumer.assign(places)
consumer.seek_to_beginning()
while any(consumer.position(place) < ends[place] for place in places):
    for records in consumer.poll(1000).values():
        for one in records:
            print(json.dumps({
                'partition': one.partition, 'key': one.key.decode(), 'value': one.value.decode(),
                'headers': {name: value.decode() for name, value in one.headers}, 'time': one.timestamp,
                'chosen': (murmur2(one.key) & 0x7fffffff) % len(places)}))";

/// Where `cargo xtask setup` puts the broker and the client; says so when they are not there.
fn tools(test: &str) -> Option<PathBuf> {
    let target = Path::new(AGENT).ancestors().nth(2).unwrap();
    let tools = target.join("tools/kafka/bin");
    if !tools.join("tansu").exists() {
        println!("SKIP {test}: there is no broker of Kafka; `cargo xtask setup` installs it");
        return None;
    }
    root(test).then_some(tools)
}

/// A broker that keeps records in memory, and is called so.
fn broker(lab: &Lab, tools: &Path, port: u16, called: &str, more: &[&str]) -> Running {
    let mut command = Command::new(tools.join("tansu"));
    command.args(["broker", "--listener-url", &format!("tcp://127.0.0.1:{port}")]);
    command.args(["--advertised-listener-url", &format!("tcp://{called}")]);
    command.args(more).current_dir(lab.path("")).stdout(Stdio::null()).stderr(Stdio::null());
    let broker = Running::start(&mut command);
    until("the broker answers", PATIENCE, || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    broker
}

fn make_topic(tools: &Path, port: u16) {
    let mut command = Command::new(tools.join("tansu"));
    command.args(["topic", "create", "alerts", "--partitions", PARTITIONS, "--broker"]);
    let made = command.arg(format!("tcp://127.0.0.1:{port}")).output().unwrap();
    assert!(made.status.success(), "{made:?}");
}

/// All records, one partition after the other.
fn records(tools: &Path, address: &str, how: &Value) -> Vec<Value> {
    let mut command = Command::new(tools.join("python"));
    let output = command.args(["-c", READ, address, &how.to_string()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ids(records: &[Value]) -> Vec<&str> {
    records.iter().map(|one| one["headers"]["id"].as_str().unwrap()).collect()
}

/// What a forwarder says of its outputs.
type Lines = std::io::Lines<BufReader<std::process::ChildStdout>>;

fn told(forwarder: &mut Running) -> Lines {
    BufReader::new(forwarder.0.stdout.take().unwrap()).lines()
}

/// Reads it until it says this.
fn said(lines: &mut Lines, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let (mut told, begun) = (Value::Null, Instant::now());
    for line in lines.map_while(Result::ok) {
        told = serde_json::from_str(&line).unwrap();
        if holds(&told) {
            return told;
        }
        assert!(begun.elapsed() < PATIENCE, "{what} is not said: {told}");
    }
    panic!("it has ended, and before that {what} was not said: {told}");
}

#[test]
fn a_topic_of_kafka_gets_all_alerts_of_a_host_in_one_partition() {
    let Some(tools) = tools("a_topic_of_kafka_gets_all_alerts_of_a_host_in_one_partition") else {
        return;
    };
    let (lab, port) = (Lab::new(), free_port());
    let address = format!("127.0.0.1:{port}");
    let agent = forward(&lab, &format!("kafka://{address}/alerts#format=ecs"));
    let one = raise(&lab, &agent);
    until("it is seen that nobody is there", PATIENCE, || figures(&lab)["state"] == "retrying");
    let seen = figures(&lab);
    assert!(seen["last_error"].as_str().unwrap().contains("refused"), "{seen}");
    assert!(seen["backlog_bytes"].as_u64() > Some(0) && seen["sent"] == 0, "{seen}");

    let running = broker(&lab, &tools, port, &address, &[]);
    until("a broker without the topic takes nothing", PATIENCE, || {
        let seen = figures(&lab);
        seen["last_error"] == "the broker shows no topic `alerts`" && seen["sent"] == 0
    });
    make_topic(&tools, port);
    until("the alert is told", PATIENCE, || figures(&lab)["sent"] == 1);
    let told = records(&tools, &address, &serde_json::json!({}));
    assert_eq!(ids(&told), [&one]);
    let told = &told[0];
    assert_eq!(told["partition"], told["chosen"], "as other producers choose: {told}");
    let document: Value = serde_json::from_str(told["value"].as_str().unwrap()).unwrap();
    assert_eq!(document["event"]["id"], one.as_str(), "it arrives whole, in its form");
    assert_eq!(document["host"]["id"], told["key"]);
    assert_eq!(told["headers"]["content-type"], "application/json");
    let time: jiff::Timestamp = document["@timestamp"].as_str().unwrap().parse().unwrap();
    assert_eq!(told["time"], time.as_millisecond(), "the time of the alert");

    running.stop();
    let two = raise(&lab, &agent);
    until("it is seen that it has gone", PATIENCE, || figures(&lab)["state"] == "retrying");
    let three = raise(&lab, &agent);
    // It has forgotten all it had.
    let _running = broker(&lab, &tools, port, &address, &[]);
    make_topic(&tools, port);
    until("all is told", PATIENCE, || {
        let seen = figures(&lab);
        seen["sent"] == 3 && seen["state"] == "ok" && seen["backlog_bytes"] == 0
    });
    let told = records(&tools, &address, &serde_json::json!({}));
    assert_eq!(ids(&told), [&two, &three], "in their order");
    assert!(told.iter().all(|one| one["partition"] == one["chosen"]), "{told:?}");
}

#[test]
fn a_record_that_a_broker_refuses_holds_up_no_other_one() {
    let Some(tools) = tools("a_record_that_a_broker_refuses_holds_up_no_other_one") else {
        return;
    };
    let (lab, port) = (Lab::new(), free_port());
    let address = format!("127.0.0.1:{port}");
    // What a topic takes is what its schema says.
    fs::create_dir(lab.path("schema")).unwrap();
    let schema = r#"{"type":"object","properties":{"value":{"type":"object","properties":{"message":{"type":"string","maxLength":100}}}}}"#;
    fs::write(lab.path("schema/alerts.json"), schema).unwrap();
    let _broker = broker(&lab, &tools, port, &address, &["--schema-registry", "file://./schema"]);
    make_topic(&tools, port);
    let all = [alert("one", ""), alert("two", &"x".repeat(200)), alert("three", "")];
    let file = lab.path("got");
    let outputs = format!("kafka://{address}/alerts\nfile:{}", file.display());
    let mut forwarder = alone(&lab, 0, &all, &outputs);
    let told = said(&mut told(&mut forwarder), "that all had their turn", |told| {
        told[0]["backlog_bytes"] == 0 && told[0]["refused"] == 1
    });
    assert_eq!((&told[0]["sent"], &told[1]["sent"]), (&2.into(), &3.into()), "{told}");
    let why = "the broker does not take it: InvalidRecord";
    assert_eq!(told[0]["last_error"], why, "{told}");
    assert_eq!(ids(&records(&tools, &address, &serde_json::json!({}))), ["one", "three"]);
    assert_eq!(lines(&file).len(), 3, "another output has all");
}

#[test]
fn a_broker_behind_tls_is_told_who_the_agent_is() {
    let Some(tools) = tools("a_broker_behind_tls_is_told_who_the_agent_is") else {
        return;
    };
    let (lab, port, door) = (Lab::new(), free_port(), free_port());
    let (cert, key) = certificate(&lab);
    // The broker sends its clients back through the door.
    let _broker = broker(&lab, &tools, port, &format!("localhost:{door}"), &[]);
    make_topic(&tools, port);
    let mut front = Command::new(tools.join("python"));
    front.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/front.py")).arg(door.to_string());
    front.arg(port.to_string()).args([&cert, &key]).args([USER, SECRET]);
    let _front = Running::start(front.stderr(Stdio::null()));
    until("the door is open", PATIENCE, || {
        std::net::TcpStream::connect(("127.0.0.1", door)).is_ok()
    });
    let (good, bad) = (lab.path("good"), lab.path("bad"));
    fs::write(&good, format!("{SECRET}\n")).unwrap();
    fs::write(&bad, "wrong\n").unwrap();
    for secret in [&good, &bad] {
        fs::set_permissions(secret, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let broker = format!("kafka+tls://localhost:{door}/alerts");
    let options = |secret: &Path, more: &str| {
        format!("{broker}#user={USER}&token-file={}{more}", secret.display())
    };
    let trusted = format!("&ca={}", cert.display());
    let how = serde_json::json!({
        "security_protocol": "SASL_SSL", "ssl_cafile": cert, "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": USER, "sasl_plain_password": SECRET,
    });
    let address = format!("localhost:{door}");
    for (output, reason) in [
        (options(&good, ""), "certificate"),
        (options(&bad, &trusted), "SaslAuthenticationFailed"),
        (format!("{broker}#ca={}", cert.display()), "closed connection"),
    ] {
        let mut forwarder = alone(&lab, 0, &[alert("one", "")], &output);
        let refused = said(&mut told(&mut forwarder), reason, |told| {
            told[0]["last_error"].as_str().is_some_and(|why| why.contains(reason))
        });
        assert_eq!(refused[0]["sent"], 0, "{refused}");
    }
    assert_eq!(records(&tools, &address, &how), [Value::Null; 0]);
    let mut forwarder = alone(&lab, 0, &[alert("one", "")], &options(&good, &trusted));
    said(&mut told(&mut forwarder), "that it was told", |told| told[0]["sent"] == 1);
    assert_eq!(ids(&records(&tools, &address, &how)), ["one"]);
}

/// Three brokers, each of which may lead; the commands of `cluster.py`, and where the first one is.
struct Cluster {
    running: Running,
    said: Lines,
}

impl Cluster {
    fn start() -> (Cluster, String) {
        let mut command = Command::new("python3");
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster.py"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut running = Running(command.spawn().unwrap());
        let mut said = told(&mut running);
        let brokers = said.next().expect("the cluster has not ended").unwrap();
        (Cluster { running, said }, brokers.split(',').next().unwrap().to_owned())
    }

    fn tell(&mut self, words: &str) {
        writeln!(self.running.0.stdin.as_mut().unwrap(), "{words}").unwrap();
        assert_eq!(self.said.next().unwrap().unwrap(), "done", "{words}");
    }
}

#[test]
fn a_cluster_may_move_a_partition_and_refuse_a_record() {
    let test = "a_cluster_may_move_a_partition_and_refuse_a_record";
    if Command::new("kcat").arg("-V").output().is_err() {
        println!("SKIP {test}: there is no kcat, and no library of its broker");
        return;
    }
    if !root(test) {
        return;
    }
    let (lab, (mut cluster, address)) = (Lab::new(), Cluster::start());
    // One that is not there is asked, too; and another one leads than the one that is.
    cluster.tell("lead 2");
    let output = format!("kafka://127.0.0.1:{},{address}/alerts", free_port());
    let mut forwarder = alone(&lab, 0, &[alert("one", "")], &output);
    let mut told = told(&mut forwarder);
    let spool = lab.path(&format!("state/worker/own/spool/{:020}.jsonl", 0));
    let add = |id: &str| {
        let mut spool = fs::OpenOptions::new().append(true).open(&spool).unwrap();
        writeln!(spool, "{}", alert(id, "")).unwrap();
    };
    said(&mut told, "that one was told", |told| told[0]["sent"] == 1);
    cluster.tell("lead 3");
    add("two");
    said(&mut told, "that the new leader was told", |told| told[0]["sent"] == 2);
    // MESSAGE_TOO_LARGE, as often as one is tried.
    for _ in 0..5 {
        cluster.tell("refuse 10");
    }
    add("large");
    let refused = said(&mut told, "that one was refused", |told| told[0]["refused"] == 1);
    assert_eq!(refused[0]["last_error"], "the broker does not take it: MessageTooLarge");
    add("three");
    said(&mut told, "that the next one has its turn", |told| told[0]["sent"] == 3);
    let mut read = Command::new("kcat");
    read.args([
        "-C",
        "-q",
        "-e",
        "-t",
        "alerts",
        "-o",
        "beginning",
        "-f",
        "%p %s\n",
        "-b",
        &address,
    ]);
    let output = read.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let records = text.lines().map(|line| line.split_once(' ').unwrap());
    let (places, values): (Vec<&str>, Vec<&str>) = records.unzip();
    let all: Vec<String> = ["one", "two", "three"].map(|id| alert(id, "")).to_vec();
    assert_eq!(values, all, "in their order");
    assert!(places.iter().all(|place| *place == places[0]), "in one partition: {places:?}");
}
