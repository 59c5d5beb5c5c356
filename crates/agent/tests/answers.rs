//! Rules about domains hold for what name servers answered to anybody on this host: real answers over
//! the wire, and what only looks like one. Each test has a network and a `/etc/resolv.conf` of its own.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;

use crate::lab::{root, until};
use crate::policies::{document, err};
use crate::prevention::{PATIENCE, Scene};

/// The name server that `/etc/resolv.conf` names.
const SERVER: &str = "127.0.0.1:53";
/// Header of a message.
const HEADER: usize = 12;
/// Flags of an answer, and of one that is cut off.
const ANSWER: [u8; 2] = [0x81, 0x80];
const CUT: [u8; 2] = [0x83, 0x80];

/// From now on this thread and what it starts have a network of their own.
fn own_network() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap();
    assert!(up.success());
}

/// And a resolver that asks our server.
fn own_resolver(scene: &Scene) {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    let file = scene.policy("resolv.conf", "nameserver 127.0.0.1\n");
    mount(Some(&file), "/etc/resolv.conf", none, MsFlags::MS_BIND, none).unwrap();
}

/// Names and their addresses, of a server that answers until the test ends.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<HashMap<String, Vec<Ipv4Addr>>>>);

impl Names {
    fn set(&self, name: &str, last: u8) {
        self.0.lock().unwrap().insert(name.to_owned(), vec![Ipv4Addr::new(127, 0, 0, last)]);
    }

    /// Answers on this socket; what it does not know at all it says nothing to.
    fn serve(&self, socket: &UdpSocket) {
        let (socket, names) = (socket.try_clone().unwrap(), self.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((len, from)) = socket.recv_from(&mut buffer) {
                let question = &buffer[..len];
                let (name, kind) = asked(question);
                let known = names.0.lock().unwrap().get(&name).cloned();
                let Some(known) = known else { continue };
                let addresses = if kind == 1 { known } else { Vec::new() };
                let _sent = socket.send_to(&answer(question, ANSWER, &addresses), from);
            }
        });
    }
}

/// A question for the addresses of version 4 of a name.
fn question(number: u16, name: &str) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.bytes());
    }
    bytes.extend([0, 0, 1, 0, 1]);
    bytes
}

/// Where the question of a message ends.
fn end(message: &[u8]) -> usize {
    HEADER + message[HEADER..].iter().position(|byte| *byte == 0).unwrap() + 5
}

/// The name and the type that a message asks for.
fn asked(message: &[u8]) -> (String, u8) {
    let (mut name, mut at) = (Vec::new(), HEADER);
    while message[at] != 0 {
        let next = at + 1 + usize::from(message[at]);
        name.push(String::from_utf8(message[at + 1..next].to_vec()).unwrap());
        at = next;
    }
    (name.join(".").to_ascii_lowercase(), message[at + 2])
}

fn answer(question: &[u8], flags: [u8; 2], addresses: &[Ipv4Addr]) -> Vec<u8> {
    let mut bytes = question[..end(question)].to_vec();
    bytes[2..4].copy_from_slice(&flags);
    bytes[6..8].copy_from_slice(&u16::try_from(addresses.len()).unwrap().to_be_bytes());
    bytes[8..12].fill(0);
    for address in addresses {
        bytes.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4]);
        bytes.extend(address.octets());
    }
    bytes
}

/// Asks a server, and waits for its answer.
fn ask(socket: &UdpSocket, server: &str, name: &str) {
    socket.send_to(&question(7, name), server).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let (len, _) = socket.recv_from(&mut [0; 512]).unwrap();
    assert!(len > HEADER, "{name}");
}

fn socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

/// Whether the program of the scene may connect to 127.0.0.`last`; if not, for our reason.
fn connects(scene: &Scene, last: u8) -> bool {
    let script = format!("exec 3<>/dev/tcp/127.0.0.{last}/{}", scene.port);
    let output = Command::new(scene.lab.path("x")).args(["-c", &script]).output().unwrap();
    let denied = err(&output).contains("not permitted");
    assert!(output.status.success() || denied, "{output:?}");
    !denied
}

/// A scene of its own network, with a name server and somebody who listens at each address up to there.
fn scene(last: u8) -> (Scene, Names, UdpSocket) {
    own_network();
    let scene = Scene::new();
    own_resolver(&scene);
    for last in 2..=last {
        let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, last), scene.port)).unwrap();
        std::thread::spawn(move || listener.incoming().for_each(drop));
    }
    let (names, server) = (Names::default(), UdpSocket::bind(SERVER).unwrap());
    names.serve(&server);
    (scene, names, server)
}

fn denying(scene: &Scene, domains: &str) -> String {
    let program = scene.lab.path("x");
    let rule = format!("subject: {{executable: {}}}, deny: connect", program.display());
    document("scratch", &format!("  rules: [{{id: a, {rule}, domains: {domains}}}]\n"))
}

fn counts(scene: &Scene) -> Value {
    scene.show()["agent"]["domains"].clone()
}

fn count(scene: &Scene, what: &str) -> u64 {
    counts(scene)["answers"][what].as_u64().unwrap()
}

#[test]
fn a_rule_about_a_wildcard_holds_for_what_name_servers_answered() {
    if !root("a_rule_about_a_wildcard_holds_for_what_name_servers_answered") {
        return;
    }
    let (scene, names, _server) = scene(5);
    for (name, last) in
        [("www.example.test", 2), ("www.other.test", 3), ("example.test", 4), ("exact.test", 5)]
    {
        names.set(name, last);
    }
    let file = scene.policy("p.yaml", &denying(&scene, "['*.example.test', exact.test]"));
    let agent = scene.start(&["--enforce", "--policy", file.to_str().unwrap()]);
    until("the agent listens", PATIENCE, || counts(&scene)["answers"].is_object());
    let shown = scene.show();
    assert!(shown.to_string().contains("domain *.example.test"), "nobody asked yet: {shown:#}");
    assert!(connects(&scene, 2), "nobody asked yet");
    let resolved = |name: &str| {
        let found = Command::new("getent").args(["hosts", name]).output().unwrap();
        assert!(found.status.success(), "{name}: {found:?}");
    };
    resolved("www.other.test");
    resolved("example.test");
    resolved("WWW.Example.test");
    let since = Instant::now();
    until("the answer counts", PATIENCE, || !connects(&scene, 2));
    println!("in force {} ms after the answer", since.elapsed().as_millis());
    assert!(connects(&scene, 3), "another name's");
    assert!(connects(&scene, 4), "the name itself is not below it");
    assert_eq!(scene.connect("/bin/bash"), Ok(()), "nobody denies it to others");
    let shown = scene.show();
    assert!(!shown.to_string().contains("domain *.example.test"), "{shown:#}");
    assert_eq!(shown["agent"]["in_kernel"]["is_what_was_given"], true, "{shown:#}");
    until("the resolver is asked, too", PATIENCE, || !connects(&scene, 5));
    // A name without a wildcard: what somebody else was answered counts at once.
    names.set("exact.test", 3);
    ask(&socket(), SERVER, "exact.test");
    until("the other answer counts", Duration::from_secs(8), || !connects(&scene, 3));
    assert!(!connects(&scene, 5), "the one before does, too");
    assert!(agent.stop().success());
    assert!(connects(&scene, 2));
}

#[test]
fn what_only_looks_like_an_answer_teaches_nothing() {
    if !root("what_only_looks_like_an_answer_teaches_nothing") {
        return;
    }
    let (scene, names, server) = scene(6);
    names.set("www.example.test", 2);
    names.set("last.example.test", 6);
    let file = scene.policy("p.yaml", &denying(&scene, "'*.example.test'"));
    let agent = scene.start(&["--enforce", "--policy", file.to_str().unwrap()]);
    until("the agent listens", PATIENCE, || counts(&scene)["answers"].is_object());
    let bad = [Ipv4Addr::new(127, 0, 0, 5)];
    let forged = |number: u16| answer(&question(number, "bad.example.test"), ANSWER, &bad);

    // Who is no name server of this host: another address, and another port of the right one.
    let liars = Names::default();
    liars.set("bad.example.test", 5);
    for address in ["127.0.0.4:53", "127.0.0.1:5353"] {
        liars.serve(&UdpSocket::bind(address).unwrap());
        ask(&socket(), address, "bad.example.test");
    }
    // The server itself, but nobody asked; or under another number; or once more.
    let client = || {
        let client = socket();
        let address: SocketAddr = client.local_addr().unwrap();
        (client, address)
    };
    let (_nobody, to) = client();
    server.send_to(&forged(7), to).unwrap();
    let (other, to) = client();
    other.send_to(&question(8, "bad.example.test"), SERVER).unwrap();
    server.send_to(&forged(9), to).unwrap();
    let (twice, to) = client();
    ask(&twice, SERVER, "www.example.test");
    server.send_to(&forged(7), to).unwrap();
    until("all forged are counted", PATIENCE, || count(&scene, "unasked") == 3);
    // A network of its own, where anybody may be 127.0.0.1.
    std::thread::spawn(move || {
        own_network();
        liars.serve(&UdpSocket::bind(SERVER).unwrap());
        ask(&socket(), SERVER, "bad.example.test");
    })
    .join()
    .unwrap();
    // What was asked for, from whom it was asked, but cut off, and without a question.
    let unfit = count(&scene, "unfit");
    let mut none = forged(22);
    none[4..6].fill(0);
    for (number, message) in
        [(21, answer(&question(21, "bad.example.test"), CUT, &bad)), (22, none)]
    {
        let (client, to) = client();
        client.send_to(&question(number, "bad.example.test"), SERVER).unwrap();
        server.send_to(&message, to).unwrap();
    }
    until("both are of no use", PATIENCE, || count(&scene, "unfit") == unfit + 2);

    ask(&socket(), SERVER, "last.example.test");
    until("a real answer counts", PATIENCE, || !connects(&scene, 6));
    assert!(!connects(&scene, 2), "and the one before");
    assert!(connects(&scene, 5), "what nobody relies on: {}", counts(&scene));
    assert!(agent.stop().success());
}

#[test]
fn a_flood_of_names_is_bounded_and_the_next_answer_still_counts() {
    if !root("a_flood_of_names_is_bounded_and_the_next_answer_still_counts") {
        return;
    }
    let (scene, names, _server) = scene(3);
    names.set("www.first.test", 2);
    names.set("www.last.test", 3);
    let domains = "['*.example.test', '*.first.test', '*.last.test']";
    let file = scene.policy("p.yaml", &denying(&scene, domains));
    let agent = scene.start(&["--enforce", "--policy", file.to_str().unwrap()]);
    until("the agent listens", PATIENCE, || counts(&scene)["answers"].is_object());
    let client = socket();
    ask(&client, SERVER, "www.first.test");
    until("the first answer counts", PATIENCE, || !connects(&scene, 2));
    for n in 0..10_000_u16 {
        let [high, low] = n.to_be_bytes();
        let name = format!("n{n}.example.test");
        let address = vec![Ipv4Addr::new(198, 18, high, low)];
        names.0.lock().unwrap().insert(name.clone(), address);
        client.send_to(&question(n, &name), SERVER).unwrap();
        client.recv_from(&mut [0; 512]).unwrap();
    }
    let seen = counts(&scene);
    println!("after the flood: {seen}");
    let since = Instant::now();
    until("the last answer counts", PATIENCE, || {
        // While there is no room, an answer may be lost; who wants to connect asks again.
        ask(&client, SERVER, "www.last.test");
        !connects(&scene, 3)
    });
    println!("in force {} ms after the answer", since.elapsed().as_millis());
    assert!(!connects(&scene, 2), "the first one is not pushed out");
    let seen = counts(&scene);
    let answers = |what: &str| seen["answers"][what].as_u64().unwrap();
    assert!(seen["addresses"].as_u64().unwrap() <= 1_026, "{seen}");
    assert!(answers("taken") + answers("lost") >= 10_002, "all are accounted for: {seen}");
    assert!(answers("taken") >= 2_000, "the ring holds as many: {seen}");
    assert!(agent.stop().success());
}
