//! Files by their path inside of a filesystem: where each mount of it shows them.

use crate::paths::Cursor;
use crate::tables::{Labels, Tables};

/// A mount of a filesystem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Which directory of the filesystem it shows, empty for its root.
    pub root: Vec<u8>,
    /// Where reading begins for what is below that directory.
    pub start: Cursor,
}

impl Tables {
    /// A mount of the directory `root` of a filesystem at the path `point`.
    pub fn mount(&self, point: &[u8], root: &[u8]) -> Mount {
        let root = root.strip_suffix(b"/").unwrap_or(root);
        Mount { root: root.to_vec(), start: self.start(point) }
    }

    /// The labels of a file by its path inside of a filesystem, under all names that the mounts of
    /// that filesystem give it; which of them a process uses says nothing about the file. A file
    /// that no mount shows is not resolved.
    pub fn label_inside(&self, mounts: &[Mount], path: &[u8]) -> Labels {
        let (mut all, mut shown) = (Labels::default(), false);
        for mount in mounts {
            let Some(rest) = path.strip_prefix(mount.root.as_slice()) else { continue };
            if !rest.is_empty() && !rest.starts_with(b"/") {
                continue;
            }
            shown = true;
            let labels = self.label_at(self.paths.read(mount.start, rest));
            all = all.with(&labels, &self.verdicts);
        }
        if shown { all } else { Labels::UNRESOLVED }
    }
}
