//! Operations on sockets.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use anyhow::{Context, Result};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, socket};
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

/// A question for the address of a name: ADDRESS NAME.
fn dns(args: &Args<'_>) -> Result<()> {
    let mut packet = vec![0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in args.text(1)?.split('.') {
        packet.push(u8::try_from(label.len()).context("label")?);
        packet.extend_from_slice(label.as_bytes());
    }
    // The root label, type A, class IN.
    packet.extend_from_slice(&[0, 0, 1, 0, 1]);
    udp(args)?.send_to(&packet, address(args)?).map(|_| ()).context("sendto")
}

fn udp(args: &Args<'_>) -> Result<UdpSocket> {
    let any = if address(args)?.is_ipv6() { "[::1]:0" } else { "127.0.0.1:0" };
    UdpSocket::bind(any).context("udp socket")
}
