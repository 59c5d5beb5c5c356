//! Which filesystems are mounted, as `/proc/self/mountinfo` tells.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::sys;

/// Most bytes read of mountinfo: about 20,000 mounts, ten times a large container host.
const READ_MAX: u64 = 4 << 20;
/// Most mounts kept, for the same reason.
pub(crate) const MOUNTS_MAX: usize = 20_000;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Id in mountinfo; used again after an unmount.
    pub(crate) id: u32,
    /// Device of the superblock in the kernel's encoding.
    pub(crate) dev: u64,
    /// What part of the filesystem is mounted.
    pub(crate) root: PathBuf,
    /// Where it is mounted.
    pub(crate) point: PathBuf,
    /// Filesystem type.
    pub(crate) kind: Vec<u8>,
    /// Device or other source.
    pub(crate) source: Vec<u8>,
    /// `MS_RDONLY`, `MS_NOSUID`, `MS_NODEV`, `MS_NOEXEC`.
    pub(crate) flags: u32,
    /// Magic number of the superblock; 0: unknown (mountinfo does not tell).
    pub(crate) magic: u32,
}

/// The kernel's `dev_t` of a device number.
pub(crate) fn kernel_dev(major: u64, minor: u64) -> u64 {
    major << 20 | minor
}

/// Reads mountinfo, and tells when it changes.
#[derive(Debug)]
pub(crate) struct MountInfo {
    /// Polled by hand: each open file remembers on its own what change it has told.
    file: File,
    /// Given to epoll, only to wake up: whoever polls first uses the news up.
    bell: File,
}

impl MountInfo {
    /// Opens mountinfo.
    pub(crate) fn open() -> io::Result<Self> {
        const PATH: &str = "/proc/self/mountinfo";
        Ok(MountInfo { file: File::open(PATH)?, bell: File::open(PATH)? })
    }

    /// Urgent when something was mounted or unmounted.
    pub(crate) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Whether something was mounted or unmounted since the last call.
    pub(crate) fn changed(&self) -> bool {
        sys::urgent(&self.file)
    }

    /// All mounts.
    pub(crate) fn read(&mut self) -> io::Result<Vec<Mount>> {
        let mut text = Vec::new();
        self.file.rewind()?;
        self.file.by_ref().take(READ_MAX).read_to_end(&mut text)?;
        Ok(text.split(|b| *b == b'\n').filter_map(parse).take(MOUNTS_MAX).collect())
    }
}

/// The lines of a table of mounts; none if it cannot be read.
pub(crate) fn lines(table: &str) -> Vec<Vec<u8>> {
    let mut text = Vec::new();
    let read = File::open(table).and_then(|file| file.take(READ_MAX).read_to_end(&mut text));
    let lines = text.split(|byte| *byte == b'\n').take(MOUNTS_MAX);
    if read.is_ok() { lines.map(<[u8]>::to_vec).collect() } else { Vec::new() }
}

/// One line of mountinfo.
pub(crate) fn parse(line: &[u8]) -> Option<Mount> {
    let mut words = line.split(|b| *b == b' ');
    let id = number(words.next()?)?;
    let _parent = words.next()?;
    let mut device = words.next()?.split(|b| *b == b':');
    let dev = kernel_dev(number(device.next()?)?.into(), number(device.next()?)?.into());
    let root = path(words.next()?);
    let point = path(words.next()?);
    let flags = words.next()?.split(|b| *b == b',').map(flag).fold(0, |all, one| all | one);
    let mut rest = words.skip_while(|word| *word != b"-").skip(1);
    let kind = unescape(rest.next()?);
    let source = unescape(rest.next()?);
    Some(Mount { id, dev, root, point, kind, source, flags, magic: 0 })
}

fn number(word: &[u8]) -> Option<u32> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

fn path(word: &[u8]) -> PathBuf {
    OsString::from_vec(unescape(word)).into()
}

fn flag(option: &[u8]) -> u32 {
    match option {
        b"ro" => 1,
        b"nosuid" => 2,
        b"nodev" => 4,
        b"noexec" => 8,
        _ => 0,
    }
}

/// Space, tab, newline and backslash are written as a backslash and three octal digits.
pub(crate) fn unescape(word: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((first, tail)) = rest.split_first() {
        let octal = tail.first_chunk::<3>().filter(|_| *first == b'\\');
        let code = octal.and_then(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 8).ok());
        out.push(code.unwrap_or(*first));
        rest = if code.is_some() { tail.get(3..).unwrap_or_default() } else { tail };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_escapes_and_optional_fields() {
        let line = b"36 35 98:5 /sub /mnt/a\\040b\\134c ro,noexec master:1 shared:2 - ext3 /dev/r\\012t rw";
        let mount = parse(line).unwrap();
        assert_eq!((mount.id, mount.dev, mount.flags), (36, 98 << 20 | 5, 1 | 8));
        assert_eq!(mount.root, PathBuf::from("/sub"));
        assert_eq!(mount.point, PathBuf::from("/mnt/a b\\c"));
        assert_eq!(
            (mount.kind.as_slice(), mount.source.as_slice()),
            (&b"ext3"[..], &b"/dev/r\nt"[..])
        );
    }

    #[test]
    fn broken_lines_are_left_out() {
        for line in [
            &b""[..],
            b"36",
            b"x 35 98:5 / / rw - a b",
            b"36 35 98 / / rw - a b",
            b"36 35 1:2 / / rw",
        ] {
            assert_eq!(parse(line), None, "{}", String::from_utf8_lossy(line));
        }
        assert_eq!(unescape(b"\\04"), b"\\04");
        assert_eq!(unescape(b"\\999"), b"\\999");
    }
}
