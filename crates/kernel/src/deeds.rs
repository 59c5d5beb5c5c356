//! System calls that only tests of prevention make, and for which there is no safe wrapper.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use io_uring::{IoUring, opcode, squeue, types};
use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, mprotect, munmap};

/// What is mapped: more is asked for no page.
const PAGE: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4095);
/// Longest handle of a file.
const HANDLE_MAX: usize = 128;

/// Maps a page of a file, or of memory, and changes how it may be used if that is asked for. Nothing
/// of the page is looked at.
pub fn map(
    file: Option<&File>,
    protection: ProtFlags,
    shared: bool,
    then: Option<ProtFlags>,
) -> io::Result<()> {
    let flags = if shared { MapFlags::MAP_SHARED } else { MapFlags::MAP_PRIVATE };
    let page = match file {
        // SAFETY: a new mapping, at a place that the kernel chooses; nobody reads or writes it.
        Some(file) => unsafe { mmap(None, PAGE, protection, flags, file, 0) }?,
        // SAFETY: as above.
        None => unsafe { mmap_anonymous(None, PAGE, protection, flags) }?,
    };
    let changed = then.map_or(Ok(()), |then| {
        // SAFETY: the page was mapped just now and has no other user.
        unsafe { mprotect(page, PAGE.get(), then) }
    });
    // SAFETY: the page was mapped just now, and nothing points into it.
    unsafe { munmap(page, PAGE.get()) }?;
    Ok(changed?)
}

/// Writes into a file by memory that shows it. The file must have these bytes already.
pub fn write_mapped(file: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
    let begin = at - at % PAGE.get() as u64;
    let skipped = usize::try_from(at - begin).map_err(io::Error::other)?;
    let length = PAGE.saturating_add(skipped + bytes.len() - 1);
    let from = i64::try_from(begin).map_err(io::Error::other)?;
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    if file.metadata()?.len() < at + bytes.len() as u64 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    // SAFETY: a new mapping, at a place that the kernel chooses, which only we use.
    let page = unsafe { mmap(None, length, access, MapFlags::MAP_SHARED, file, from) }?;
    // SAFETY: the mapping is longer than what is skipped.
    let to = unsafe { page.cast::<u8>().add(skipped) };
    let from = std::ptr::NonNull::from(bytes).cast();
    // SAFETY: the mapping holds all bytes behind what is skipped, and the file has them: that was looked at.
    unsafe { to.copy_from_nonoverlapping(from, bytes.len()) };
    // SAFETY: it was mapped just now, and nothing points into it.
    unsafe { munmap(page, length.get()) }?;
    Ok(())
}

/// A file's handle, as the kernel takes it: `struct file_handle`.
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    data: [u8; HANDLE_MAX],
}

/// Opens a file for reading by its handle, below a mount that has it.
pub fn open_by_handle(path: &Path, mount: &File) -> io::Result<File> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    let room = u32::try_from(HANDLE_MAX).unwrap_or_default();
    let mut handle = Handle { bytes: room, kind: 0, data: [0; HANDLE_MAX] };
    let (mut id, at) = (0, libc::AT_FDCWD);
    let to: *mut Handle = &raw mut handle;
    // SAFETY: the name ends with a zero, and the handle has the room that it says.
    checked(unsafe { libc::name_to_handle_at(at, name.as_ptr(), to.cast(), &raw mut id, 0) })?;
    // SAFETY: the kernel has just filled the handle.
    let fd = unsafe { libc::open_by_handle_at(mount.as_raw_fd(), to.cast(), libc::O_RDONLY) };
    Ok(owned(checked(fd)?).into())
}

/// Opens a file through a ring.
pub fn ring_open(path: &Path) -> io::Result<File> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    let entry = opcode::OpenAt::new(types::Fd(libc::AT_FDCWD), name.as_ptr());
    Ok(owned(ring(&entry.flags(libc::O_RDONLY).build())?).into())
}

/// Reads a few bytes through a ring.
pub fn ring_read(file: &File) -> io::Result<usize> {
    let mut bytes = [0_u8; 4];
    let room = u32::try_from(bytes.len()).unwrap_or_default();
    let entry = opcode::Read::new(types::Fd(file.as_raw_fd()), bytes.as_mut_ptr(), room);
    usize::try_from(ring(&entry.build())?).map_err(io::Error::other)
}

/// Connects through a ring.
pub fn ring_connect(socket: impl AsFd, to: [u8; 4], port: u16) -> io::Result<()> {
    let address = address(libc::AF_INET, to, port);
    let fd = types::Fd(socket.as_fd().as_raw_fd());
    ring(&opcode::Connect::new(fd, (&raw const address).cast(), LENGTH).build()).map(drop)
}

/// Sends a byte through a ring.
pub fn ring_send(socket: impl AsFd) -> io::Result<()> {
    let fd = types::Fd(socket.as_fd().as_raw_fd());
    ring(&opcode::Send::new(fd, b"x".as_ptr(), 1).build()).map(drop)
}

/// Does what an entry says, and waits for its end: so the entry may point to what the caller has.
fn ring(entry: &squeue::Entry) -> io::Result<i32> {
    let mut ring = IoUring::new(2)?;
    // SAFETY: what the entry points to outlives this function, which waits for the end.
    unsafe { ring.submission().push(entry) }.map_err(io::Error::other)?;
    ring.submit_and_wait(1)?;
    let end = ring.completion().next().ok_or_else(|| io::Error::other("no completion"))?;
    if end.result() < 0 {
        Err(io::Error::from_raw_os_error(-end.result()))
    } else {
        Ok(end.result())
    }
}

/// Bytes of an address of version 4.
const LENGTH: u32 = 16;

fn address(family: i32, to: [u8; 4], port: u16) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: family.try_into().unwrap_or_default(),
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(to) },
        sin_zero: [0; 8],
    }
}

/// Sends a byte to an address that does not say that it is one of version 4.
pub fn send_unspecified(socket: impl AsFd, to: [u8; 4], port: u16) -> io::Result<()> {
    let address = address(libc::AF_UNSPEC, to, port);
    let (fd, to) = (socket.as_fd().as_raw_fd(), (&raw const address).cast());
    // SAFETY: byte and address are valid for reads of the lengths given with them.
    let sent = unsafe { libc::sendto(fd, b"x".as_ptr().cast(), 1, 0, to, LENGTH) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Binds to an address that does not say that it is one of version 4.
pub fn bind_unspecified(socket: impl AsFd, to: [u8; 4], port: u16) -> io::Result<()> {
    let address = address(libc::AF_UNSPEC, to, port);
    let (fd, to) = (socket.as_fd().as_raw_fd(), (&raw const address).cast());
    // SAFETY: the address is valid for reads of the length given with it.
    checked(unsafe { libc::bind(fd, to, LENGTH) }).map(drop)
}

/// Swaps to a device or file, and no longer after that.
pub fn swap(path: &Path) -> io::Result<()> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the name ends with a zero.
    checked(unsafe { libc::swapon(name.as_ptr(), 0) })?;
    // SAFETY: as above.
    checked(unsafe { libc::swapoff(name.as_ptr()) }).map(drop)
}

fn checked(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn owned(fd: i32) -> OwnedFd {
    // SAFETY: the kernel has just given this descriptor, and nobody else knows it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
