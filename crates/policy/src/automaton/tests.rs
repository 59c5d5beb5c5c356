//! Automata against an oracle that tries everything.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::labels::{Claim, Labels, Meaning, Threats};
use crate::paths::{Builder, Cursor, Paths};
use crate::pattern::Pattern;
use crate::tests::glob;

/// Names and parts of names from few letters, so that patterns overlap.
fn pattern() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        6 => "[ab.]{1,3}",
        2 => "[ab]{0,1}\\*[ab]{0,2}",
        1 => "\\*[ab]{1,2}\\*",
        1 => "[ab]\\?[ab]{0,1}",
        1 => "\\[[ab]\\][ab]{0,1}",
        1 => "\\[![ab]\\]\\*",
        1 => Just("*".to_owned()),
        1 => Just(r"a\xff".to_owned()),
        1 => Just(r"\*b".to_owned()),
    ];
    let name = name.prop_filter("`..` is no name", |name| name != "..");
    let part = prop_oneof![5 => name, 1 => Just("**".to_owned())];
    let parts = vec(part, 1..5);
    (parts, prop_oneof![3 => Just("/"), 1 => Just("**/"), 1 => Just("//./")])
        .prop_map(|(parts, start)| format!("{start}{}", parts.join("/")))
}

/// Paths as the kernel gives them: without empty names.
fn path() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![6 => Just(b'a'), 6 => Just(b'b'), 2 => Just(b'.'), 1 => Just(0xff),
                           1 => Just(b'*')];
    let name = vec(byte, 1..4);
    vec(name, 0..6)
        .prop_map(|names| names.iter().flat_map(|n| [b"/", n.as_slice()].concat()).collect())
}

fn build(patterns: &[String]) -> (Paths, Labels) {
    let mut builder = Builder::default();
    for (rule, pattern) in patterns.iter().enumerate() {
        builder.add(Pattern::parse(pattern).unwrap(), Claim::Rule(rule.try_into().unwrap()));
    }
    let mut labels = Labels::new();
    let rank = |_| None;
    let (paths, _) = builder.build(&mut labels, &mut Threats::new(&rank)).unwrap();
    (paths, labels)
}

fn found(paths: &Paths, labels: &Labels, path: &[u8]) -> Vec<u32> {
    let mut rules = Vec::new();
    for label in paths.labels(paths.read(Cursor::START, path)) {
        let Meaning::Holds(claims) = &labels.meanings[label as usize] else { panic!("{label}") };
        rules.extend(claims.iter().map(|claim| match claim {
            Claim::Rule(rule) => *rule,
            other => panic!("{other:?}"),
        }));
    }
    rules.sort_unstable();
    rules.dedup();
    rules
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn paths_fit_what_the_oracle_says(
        patterns in vec(pattern(), 1..12),
        paths in vec(path(), 1..30),
        split in 0_usize..12,
    ) {
        let built = build(&patterns);
        for path in &paths {
            let expected: Vec<u32> = (0..).zip(&patterns)
                .filter(|one| glob::fits(one.1, path)).map(|one| one.0).collect();
            prop_assert_eq!(found(&built.0, &built.1, path), expected, "{:?}", path);
            // Read in two pieces, as for a mount.
            let (head, tail) = path.split_at(split.min(path.len()));
            let at = built.0.read(built.0.read(Cursor::START, head), tail);
            prop_assert_eq!(at, built.0.read(Cursor::START, path));
        }
    }

    #[test]
    fn merging_states_changes_nothing(
        patterns in vec((pattern(), 0_u32..3), 1..12),
        paths in vec(path(), 1..30),
    ) {
        let mut trie = Trie::new();
        for (pattern, group) in &patterns {
            trie.add(&Pattern::parse(pattern).unwrap(), *group);
        }
        let graph = determine(&trie, Bounds::default()).unwrap().graph;
        let small = minimize(&graph);
        prop_assert!(small.len() <= graph.len());
        let again = minimize(&small);
        prop_assert_eq!(again.len(), small.len());
        let comb = Automaton::of(&small).unwrap();
        for path in &paths {
            let (mut one, mut other, mut packed) = (START, START, START);
            for byte in path {
                one = graph.step(one, *byte);
                other = small.step(other, *byte);
                packed = comb.step(packed, *byte);
                prop_assert_eq!(packed, other);
                prop_assert_eq!(graph.output[one as usize], small.output[other as usize]);
            }
        }
    }
}

#[test]
fn states_that_accept_alike_are_merged() {
    let mut trie = Trie::new();
    for pattern in ["/one/config", "/two/config", "/three/config"] {
        trie.add(&Pattern::parse(pattern).unwrap(), 7);
    }
    let graph = determine(&trie, Bounds::default()).unwrap().graph;
    let small = minimize(&graph);
    // dead, start, `/`, o, on, t, th, thr, tw = to the `e` of three (two): the tail is shared.
    assert_eq!(graph.len(), 1 + trie.len());
    assert!(small.len() < graph.len() - 12, "{} of {}", small.len(), graph.len());
}

#[test]
fn too_many_states_are_an_error() {
    // `*a???` remembers where in the last bytes an `a` stood: two to the power of their number.
    let mut trie = Trie::new();
    trie.add(&Pattern::parse(&format!("/*a{}", "?".repeat(26))).unwrap(), 1);
    let bounds = Bounds::default();
    for (bounds, what) in [
        (Bounds { states: 5_000, ..bounds }, "states"),
        (Bounds { positions: 5_000, ..bounds }, "remembered positions"),
        (Bounds { edges: 5_000, ..bounds }, "transitions"),
    ] {
        let error = determine(&trie, bounds).unwrap_err();
        assert_eq!(error.code(), "T003");
        assert!(error.to_string().contains(&format!("more than 5000 {what}")), "{error}");
    }
}
