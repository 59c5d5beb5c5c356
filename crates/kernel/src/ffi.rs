//! The few calls of libbpf that have no safe wrapper for a plain descriptor.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libbpf_sys::{bpf_iter_create, bpf_prog_test_run_opts, bpf_test_run_opts};

/// Runs a `syscall` program once with `context`; returns what the program returned.
pub(crate) fn run_program(program: BorrowedFd<'_>, context: &mut [u8]) -> io::Result<u32> {
    let mut options = bpf_test_run_opts {
        sz: size_of::<bpf_test_run_opts>() as libbpf_sys::size_t,
        ctx_in: context.as_ptr().cast(),
        ctx_size_in: u32::try_from(context.len()).unwrap_or(u32::MAX),
        ..bpf_test_run_opts::default()
    };
    // SAFETY: the descriptor is open for the call; `options` and the context that it points to
    // outlive it, and the context is only read (there is no `ctx_out`).
    let result = unsafe { bpf_prog_test_run_opts(program.as_raw_fd(), &raw mut options) };
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result));
    }
    Ok(options.retval)
}

/// A new pass of the iterator behind a link.
pub(crate) fn open_iterator(link: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: the descriptor is open for the call, which takes no pointers.
    let fd = unsafe { bpf_iter_create(link.as_raw_fd()) };
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(-fd));
    }
    // SAFETY: the call succeeded, so this is a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
