//! Cases about the network; all on loopback.

use std::net::{TcpListener, TcpStream, UdpSocket};

use anyhow::{Context, Result};
use model::op::Kind;

use super::{Case, Control};
use crate::expect::{Want, is, is_if_present};
use crate::lab::{Done, Lab};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "tcp ipv4",
        kind: Kind::Connect,
        run: |lab| connect(lab, "127.0.0.1:0"),
        want: |_, done| outgoing(done, "tcp", "ipv4"),
    },
    Case {
        name: "tcp ipv6",
        kind: Kind::Connect,
        run: |lab| connect(lab, "[::1]:0"),
        want: |_, done| outgoing(done, "tcp", "ipv6"),
    },
    Case {
        name: "tcp refused",
        kind: Kind::Connect,
        run: refused,
        want: |_, done| outgoing(done, "tcp", "ipv4"),
    },
    Case {
        name: "udp",
        kind: Kind::Connect,
        run: |lab| udp(lab, "udp-connect"),
        want: |lab, done| {
            let mut wants = outgoing(done, "udp", "ipv4");
            // Where TCP has a source of its own, doctor names both and shows the first.
            let row = lab.doctor.operations.get(&Kind::Connect);
            if row.is_some_and(|row| row.hook.contains("cgroup connect")) {
                wants.push(is("event.provider", "cgroup"));
            }
            wants
        },
    },
    Case {
        name: "tcp ipv4",
        kind: Kind::Accept,
        run: |lab| accept(lab, "127.0.0.1"),
        want: |_, done| incoming(done, "ipv4"),
    },
    Case {
        name: "tcp ipv6",
        kind: Kind::Accept,
        run: |lab| accept(lab, "[::1]"),
        want: |_, done| incoming(done, "ipv6"),
    },
    Case {
        name: "tcp",
        kind: Kind::Bind,
        run: |lab| local(lab, "bind"),
        want: |_, done| here(done),
    },
    Case {
        name: "tcp",
        kind: Kind::Listen,
        run: |lab| local(lab, "listen"),
        want: |_, done| here(done),
    },
    Case {
        name: "udp",
        kind: Kind::Send,
        run: |lab| udp(lab, "udp-send"),
        want: |_, done| outgoing(done, "udp", "ipv4"),
    },
    Case {
        name: "tcp",
        kind: Kind::Close,
        run: |lab| connect(lab, "127.0.0.1:0"),
        want: |_, done| {
            vec![
                is("destination.ip", done.fact("ip")),
                is("destination.port", done.fact("port-there")),
                is("source.ip", done.fact("ip")),
                is("source.port", done.fact("port")),
                is("network.transport", "tcp"),
            ]
        },
    },
    Case {
        name: "question",
        kind: Kind::Dns,
        run: |lab| lab.act(&["dns", "provoke.example.com"]),
        want: |_, _| {
            vec![
                is("dns.question.name", "provoke.example.com"),
                is("dns.question.type", "A"),
                is_if_present("destination.ip", "127.0.0.1"),
                is_if_present("destination.port", 53),
            ]
        },
    },
];

pub(super) const CONTROLS: &[Control] = &[
    Control {
        name: "a socket without connect",
        kind: Kind::Connect,
        run: |lab| lab.act(&["socket"]),
    },
    Control { name: "connect", kind: Kind::Accept, run: |lab| connect(lab, "127.0.0.1:0") },
    Control { name: "a socket without bind", kind: Kind::Bind, run: |lab| lab.act(&["socket"]) },
    Control { name: "bind", kind: Kind::Listen, run: |lab| local(lab, "bind") },
    Control {
        name: "send on a connected socket",
        kind: Kind::Send,
        run: |lab| udp(lab, "udp-connect"),
    },
    Control {
        name: "a socket that was never connected",
        kind: Kind::Close,
        run: |lab| lab.act(&["socket"]),
    },
    Control { name: "a question to another port", kind: Kind::Dns, run: other_port },
];

/// A connection from the actor to the lab.
fn outgoing(done: &Done, transport: &str, family: &str) -> Vec<Want> {
    let mut wants = vec![
        is("destination.ip", done.fact("ip")),
        is("destination.port", done.fact("port-there")),
        is("destination.address", done.fact("ip")),
        is("network.transport", transport),
        is("network.type", family),
        is("network.direction", "egress"),
        // Before the kernel has chosen one there is no local address.
        is_if_present("source.ip", done.fact("ip")),
    ];
    if !done.fact("port").is_empty() {
        wants.push(is_if_present("source.port", done.fact("port")));
    }
    wants
}

/// A connection from the lab to the actor.
fn incoming(done: &Done, family: &str) -> Vec<Want> {
    vec![
        is("source.ip", done.fact("ip")),
        is("source.port", done.fact("port-there")),
        is("destination.ip", done.fact("ip")),
        is("destination.port", done.fact("port")),
        is("network.transport", "tcp"),
        is("network.type", family),
        is("network.direction", "ingress"),
    ]
}

/// A local address.
fn here(done: &Done) -> Vec<Want> {
    vec![
        is("source.ip", done.fact("ip")),
        is("source.port", done.fact("port-here")),
        is("network.transport", "tcp"),
        is("network.type", "ipv4"),
    ]
}

fn connect(lab: &mut Lab, address: &str) -> Result<Done> {
    let listener = TcpListener::bind(address).context("listen")?;
    let there = listener.local_addr().context("getsockname")?;
    let mut actor = lab.start(&["connect", &there.to_string()])?;
    actor.fact("port")?;
    actor.go_on()?;
    Ok(actor.finish()?.with("ip", there.ip()).with("port-there", there.port()))
}

/// A port at which nobody listens.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("listen")?;
    Ok(listener.local_addr().context("getsockname")?.port())
}

fn refused(lab: &mut Lab) -> Result<Done> {
    let port = free_port()?;
    let done = lab.act(&["connect-refused", &format!("127.0.0.1:{port}")])?;
    Ok(done.with("ip", "127.0.0.1").with("port-there", port))
}

fn udp(lab: &mut Lab, operation: &str) -> Result<Done> {
    let socket = UdpSocket::bind("127.0.0.1:0").context("udp socket")?;
    let there = socket.local_addr().context("getsockname")?;
    let done = lab.act(&[operation, &there.to_string()])?;
    Ok(done.with("ip", there.ip()).with("port-there", there.port()))
}

fn accept(lab: &mut Lab, ip: &str) -> Result<Done> {
    let mut actor = lab.start(&["accept", &format!("{ip}:0")])?;
    let port = actor.fact("port")?;
    let stream = TcpStream::connect(format!("{ip}:{port}")).context("connect")?;
    let here = stream.local_addr().context("getsockname")?;
    actor.go_on()?;
    Ok(actor.finish()?.with("ip", here.ip()).with("port-there", here.port()))
}

fn local(lab: &mut Lab, operation: &str) -> Result<Done> {
    let port = free_port()?;
    let done = lab.act(&[operation, &format!("127.0.0.1:{port}")])?;
    Ok(done.with("ip", "127.0.0.1").with("port-here", port))
}

fn other_port(lab: &mut Lab) -> Result<Done> {
    let server = UdpSocket::bind("127.0.0.1:0").context("udp socket")?;
    let address = server.local_addr().context("getsockname")?.to_string();
    lab.act(&["dns-to", &address, "provoke.example.com"])
}
