//! Connections, datagrams, names, signals.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::{Command, id};

use kernel::Options;
use model::op::Kind;
use model::wire::{Body, RecNet, Record};

use super::harness::{bench, skipped};

fn net<'a>(record: &'a Record<'a>) -> &'a RecNet {
    match record.body() {
        Body::Net(net) => net,
        other => panic!("not a network record: {other:?}"),
    }
}

#[test]
fn a_connection_is_seen_from_listen_to_close() {
    if skipped() {
        return;
    }
    let kinds = [Kind::Listen, Kind::Connect, Kind::Accept, Kind::Bind, Kind::Close];
    let mut bench = bench(&kinds, Options::default());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let from = client.local_addr().unwrap().port();
    let (server, _) = listener.accept().unwrap();
    drop(client);
    drop(server);
    let of_us = |r: &Record<'_>, kind| r.kind() == kind && r.header().pid == id();
    bench.find("bind", |r| of_us(r, Kind::Bind) && net(r).saddr[..4] == [127, 0, 0, 1]);
    bench.find("listen", |r| of_us(r, Kind::Listen) && net(r).sport == port);
    bench.find("connect", |r| {
        of_us(r, Kind::Connect) && net(r).dport == port && net(r).daddr[..4] == [127, 0, 0, 1]
    });
    bench
        .find("accept", |r| of_us(r, Kind::Accept) && (net(r).sport, net(r).dport) == (port, from));
    bench.find("close of the client", |r| of_us(r, Kind::Close) && net(r).sport == from);
}

#[test]
fn a_worker_that_accepts_is_named() {
    if skipped() {
        return;
    }
    let mut bench = bench(&[Kind::Accept], Options::default());
    if bench.lacks(Kind::Accept) {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut worker = Command::new("perl");
    worker.args(["-e", "accept(C, STDIN) or die; sysread(C, $_, 1)"]);
    let worker = worker.stdin(OwnedFd::from(listener)).spawn();
    let Ok(mut worker) = worker else {
        println!("SKIP: no perl here");
        return;
    };
    let client = TcpStream::connect(address).unwrap();
    let from = client.local_addr().unwrap();
    drop(client);
    assert!(worker.wait().unwrap().success());
    let pid = worker.id();
    let accepted = |r: &Record<'_>| {
        r.kind() == Kind::Accept && r.header().pid == pid && net(r).dport == from.port()
    };
    let bytes = bench.find("accept by the worker", accepted);
    let record = Record::parse(&bytes).unwrap();
    assert_eq!(
        (net(&record).sport, &net(&record).daddr[..4]),
        (address.port(), &[127, 0, 0, 1][..])
    );
    assert_eq!(bench.count(accepted), 1);
}

#[test]
fn a_question_to_a_name_server_has_name_type_and_process() {
    if skipped() {
        return;
    }
    let mut bench = bench(&[Kind::Dns, Kind::Send], Options::default());
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut question = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    question.extend(b"\x03WWW\x07example\x04test\0\0\x1c\0\x01");
    socket.send_to(&question, "127.0.0.1:53").unwrap();
    let bytes = bench.find("dns", |r| r.kind() == Kind::Dns && r.header().pid == id());
    let record = Record::parse(&bytes).unwrap();
    assert_eq!(record.bytes(net(&record).name), b"www.example.test");
    assert_eq!((net(&record).dns_type, net(&record).dport), (28, 53));
    bench.find("send", |r| r.kind() == Kind::Send && r.header().pid == id() && net(r).dport == 53);
}

#[test]
fn addresses_of_version_six_are_whole() {
    if skipped() {
        return;
    }
    let kinds = [Kind::Connect, Kind::Send, Kind::Bind];
    let mut bench = bench(&kinds, Options::default());
    let Ok(receiver) = UdpSocket::bind("[::1]:0") else {
        println!("SKIP: no IPv6 here");
        return;
    };
    let port = receiver.local_addr().unwrap().port();
    let sender = UdpSocket::bind("[::1]:0").unwrap();
    sender.send_to(b"x", ("::1", port)).unwrap();
    sender.connect(("::1", port)).unwrap();
    let here = std::net::Ipv6Addr::LOCALHOST.octets();
    let of_us = |r: &Record<'_>, kind| {
        r.kind() == kind && r.header().pid == id() && net(r).family == 10 && net(r).protocol == 17
    };
    bench.find("bind", |r| of_us(r, Kind::Bind) && net(r).saddr == here);
    for kind in [Kind::Send, Kind::Connect] {
        bench.find(kind.name(), |r| of_us(r, kind) && (net(r).daddr, net(r).dport) == (here, port));
    }
}
