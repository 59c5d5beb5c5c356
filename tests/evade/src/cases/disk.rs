//! Filesystems that lie on a disk of their own: a file behind a loop device.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use super::Case;
use super::file::{input, secret};

/// Why cases with disks are not tried on a host.
pub(super) const HOST: &str = "devices of a host are left alone";
/// Below this `mkfs.xfs` makes no filesystem. Nearly all of it stays a hole.
const CLONING_BYTES: u64 = 320 << 20;

/// Runs a command of busybox.
pub(super) fn busybox(words: &[&str]) -> io::Result<()> {
    let mut command = Command::new("/bin/busybox");
    done(command.args(words), words)
}

fn done(command: &mut Command, words: &[&str]) -> io::Result<()> {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("{words:?}: {status}"))) }
}

/// Puts the secret on a filesystem that can clone files; where the kernel has none, it stays where it
/// is, and the case finds that it cannot clone. Before the policy: of later mounts nobody tells the
/// kernel here.
fn cloning(at: &Path) -> io::Result<()> {
    let known = fs::read_to_string("/proc/filesystems")?;
    if !known.lines().any(|line| line.ends_with("\txfs")) {
        return Ok(());
    }
    let image = Path::new("/tmp").join(at.file_name().unwrap_or_default());
    File::create(&image)?.set_len(CLONING_BYTES)?;
    // Other cases have the first ones.
    let covered = at.to_string_lossy().ends_with("-covered");
    let device = if covered { "/dev/loop5" } else { "/dev/loop6" };
    let (image, point) = (image.to_string_lossy(), at.join("unreadable"));
    done(Command::new("mkfs.xfs").args(["-q", "-m", "reflink=1"]).arg(&*image), &["mkfs.xfs"])?;
    busybox(&["losetup", device, &image])?;
    busybox(&["mount", "-t", "xfs", device, &point.to_string_lossy()])?;
    fs::write(secret(at), "secret\n")
}

/// Clones what standard input is, which another process opened, and reads the clone's length.
fn clone(at: &Path) -> io::Result<()> {
    let to = at.join("unreadable/clone");
    rustix::fs::ioctl_ficlone(File::create(&to)?, input()?)?;
    let length = fs::metadata(&to)?.len();
    if length > 0 { Ok(()) } else { Err(io::Error::other("the clone is empty")) }
}

/// The secret, opened by a process that may read it.
fn opened(at: &Path) -> io::Result<Stdio> {
    let mut file = File::open(secret(at))?;
    // A descriptor that cannot be read would fail for a reason of its own.
    file.read_exact(&mut [0; 4])?;
    Ok(file.into())
}

pub(super) const CASES: &[Case] = &[Case::new("passed", "a clone of the file", "no-read", clone)
    .early(cloning)
    .given(opened)
    .guest(HOST)];
