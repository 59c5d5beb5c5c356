//! Names of users and groups, from `/etc/passwd` and `/etc/group` themselves: a name service could
//! ask the network, which the event thread must never wait for.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::read_limited;

/// Bytes read of one file: room for some ten thousand accounts.
const FILE_MAX: u64 = 2 * 1024 * 1024;
/// Longest name kept; `useradd` allows 32.
const NAME_MAX: usize = 256;

/// One of the two files, read again when it changes.
#[derive(Debug)]
pub(crate) struct Names {
    path: PathBuf,
    stamp: Option<(u64, u64, i64, i64)>,
    by_id: HashMap<u32, String>,
}

impl Names {
    /// Users of this host.
    pub(crate) fn users() -> Names {
        Names::read(Path::new("/etc/passwd"))
    }

    /// Groups of this host.
    pub(crate) fn groups() -> Names {
        Names::read(Path::new("/etc/group"))
    }

    fn read(path: &Path) -> Names {
        let mut names = Names { path: path.to_owned(), stamp: None, by_id: HashMap::new() };
        names.refresh();
        names
    }

    /// The name of that id.
    pub(crate) fn get(&self, id: u32) -> Option<&str> {
        self.by_id.get(&id).map(String::as_str)
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u32, &str)> {
        self.by_id.iter().map(|(id, name)| (*id, name.as_str()))
    }

    /// Reads the file again if it is another one or was written; true when it was read.
    pub(crate) fn refresh(&mut self) -> bool {
        let stamp = std::fs::metadata(&self.path)
            .ok()
            .map(|meta| (meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()));
        if stamp == self.stamp {
            return false;
        }
        self.stamp = stamp;
        match read_limited(&self.path, FILE_MAX) {
            Ok(bytes) => self.by_id = parse(&bytes),
            Err(error) => tracing::warn!(path = %self.path.display(), %error, "no names"),
        }
        true
    }
}

/// Both files have the id in the third field. The first line with an id gives its name.
fn parse(bytes: &[u8]) -> HashMap<u32, String> {
    let mut by_id = HashMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let mut fields = line.split(|byte| *byte == b':');
        let (Some(name), Some(_), Some(id)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let (Ok(name), Ok(id)) = (std::str::from_utf8(name), std::str::from_utf8(id)) else {
            continue;
        };
        let Ok(id) = id.parse() else { continue };
        if !name.is_empty() && name.len() <= NAME_MAX {
            by_id.entry(id).or_insert_with(|| name.to_owned());
        }
    }
    by_id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_of_an_id_counts_and_bad_lines_do_not() {
        let names =
            parse(b"root:x:0:0::/root:/bin/sh\ntoor:x:0:0\n:x:5:\nbad\nx:y:z\n\xff:x:9:\nbin:x:2");
        assert_eq!(names.get(&0).map(String::as_str), Some("root"));
        assert_eq!(names.get(&2).map(String::as_str), Some("bin"), "no newline at the end");
        assert_eq!(names.len(), 2);
    }

    #[test]
    fn a_changed_file_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passwd");
        std::fs::write(&path, "one:x:1:\n").unwrap();
        let mut names = Names::read(&path);
        assert_eq!(names.get(1), Some("one"));
        assert!(!names.refresh());
        std::fs::write(&path, "another:x:1:\n").unwrap();
        assert!(names.refresh());
        assert_eq!(names.get(1), Some("another"));
    }
}
