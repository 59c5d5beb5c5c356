//! Whether this kernel hashes what is executed, found by executing something.

use std::ffi::OsStr;

use libbpf_rs::{MapCore, MapFlags};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::messages;
use crate::object::Loaded;

/// What is executed to be hashed: no program, and its SHA-256.
const NO_PROGRAM: &[u8] = b"aegisbpf\n";
const NO_PROGRAM_SHA256: [u8; 32] = [
    0xf2, 0xdb, 0x04, 0xe5, 0xfa, 0x9c, 0x43, 0x80, 0x56, 0x40, 0x1d, 0x20, 0xca, 0x4e, 0x46, 0xab,
    0x52, 0x39, 0x51, 0x9e, 0x0d, 0x70, 0x74, 0x88, 0x18, 0x51, 0xf6, 0x29, 0xb5, 0x86, 0x5d, 0x60,
];
/// Where the result of `probe_hash` is: process, steady, algorithm, digest; its bytes.
const PROBED: &str = ".data.probed";
const PROBED_BYTES: usize = 48;
/// SHA-256 in the kernel's list of algorithms.
const SHA256: i64 = 4;

/// Executes a file that is no program, and lets it be hashed: why it cannot.
pub(crate) fn try_one() -> Result<(), String> {
    let other = |section: &OsStr| (section != "lsm.s/bprm_creds_for_exec").then(String::new);
    let loaded = Loaded::probes(other).map_err(|error| error.to_string())?;
    let refused = || loaded.refused("probe_hash").unwrap_or("not in the object").to_owned();
    let program = loaded.program("probe_hash").ok_or_else(refused)?;
    let map = loaded.map_where(|name| name.ends_with(PROBED));
    let map = map.ok_or_else(|| format!("{PROBED} is not in the object"))?;
    let said = |error: libbpf_rs::Error| error.to_string();
    let mut value = [0; PROBED_BYTES];
    for (to, from) in value.iter_mut().zip(std::process::id().to_ne_bytes()) {
        *to = from;
    }
    map.update(&0u32.to_ne_bytes(), &value, MapFlags::ANY).map_err(said)?;
    let (attached, _) = messages::during(|| program.attach());
    let attached = attached.map_err(said)?;
    execute_no_program().map_err(|error| format!("executing a file in memory: {error}"))?;
    drop(attached);
    let found = map.lookup(&0u32.to_ne_bytes(), MapFlags::ANY).map_err(said)?;
    probed(&found.unwrap_or_default())
}

/// Whether a result is what is needed.
fn probed(value: &[u8]) -> Result<(), String> {
    let part = |at: usize| value.get(at..).and_then(<[u8]>::first_chunk);
    let steady = part(4).is_some_and(|word| u32::from_ne_bytes(*word) != 0);
    let algorithm =
        value.get(8..).and_then(<[u8]>::first_chunk).map(|word| i64::from_ne_bytes(*word));
    match algorithm {
        Some(SHA256) => {}
        Some(error) if error < 0 => {
            let error =
                std::io::Error::from_raw_os_error(i32::try_from(-error).unwrap_or_default());
            return Err(format!("the kernel hashes no files (CONFIG_IMA): {error}"));
        }
        other => {
            return Err(format!("the kernel hashes files by algorithm {other:?}, not by SHA-256"));
        }
    }
    if value.get(16..) != Some(&NO_PROGRAM_SHA256) {
        return Err("the kernel gave the wrong hash of a file".to_owned());
    }
    if !steady {
        let why =
            "this kernel lets files be written while they are executed (Linux 6.11 to 6.12.1)";
        return Err(why.to_owned());
    }
    Ok(())
}

/// The kernel finds out that it is no program after it has asked LSM programs, or they refuse it.
fn execute_no_program() -> std::io::Result<()> {
    let file = memfd_create(c"aegisbpf", MFdFlags::MFD_CLOEXEC)?;
    nix::unistd::write(&file, NO_PROGRAM)?;
    let none: [&std::ffi::CStr; 0] = [];
    let at = nix::fcntl::AtFlags::AT_EMPTY_PATH;
    match nix::unistd::execveat(&file, c"", &none, &none, at) {
        Err(nix::Error::ENOEXEC | nix::Error::EPERM | nix::Error::EACCES) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::{NO_PROGRAM_SHA256, probed};

    /// What the program says that is asked.
    fn said(steady: u32, algorithm: i64, digest: [u8; 32]) -> Result<(), String> {
        let mut value = [1, steady].map(u32::to_ne_bytes).concat();
        value.extend(algorithm.to_ne_bytes());
        value.extend(digest);
        probed(&value)
    }

    #[test]
    fn a_kernel_hashes_files_only_if_all_of_it_is_so() {
        assert_eq!(said(1, 4, NO_PROGRAM_SHA256), Ok(()));
        let why = |found: Result<(), String>| found.unwrap_err();
        assert!(why(said(1, -95, [0; 32])).contains("CONFIG_IMA"));
        assert!(why(said(1, 2, NO_PROGRAM_SHA256)).contains("not by SHA-256"));
        assert!(why(said(1, 4, [0; 32])).contains("wrong hash"));
        assert!(why(said(0, 4, NO_PROGRAM_SHA256)).contains("written while they are executed"));
        assert!(probed(&[]).is_err());
    }
}
