//! Which directories and files of a host must be watched, where the kernel asks about single ones
//! only: those that a label is about, and no others.

use std::collections::{HashMap, HashSet};

use model::policy::Operation;

use crate::automaton::DEAD;
use crate::tables::{Labels, Tables};
use crate::verdicts::OPERATIONS;

/// A name that no pattern spells out.
const ANY: u8 = 1;
/// Names under which only a pattern for any depth can reach further.
const FAR: usize = 32;

/// What is watched of one generation's files. Answers about states are remembered, since many
/// directories share one.
#[derive(Debug, Clone)]
pub struct Marking {
    /// For each label whether it matters; the first is that of a file of which nothing is known.
    wanted: Vec<bool>,
    /// Whether somebody may do only what rules allow.
    limited: bool,
    everywhere: bool,
    below: HashMap<u32, bool>,
    children: HashMap<u32, bool>,
}

impl Marking {
    /// For these operations: what is denied or reported of them, in any layer.
    pub fn new(tables: &Tables, operations: &[Operation]) -> Marking {
        let mut wanted = vec![false; tables.verdicts.flags.len()];
        let matters = |row: &u32| {
            let row = tables.verdicts.rows.get(*row as usize);
            row.is_some_and(|row| !row.deny.is_empty() || !row.audit.is_empty())
        };
        let mut limited = false;
        for layer in &tables.verdicts.layers {
            let of = |rows: &[u32; OPERATIONS]| {
                operations.iter().filter_map(|one| rows.get(*one as usize)).any(matters)
            };
            limited |= of(&layer.defaults);
            for (wanted, rows) in wanted.iter_mut().zip(&layer.rows) {
                *wanted |= of(rows);
            }
        }
        // What holds for every file, and for every one that no rule allows.
        let everywhere = limited || wanted.first() == Some(&true);
        let (below, children) = (HashMap::new(), HashMap::new());
        let mut marking = Marking { wanted, limited, everywhere, below, children };
        let loose = tables.paths.loose_states.iter().map(|state| &state.label);
        let mut floating = loose.chain(&tables.paths.hit_labels);
        marking.everywhere |= floating.any(|label| marking.wants(*label))
            || marking.below(tables, &[b'/', ANY].repeat(FAR));
        marking
    }

    fn wants(&self, label: u32) -> bool {
        label != 0 && self.wanted.get(label as usize).copied().unwrap_or(true)
    }

    /// Whether it can matter who asks for a file with these labels.
    pub fn decides(&self, labels: &Labels) -> bool {
        self.limited
            || labels.unresolved
            || self.wanted.first() == Some(&true)
            || labels.as_slice().iter().any(|label| self.wants(*label))
    }

    /// Whether any file matters.
    pub fn any(&self) -> bool {
        self.limited || self.wanted.contains(&true)
    }

    /// Whether files in any directory matter, so that single ones need not be looked for.
    pub fn everywhere(&self) -> bool {
        self.everywhere
    }

    /// Whether a file with this path matters.
    pub fn concerns(&self, tables: &Tables, path: &[u8]) -> bool {
        tables.label_path(path).as_slice().iter().any(|label| self.wants(*label))
    }

    /// Whether something that patterns from the root name can come below this directory.
    pub fn below(&mut self, tables: &Tables, directory: &[u8]) -> bool {
        let inside = tables.paths.anchored.step(tables.start(directory).anchored, b'/');
        if let Some(known) = self.below.get(&inside) {
            return *known;
        }
        let found = self.search(tables, inside, true, &|_| true);
        self.below.insert(inside, found);
        found
    }

    /// Whether a name right in this directory can be that of a file that matters, there or not. The
    /// name of a directory that is meant with all below it (`/x/**`) is none: what counts is in it.
    pub fn children(&mut self, tables: &Tables, directory: &[u8]) -> bool {
        let at = tables.start(directory).anchored;
        if let Some(known) = self.children.get(&at) {
            return *known;
        }
        let whole = self.accepts(tables, at);
        let inside = tables.paths.anchored.step(at, b'/');
        let found =
            self.search(tables, inside, false, &|state| whole || !self.is_tree(tables, state));
        self.children.insert(at, found);
        found
    }

    /// Whether all below a directory in this state matters.
    fn is_tree(&self, tables: &Tables, state: u32) -> bool {
        let anchored = &tables.paths.anchored;
        self.accepts(tables, anchored.step(anchored.step(state, b'/'), ANY))
    }

    fn accepts(&self, tables: &Tables, state: u32) -> bool {
        let states = &tables.paths.anchored_states;
        states.get(state as usize).is_some_and(|state| self.wants(state.label))
    }

    /// Whether a state behind this one accepts and counts; names beyond the next slash are looked at
    /// only if asked for.
    fn search(
        &self,
        tables: &Tables,
        inside: u32,
        deep: bool,
        counts: &dyn Fn(u32) -> bool,
    ) -> bool {
        let (mut seen, mut open) = (HashSet::from([DEAD]), vec![inside]);
        while let Some(state) = open.pop() {
            for byte in 1..=u8::MAX {
                if byte == b'/' && !deep {
                    continue;
                }
                let next = tables.paths.anchored.step(state, byte);
                if !seen.insert(next) {
                    continue;
                }
                if self.accepts(tables, next) && counts(next) {
                    return true;
                }
                open.push(next);
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use model::policy::{Errno, Mode, Object, Operation, Verdict};

    use super::*;
    use crate::compile;
    use crate::tests::agree::options;
    use crate::tests::table::{path, policy, rule};

    const READ: &[Operation] = &[Operation::Read];

    fn marking(patterns: &[&str], verdict: Verdict) -> (Tables, Marking) {
        let objects: Vec<_> = match patterns {
            [] => vec![Object::Any],
            some => some.iter().map(|one| path(one)).collect(),
        };
        let rules = vec![
            rule("r", READ, &objects, verdict),
            // About an operation that is not asked about.
            rule("d", &[Operation::Delete], &[path("/other/f")], Verdict::Deny(Errno::Perm)),
        ];
        let tables = compile(&[policy(rules)], &options(Mode::Enforce)).unwrap().tables;
        let marking = Marking::new(&tables, READ);
        (tables, marking)
    }

    #[test]
    fn a_directory_counts_only_for_files_right_in_it() {
        for (pattern, directory, below, children) in [
            ("/tmp/kept/**", "/", true, false),
            ("/tmp/kept/**", "/tmp", true, false),
            ("/tmp/kept/**", "/tmp/kept", true, true),
            ("/tmp/kept/**", "/tmp/kept/deep", true, true),
            ("/tmp/kept/**", "/tmp/other", false, false),
            ("/etc/shadow", "/", true, false),
            ("/etc/shadow", "/etc", true, true),
            ("/etc/shadow", "/etc/shadow", false, false),
            ("/home/*/.ssh/**", "/home", true, false),
            ("/home/*/.ssh/**", "/home/u", true, false),
            ("/home/*/.ssh/**", "/home/u/.ssh", true, true),
            ("/srv/x*", "/srv", true, true),
            ("/srv/x*", "/srv/xy", false, false),
            ("/srv/**/key", "/srv", true, true),
            ("/srv/**/key", "/srv/a", true, true),
            ("/srv/*/*/key", "/srv/a", true, false),
            ("/srv/f", "/sr", false, false),
        ] {
            for verdict in [Verdict::Deny(Errno::Perm), Verdict::Audit] {
                let (tables, mut marking) = marking(&[pattern], verdict);
                let found = (
                    marking.below(&tables, directory.as_bytes()),
                    marking.children(&tables, directory.as_bytes()),
                );
                assert_eq!(found, (below, children), "{pattern} in {directory}");
                assert!(!marking.everywhere(), "{pattern}");
                assert!(!marking.concerns(&tables, b"/other/f"), "another operation");
            }
        }
    }

    #[test]
    fn what_may_be_anywhere_is_told() {
        let deny = Verdict::Deny(Errno::Perm);
        for everywhere in ["**/*.pem", "*secret*", "**/a*b", "/**", "**/.ssh/**", "/**/k"] {
            assert!(marking(&[everywhere], deny).1.everywhere(), "{everywhere}");
        }
        let (_, all) = marking(&[], deny);
        assert!(all.everywhere(), "a rule about every file");
        assert!(all.decides(&Labels::default()));
        let (tables, some) = marking(&["/*/*/*/f"], deny);
        assert!(!some.everywhere());
        assert!(!some.decides(&tables.label_path(b"/a/f")), "no question of who");
        assert!(some.decides(&tables.label_path(b"/a/b/c/f")));
        assert!(some.decides(&Labels::UNRESOLVED));
    }
}
