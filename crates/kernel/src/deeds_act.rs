//! System calls on processes and on the kernel itself, that only tests of prevention make.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::libc;

fn checked(result: i64) -> io::Result<i64> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// What calls of libbpf return: a descriptor, or the number of an error below zero.
fn descriptor(result: i32) -> io::Result<OwnedFd> {
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result));
    }
    // SAFETY: the call has just made the descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(result) })
}

/// A child in new namespaces, that ends at once.
pub fn clone_into(namespaces: i32) -> io::Result<()> {
    let flags = i64::from(namespaces | libc::SIGCHLD);
    // SAFETY: without a stack of its own and without shared memory the child is a fork, and makes one
    // system call.
    let child = checked(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })?;
    if child == 0 {
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(0) };
    }
    let child = i32::try_from(child).map_err(io::Error::other)?;
    // SAFETY: no status is asked for.
    checked(i64::from(unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) })).map(drop)
}

/// Loads a module from its file.
pub fn load_module(file: &File) -> io::Result<()> {
    // SAFETY: the parameters are a string that ends with a zero.
    let done = unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) };
    checked(done).map(drop)
}

/// Loads a module from memory.
pub fn load_module_bytes(bytes: &[u8]) -> io::Result<()> {
    // SAFETY: the bytes are valid for reads of the length given with them, the parameters a string that
    // ends with a zero.
    let done =
        unsafe { libc::syscall(libc::SYS_init_module, bytes.as_ptr(), bytes.len(), c"".as_ptr()) };
    checked(done).map(drop)
}

/// Takes a module out again.
pub fn unload_module(name: &std::ffi::CStr) -> io::Result<()> {
    // SAFETY: the name ends with a zero.
    let done = unsafe { libc::syscall(libc::SYS_delete_module, name.as_ptr(), libc::O_NONBLOCK) };
    checked(done).map(drop)
}

/// Reads a word of another process's memory, at an address where it has none: so what is refused is
/// refused before, and what is allowed ends with `EFAULT`, which is success here.
pub fn read_memory(process: i32) -> io::Result<()> {
    let mut word = [0_u8; 8];
    let own = libc::iovec { iov_base: word.as_mut_ptr().cast(), iov_len: word.len() };
    let other = libc::iovec { iov_base: std::ptr::without_provenance_mut(8), iov_len: word.len() };
    // SAFETY: the own vector is valid for writes of its length; the other one is an address in another
    // process, which the kernel checks.
    let read =
        unsafe { libc::process_vm_readv(process, &raw const own, 1, &raw const other, 1, 0) };
    match checked(i64::try_from(read).map_err(io::Error::other)?) {
        Err(error) if error.raw_os_error() == Some(libc::EFAULT) => Ok(()),
        other => other.map(drop),
    }
}

/// Makes a map of BPF, of one number.
pub fn make_map() -> io::Result<OwnedFd> {
    let (kind, name) = (libbpf_sys::BPF_MAP_TYPE_ARRAY, c"stranger".as_ptr());
    // SAFETY: the name ends with a zero, and no options are given.
    descriptor(unsafe { libbpf_sys::bpf_map_create(kind, name, 4, 4, 1, std::ptr::null()) })
}

/// What has a number among the maps, programs or links of BPF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbered {
    /// A map.
    Map,
    /// A program.
    Program,
    /// A link.
    Link,
}

/// Opens a map, program or link by its number.
pub fn open_by_number(what: Numbered, number: u32) -> io::Result<OwnedFd> {
    let opened = match what {
        // SAFETY: takes a number only.
        Numbered::Map => unsafe { libbpf_sys::bpf_map_get_fd_by_id(number) },
        // SAFETY: takes a number only.
        Numbered::Program => unsafe { libbpf_sys::bpf_prog_get_fd_by_id(number) },
        // SAFETY: takes a number only.
        Numbered::Link => unsafe { libbpf_sys::bpf_link_get_fd_by_id(number) },
    };
    descriptor(opened)
}

/// Opens what is pinned.
pub fn open_pinned(path: &Path) -> io::Result<OwnedFd> {
    let name = name_of(path)?;
    // SAFETY: the name ends with a zero.
    descriptor(unsafe { libbpf_sys::bpf_obj_get(name.as_ptr()) })
}

/// Makes a ring.
pub fn make_ring() -> io::Result<()> {
    let mut parameters = [0_u8; 120];
    // SAFETY: the parameters have the 120 bytes of `struct io_uring_params`, and are valid for writes.
    let made = unsafe { libc::syscall(libc::SYS_io_uring_setup, 4, parameters.as_mut_ptr()) };
    let made = i32::try_from(checked(made)?).map_err(io::Error::other)?;
    descriptor(made).map(drop)
}

/// Pins a map.
pub fn pin(map: &OwnedFd, path: &Path) -> io::Result<()> {
    let name = name_of(path)?;
    // SAFETY: the name ends with a zero.
    let done = unsafe { libbpf_sys::bpf_obj_pin(map.as_raw_fd(), name.as_ptr()) };
    if done < 0 { Err(io::Error::from_raw_os_error(-done)) } else { Ok(()) }
}

/// A number of a map of maps: that of the map behind it.
pub fn read_number(map: &OwnedFd, key: u32) -> io::Result<u32> {
    let mut value = 0_u32;
    let to = (&raw mut value).cast();
    // SAFETY: key and value have the four bytes that such a map has.
    let done =
        unsafe { libbpf_sys::bpf_map_lookup_elem(map.as_raw_fd(), (&raw const key).cast(), to) };
    if done < 0 { Err(io::Error::from_raw_os_error(-done)) } else { Ok(value) }
}

fn name_of(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}
