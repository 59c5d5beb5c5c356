//! The few calls of libbpf that have no safe wrapper for a plain descriptor.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libbpf_sys::{
    BPF_TRACE_ITER, bpf_iter_create, bpf_iter_link_info, bpf_link_create, bpf_link_create_opts,
    bpf_prog_test_run_opts, bpf_test_run_opts,
};

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

/// An iterator link of a program that looks at tasks: at one, or at all.
pub(crate) fn link_task_iterator(
    program: BorrowedFd<'_>,
    task: Option<u32>,
) -> io::Result<OwnedFd> {
    let mut info = bpf_iter_link_info::default();
    info.task.tid = task.unwrap_or_default();
    let mut options = bpf_link_create_opts {
        sz: size_of::<bpf_link_create_opts>() as libbpf_sys::size_t,
        ..bpf_link_create_opts::default()
    };
    if task.is_some() {
        options.iter_info = &raw mut info;
        options.iter_info_len = u32::try_from(size_of::<bpf_iter_link_info>()).unwrap_or_default();
    }
    // SAFETY: the descriptor is open for the call; `options` and `info`, to which it points, outlive
    // it and are only read.
    let fd = unsafe { bpf_link_create(program.as_raw_fd(), 0, BPF_TRACE_ITER, &raw mut options) };
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(-fd));
    }
    // SAFETY: the call succeeded, so this is a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
