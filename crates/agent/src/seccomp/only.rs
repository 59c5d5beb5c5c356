//! With which arguments a system call passes: rules of which one must hold.

use nix::libc;
use seccompiler::SeccompCmpOp::{self, Eq, MaskedEq};
use seccompiler::{BackendError, SeccompCmpArgLen, SeccompCondition, SeccompRule};

/// Makes the rules of a call.
pub(super) type Only = fn() -> Result<Vec<SeccompRule>, BackendError>;

/// One rule: the lower half of this argument compares so.
fn rule(argument: u8, how: SeccompCmpOp, value: u64) -> Result<SeccompRule, BackendError> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, how, value)?;
    SeccompRule::new(vec![condition])
}

/// The argument is one of these.
fn any(argument: u8, values: &[libc::c_int]) -> Result<Vec<SeccompRule>, BackendError> {
    let each = values.iter().map(|value| rule(argument, Eq, u64::from(value.unsigned_abs())));
    each.collect()
}

/// None of these bits is set in the argument.
fn none_of(argument: u8, bits: libc::c_int) -> Result<Vec<SeccompRule>, BackendError> {
    Ok(vec![rule(argument, MaskedEq(u64::from(bits.cast_unsigned())), 0)?])
}

/// The whole of the argument is 0: a pointer to nothing.
fn nothing(argument: u8) -> Result<Vec<SeccompRule>, BackendError> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Qword, Eq, 0)?;
    Ok(vec![SeccompRule::new(vec![condition])?])
}

/// Memory that is no code (`mmap`, `mprotect`).
pub(super) fn no_code() -> Result<Vec<SeccompRule>, BackendError> {
    none_of(2, libc::PROT_EXEC)
}

/// A file is opened, and neither made nor changed (`openat`).
pub(super) fn to_read() -> Result<Vec<SeccompRule>, BackendError> {
    // A file without a name is made by a bit that directories have, too, so it asks for writing.
    none_of(2, libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC)
}

/// Threads and processes, and no namespaces (`clone`).
pub(super) fn no_namespaces() -> Result<Vec<SeccompRule>, BackendError> {
    let time = 0x80;
    none_of(
        0,
        time | libc::CLONE_NEWNS
            | libc::CLONE_NEWCGROUP
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUSER
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNET,
    )
}

/// Names, and what makes a filter of system calls possible (`prctl`). Asking who may make code, too.
pub(super) fn names() -> Result<Vec<SeccompRule>, BackendError> {
    let get_mdwe = 66;
    any(0, &[libc::PR_SET_NAME, libc::PR_SET_NO_NEW_PRIVS, libc::PR_SET_VMA, get_mdwe])
}

/// One more filter (`seccomp`).
pub(super) fn one_more() -> Result<Vec<SeccompRule>, BackendError> {
    let filter = i32::try_from(libc::SECCOMP_SET_MODE_FILTER).unwrap_or(i32::MAX);
    any(0, &[filter])
}

/// What is asked of a descriptor that may be a terminal (`ioctl`), and how it behaves.
pub(super) fn terminal() -> Result<Vec<SeccompRule>, BackendError> {
    let of = |request: libc::Ioctl| i32::try_from(request).unwrap_or(i32::MAX);
    any(1, &[of(libc::TCGETS), of(libc::TIOCGWINSZ), of(libc::FIONBIO), of(libc::FIOCLEX)])
}

/// How much waits at a socket (`ioctl`).
pub(super) fn waiting() -> Result<Vec<SeccompRule>, BackendError> {
    any(1, &[i32::try_from(libc::FIONREAD).unwrap_or(i32::MAX)])
}

/// Limits are asked for and not set (`prlimit64`).
pub(super) fn asked() -> Result<Vec<SeccompRule>, BackendError> {
    nothing(2)
}

/// To the other end of a connection (`sendto`).
pub(super) fn connected() -> Result<Vec<SeccompRule>, BackendError> {
    nothing(4)
}

/// Sockets of this host (`socket`, `socketpair`).
pub(super) fn unix() -> Result<Vec<SeccompRule>, BackendError> {
    any(0, &[libc::AF_UNIX])
}

/// Sockets to whoever answers, and to services of this host that know names (`socket`).
pub(super) fn internet() -> Result<Vec<SeccompRule>, BackendError> {
    any(0, &[libc::AF_INET, libc::AF_INET6, libc::AF_UNIX, libc::AF_NETLINK])
}

/// A signal to a thread of this very process (`tgkill`), as `abort` sends one.
pub(super) fn own() -> Result<Vec<SeccompRule>, BackendError> {
    any(0, &[i32::try_from(std::process::id()).unwrap_or(i32::MAX)])
}
