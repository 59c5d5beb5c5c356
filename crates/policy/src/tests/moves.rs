//! Directories above what is denied stay where they are; others may go.

use model::policy::{Errno, Mode, Object, Operation, Verdict};
use proptest::collection::vec;
use proptest::prelude::*;

use super::agree::options;
use super::glob;
use super::table::{path, policy, rule};
use crate::subjects::Process;
use crate::{Bits, compile};

/// All paths of a small tree: names `a`, `b`, `ab`, up to four deep.
fn tree() -> Vec<String> {
    let mut all = vec![String::new()];
    let mut last = all.clone();
    for _ in 0..4 {
        let below =
            last.iter().flat_map(|dir| ["a", "b", "ab"].map(|name| format!("{dir}/{name}")));
        last = below.collect();
        all.extend(last.iter().cloned());
    }
    all
}

/// Patterns that fit something in the tree whenever they fit something below one of its upper
/// directories: what is below is then seen by trying all of it.
fn pattern() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just("a"),
        Just("b"),
        Just("ab"),
        Just("*"),
        Just("a*"),
        Just("?"),
        Just("*b"),
        Just("[ab]"),
    ];
    let tail = prop_oneof![3 => Just(""), 1 => Just("/**")];
    (vec(name, 1..4), tail).prop_map(|(names, tail)| format!("/{}{tail}", names.join("/")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_directory_stays_exactly_if_something_below_is_denied(patterns in vec(pattern(), 1..6)) {
        let deny = Verdict::Deny(Errno::Perm);
        let objects: Vec<Object> = patterns.iter().map(|pattern| path(pattern)).collect();
        // Execution implies nothing, so that only what is below counts.
        let rules = vec![rule("r", &[Operation::Execute], &objects, deny)];
        let tables = compile(&[policy(rules)], &options(Mode::Enforce)).unwrap().tables;
        let subject = Process { fits: Bits::one(0), ..Process::default() };
        let tree = tree();
        for directory in tree.iter().filter(|path| path.matches('/').count() < 4) {
            let inside = format!("{directory}/");
            let below = tree.iter().filter(|path| path.starts_with(&inside));
            let denied = below.into_iter().any(|path| {
                patterns.iter().any(|pattern| glob::fits(pattern, path.as_bytes()))
            });
            let labels = tables.label_moved(tables.start(directory.as_bytes()));
            let verdict = tables.decide(&subject, Operation::Rename, &labels).verdict;
            prop_assert_eq!(verdict == deny, denied, "{}", directory);
        }
    }
}
