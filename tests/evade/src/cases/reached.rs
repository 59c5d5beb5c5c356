//! Rules deny letting in and receiving, and reaching by protocols and calls that are seldom used.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use kernel::deeds;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, sendmmsg};
use rustix::net::{
    AddressFamily, Protocol, SocketFlags, SocketType, bind, connect, listen, socket, socket_with,
};

use super::Case;
use super::net::{DENIED, MADE, datagram, mapped, udp};

/// Who may not come in.
const UNWANTED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 4);
/// Whose datagrams are not received.
const UNHEARD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 5);
/// How long something may take that takes no time on an idle machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// Nothing came.
fn silence() -> io::Error {
    io::Error::from_raw_os_error(110)
}

/// Asks again and again until there is an answer.
fn until<T>(mut ask: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let end = Instant::now() + PATIENCE;
    loop {
        match ask() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => return other,
        }
        if Instant::now() > end {
            return Err(silence());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Connects from an address, without waiting for the end.
fn begin(from: Ipv4Addr, to: SocketAddr) -> io::Result<OwnedFd> {
    let kind = SocketType::STREAM;
    let here = socket_with(AddressFamily::INET, kind, SocketFlags::NONBLOCK, None)?;
    bind(&here, &SocketAddrV4::new(from, 0))?;
    match connect(&here, &to) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(here),
        Err(error) => Err(error.into()),
    }
}

/// Lets in who comes from the unwanted address.
fn let_in(there: &TcpListener) -> io::Result<TcpStream> {
    there.set_nonblocking(true)?;
    let _comes = begin(UNWANTED, there.local_addr()?)?;
    Ok(until(|| there.accept())?.0)
}

fn input() -> io::Result<OwnedFd> {
    io::stdin().as_fd().try_clone_to_owned()
}

/// Listeners from before the policy, by the name of the place.
static KEPT: Mutex<Vec<(std::path::PathBuf, TcpListener)>> = Mutex::new(Vec::new());

fn keep(at: &Path) -> io::Result<()> {
    let there = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    KEPT.lock().map_err(|_| io::Error::other("poisoned"))?.push((at.to_owned(), there));
    Ok(())
}

fn kept(at: &Path) -> io::Result<Stdio> {
    let kept = KEPT.lock().map_err(|_| io::Error::other("poisoned"))?;
    let found = kept.iter().find(|one| one.0 == at);
    let (_, there) = found.ok_or_else(|| io::Error::other("nothing was kept"))?;
    Ok(OwnedFd::from(there.try_clone()?).into())
}

/// A listener with somebody who waits to be let in, and has said something.
fn crowded(_: &Path) -> io::Result<Stdio> {
    let there = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let here = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&here, &SocketAddrV4::new(UNWANTED, 0))?;
    connect(&here, &there.local_addr()?)?;
    let mut here = TcpStream::from(here);
    here.write_all(b"x")?;
    std::mem::forget(here);
    Ok(OwnedFd::from(there).into())
}

/// Receives what comes from the unheard address.
fn hear(there: &UdpSocket) -> io::Result<()> {
    there.set_nonblocking(true)?;
    UdpSocket::bind((UNHEARD, 0))?.send_to(b"x", there.local_addr()?)?;
    until(|| there.recv_from(&mut [0; 4])).map(drop)
}

/// Connects by a protocol that this kernel may not have.
fn by(kind: SocketType, number: u32) -> io::Result<()> {
    let protocol = std::num::NonZeroU32::new(number).map(Protocol::from_raw);
    let make = || match socket(AddressFamily::INET, kind, protocol) {
        // What a kernel says of a protocol that it does not have.
        Err(rustix::io::Errno::PROTONOSUPPORT | rustix::io::Errno::SOCKTNOSUPPORT) => {
            Err(io::Error::from_raw_os_error(38))
        }
        made => Ok(made?),
    };
    let there = make()?;
    bind(&there, &SocketAddrV4::new(DENIED, 7709))?;
    if kind != SocketType::DGRAM {
        listen(&there, 1)?;
    }
    let here = make()?;
    connect(&here, &SocketAddrV4::new(DENIED, 7709))?;
    // Not every way of enforcing is asked when such a socket is connected.
    if kind == SocketType::DGRAM {
        rustix::io::write(&here, b"x")?;
    }
    Ok(())
}

/// Translated addresses have a route here: in a network of this process's own.
fn translated() -> io::Result<()> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)?;
    for words in [
        ["ip", "link", "set", "lo", "up", ""].as_slice(),
        &["ip", "-6", "addr", "add", "64:ff9b::7f00:2/128", "dev", "lo"],
    ] {
        let words = words.iter().filter(|word| !word.is_empty());
        if !Command::new("/bin/busybox").args(words).status()?.success() {
            return Err(io::Error::other("the network does not come up"));
        }
    }
    let [a, b, c, d] = DENIED.octets();
    let low = [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])];
    let there = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, low[0], low[1]);
    // An address is not used before it is known that nobody else has it.
    let listener = loop {
        match TcpListener::bind((there, 0)) {
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                std::thread::sleep(Duration::from_millis(50));
            }
            bound => break bound?,
        }
    };
    TcpStream::connect(listener.local_addr()?).map(drop)
}

pub(super) const CASES: &[Case] = &[
    Case::new("reached", "let in who is not wanted", "no-accept", |_| {
        let_in(&TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?).map(drop)
    })
    .silent(),
    Case::new("reached", "let in by a listener for both versions", "no-accept", |_| {
        let there = TcpListener::bind((mapped(Ipv4Addr::LOCALHOST), 0))?;
        let port = there.local_addr()?.port();
        there.set_nonblocking(true)?;
        let _comes = begin(UNWANTED, (Ipv4Addr::LOCALHOST, port).into())?;
        until(|| there.accept()).map(drop)
    })
    .silent(),
    Case::new("reached", "let in by a listener from before the rule", "no-accept", |_| {
        let there = TcpListener::from(input()?);
        there.set_nonblocking(true)?;
        // To ask once is to use it.
        drop(there.accept());
        let_in(&there).map(drop)
    })
    .early(keep)
    .given(kept)
    .silent()
    .beyond(MADE),
    Case::new("reached", "hear who waited at another's listener", "no-accept", |_| {
        TcpListener::from(input()?).accept()?.0.read(&mut [0; 4]).map(drop)
    })
    .given(crowded)
    .beyond(MADE),
    Case::new("reached", "answer who waited at another's listener", "no-accept", |_| {
        TcpListener::from(input()?).accept()?.0.write_all(b"x")
    })
    .given(crowded)
    .beyond(MADE),
    Case::new("reached", "receive from anybody", "no-receive", |_| {
        hear(&UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?)
    })
    .silent(),
    Case::new("reached", "receive from anybody, by version 6", "no-receive", |_| {
        let there = UdpSocket::bind((mapped(Ipv4Addr::LOCALHOST), 0))?;
        let port = there.local_addr()?.port();
        there.set_nonblocking(true)?;
        UdpSocket::bind((UNHEARD, 0))?.send_to(b"x", (Ipv4Addr::LOCALHOST, port))?;
        until(|| there.recv_from(&mut [0; 4])).map(drop)
    })
    .silent(),
    Case::new("reached", "several datagrams at once", "no-peer", |_| {
        datagram(|from, to| {
            let SocketAddr::V4(to) = to else { return Err(io::Error::other("no version 4")) };
            let mut data: MultiHeaders<SockaddrIn> = MultiHeaders::preallocate(1, None);
            let parts = [[IoSlice::new(b"x")]];
            let (to, fd) = ([Some(SockaddrIn::from(to))], from.as_raw_fd());
            let sent = sendmmsg(fd, &mut data, &parts, to, [], MsgFlags::empty())?.count();
            if sent == 1 { Ok(()) } else { Err(io::Error::other(format!("{sent} were sent"))) }
        })
    }),
    Case::new("reached", "a datagram to an address that says no version", "no-peer", |_| {
        datagram(|from, to| deeds::send_unspecified(from, DENIED.octets(), to.port()))
    }),
    Case::new("reached", "bind to an address that says no version", "no-bind", |_| {
        // The kernel takes only "any address" so, and that is part of what is denied.
        let here = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        deeds::bind_unspecified(here, Ipv4Addr::UNSPECIFIED.octets(), 0)
    }),
    Case::new("reached", "a translated address", "no-peer", |_| translated()),
    Case::new("reached", "connect through a ring", "no-peer", |_| {
        let there = TcpListener::bind((DENIED, 0))?;
        let here = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        deeds::ring_connect(here, DENIED.octets(), there.local_addr()?.port())
    }),
    Case::new("reached", "send through a ring", "no-peer", |_| deeds::ring_send(input()?))
        .given(|_| super::net::stream(super::net::OTHER, DENIED, b""))
        .beyond(super::net::SENT),
    Case::new("reached", "UDP-Lite", "no-peer", |_| by(SocketType::DGRAM, 136)),
    Case::new("reached", "SCTP", "no-peer", |_| by(SocketType::STREAM, 132))
        .guest("a host is not made to load a protocol"),
    Case::new("reached", "DCCP", "no-peer", |_| by(SocketType::from_raw(6), 33))
        .guest("a host is not made to load a protocol"),
    Case::new("reached", "connect and write", "no-peer", |_| {
        let there = UdpSocket::bind((DENIED, 0))?;
        let here = udp(there.local_addr()?)?;
        here.connect(there.local_addr()?)?;
        rustix::io::write(&here, b"x")?;
        Ok(())
    }),
];
