//! Requests, tried by a process that does nothing else: this binary once more, started for that.

#![expect(clippy::unwrap_used, reason = "a helper of tests")]

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};

use io_uring::{IoUring, opcode, types};
use nix::libc;

/// What is to be tried, one a line.
const ACTS: &str = "FALLBACK_ACTS";
/// The cgroup to move to first.
const CGROUP: &str = "FALLBACK_CGROUP";
/// Before the error of each, in the output.
const MARK: &str = "tried:";

/// Tries requests in a process that runs `program`, a copy of this one; gives the error of each, 0
/// for none.
pub(super) fn tried(program: &Path, cgroup: &Path, acts: &[&str]) -> Vec<i32> {
    tried_with(program, cgroup, acts, Stdio::null())
}

/// The same with something as standard input.
pub(super) fn tried_with(program: &Path, cgroup: &Path, acts: &[&str], input: Stdio) -> Vec<i32> {
    let mut command = Command::new(program);
    command.args(["fallback::acts::perform", "--exact", "--nocapture"]);
    command.env(ACTS, acts.join("\n")).env(CGROUP, cgroup);
    let output = command.stdin(input).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = text.lines().filter_map(|line| line.split(MARK).nth(1)?.trim().parse().ok());
    let errors: Vec<i32> = errors.collect();
    assert_eq!(errors.len(), acts.len(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    errors
}

#[test]
fn perform() {
    let (Some(acts), Some(cgroup)) = (std::env::var_os(ACTS), std::env::var_os(CGROUP)) else {
        println!("SKIP: a part of other tests, which start it");
        return;
    };
    std::fs::write(Path::new(&cgroup).join("cgroup.procs"), std::process::id().to_string())
        .unwrap();
    for act in acts.to_str().unwrap().lines() {
        let error = match act_on(act) {
            Ok(()) => 0,
            Err(error) => error.raw_os_error().unwrap_or(-1),
        };
        println!("\n{MARK}{error}");
    }
}

/// An address as system calls take it; `family` may say something else than the address.
fn raw_address(address: SocketAddr, family: Option<u16>) -> Vec<u8> {
    let (own, mut bytes) = match address {
        SocketAddr::V4(four) => {
            let mut bytes = four.port().to_be_bytes().to_vec();
            bytes.extend(four.ip().octets());
            bytes.extend([0; 8]);
            (libc::AF_INET, bytes)
        }
        SocketAddr::V6(six) => {
            let mut bytes = six.port().to_be_bytes().to_vec();
            bytes.extend([0; 4]);
            bytes.extend(six.ip().octets());
            bytes.extend([0; 4]);
            (libc::AF_INET6, bytes)
        }
    };
    let family = family.unwrap_or_else(|| u16::try_from(own).unwrap());
    let mut all = family.to_ne_bytes().to_vec();
    all.append(&mut bytes);
    all
}

pub(super) fn checked(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only.
    let fd = checked(unsafe { libc::socket(family, kind, protocol) }.into())?;
    // SAFETY: the kernel has just given us this descriptor and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd.try_into().unwrap()) })
}

fn connect(socket: &OwnedFd, address: &[u8]) -> io::Result<()> {
    let length = address.len().try_into().unwrap();
    // SAFETY: the address is valid for reads of the length given with it.
    let result = unsafe { libc::connect(socket.as_raw_fd(), address.as_ptr().cast(), length) };
    checked(result.into()).map(drop)
}

fn bind(socket: &OwnedFd, address: &[u8]) -> io::Result<()> {
    let length = address.len().try_into().unwrap();
    // SAFETY: the address is valid for reads of the length given with it.
    let result = unsafe { libc::bind(socket.as_raw_fd(), address.as_ptr().cast(), length) };
    checked(result.into()).map(drop)
}

fn send(socket: &OwnedFd, address: &[u8], flags: i32) -> io::Result<()> {
    let (length, data) = (address.len().try_into().unwrap(), [0u8; 16]);
    let (fd, to) = (socket.as_raw_fd(), address.as_ptr().cast());
    // SAFETY: data and address are valid for reads of the lengths given with them.
    let result = unsafe { libc::sendto(fd, data.as_ptr().cast(), data.len(), flags, to, length) };
    checked(result.try_into().unwrap()).map(drop)
}

/// Sends through `sendmmsg`.
fn send_many(socket: &OwnedFd, address: &mut [u8]) -> io::Result<()> {
    let mut data = [0u8; 16];
    let mut part = libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() };
    // SAFETY: all bytes zero are a message without parts.
    let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
    message.msg_hdr.msg_name = address.as_mut_ptr().cast();
    message.msg_hdr.msg_namelen = address.len().try_into().unwrap();
    message.msg_hdr.msg_iov = &raw mut part;
    message.msg_hdr.msg_iovlen = 1;
    // SAFETY: the message and all it points to outlive the call.
    let result = unsafe { libc::sendmmsg(socket.as_raw_fd(), &raw mut message, 1, 0) };
    checked(result.into()).map(drop)
}

/// Connects through a ring.
fn ring_connect(socket: &OwnedFd, address: &[u8]) -> io::Result<()> {
    let length = address.len().try_into().unwrap();
    let entry =
        opcode::Connect::new(types::Fd(socket.as_raw_fd()), address.as_ptr().cast(), length);
    ring(&entry.build())
}

pub(super) fn ring(entry: &io_uring::squeue::Entry) -> io::Result<()> {
    let mut ring = IoUring::new(2)?;
    // SAFETY: what the entry points to outlives the call, which waits for its end.
    unsafe { ring.submission().push(entry) }.unwrap();
    ring.submit_and_wait(1)?;
    let result = ring.completion().next().unwrap().result();
    if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(()) }
}

/// A socket for an address: `tcp`, `udp`, `udplite`, `icmp`, `raw:N`.
fn socket_for(kind: &str, address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    match kind {
        "tcp" => socket(family, libc::SOCK_STREAM, 0),
        "udp" => socket(family, libc::SOCK_DGRAM, 0),
        "udplite" => socket(family, libc::SOCK_DGRAM, libc::IPPROTO_UDPLITE),
        raw => {
            let protocol = raw.strip_prefix("raw:").unwrap().parse().unwrap();
            socket(family, libc::SOCK_RAW, protocol)
        }
    }
}

fn act_on(act: &str) -> io::Result<()> {
    let words: Vec<&str> = act.split_whitespace().collect();
    match words.as_slice() {
        ["user", id] => nix::unistd::setuid(id.parse::<u32>().unwrap().into())?,
        ["group", id] => nix::unistd::setgroups(&[id.parse::<u32>().unwrap().into()])?,
        ["move", to] => std::fs::write(Path::new(to).join("cgroup.procs"), "0")?,
        ["new-net"] => {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)?;
            up()?;
        }
        ["hammer", denied, allowed, until] => {
            return hammer(denied.parse().unwrap(), allowed.parse().unwrap(), Path::new(until));
        }
        ["accepted", from] => return reached(libc::SOCK_STREAM, from.parse().unwrap(), || ()),
        ["accepted", from, made, go] => {
            // Between making the listener and connecting to it something else happens.
            return reached(libc::SOCK_STREAM, from.parse().unwrap(), || {
                std::fs::write(made, "").unwrap();
                while !Path::new(go).exists() {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
            });
        }
        ["received", from] => return reached(libc::SOCK_DGRAM, from.parse().unwrap(), || ()),
        ["socket", "mptcp"] => drop(socket(libc::AF_INET, libc::SOCK_STREAM, 262)?),
        ["socket", "raw"] => drop(socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP)?),
        ["socket", "raw6"] => drop(socket(libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_UDP)?),
        ["exec", program, rest @ ..] => return executed(program, &rest.join(" ")),
        ["run", program] => drop(Command::new(program).arg("--list").output()?),
        [file @ ("read" | "write" | "ring-read" | "openat2" | "reopen" | "mounted"), path] => {
            return super::files::act(file, Path::new(path));
        }
        ["read-input"] => {
            use std::io::Read;
            io::stdin().read_exact(&mut [0; 1])?;
        }
        [what, kind, address] => return act_with(what, kind, address.parse().unwrap()),
        _ => panic!("no such act: {act}"),
    }
    Ok(())
}

/// Tries something in another program.
fn executed(program: &str, act: &str) -> io::Result<()> {
    let cgroup = std::env::var_os(CGROUP).unwrap();
    match tried(Path::new(program), Path::new(&cgroup), &[act]).first() {
        Some(0) | None => Ok(()),
        Some(error) => Err(io::Error::from_raw_os_error(*error)),
    }
}

/// Connects datagram sockets to two addresses, one of which is denied, until a file is there. The error
/// is how many were answered wrong; none at all is wrong, too.
fn hammer(denied: SocketAddr, allowed: SocketAddr, until: &Path) -> io::Result<()> {
    let (mut wrong, mut tried) = (0, 0u64);
    while !until.exists() || tried == 0 {
        for _ in 0..256 {
            let refused = |to| {
                let error = connect(&socket_for("udp", to)?, &raw_address(to, None)).err();
                Ok::<_, io::Error>(
                    error.is_some_and(|error| error.raw_os_error() == Some(libc::EPERM)),
                )
            };
            wrong += i32::from(!refused(denied)?) + i32::from(refused(allowed)?);
            tried += 2;
        }
    }
    std::fs::write(until, tried.to_string())?;
    if wrong == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(wrong)) }
}

/// Connects from an address to a listener of this process, or sends it a datagram that it receives.
/// What gets no answer is told as such after a while.
fn reached(kind: i32, from: IpAddr, meanwhile: impl FnOnce()) -> io::Result<()> {
    let (here, there) = (socket(libc::AF_INET, kind, 0)?, socket(libc::AF_INET, kind, 0)?);
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    bind(&there, &raw_address(local, None))?;
    bind(&here, &raw_address(SocketAddr::new(from, 0), None))?;
    let patience = nix::sys::time::TimeVal::new(0, 300_000);
    nix::sys::socket::setsockopt(&here, nix::sys::socket::sockopt::SendTimeout, &patience)?;
    nix::sys::socket::setsockopt(&there, nix::sys::socket::sockopt::ReceiveTimeout, &patience)?;
    let name: nix::sys::socket::SockaddrIn = nix::sys::socket::getsockname(there.as_raw_fd())?;
    let address = raw_address(SocketAddr::from(([127, 0, 0, 1], name.port())), None);
    if kind == libc::SOCK_STREAM {
        nix::sys::socket::listen(&there, nix::sys::socket::Backlog::new(1)?)?;
        meanwhile();
        return connect(&here, &address);
    }
    send(&here, &address, 0)?;
    nix::sys::socket::recv(there.as_raw_fd(), &mut [0; 16], nix::sys::socket::MsgFlags::empty())?;
    Ok(())
}

fn act_with(what: &str, kind: &str, address: SocketAddr) -> io::Result<()> {
    let made = socket_for(kind, address)?;
    let mut raw = raw_address(address, None);
    let unspecified = raw_address(address, Some(0));
    match what {
        "connect" => connect(&made, &raw),
        "reconnect" => {
            let mut other = address;
            other.set_ip(if address.is_ipv4() {
                IpAddr::from([127, 0, 0, 99])
            } else {
                IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])
            });
            connect(&made, &raw_address(other, None))?;
            connect(&made, &raw)
        }
        "connected-send" => {
            let other = SocketAddr::new(IpAddr::from([127, 0, 0, 99]), address.port());
            connect(&made, &raw_address(other, None))?;
            send(&made, &raw, 0)
        }
        "connect-send" => {
            connect(&made, &raw)?;
            // SAFETY: the data is valid for reads of the length given with it.
            let sent = unsafe { libc::send(made.as_raw_fd(), [0u8; 16].as_ptr().cast(), 16, 0) };
            checked(sent.try_into().unwrap()).map(drop)
        }
        "disconnect" => connect(&made, &unspecified),
        "ring-connect" => ring_connect(&made, &raw),
        "bind" => bind(&made, &raw),
        "bind-unspecified-family" => bind(&made, &unspecified),
        "send" => send(&made, &raw, 0),
        "send-many" => send_many(&made, &mut raw),
        "send-unspecified-family" => send(&made, &unspecified, 0),
        "fastopen" => send(&made, &raw, libc::MSG_FASTOPEN),
        other => panic!("no such act: {other}"),
    }
}

/// Brings the loopback interface of a new network namespace up.
fn up() -> io::Result<()> {
    let done = Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
    if done.success() { Ok(()) } else { Err(io::Error::other("ip link")) }
}
