//! Names of files that the kernel opens itself, below an overlay.
//!
//! From Linux 6.14 on the kernel asks about these, too, under a mount that is in nobody's table. Their names
//! are those in the directories that the overlay was made of: where the file is the same one, that is a name
//! of it, whoever has opened it and how.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::libc;

use super::request::kernel_device;
use crate::source::mountinfo;

/// Directories that are remembered: the images of a host share them.
const LAYERS_MAX: usize = 4096;

/// Directories that overlays are made of, those first that were of use last.
#[derive(Debug, Default)]
pub(super) struct Layers {
    known: Vec<PathBuf>,
}

impl Layers {
    /// A file that is open, by a name in one of the layers; `name` is its path inside of that.
    pub(super) fn find(&mut self, tid: u32, name: &Path, open: &fs::Metadata) -> Option<File> {
        let name = name.strip_prefix("/").unwrap_or(name);
        if let Some(found) = self.search(0, name, open) {
            return Some(found);
        }
        // Overlays that were mounted since, here and where the thread is.
        let known = self.known.len();
        for (root, table) in [
            (PathBuf::from("/"), "/proc/self/mountinfo".to_owned()),
            (PathBuf::from(format!("/proc/{tid}/root")), format!("/proc/{tid}/mountinfo")),
        ] {
            for layer in mountinfo::lines(&table).iter().flat_map(|line| layers(line)) {
                let layer = root.join(layer.strip_prefix("/").unwrap_or(&layer));
                if !self.known.contains(&layer) && self.known.len() < LAYERS_MAX {
                    self.known.push(layer);
                }
            }
        }
        self.search(known, name, open)
    }

    fn search(&mut self, from: usize, name: &Path, open: &fs::Metadata) -> Option<File> {
        let mut layers = self.known.iter().enumerate().skip(from);
        let (at, file) =
            layers.find_map(|(at, layer)| Some((at, same(&layer.join(name), open)?)))?;
        self.known.get_mut(..=at)?.rotate_right(1);
        Some(file)
    }
}

/// The file of this name, if it is that one. Nobody is asked: it is not opened to be read.
fn same(path: &Path, open: &fs::Metadata) -> Option<File> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_PATH | libc::O_NOFOLLOW);
    let file = options.open(path).ok()?;
    let about = file.metadata().ok()?;
    ((about.dev(), about.ino()) == (open.dev(), open.ino())).then_some(file)
}

/// The directories that the filesystem of a path is made of, as far as they have names.
pub(super) fn layers_of(path: &Path) -> Vec<PathBuf> {
    let Ok(about) = fs::metadata(path) else { return Vec::new() };
    let device = kernel_device(about.dev());
    let lines = mountinfo::lines("/proc/self/mountinfo");
    let is_it = |line: &&Vec<u8>| mountinfo::parse(line).is_some_and(|one| one.dev == device);
    lines.iter().filter(is_it).flat_map(|line| layers(line)).collect()
}

/// The directories of an overlay, by its line in mountinfo.
fn layers(line: &[u8]) -> Vec<PathBuf> {
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [.., b"overlay", _, options] = words.as_slice() else { return Vec::new() };
    let options = mountinfo::unescape(options);
    let mut found = Vec::new();
    for option in split(&options, b',') {
        let at = option.iter().position(|byte| *byte == b'=').unwrap_or(option.len());
        let (name, value) = option.split_at(at);
        let value = value.get(1..).unwrap_or_default();
        let directories = match name {
            b"lowerdir" | b"lowerdir+" | b"datadir+" => split(value, b':'),
            b"upperdir" | b"workdir" => vec![value.to_vec()],
            _ => Vec::new(),
        };
        found.extend(directories.iter().map(|path| plain(path)));
    }
    // Other paths were relative to a directory that nobody knows any more.
    found.retain(|path: &PathBuf| path.is_absolute());
    found
}

/// The parts between separators that no backslash stands before; as they are written.
fn split(text: &[u8], separator: u8) -> Vec<Vec<u8>> {
    let (mut parts, mut part, mut bytes) = (Vec::new(), Vec::new(), text.iter());
    while let Some(byte) = bytes.next() {
        if *byte == separator {
            parts.push(std::mem::take(&mut part));
            continue;
        }
        part.push(*byte);
        if *byte == b'\\' {
            part.extend(bytes.next());
        }
    }
    parts.push(part);
    parts.retain(|part| !part.is_empty());
    parts
}

/// What a backslash stands before, without it.
fn plain(text: &[u8]) -> PathBuf {
    let (mut plain, mut bytes) = (Vec::with_capacity(text.len()), text.iter());
    while let Some(byte) = bytes.next() {
        plain.extend(if *byte == b'\\' { bytes.next() } else { Some(byte) });
    }
    OsString::from_vec(plain).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_read_with_their_escapes() {
        let line = br"50 28 0:44 / /merged rw,relatime - overlay overlay rw,lowerdir=/a\134:b:/c\134,d::/e\040f,upperdir=/u,workdir=/w,index=off";
        let expected = ["/a:b", "/c,d", "/e f", "/u", "/w"].map(PathBuf::from);
        assert_eq!(layers(line), expected);
        assert_eq!(
            layers(b"50 28 0:44 / /merged rw - ext4 overlay rw,lowerdir=/a"),
            [""; 0].map(PathBuf::from)
        );
    }
}
