//! A rule denies what files lie on, and memory: below the files that rules name.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use kernel::deeds;

use super::Case;
use super::disk::{HOST, busybox};
use super::file::bytes;

/// A block device with a file behind it.
const DISK: &str = "/dev/loop0";

/// Attaches a file to the device, unless one is; without such a device the case is absent.
fn disk(at: &Path) -> io::Result<()> {
    if !Path::new(DISK).exists() || busybox(&["losetup", DISK]).is_ok() {
        return Ok(());
    }
    let image = at.join("open/image");
    fs::write(&image, vec![0; 1 << 20])?;
    busybox(&["losetup", DISK, &image.to_string_lossy()])?;
    busybox(&["mkswap", DISK])
}

/// Whether there is such a thing here; without, the error is that of what is not built in.
fn there(path: &str) -> io::Result<&Path> {
    let path = Path::new(path);
    if path.exists() { Ok(path) } else { Err(io::Error::from_raw_os_error(19)) }
}

pub(super) const CASES: &[Case] = &[
    Case::new("device", "memory of the machine", "no-device", |_| {
        File::open(there("/dev/mem")?).map(drop)
    })
    .guest(HOST),
    Case::new("device", "memory of the kernel", "no-device", |_| {
        File::open(there("/proc/kcore")?).map(drop)
    })
    .guest(HOST),
    Case::new("device", "what a filesystem lies on", "no-device", |_| {
        bytes(File::open(there(DISK)?)?.read(&mut [0; 4])?)
    })
    .after(disk)
    .guest(HOST),
    Case::new("device", "swap to it", "no-device", |_| deeds::swap(there(DISK)?))
        .after(disk)
        .guest(HOST),
];
