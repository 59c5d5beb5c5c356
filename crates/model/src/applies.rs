//! Which operations can fill a field: what the reference of fields shows.
//!
//! That a field applies says that some source of the operation can tell it, not that each can; what
//! is lost with the source that this kernel offers is told by `doctor`.

use crate::field::{self, FieldId};
use crate::op::{Kind, KindSet};

/// All events.
const ALL: &[Kind] = &[];
const FILES: &[Kind] = &[
    Kind::Open,
    Kind::Create,
    Kind::Write,
    Kind::Rename,
    Kind::Unlink,
    Kind::Link,
    Kind::Attr,
    Kind::Mount,
    Kind::Umount,
];
const RENAMES: &[Kind] = &[Kind::Rename, Kind::Link, Kind::Mount];
const NETWORK: &[Kind] =
    &[Kind::Connect, Kind::Accept, Kind::Bind, Kind::Listen, Kind::Send, Kind::Close, Kind::Dns];
const TARGETS: &[Kind] = &[Kind::Ptrace, Kind::Signal];

/// The first prefix that fits tells.
const PREFIXES: &[(&str, &[Kind])] = &[
    ("process.exit_code", &[Kind::Exit]),
    ("process.Ext.namespace.changed", &[Kind::Namespace]),
    ("process.Ext.ptrace.", &[Kind::Ptrace]),
    ("process.Ext.signal.", &[Kind::Signal]),
    ("process.Ext.target.", TARGETS),
    ("process.Ext.load_module.", &[Kind::Module]),
    ("process.Ext.bpf.", &[Kind::Bpf]),
    ("user.changes.", &[Kind::Setuid]),
    ("file.Ext.original.", RENAMES),
    ("file.Ext.changed", &[Kind::Attr]),
    ("file.Ext.open.", &[Kind::Open]),
    ("file.Ext.filesystem", &[Kind::Mount, Kind::Umount]),
    ("file.", FILES),
    ("dns.", &[Kind::Dns]),
    ("network.direction", &[Kind::Connect, Kind::Accept, Kind::Send, Kind::Dns]),
    ("source.", NETWORK),
    ("destination.", NETWORK),
    ("network.", NETWORK),
];

/// The operations whose events can have the field.
pub fn kinds(id: FieldId) -> KindSet {
    let name = field::field(id).map_or("", |field| field.name);
    let found = PREFIXES.iter().find(|(prefix, _)| name.starts_with(prefix));
    let kinds = found.map_or(ALL, |(_, kinds)| kinds);
    if kinds.is_empty() { events() } else { kinds.iter().copied().collect() }
}

/// All operations that are events.
pub fn events() -> KindSet {
    Kind::ALL.iter().copied().filter(|kind| *kind != Kind::Task).collect()
}

/// The same in words: `all`, a group, or names.
pub fn words(id: FieldId) -> String {
    let set = kinds(id);
    let groups = [("all", events()), ("files", group(FILES)), ("network", group(NETWORK))];
    if let Some((name, _)) = groups.iter().find(|(_, group)| *group == set) {
        return (*name).to_owned();
    }
    set.iter().map(Kind::name).collect::<Vec<_>>().join(", ")
}

fn group(kinds: &[Kind]) -> KindSet {
    kinds.iter().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::FIELDS;

    #[test]
    fn each_prefix_is_of_a_field_that_no_earlier_one_takes() {
        for (at, (prefix, kinds)) in PREFIXES.iter().enumerate() {
            let taken = |name: &str| PREFIXES[..at].iter().any(|(p, _)| name.starts_with(p));
            let is_used = FIELDS.iter().any(|f| f.name.starts_with(prefix) && !taken(f.name));
            assert!(is_used, "{prefix} is of no field");
            assert!(!kinds.is_empty(), "{prefix} would mean all");
        }
    }

    #[test]
    fn words_are_groups_or_names() {
        assert_eq!(words(field::PROCESS_PID), "all");
        assert_eq!(words(field::FILE_PATH), "files");
        assert_eq!(words(field::FILE_EXT_CHANGED), "attributes");
        assert_eq!(words(field::PROCESS_EXT_TARGET_PID), "ptrace, signal");
    }
}
