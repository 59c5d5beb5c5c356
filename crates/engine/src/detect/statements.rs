//! What the language reference says of queries about several events, statement by statement, as
//! text: the query, the events, and the members that must come out.

use lang::Dialect;

use super::sample::S;
use super::text::{events, program};
use super::*;

fn found(rules: &[(Dialect, &str)], text: &str) -> Vec<Found> {
    let mut detector = Detector::new(program(rules), Limits::default());
    let mut found = Vec::new();
    for event in events(text) {
        detector.push(&event, &mut found);
    }
    detector.finish(&mut found);
    found
}

fn members(rules: &[(Dialect, &str)], text: &str) -> Vec<Vec<u64>> {
    found(rules, text).into_iter().map(|found| found.members.to_vec()).collect()
}

/// A query, events, and the numbers of the members: matches are divided by `|`.
type Case = (&'static str, &'static str, &'static str);

#[track_caller]
fn table(dialect: Dialect, cases: &[Case]) {
    for (query, text, expected) in cases {
        let matches = members(&[(dialect, query)], text);
        let words = |one: &Vec<u64>| one.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
        let given = matches.iter().map(words).collect::<Vec<_>>().join(" | ");
        assert_eq!(given, *expected, "{query} over {text}");
    }
}

fn elastic(cases: &[Case]) {
    table(Dialect::Elastic, cases);
}

fn endpoint(cases: &[Case]) {
    table(Dialect::Endpoint, cases);
}

fn classic(cases: &[Case]) {
    table(Dialect::Classic, cases);
}

#[test]
fn s12_the_classic_dialect_has_three_values_also_in_sequences() {
    let query = "sequence [a] [any where process.parent.pid != 7]";
    let negated = "sequence [a] [any where not process.parent.pid == 7]";
    let either = "sequence [a] [any where process.parent.pid == 7 or event.action == \"b\"]";
    for query in [query, negated] {
        elastic(&[(query, "a b", "1 2"), (query, "a b<7", ""), (query, "a b<8", "1 2")]);
        classic(&[(query, "a b", ""), (query, "a b<7", ""), (query, "a b<8", "1 2")]);
    }
    classic(&[(either, "a b", "1 2"), (either, "a c", "")]);
    let until = "sequence [a] [b] until [any where process.parent.pid != 7]";
    classic(&[(until, "a c b", "1 3"), (until, "a c<8 b", "")]);
    elastic(&[(until, "a<7 c b", ""), (until, "a<7 c<7 b", "1 3")]);
}

#[test]
fn s18_a_newer_partial_replaces_the_older_of_its_key_and_stage() {
    elastic(&[
        ("sequence [a] [b]", "a a b", "2 3"),
        ("sequence by process.pid [a] [b]", "a a b", "2 3"),
        ("sequence by process.pid [a] [b]", "a1 a2 b1 b2", "1 3 | 2 4"),
        ("sequence [a] [b] [c]", "a b a b c", "3 4 5"),
        ("sequence [a] [b] [c]", "a b a c", "1 2 4"),
    ]);
}

#[test]
fn s19_an_event_is_offered_to_the_last_step_first() {
    elastic(&[
        ("sequence [*] [*]", "a a a", "1 2 | 2 3"),
        ("sequence [*] [*] [b]", "a a b b", "1 2 3 | 2 3 4"),
        ("sequence [a] [b]", "a@1 b@1", "1 2"),
        ("sequence [a] [b]", "b@1 a@1", ""),
    ]);
}

#[test]
fn s20_a_step_takes_the_partial_whatever_becomes_of_it() {
    elastic(&[
        ("sequence with maxspan=3s [a] [b] [c]", "a@0 b@1 c@9 c@3", ""),
        ("sequence with maxspan=9s [a] [b] [c]", "a@0 b@1 c@9 c@9", "1 2 3"),
        ("sequence [a] [b] until [u]", "a b b", "1 2"),
        ("sequence [a] [b]", "b a", ""),
    ]);
}

#[test]
fn s21_the_span_is_inclusive_and_counted_from_the_first_member_at_every_step() {
    elastic(&[
        ("sequence with maxspan=5s [a] [b]", "a@0 b@5", "1 2"),
        ("sequence with maxspan=5s [a] [b]", "a@0 b@5.000000001", ""),
        ("sequence with maxspan=5s [a] [b]", "a@0 b@6", ""),
        ("sequence with maxspan=5s [a] [b] [c]", "a@0 b@4 c@6", ""),
        ("sequence with maxspan=500ms [a] [b]", "a@0 b@0.5", "1 2"),
        ("sequence with maxspan=1m [a] [b]", "a@0 b@60", "1 2"),
        ("sequence with maxspan=1h [a] [b]", "a@0 b@3601", ""),
        ("sequence with maxspan=1d [a] [b]", "a@0 b@86400", "1 2"),
        ("sequence [a] [b]", "a@0 c@100000000 b@200000000", "1 3"),
    ]);
}

#[test]
fn s22_until_ends_what_is_pending_for_its_key() {
    let own = "sequence [a] by process.pid [b] by process.pid until [u] by process.parent.pid";
    elastic(&[
        ("sequence [a] [b] until [u]", "a u b", ""),
        ("sequence [a] [b] until [u]", "a b", "1 2"),
        ("sequence [a] [b] until [u]", "u a b", "2 3"),
        ("sequence [a] [b] until [u]", "u a b u", "2 3"),
        ("sequence [a] [b] until [b]", "a b", "1 2"),
        ("sequence [a] [b] [c] until [b]", "a b c", ""),
        ("sequence [a] [b] until [a]", "a b", ""),
        ("sequence by process.pid [a] [b] until [u]", "a1 a2 u1 b1 b2", "2 5"),
        (own, "a1 u2<1 b1", ""),
        (own, "a1 u1<2 b1", "1 3"),
    ]);
}

#[test]
fn s23_runs_are_copies_and_a_single_step_gives_groups() {
    elastic(&[
        ("sequence [a] with runs=2", "a a a a a", "1 2 | 3 4"),
        ("sequence [a] [a]", "a a a", "1 2 | 2 3"),
        ("sequence [a] [a] [a]", "a a a a a", "1 2 3 | 2 3 4 | 3 4 5"),
        ("sequence by process.pid [a] with runs=2", "a1 a2 a1 a2 a1", "1 3 | 2 4"),
        ("sequence with maxspan=2s [a] with runs=3", "a@0 a@9 a@10 a@11 a@11", "2 3 4"),
        ("sequence [a] with runs=3 until [u]", "a a u a a a", "4 5 6"),
        ("sequence [a] with runs=2 [b]", "a b a b a b", "1 3 4 | 3 5 6"),
        ("sequence [a] with runs=2 [b]", "a a a b", "2 3 4"),
        ("sequence [a] [b] with runs=2", "a b b b", "1 2 3"),
        ("sequence [a] with runs=2 [b] with runs=2", "a a b b", "1 2 3 4"),
        ("sequence with maxspan=9s [a] with runs=2 ![x]", "a a a x@30", "1 2"),
        ("sequence with maxspan=9s [a] ![x] with runs=2 [b]", "a b", "1 2"),
        ("sequence with maxspan=9s [a] ![x] with runs=2 [b]", "a x b", ""),
    ]);
}

#[test]
fn s25_keys_are_compared_by_value_and_absent_ones_leave_out() {
    let both = "sequence by process.pid [a] by event.category [b] by event.category";
    elastic(&[
        (both, "a1 b1", "1 2"),
        (both, "a1 b2", ""),
        ("sequence [a] by process.pid [b] by process.parent.pid", "a5 b9<5", "1 2"),
        ("sequence [a] by process.pid [b] by process.parent.pid", "a5 b5<9", ""),
        ("sequence by process.pid [a] [b]", "a- b-", ""),
        ("sequence by process.pid [a] [b]", "a1 b2", ""),
        ("sequence by ?process.pid [a] [b]", "a- b-", "1 2"),
        ("sequence by ?process.pid [a] [b]", "a- b1", ""),
        ("sequence by process.pid [a] [b] until [u]", "a1 u- b1", "1 3"),
    ]);
}

#[test]
fn s26_each_distinct_value_of_a_key_is_a_machine_of_its_own() {
    let product = "sequence by process.pid, process.pid [a] [b]";
    elastic(&[
        ("sequence by process.pid [a] [b]", "a1,2 b2 b1", "1 2 | 1 3"),
        ("sequence by process.pid [a] [b]", "a1,2,1 b2 b1", "1 2 | 1 3"),
        ("sequence by process.pid [a] [b]", "a1,1 b1", "1 2"),
        ("sequence by process.pid [a] [b]", "a1,2 b1,2", "1 2 | 1 2"),
        ("sequence by process.pid [a] [b] until [u]", "a1,2 u2,3 b2 b1", "1 4"),
        (product, "a1,2 b1", "1 2"),
    ]);
}

#[test]
fn s27_pipes_count_in_the_order_of_first_members() {
    let query = "sequence by process.pid [a] [b]";
    let text = "a1 a2 a3 b3 b2 b1";
    elastic(&[(query, text, "3 4 | 2 5 | 1 6")]);
    elastic(&[
        ("sequence by process.pid [a] [b] | head 2", text, "1 6 | 2 5"),
        ("sequence by process.pid [a] [b] | tail 2", text, "2 5 | 3 4"),
        ("sequence by process.pid [a] [b] | head 2 | tail 1", text, "2 5"),
        ("any where event.action == \"b\" | head 1", text, "4"),
    ]);
}

#[test]
fn s27_classic_pipes() {
    classic(&[
        ("any where true | unique process.pid", "a1 b1 c2 a2", "1 | 3"),
        ("any where true | sort process.pid", "a3 b1 c- a2", "3 | 2 | 4 | 1"),
        ("any where true | unique_count process.pid | filter count > 1", "a1 b2 c1", "1"),
        ("any where true | filter event.action == \"b\" | tail 1", "b a b a", "3"),
        ("sequence [a] [b] | unique events[0].process.pid", "a1 b1 a1 b2 a2 b2", "1 2 | 5 6"),
        ("sequence [a] [b] | filter events[1].process.pid == 2", "a1 b1 a1 b2", "3 4"),
    ]);
    let counts = found(&[(Dialect::Classic, "any where true | count event.action")], "a b a c a b");
    let counts: Vec<_> = counts.iter().filter_map(|found| found.counted.as_ref()).collect();
    let values: Vec<u64> = counts.iter().map(|counted| counted.count).collect();
    assert_eq!(values, [1, 2, 3], "rare first");
    assert!((counts[2].percent - 0.5).abs() < f64::EPSILON);
}

#[test]
fn s28_missing_between_two_members() {
    let query = "sequence with maxspan=9s [a] ![x] [b]";
    let keyed = "sequence by process.pid with maxspan=9s [a] ![x] [b]";
    elastic(&[
        (query, "a b", "1 2"),
        (query, "a x b", ""),
        (query, "x a b", "2 3"),
        (query, "a b x", "1 2"),
        (query, "x a b x", "2 3"),
        (query, "a@1 x@1 b@2", "1 3"),
        (query, "a@1 x@2 b@2", "1 3"),
        (keyed, "a1 x2 b1", "1 3"),
        (keyed, "a1 x1 b1", ""),
        (query, "a x b b", ""),
        ("sequence with maxspan=9s [a] ![x] ![y] [b]", "a y b", ""),
        ("sequence with maxspan=9s [a] ![x] [b] ![y] [c]", "a y b x c", "1 3 5"),
    ]);
}

#[test]
fn s28_missing_before_is_counted_from_the_last_member() {
    let query = "sequence with maxspan=5s ![x] [a] [b]";
    elastic(&[
        (query, "a b", "1 2"),
        (query, "x@0 a@1 b@2", ""),
        (query, "x@0 a@4 b@5", ""),
        (query, "x@0 a@5 b@6", "2 3"),
        (query, "x@0 a@4 b@5.1", "2 3"),
        (query, "a@0 x@1 b@2", "1 3"),
        ("sequence with maxspan=5s ![x] [a]", "x@0 a@5", ""),
        ("sequence with maxspan=5s ![x] [a]", "x@0 a@6", "2"),
        ("sequence by process.pid with maxspan=5s ![x] [a] [b]", "x2 a1 b1", "2 3"),
    ]);
}

#[test]
fn s28_missing_after_is_counted_from_the_first_member_and_decided_by_time() {
    let query = "sequence with maxspan=5s [a] [b] ![x]";
    elastic(&[
        (query, "a@0 b@4 x@5", ""),
        (query, "a@0 b@4 x@5.1", "1 2"),
        (query, "a@0 b@1 x@6", "1 2"),
        (query, "a@0 b@4", "1 2"),
        ("sequence by process.pid with maxspan=5s [a] ![x]", "a1 a2 x2", "1"),
        ("sequence by process.pid with maxspan=5s [a] ![x]", "a1,2 x2", "1"),
    ]);
    let mut detector = Detector::new(program(&[(Dialect::Elastic, query)]), Limits::default());
    let mut found = Vec::new();
    for event in events("a@0 b@4") {
        detector.push(&event, &mut found);
    }
    detector.tick(5 * S, &mut found);
    assert!(found.is_empty(), "it may still come");
    detector.tick(5 * S + 1, &mut found);
    assert_eq!(found.len(), 1, "no event had to come");
}

#[test]
fn s28_missing_on_both_sides_needs_one_of_them_to_be_far() {
    let query = "sequence with maxspan=5s ![x] [a] [b] ![x]";
    elastic(&[
        (query, "a@9 b@10", "1 2"),
        (query, "x@8 a@9 b@10", "2 3"),
        (query, "a@9 b@10 x@11", "1 2"),
        (query, "x@8 a@9 b@10 x@14", "2 3"),
        (query, "x@8 a@9 b@10 x@13", ""),
        (query, "x@8 a@9 b@10 x@13.5", "2 3"),
    ]);
}

#[test]
fn s29_a_sample_takes_one_event_for_each_filter_and_key_in_any_order() {
    elastic(&[
        ("sample by process.pid [a] [b]", "b1 a2 a1 b2", "3 1 | 2 4"),
        ("sample by process.pid [a] [b]", "a1 b1 a1 b1", "1 2"),
        ("sample by process.pid [a] [b]", "b1 a1 a1 b1", "2 1"),
        ("sample by process.pid [a] [b]", "a1 b2", ""),
        ("sample by process.pid [*] [*]", "a1", ""),
        ("sample by process.pid [*] [a]", "a1 b1", "2 1"),
        ("sample [a] by process.pid [b] by process.parent.pid", "a1 b2<1", "1 2"),
    ]);
}

#[test]
fn s30_later_steps_ask_for_earlier_members() {
    let query = "sequence [a] as e0 [any where process.parent.pid == e0.process.pid]";
    let not = "sequence [a] as e0 [any where not process.parent.pid == e0.process.pid]";
    endpoint(&[
        (query, "a5 b1<4 b1<5", "1 3"),
        (query, "a5 a6 b1<5", ""),
        (not, "a5 b1<5 b1<4", "1 3"),
    ]);
}

#[test]
fn s28_s30_missing_steps_ask_for_the_members_before_them() {
    let x = "![any where event.action == \"x\" and process.parent.pid == e0.process.pid]";
    let between = &*format!("sequence with maxspan=9s [a] as e0 {x} [b]").leak();
    let other = &*between.replace("== e0", "!= e0").leak();
    let after = &*format!("sequence with maxspan=9s [a] as e0 [b] {x}").leak();
    let far = &*format!("sequence with maxspan=9s [a] as e0 [b] {x} [c]").leak();
    let second = &*far.replace("[a] as e0 [b]", "[a] [b] as e0").leak();
    let keyed = &*between.replace("sequence", "sequence by ?event.kind").leak();
    endpoint(&[
        (between, "a5 x1<5 b", ""),
        (between, "a5 x1<4 b", "1 3"),
        (between, "a5@1 x1<5@1 b@2", "1 3"),
        (between, "a5@1 x1<5@2 b@2", "1 3"),
        (between, "a5@1 x1<5@2 x1<5@3 b@3", ""),
        (between, "a5 x1<5 a5 b", "3 4"),
        (between, "x1<5 a5 b x1<5", "2 3"),
        (other, "a5 x1<5 b", "1 3"),
        (other, "a5 x1<4 b", ""),
        (keyed, "a5 x1<5 b", ""),
        (keyed, "a5 x1<4 b", "1 3"),
        (after, "a5 b x1<5", ""),
        (after, "a5 b x1<4", "1 2"),
        (after, "a5@1 b@2 x1<5@10", ""),
        (after, "a5@1 b@2 x1<5@11", "1 2"),
        (after, "a5 b a6 b x1<6", "1 2"),
        (far, "a5 x1<5 b c", "1 3 4"),
        (far, "a5 b6 x1<5 c", ""),
        (far, "a5 b6 x1<6 c", "1 2 4"),
        (second, "a5 b6 x1<6 c", ""),
        (second, "a5 b6 x1<5 c", "1 2 4"),
    ]);
}

#[test]
fn s22_s30_until_asks_for_the_members_before_it() {
    let query = "sequence [a] as e0 [b] \
                 until [any where event.action == \"u\" and process.parent.pid == e0.process.pid]";
    endpoint(&[
        (query, "a5 u1<5 b", ""),
        (query, "a5 u1<4 b", "1 3"),
        (query, "a5 u1<5 a6 u1<5 b", "3 5"),
    ]);
}

#[test]
fn s30_lineage_asks_for_what_relatives_did() {
    let child = "any where event.action == \"c\" and child of [a]";
    let descendant = "any where event.action == \"c\" and descendant of [a]";
    let own = "any where event.action == \"c\" and event of [a]";
    let nested = "any where event.action == \"c\" and child of [any where child of [a]]";
    classic(&[
        (child, "a1 c2<1 c3<2", "2"),
        (child, "c2<1 a1", ""),
        (descendant, "a1 b2<1 b3<2 c4<3 c5<9", "4"),
        (descendant, "b2<1 a1 c2", "3"),
        (own, "a1 c1 c2", "2"),
        (nested, "a1 b2<1 c3<2 c3<1", "3"),
        ("any where event.action == \"c\" and not child of [a]", "a1 c2<1 c3<2", "3"),
        (child, "a1 c1<1", ""),
    ]);
    endpoint(&[(descendant, "a1 b2<1 c3<2 c4", "3")]);
}

#[test]
fn s30_pipes_ask_for_the_lineage_of_the_first_member_as_it_was_when_that_came() {
    let pipes = "join by process.pid [c] [b] | filter descendant of [a]";
    let unique = "any where event.action == \"c\" | unique child of [a], event.action";
    classic(&[
        (pipes, "a1 c2<1 b2 c3 b3", "2 3"),
        (pipes, "c2<1 a1 b2", ""),
        (unique, "a1 c2<1 c3 c4<1 c5", "2 | 3"),
    ]);
}

#[test]
fn s12_s30_a_lineage_query_has_the_logic_of_its_own_rule() {
    let text = "any where event.action == \"c\" and child of [any where process.parent.pid != 7]";
    let (one, two) = ((Dialect::Endpoint, text), (Dialect::Classic, text));
    // The parent's own event lacks the field: unknown in one logic, true in the other.
    for rules in [[one, two], [two, one]] {
        let found = found(&rules, "b1 c2<1");
        let told: Vec<_> = found.iter().map(|found| rules[found.rule as usize].0).collect();
        assert_eq!(told, [Dialect::Endpoint]);
    }
}

#[test]
fn classic_joins_take_the_first_of_each_filter_and_begin_anew() {
    classic(&[
        ("join by process.pid [a] [b]", "b1 a1 a1 b1", "2 1 | 3 4"),
        ("join by process.pid [a] [b]", "a1 a1 b2 b1", "1 4"),
        ("join by process.pid [a] [b] until [u]", "a1 u1 b1 a1", "4 3"),
        ("join by process.pid [a] [b] until [u]", "a1 u2 b1", "1 3"),
    ]);
}

#[test]
fn classic_forks_stay_for_further_matches() {
    classic(&[
        ("sequence [a] [b] fork=true", "a b b", "1 2 | 1 3"),
        ("sequence [a] [b]", "a b b", "1 2"),
    ]);
}
