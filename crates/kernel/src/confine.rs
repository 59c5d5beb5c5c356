//! Puts filters of system calls in force. What they say is no business of this crate.

use std::io;

use nix::libc;

/// Instructions that the kernel takes in one filter (`BPF_MAXINSNS`).
const INSTRUCTIONS_MAX: usize = 4_096;

/// Whom a filter holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// All threads that this process has, and whatever they start.
    Process,
    /// The same, and what is refused is told to nobody: it is how things go, time and again.
    ProcessInSilence,
    /// The calling thread, and whatever it starts.
    Thread,
}

/// An instruction of a filter: the operation, two jumps, an operand.
pub type Instruction = (u16, u8, u8, u32);

/// Puts a filter in force, for good. What it refuses is told in the kernel's audit log (type 1326), since nobody
/// who is refused tells of it. Privileges cannot be gained any more from here on (`no_new_privs`).
pub fn confine(filter: &[Instruction], whom: Whom) -> io::Result<()> {
    let mut code: Vec<libc::sock_filter> =
        filter.iter().map(|&(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k }).collect();
    let fits = u16::try_from(code.len()).ok().filter(|_| code.len() <= INSTRUCTIONS_MAX);
    let len = fits.ok_or_else(|| io::Error::other("the filter has too many instructions"))?;
    let program = libc::sock_fprog { len, filter: code.as_mut_ptr() };
    nix::sys::prctl::set_no_new_privs()?;
    let flags = match whom {
        Whom::Process => libc::SECCOMP_FILTER_FLAG_LOG | libc::SECCOMP_FILTER_FLAG_TSYNC,
        Whom::ProcessInSilence => libc::SECCOMP_FILTER_FLAG_TSYNC,
        Whom::Thread => libc::SECCOMP_FILTER_FLAG_LOG,
    };
    // SAFETY: the kernel copies the program during the call; `program` points to `code`, whose length it
    // tells, and both outlive the call.
    let done = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
    };
    match done {
        0 => Ok(()),
        // The number of a thread that has other filters than ours.
        1.. => Err(io::Error::other(format!("thread {done} cannot be confined"))),
        _ => Err(io::Error::last_os_error()),
    }
}
