//! Rules deny reaching, letting in, binding and listening: each address in each dress, by each call.

use std::io::{self, IoSlice, Read, Write};
use std::net::{
    Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, TcpListener, TcpStream, UdpSocket,
};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};

use rustix::net::{
    self, AddressFamily, Protocol, RecvFlags, SendAncillaryBuffer, SendFlags, SocketType, bind,
    connect, connect_unspec, ipproto, listen, send, sendmsg_addr, sendto, socket,
};

use super::Case;

/// Whom the rule denies to reach.
pub(super) const DENIED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Whom no rule is about.
pub(super) const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
/// The port of this host that the rule denies.
const PORT: u16 = 7703;

pub(super) fn mapped(address: Ipv4Addr) -> Ipv6Addr {
    address.to_ipv6_mapped()
}

pub(super) fn udp(to: SocketAddr) -> io::Result<UdpSocket> {
    let local = Ipv4Addr::LOCALHOST;
    if to.is_ipv4() { UdpSocket::bind((local, 0)) } else { UdpSocket::bind((mapped(local), 0)) }
}

fn tcp_socket(of: AddressFamily) -> io::Result<OwnedFd> {
    Ok(socket(of, SocketType::STREAM, None)?)
}

/// Connects to a listener there, by that address.
pub(super) fn reach(
    there: impl Into<SocketAddr>,
    by: impl FnOnce(u16) -> SocketAddr,
) -> io::Result<()> {
    let there = TcpListener::bind(there.into())?;
    TcpStream::connect(by(there.local_addr()?.port())).map(drop)
}

/// A datagram to the denied address, which somebody receives.
pub(super) fn datagram(
    deed: impl FnOnce(&UdpSocket, SocketAddr) -> io::Result<()>,
) -> io::Result<()> {
    let there = UdpSocket::bind((DENIED, 0))?;
    let to = there.local_addr()?;
    deed(&udp(to)?, to)?;
    there.recv(&mut [0; 16]).map(drop)
}

fn raw(of: AddressFamily, protocol: Option<Protocol>) -> io::Result<()> {
    socket(of, SocketType::RAW, protocol)?;
    Ok(())
}

/// A stream whose two ends are at these addresses; the other end stays open as long as this process.
pub(super) fn stream(from: Ipv4Addr, to: Ipv4Addr, text: &[u8]) -> io::Result<Stdio> {
    let there = TcpListener::bind((to, 0))?;
    let here = tcp_socket(AddressFamily::INET)?;
    bind(&here, &SocketAddrV4::new(from, 0))?;
    connect(&here, &there.local_addr()?)?;
    let (mut other, _) = there.accept()?;
    other.write_all(text)?;
    std::mem::forget(other);
    Ok(here.into())
}

fn input() -> io::Result<TcpStream> {
    Ok(TcpStream::from(io::stdin().as_fd().try_clone_to_owned()?))
}

/// Of a socket that is connected already.
pub(super) const SENT: &str = "what is connected already goes on sending";

/// Of a socket from another process.
pub(super) const MADE: &str = "a socket is that of the process that made it";

pub(super) const CASES: &[Case] = &[
    Case::new("net", "connect", "no-peer", |_| reach((DENIED, 0), |port| (DENIED, port).into())),
    Case::new("net", "connect to the mapped address", "no-peer", |_| {
        reach((DENIED, 0), |port| (mapped(DENIED), port).into())
    }),
    Case::new("net", "connect to no address, as version 4", "no-host", |_| {
        reach((Ipv4Addr::LOCALHOST, PORT), |port| (Ipv4Addr::UNSPECIFIED, port).into())
    }),
    Case::new("net", "connect to no address, as version 6", "no-host", |_| {
        reach((Ipv6Addr::LOCALHOST, PORT), |port| (Ipv6Addr::UNSPECIFIED, port).into())
    }),
    Case::new("net", "connect to no address, mapped", "no-host", |_| {
        let none = mapped(Ipv4Addr::UNSPECIFIED);
        reach((Ipv4Addr::LOCALHOST, PORT), |port| (none, port).into())
    }),
    Case::new("net", "connect by sending the first data", "no-peer", |_| {
        let there = TcpListener::bind((DENIED, 0))?;
        let fast = SendFlags::from_bits_retain(0x2000_0000);
        sendto(tcp_socket(AddressFamily::INET)?, b"x", fast, &there.local_addr()?)?;
        Ok(())
    }),
    Case::new("net", "send a datagram", "no-peer", |_| {
        datagram(|from, to| from.send_to(b"x", to).map(drop))
    }),
    Case::new("net", "send a datagram to the mapped address", "no-peer", |_| {
        datagram(|_, to| {
            let to = SocketAddrV6::new(mapped(DENIED), to.port(), 0, 0);
            udp(to.into())?.send_to(b"x", to).map(drop)
        })
    }),
    Case::new("net", "send a message", "no-peer", |_| {
        datagram(|from, to| {
            let mut nothing = SendAncillaryBuffer::default();
            sendmsg_addr(from, &to, &[IoSlice::new(b"x")], &mut nothing, SendFlags::empty())?;
            Ok(())
        })
    }),
    Case::new("net", "connect a datagram socket", "no-peer", |_| {
        datagram(|from, to| {
            from.connect(to)?;
            from.send(b"x").map(drop)
        })
    }),
    Case::new("net", "connect a datagram socket elsewhere first", "no-peer", |_| {
        datagram(|from, to| {
            from.connect((OTHER, to.port()))?;
            from.connect(to)?;
            from.send(b"x").map(drop)
        })
    }),
    Case::new("net", "send elsewhere than where it is connected", "no-peer", |_| {
        datagram(|from, to| {
            from.connect((OTHER, to.port()))?;
            from.send_to(b"x", to).map(drop)
        })
    }),
    Case::new("net", "disconnect, then send", "no-peer", |_| {
        datagram(|from, to| {
            from.connect((OTHER, to.port()))?;
            connect_unspec(from)?;
            from.send_to(b"x", to).map(drop)
        })
    }),
    Case::new("net", "a connected socket from another process, send", "no-peer", |_| {
        send(input()?, b"x", SendFlags::empty())?;
        Ok(())
    })
    .given(|_| stream(OTHER, DENIED, b""))
    .beyond(SENT),
    Case::new("net", "a connected socket from another process, write", "no-peer", |_| {
        input()?.write_all(b"x")
    })
    .given(|_| stream(OTHER, DENIED, b""))
    .beyond(SENT),
    Case::new("net", "a connected socket from another process, read", "no-receive", |_| {
        input()?.read_exact(&mut [0])
    })
    .given(|_| stream(OTHER, Ipv4Addr::new(127, 0, 0, 5), b"x"))
    .beyond(MADE),
    Case::new("net", "a connected socket from another process, receive", "no-receive", |_| {
        net::recv(input()?, &mut [0; 1], RecvFlags::empty())?;
        Ok(())
    })
    .given(|_| stream(OTHER, Ipv4Addr::new(127, 0, 0, 5), b"x"))
    .beyond(MADE),
    Case::new("net", "connect in another network namespace", "no-peer", |_| {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)?;
        let up = ["ip", "link", "set", "lo", "up"];
        if !Command::new("/bin/busybox").args(up).status()?.success() {
            return Err(io::Error::other("the interface does not come up"));
        }
        reach((DENIED, 0), |port| (DENIED, port).into())
    }),
    Case::new("net", "a raw socket", "no-raw", |_| raw(AddressFamily::INET, Some(ipproto::ICMP))),
    Case::new("net", "a raw socket of version 6", "no-raw", |_| {
        raw(AddressFamily::INET6, Some(ipproto::UDP))
    }),
    Case::new("net", "a packet socket", "no-raw", |_| raw(AddressFamily::PACKET, None)),
    Case::new("net", "MPTCP, which connects by itself", super::UNRESOLVED, |_| {
        socket(AddressFamily::INET, SocketType::STREAM, Some(ipproto::MPTCP))?;
        Ok(())
    }),
    Case::new("net", "bind", "no-bind", |_| {
        TcpListener::bind((Ipv4Addr::new(127, 0, 0, 6), 0)).map(drop)
    }),
    Case::new("net", "bind to the mapped address", "no-bind", |_| {
        UdpSocket::bind((mapped(Ipv4Addr::new(127, 0, 0, 6)), 0)).map(drop)
    }),
    Case::new("net", "bind to any address", "no-bind", |_| {
        UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 7706)).map(drop)
    }),
    Case::new("net", "bind to any address of version 6", "no-bind", |_| {
        UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 7707)).map(drop)
    }),
    Case::new("net", "listen", "no-listen", |_| {
        let there = tcp_socket(AddressFamily::INET)?;
        bind(&there, &SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 3), 0))?;
        Ok(listen(&there, 1)?)
    }),
];
