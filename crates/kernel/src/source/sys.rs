//! System calls without a safe wrapper elsewhere; all unsafe code of the sources is in this file
//! and in [`super::ring`].

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::libc;
use nix::time::{ClockId, clock_gettime};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Longest file handle the kernel gives (`MAX_HANDLE_SZ`), with its two leading words.
pub(crate) const HANDLE_MAX: usize = 128 + 8;

/// `fcntl(2)`: which signal a descriptor sends; the same on every architecture that we build for.
const F_SETSIG: libc::c_int = 10;
/// `statmount(2)` and `listmount(2)`: the same number on every architecture.
const SYS_STATMOUNT: libc::c_long = 457;
const SYS_LISTMOUNT: libc::c_long = 458;

/// Nanoseconds since boot, suspend included: the clock of every record.
pub(crate) fn boottime() -> u64 {
    clock(ClockId::CLOCK_BOOTTIME)
}

/// Nanoseconds since boot, suspend left out: the clock of the process connector.
pub(crate) fn monotonic() -> u64 {
    clock(ClockId::CLOCK_MONOTONIC)
}

fn clock(id: ClockId) -> u64 {
    // Both clocks exist on all kernels, so there is no error to tell.
    let now = clock_gettime(id).map_or(0, |now| now.tv_sec() * 1_000_000_000 + now.tv_nsec());
    u64::try_from(now).unwrap_or(0)
}

/// Turns a result of a system call that gives a descriptor into an owned one.
fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = checked(result)?;
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just given us this descriptor and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn checked(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A new fanotify group.
pub(crate) fn fanotify_init(flags: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes two numbers; the second are open flags for event descriptors, not used here.
    let result = unsafe { libc::fanotify_init(flags, 0) };
    owned(result.into())
}

/// Adds or removes a mark on what `path` names.
pub(crate) fn fanotify_mark(
    group: BorrowedFd<'_>,
    flags: u32,
    mask: u64,
    path: &Path,
) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: `path` is a NUL-terminated string that outlives the call.
    let result = unsafe {
        libc::fanotify_mark(group.as_raw_fd(), flags, mask, libc::AT_FDCWD, path.as_ptr())
    };
    checked(result.into()).map(drop)
}

/// Takes a lease for reading: who opens the file for writing waits until it is given up with the file.
/// The signal that tells of such is one that is ignored unless somebody asks for it.
pub(crate) fn lease(file: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes numbers only.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), F_SETSIG, libc::SIGURG) };
    checked(result.into())?;
    // SAFETY: takes numbers only.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_RDLCK) };
    checked(result.into()).map(drop)
}

/// Takes over a descriptor that the kernel put into an event.
pub(crate) fn adopt(fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: callers pass numbers that the kernel has just put into an event for this process, and
    // read each event once, so nobody else owns the descriptor.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A new inotify instance that never blocks.
pub(crate) fn inotify_init() -> io::Result<OwnedFd> {
    // SAFETY: takes a number.
    let result = unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) };
    owned(result.into())
}

/// Watches a directory; gives its number.
pub(crate) fn inotify_watch(of: BorrowedFd<'_>, mask: u32, path: &Path) -> io::Result<i32> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: `path` is a NUL-terminated string that outlives the call.
    let result = unsafe { libc::inotify_add_watch(of.as_raw_fd(), path.as_ptr(), mask) };
    checked(result.into())?;
    Ok(result)
}

/// Opens what a file handle (`struct file_handle` as bytes) names, by path only.
pub(crate) fn open_by_handle(mount: BorrowedFd<'_>, handle: &[u8]) -> io::Result<OwnedFd> {
    let mut aligned = [0u64; HANDLE_MAX / 8];
    let room = aligned.as_mut_bytes().get_mut(..handle.len());
    room.ok_or(io::ErrorKind::InvalidInput)?.copy_from_slice(handle);
    let claimed = handle.first_chunk().map_or(usize::MAX, |b| u32::from_ne_bytes(*b) as usize);
    if claimed > HANDLE_MAX - 8 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: `aligned` holds a whole struct file_handle: its own length field was checked to stay
    // within the array, and the kernel only reads it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_open_by_handle_at,
            mount.as_raw_fd(),
            aligned.as_ptr(),
            libc::O_PATH | libc::O_CLOEXEC,
        )
    };
    owned(result)
}

/// Filesystem id of what `path` names, as fanotify reports it.
pub(crate) fn filesystem_id(path: &Path) -> io::Result<u64> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut room = [0u64; size_of::<libc::statfs>().div_ceil(8)];
    // SAFETY: `path` is NUL-terminated; `room` is aligned and large enough for a struct statfs.
    let result = unsafe { libc::statfs(path.as_ptr(), room.as_mut_ptr().cast()) };
    checked(result.into())?;
    let at = std::mem::offset_of!(libc::statfs, f_fsid);
    let id = room.as_bytes().get(at..).and_then(<[u8]>::first_chunk);
    id.map(|id| u64::from_ne_bytes(*id)).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// A netlink socket of the connector family, bound to the multicast group of process events.
pub(crate) fn connector_socket(group: u32) -> io::Result<OwnedFd> {
    const KIND: i32 = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: takes numbers only.
    let result = unsafe { libc::socket(libc::AF_NETLINK, KIND, libc::NETLINK_CONNECTOR) };
    let socket = owned(result.into())?;
    let address = NetlinkAddress { family: NETLINK_FAMILY, pad: 0, port: 0, groups: group };
    // SAFETY: `address` has the layout of sockaddr_nl and the length given is its own.
    let result = unsafe {
        libc::bind(socket.as_raw_fd(), (&raw const address).cast(), NetlinkAddress::LENGTH)
    };
    checked(result.into())?;
    Ok(socket)
}

/// `struct sockaddr_nl`.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
struct NetlinkAddress {
    family: u16,
    pad: u16,
    port: u32,
    groups: u32,
}

/// `AF_NETLINK` as `sa_family_t`.
const NETLINK_FAMILY: u16 = 16;

impl NetlinkAddress {
    #[expect(clippy::cast_possible_truncation, reason = "12 bytes")]
    const LENGTH: libc::socklen_t = size_of::<NetlinkAddress>() as libc::socklen_t;
}

/// Receives one datagram; `true` if the kernel sent it.
pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, bool)> {
    let mut from = NetlinkAddress::default();
    let mut length = NetlinkAddress::LENGTH;
    // SAFETY: buffer and address are valid for writes of the lengths passed with them.
    let result = unsafe {
        libc::recvfrom(
            socket.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            libc::MSG_DONTWAIT,
            (&raw mut from).cast(),
            &raw mut length,
        )
    };
    let received = usize::try_from(result).map_err(|_| io::Error::last_os_error())?;
    Ok((received, from.port == 0))
}

/// `struct perf_event_attr` up to `PERF_ATTR_SIZE_VER5`.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct PerfAttr {
    pub(crate) kind: u32,
    pub(crate) size: u32,
    pub(crate) config: u64,
    pub(crate) sample_period: u64,
    pub(crate) sample_type: u64,
    pub(crate) read_format: u64,
    pub(crate) flags: u64,
    pub(crate) wakeup: u32,
    pub(crate) breakpoint: u32,
    pub(crate) configs: [u64; 2],
    pub(crate) branch_sample_type: u64,
    pub(crate) sample_regs_user: u64,
    pub(crate) sample_stack_user: u32,
    pub(crate) clock: i32,
    pub(crate) sample_regs_intr: u64,
    pub(crate) aux_watermark: u32,
    pub(crate) sample_max_stack: u32,
}

/// Opens a perf event for all processes on one CPU.
pub(crate) fn perf_event_open(attr: &PerfAttr, cpu: i32) -> io::Result<OwnedFd> {
    const CLOEXEC: libc::c_ulong = 8;
    // SAFETY: `attr` carries its own size, which the kernel honours, and is only read.
    let result = unsafe {
        libc::syscall(libc::SYS_perf_event_open, std::ptr::from_ref(attr), -1, cpu, -1, CLOEXEC)
    };
    owned(result)
}

/// `struct mnt_id_req`.
#[repr(C)]
struct MountRequest {
    size: u32,
    spare: u32,
    id: u64,
    param: u64,
}

#[expect(clippy::cast_possible_truncation, reason = "24 bytes")]
const MOUNT_REQUEST_SIZE: u32 = size_of::<MountRequest>() as u32;

/// Fills `buffer` with the `struct statmount` of a mount and its strings.
pub(crate) fn statmount(id: u64, want: u64, buffer: &mut [u64]) -> io::Result<()> {
    let request = MountRequest { size: MOUNT_REQUEST_SIZE, spare: 0, id, param: want };
    // SAFETY: the request carries its size; the buffer is valid for writes of the size passed.
    let result = unsafe {
        libc::syscall(
            SYS_STATMOUNT,
            &raw const request,
            buffer.as_mut_ptr(),
            size_of_val(buffer),
            0u32,
        )
    };
    checked(result).map(drop)
}

/// Ids of the mounts of this namespace after `last`; gives how many were written to `ids`.
pub(crate) fn listmount(last: u64, ids: &mut [u64]) -> io::Result<usize> {
    const ROOT: u64 = u64::MAX;
    let request = MountRequest { size: MOUNT_REQUEST_SIZE, spare: 0, id: ROOT, param: last };
    // SAFETY: the request carries its size; `ids` is valid for writes of as many numbers as passed.
    let result = unsafe {
        libc::syscall(SYS_LISTMOUNT, &raw const request, ids.as_mut_ptr(), ids.len(), 0u32)
    };
    usize::try_from(checked(result)?).map_err(io::Error::other)
}

/// Whether a descriptor has something urgent to tell (a change, for `/proc/self/mountinfo`).
pub(crate) fn urgent(fd: impl AsFd) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLPRI)];
    matches!(poll(&mut fds, PollTimeout::ZERO), Ok(ready) if ready > 0)
}
