//! What the worker never has: a way to the network, whether `--seccomp` is given or not.
//!
//! The evaluator reads rules of strangers and runs their scripts, so it gets no way to the network: no
//! socket but the stream that the control socket is, no connection to anything, no ring that would make
//! one unseen, no hand in another process that has one. It is refused with EPERM, for every thread and
//! every child, and cannot be taken back. What else it may call is decided by the table, where that
//! is switched on.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule,
};

use super::{Unable, program, put};
use crate::exit::{Exit, Failure};
use kernel::confine::Whom;

/// System calls that are refused whatever their arguments are.
///
/// The address of `connect` is behind a pointer, where no filter can look; nothing here needs it. Without
/// `sendmmsg` and with datagram sockets left out, `sendmsg` reaches nobody but the other end.
const NEVER: &[libc::c_long] = &[
    libc::SYS_connect,
    libc::SYS_sendmmsg,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // Sockets of other processes.
    libc::SYS_pidfd_getfd,
    libc::SYS_ptrace,
    libc::SYS_process_vm_writev,
];
/// System calls that make sockets: the first argument is the family, the second the type.
const MAKES_SOCKETS: &[libc::c_long] = &[libc::SYS_socket, libc::SYS_socketpair];
/// Where the type of a socket stands in the second argument (`SOCK_TYPE_MASK`); flags are beside it.
const TYPE_MASK: u64 = 0xf;
/// Marks the numbers of the second x86-64 interface (`__X32_SYSCALL_BIT`), in which all calls are there
/// once more. Other architectures have no such numbers, and naming them does no harm there.
const X32: libc::c_long = 0x4000_0000;

/// Takes the network from this process, whatever threads it has, and from all that it will start.
pub(crate) fn no_network() -> Result<(), Failure> {
    let applied = evaluator().and_then(|program| put(&program, Whom::Process));
    applied.map_err(|error| {
        let message = format!("cannot take the network from the worker: {error}");
        Failure::new(Exit::Internal, message).help(
            "it needs a kernel with CONFIG_SECCOMP_FILTER, and a service manager that lets it call \
             seccomp(2)",
        )
    })
}

/// The filter of the evaluator.
fn evaluator() -> Result<BpfProgram, Unable> {
    let is =
        |argument, how, value| SeccompCondition::new(argument, SeccompCmpArgLen::Dword, how, value);
    let unix = u64::from(libc::AF_UNIX.unsigned_abs());
    let stream = u64::from(libc::SOCK_STREAM.unsigned_abs());
    let mut other = vec![SeccompRule::new(vec![is(0, SeccompCmpOp::Ne, unix)?])?];
    for kind in (0..=TYPE_MASK).filter(|kind| *kind != stream) {
        let is_it = is(1, SeccompCmpOp::MaskedEq(TYPE_MASK), kind)?;
        other.push(SeccompRule::new(vec![is_it])?);
    }
    // Whoever names an address does not mean the other end of a connection.
    let address = SeccompCondition::new(4, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, 0)?;
    let addressed = vec![SeccompRule::new(vec![address])?];
    let mut rules = BTreeMap::new();
    for number in NEVER {
        rules.insert(*number, Vec::new());
    }
    for number in MAKES_SOCKETS {
        rules.insert(*number, other.clone());
    }
    rules.insert(libc::SYS_sendto, addressed);
    let again: Vec<_> = rules.iter().map(|(number, rule)| (number | X32, rule.clone())).collect();
    rules.extend(again);
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    program(rules, SeccompAction::Allow, refuse)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;
    use rustix::net::{AddressFamily, Protocol, SocketAddrUnix, SocketType};
    use std::os::fd::AsFd;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

    /// Runs something in a thread of its own, under the filter or not. A filter never goes away again.
    fn thread<T: Send>(confined: bool, what: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let run = move || {
                if confined {
                    put(&evaluator().unwrap(), Whom::Thread).unwrap();
                }
                what()
            };
            scope.spawn(run).join().unwrap()
        })
    }

    /// What becomes of a try: nothing wrong, or the error.
    type Try = (&'static str, fn() -> Result<(), Errno>);

    fn socket(family: AddressFamily, kind: SocketType, protocol: Option<u32>) -> Result<(), Errno> {
        let protocol = protocol.and_then(std::num::NonZero::new).map(Protocol::from_raw);
        rustix::net::socket(family, kind, protocol).map(drop)
    }

    fn uring() -> Result<(), Errno> {
        let made = io_uring::IoUring::new(2).map(drop);
        made.map_err(|error| Errno::from_io_error(&error).unwrap())
    }

    fn connection() -> Result<(), Errno> {
        let listens = UnixListener::bind_addr(&unique()).unwrap();
        let own = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
        let address = listens.local_addr().unwrap();
        let name = address.as_abstract_name().unwrap();
        rustix::net::connect(&own, &SocketAddrUnix::new_abstract_name(name)?)
    }

    /// An abstract name that nobody else has.
    fn unique() -> SocketAddr {
        let name = format!("aegisbpf-test-{:?}", std::thread::current().id());
        SocketAddr::from_abstract_name(format!("{name}-{}", std::process::id())).unwrap()
    }

    /// Sends to an address through a socket that was there before.
    fn letter(socket: &impl AsFd) -> Result<(), Errno> {
        let to = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
        rustix::net::sendto(socket, b"x", rustix::net::SendFlags::empty(), &to).map(drop)
    }

    const WAYS: &[Try] = &[
        ("TCP", || socket(AddressFamily::INET, SocketType::STREAM, None)),
        ("TCP of version 6", || socket(AddressFamily::INET6, SocketType::STREAM, None)),
        ("UDP", || socket(AddressFamily::INET, SocketType::DGRAM, None)),
        // ICMP: without a protocol there is no raw socket.
        ("raw", || socket(AddressFamily::INET, SocketType::RAW, Some(1))),
        ("packets", || socket(AddressFamily::PACKET, SocketType::RAW, None)),
        ("netlink", || socket(AddressFamily::NETLINK, SocketType::RAW, None)),
        ("vsock", || socket(AddressFamily::VSOCK, SocketType::STREAM, None)),
        ("letters on this host", || socket(AddressFamily::UNIX, SocketType::DGRAM, None)),
        ("a connection on this host", connection),
        ("io_uring", uring),
    ];

    /// What this kernel does not have at all.
    fn is_missing(error: Errno) -> bool {
        [Errno::AFNOSUPPORT, Errno::NOSYS, Errno::PROTONOSUPPORT].contains(&error)
    }

    #[test]
    fn the_evaluator_reaches_no_network_and_without_the_filter_it_would() {
        let mut open = 0;
        for (name, way) in WAYS {
            assert_eq!(thread(true, way), Err(Errno::PERM), "{name}");
            match thread(false, way) {
                Ok(()) => open += 1,
                // A control that cannot work here tells nothing; it says so.
                Err(error) if is_missing(error) => println!("SKIP the control of {name}: {error}"),
                Err(Errno::PERM | Errno::ACCESS) if !rustix::process::geteuid().is_root() => {
                    println!("SKIP the control of {name}: it needs root");
                }
                Err(error) => panic!("{name}, without the filter: {error}"),
            }
        }
        assert!(open >= 4, "the controls of TCP, UDP and sockets of this host work everywhere");
    }

    #[test]
    fn a_socket_that_was_there_before_sends_to_nobody_but_its_other_end() {
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(thread(false, || letter(&udp)), Ok(()), "the control");
        assert_eq!(thread(true, || letter(&udp)), Err(Errno::PERM));
    }

    #[test]
    fn what_the_control_socket_needs_is_there() {
        thread(true, || {
            let dir = tempfile::tempdir().unwrap();
            let listens = UnixListener::bind(dir.path().join("s")).unwrap();
            drop(listens);
            let (one, two) = UnixStream::pair().unwrap();
            std::io::Write::write_all(&mut &one, b"x").unwrap();
            let mut byte = [0];
            std::io::Read::read_exact(&mut &two, &mut byte).unwrap();
            assert_eq!(&byte, b"x");
        });
    }

    #[test]
    fn children_are_under_it_too() {
        let status = || {
            let child = std::process::Command::new("cat").arg("/proc/self/status").output();
            String::from_utf8(child.unwrap().stdout).unwrap()
        };
        let is_held =
            |text: &str| text.contains("Seccomp:\t2\n") && text.contains("NoNewPrivs:\t1\n");
        assert!(is_held(&thread(true, status)));
        assert!(!thread(false, status).contains("NoNewPrivs:\t1\n"), "the control");
    }
}
