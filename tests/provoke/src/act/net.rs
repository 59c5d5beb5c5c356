//! Operations on sockets.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrStorage, bind, recv, send, socket,
};
use std::os::fd::AsRawFd;

use super::{Args, tell, wait};

pub(super) fn perform(name: &str, args: &Args<'_>) -> Option<Result<()>> {
    Some(match name {
        "connect" => connect(args),
        "connect-refused" => refused(args),
        "socket" => tcp_socket().map(|_| ()),
        "accept" => accept(args),
        "bind" => bind_only(args),
        "listen" => listen(args),
        "udp-connect" => udp_connect(args),
        "udp-send" => udp_send(args),
        "dns" => dns(args),
        "dns-to" => dns_to(args),
        "in-network" => in_network(args),
        _ => return None,
    })
}

fn address(args: &Args<'_>) -> Result<SocketAddr> {
    args.text(0)?.parse().context("address")
}

/// Connects, and closes when told to.
fn connect(args: &Args<'_>) -> Result<()> {
    let stream = TcpStream::connect(address(args)?).context("connect")?;
    tell("port", stream.local_addr().context("getsockname")?.port())?;
    wait().map(|_| ())
}

/// A connection that nobody accepts.
fn refused(args: &Args<'_>) -> Result<()> {
    match TcpStream::connect(address(args)?) {
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Ok(()),
        other => anyhow::bail!("expected a refusal, got {other:?}"),
    }
}

fn tcp_socket() -> Result<std::os::fd::OwnedFd> {
    socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).context("socket")
}

fn accept(args: &Args<'_>) -> Result<()> {
    let listener = TcpListener::bind(address(args)?).context("listen")?;
    tell("port", listener.local_addr().context("getsockname")?.port())?;
    let (_stream, _peer) = listener.accept().context("accept")?;
    wait().map(|_| ())
}

/// Binds a TCP socket and never listens.
fn bind_only(args: &Args<'_>) -> Result<()> {
    let socket = tcp_socket()?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address(args)?)).context("bind")
}

fn listen(args: &Args<'_>) -> Result<()> {
    TcpListener::bind(address(args)?).map(|_| ()).context("listen")
}

fn udp_connect(args: &Args<'_>) -> Result<()> {
    let socket = udp(args)?;
    socket.connect(address(args)?).context("connect")?;
    tell("port", socket.local_addr().context("getsockname")?.port())?;
    socket.send(b"provoked").map(|_| ()).context("send")
}

fn udp_send(args: &Args<'_>) -> Result<()> {
    udp(args)?.send_to(b"provoked", address(args)?).map(|_| ()).context("sendto")
}

/// A question to port 53 of a network of our own, where the port is free and nobody is disturbed:
/// NAME.
fn dns(args: &Args<'_>) -> Result<()> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).context("unshare")?;
    loopback_up().context("bringing the loopback up")?;
    let server = UdpSocket::bind("127.0.0.1:53").context("the server")?;
    ask(server.local_addr().context("getsockname")?, args.text(0)?)
}

/// Runs a program in a network of our own in which an address is the host's: ADDRESS PROGRAM ARGS.
fn in_network(args: &Args<'_>) -> Result<()> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).context("unshare")?;
    loopback_up().context("bringing the loopback up")?;
    let mut ip = Command::new("busybox");
    ip.args(["ip", "addr", "add"]).arg(args.os(0)?).args(["dev", "lo"]);
    let status = ip.status().context("busybox ip")?;
    anyhow::ensure!(status.success(), "busybox ip ended with {status}");
    Err(Command::new(args.os(1)?).args(args.from(2)).exec()).context("exec")
}

/// The same to an address of this network: ADDRESS NAME.
fn dns_to(args: &Args<'_>) -> Result<()> {
    ask(address(args)?, args.text(1)?)
}

/// `RTM_NEWLINK` for interface 1, which is the loopback of every network: up.
fn loopback_up() -> Result<()> {
    const UP: u32 = 1;
    const REQUEST_AND_ACK: u16 = 0x5;
    const RTM_NEWLINK: u16 = 16;
    let mut message = Vec::new();
    message.extend_from_slice(&32u32.to_ne_bytes());
    message.extend_from_slice(&RTM_NEWLINK.to_ne_bytes());
    message.extend_from_slice(&REQUEST_AND_ACK.to_ne_bytes());
    // Sequence and port of the request; family and type of the interface.
    message.extend_from_slice(&[0; 12]);
    for word in [1, UP, UP] {
        message.extend_from_slice(&u32::to_ne_bytes(word));
    }
    let kind = SockType::Raw;
    let protocol = nix::sys::socket::SockProtocol::NetlinkRoute;
    let netlink = socket(AddressFamily::Netlink, kind, SockFlag::SOCK_CLOEXEC, protocol)?;
    send(netlink.as_raw_fd(), &message, MsgFlags::empty())?;
    let mut answer = [0; 256];
    let length = recv(netlink.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    // Of an acknowledgement: the header, then the error.
    let error = answer.get(16..20.min(length)).and_then(|bytes| bytes.first_chunk::<4>());
    match error.map(|bytes| i32::from_ne_bytes(*bytes)) {
        Some(0) => Ok(()),
        Some(error) => Err(std::io::Error::from_raw_os_error(-error)).context("netlink"),
        None => anyhow::bail!("a short answer of {length} bytes"),
    }
}

fn ask(server: SocketAddr, name: &str) -> Result<()> {
    let mut packet = vec![0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        packet.push(u8::try_from(label.len()).context("label")?);
        packet.extend_from_slice(label.as_bytes());
    }
    // The root label, type A, class IN.
    packet.extend_from_slice(&[0, 0, 1, 0, 1]);
    let socket = UdpSocket::bind("127.0.0.1:0").context("udp socket")?;
    socket.send_to(&packet, server).map(|_| ()).context("sendto")
}

fn udp(args: &Args<'_>) -> Result<UdpSocket> {
    let any = if address(args)?.is_ipv6() { "[::1]:0" } else { "127.0.0.1:0" };
    UdpSocket::bind(any).context("udp socket")
}
