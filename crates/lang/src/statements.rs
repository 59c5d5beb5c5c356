//! What the language reference says, statement by statement, as far as the compiler decides it.

use model::field;
use model::program::{
    Expr, Function, Literal, Logic, Order, Pipe, Query, Relation, Scalar, Sequence, Test,
};

use crate::{CaseMode, Code, CompiledQuery, Dialect, Schema, Unknown, query};

fn compile(text: &str, dialect: Dialect, case: CaseMode) -> Result<CompiledQuery, Vec<Code>> {
    let mut schema = Schema::new(Unknown::Document);
    let (compiled, found) = query(text, dialect, case, &mut schema);
    compiled.ok_or_else(|| found.iter().filter(|one| one.is_error()).map(|one| one.code).collect())
}

fn elastic(text: &str) -> Result<CompiledQuery, Vec<Code>> {
    compile(text, Dialect::Elastic, CaseMode::Sensitive)
}

fn endpoint(text: &str) -> Result<CompiledQuery, Vec<Code>> {
    compile(text, Dialect::Endpoint, CaseMode::Sensitive)
}

fn classic(text: &str) -> Result<CompiledQuery, Vec<Code>> {
    compile(text, Dialect::Classic, CaseMode::Sensitive)
}

fn condition(compiled: Result<CompiledQuery, Vec<Code>>) -> Expr {
    match compiled.unwrap().query {
        Query::Event(filter) => filter.condition,
        other => panic!("no single event: {other:?}"),
    }
}

fn sequence(compiled: Result<CompiledQuery, Vec<Code>>) -> Sequence {
    match compiled.unwrap().query {
        Query::Sequence(sequence) => sequence,
        other => panic!("no sequence: {other:?}"),
    }
}

fn errors(compiled: Result<CompiledQuery, Vec<Code>>) -> Vec<Code> {
    compiled.unwrap_err()
}

#[test]
fn s2_words_are_lower_case_and_functions_of_any_case() {
    assert_eq!(errors(elastic("process WHERE true")), [Code::Syntax]);
    let found = condition(elastic("any where STARTSWITH(process.name, \"a\")"));
    assert!(matches!(found, Expr::Test(field::PROCESS_NAME, Test::Part { fold: false, .. })));
}

#[test]
fn s2_single_equals_and_single_quotes_are_classic_only() {
    assert_eq!(errors(elastic("any where process.name = \"a\"")), [Code::Token]);
    assert_eq!(errors(elastic("any where process.name == 'a'")), [Code::Token]);
    let found = condition(classic("any where process.name = 'a'"));
    let Expr::Test(field::PROCESS_NAME, Test::Equals { any, fold: false }) = found else {
        panic!("{found:?}")
    };
    assert_eq!(any, [Literal::Str(b"a".to_vec())]);
}

#[test]
fn s4_wildcards_in_equality_are_classic_only() {
    let text = "any where process.name == \"a*\"";
    assert!(matches!(condition(elastic(text)), Expr::Test(_, Test::Equals { .. })));
    assert!(matches!(condition(classic(text)), Expr::Test(_, Test::Wildcard { fold: false, .. })));
    let folded = compile(text, Dialect::Classic, CaseMode::Insensitive);
    assert!(matches!(condition(folded), Expr::Test(_, Test::Wildcard { fold: true, .. })));
    let list = condition(classic("any where process.name in (\"a*\", \"b\")"));
    let Expr::Or(any) = list else { panic!("{list:?}") };
    assert!(matches!(any[0], Expr::Test(_, Test::Wildcard { .. })));
    assert!(matches!(any[1], Expr::Test(_, Test::Equals { .. })));
}

#[test]
fn s4_a_question_mark_is_a_character_in_the_classic_dialect() {
    let found = condition(classic("any where process.name == \"a?*\""));
    let Expr::Test(_, Test::Regex { any, .. }) = found else { panic!("{found:?}") };
    assert_eq!(any, [r"a\?.*"]);
}

#[test]
fn s4_case_insensitive_order_is_a_comparison() {
    let text = "any where process.name >= \"a\"";
    let found = condition(compile(text, Dialect::Classic, CaseMode::Insensitive));
    assert!(matches!(found, Expr::Compare { order: Order::GreaterEqual, fold: true, .. }));
    assert!(matches!(condition(classic(text)), Expr::Test(_, Test::Compare(..))));
}

#[test]
fn s6_classic_expressions_match_from_the_start_only() {
    let found = condition(classic("any where match(process.name, ?'a\\s+')"));
    let Expr::Test(_, Test::Regex { any, .. }) = found else { panic!("{found:?}") };
    assert_eq!(any, [r"(?:a\s+).*"]);
    let found = condition(elastic("any where process.name regex \"\"\"a\\s+\"\"\""));
    let Expr::Test(_, Test::Regex { any, .. }) = found else { panic!("{found:?}") };
    assert_eq!(any, [r"a\s+"]);
}

#[test]
fn s9_null_is_compared_by_presence() {
    let found = condition(elastic("any where null == (process.exit_code > -1)"));
    let Expr::Not(inner) = found else { panic!("{found:?}") };
    assert!(matches!(*inner, Expr::Computed(Scalar::Condition(_), Test::Exists)));
    let found = condition(elastic("any where length(process.name) == null"));
    assert!(matches!(found, Expr::Not(inner) if matches!(*inner, Expr::Computed(_, Test::Exists))));
}

#[test]
fn s11_s12_each_dialect_has_its_logic() {
    let logic = |compiled: Result<CompiledQuery, Vec<Code>>| compiled.unwrap().logic;
    assert_eq!(logic(elastic("any where true")), Logic::Complement);
    assert_eq!(logic(endpoint("any where true")), Logic::Complement);
    assert_eq!(logic(classic("any where true")), Logic::ThreeValued);
}

#[test]
fn s16_fields_are_compared_outside_elastic_only() {
    let text = "any where process.name == process.parent.name";
    assert_eq!(errors(elastic(text)), [Code::Unsupported]);
    for compiled in [endpoint(text), classic(text)] {
        assert!(matches!(
            condition(compiled),
            Expr::Compare { order: Order::Equal, fold: false, .. }
        ));
    }
    let found = condition(classic("any where process.name in (process.parent.name, \"a\")"));
    assert!(matches!(found, Expr::Or(any) if any.len() == 2));
}

#[test]
fn s17_arithmetic_of_literals_is_done_at_once() {
    for (text, number) in [
        ("7 / 2", 3),
        ("1 + 2 * 3", 7),
        ("-(2 - 5)", 3),
        ("number(\"0x32\", 16)", 50),
        ("number('5')", 5),
        ("subtract(1, -5)", 6),
        ("length('abc')", 3),
    ] {
        let found = condition(classic(&format!("any where process.pid == {text}")));
        let Expr::Test(_, Test::Equals { any, .. }) = found else { panic!("{text}: {found:?}") };
        assert_eq!(any, [Literal::Int(number)], "{text}");
    }
    let found = condition(elastic("any where process.pid / 2 == 41"));
    assert!(matches!(found, Expr::Computed(Scalar::Arithmetic(..), Test::Equals { .. })));
}

#[test]
fn s21_maxspan_has_five_units() {
    let maxspan = |time: &str| {
        let text = format!("sequence with maxspan={time} [any where true] [any where true]");
        elastic(&text).map(|found| match found.query {
            Query::Sequence(sequence) => sequence.maxspan,
            _ => None,
        })
    };
    let second = 1_000_000_000;
    for (text, ns) in [
        ("500ms", second / 2),
        ("3s", 3 * second),
        ("2m", 120 * second),
        ("1h", 3_600 * second),
        ("1d", 86_400 * second),
    ] {
        assert_eq!(maxspan(text), Ok(Some(ns)), "{text}");
    }
    assert_eq!(maxspan("3"), Err(vec![Code::Syntax]));
    assert_eq!(maxspan("3w"), Err(vec![Code::Syntax]));
    assert_eq!(maxspan("0s"), Err(vec![Code::Token]));
    assert_eq!(maxspan("99999999999999999999d"), Err(vec![Code::Token]));
}

#[test]
fn s22_until_has_its_own_keys() {
    let found = sequence(elastic(
        "sequence [any where true] by process.pid [any where true] by process.pid \
         until [file where true] by process.parent.pid",
    ));
    let until = found.until.unwrap();
    assert_eq!(until.filter.category.as_deref(), Some("file"));
    assert!(matches!(until.by[0].value, Scalar::Field(field::PROCESS_PARENT_PID)));
}

#[test]
fn s23_runs_are_copies_of_the_step() {
    let found = sequence(elastic("sequence by user.id [any where true] with runs=3"));
    assert_eq!((found.steps.len(), found.disjoint), (3, true));
    let two = sequence(elastic("sequence [any where true] with runs=3 [any where true]"));
    assert_eq!((two.steps.len(), two.disjoint), (4, false));
    let text = "sequence with maxspan=1m [any where true] ![any where true] with runs=2";
    let missing: Vec<bool> = sequence(elastic(text)).steps.iter().map(|one| one.missing).collect();
    assert_eq!(missing, [false, true, true]);
    assert_eq!(errors(elastic("sequence [any where true] with runs=101")), [Code::Limit]);
    assert_eq!(errors(elastic("sequence [any where true] with runs=0")), [Code::Limit]);
    assert_eq!(errors(elastic("sequence [any where true]")), [Code::Syntax]);
}

#[test]
fn s25_shared_keys_come_first_and_all_steps_have_as_many() {
    let found = sequence(elastic(
        "sequence by host.id [any where true] by ?user.id [any where true] by process.pid",
    ));
    let step = &found.steps[0];
    assert!(matches!(step.by[0].value, Scalar::Field(field::HOST_ID)));
    assert!(matches!(step.by[1].value, Scalar::Field(field::USER_ID)));
    assert_eq!((step.by[0].optional, step.by[1].optional), (false, true));
    let text = "sequence [any where true] by user.id [any where true]";
    assert_eq!(errors(elastic(text)), [Code::BadOperand]);
}

#[test]
fn s27_pipes_of_each_dialect() {
    let pipes = elastic("any where true | head 3 | tail 2").unwrap().pipes;
    assert!(matches!(pipes.as_slice(), [Pipe::Head(3), Pipe::Tail(2)]));
    assert_eq!(errors(elastic("any where true | unique user.id")), [Code::Unsupported]);
    let pipes = classic(
        "any where true | sort a b | unique a, b | filter a > 1 | count a | unique_count a \
         | filter count > 1 and percent >= .5 | head",
    );
    assert_eq!(pipes.unwrap().pipes.len(), 7);
    assert_eq!(errors(classic("any where true | heda 3")), [Code::Syntax]);
}

#[test]
fn s28_missing_events_need_maxspan_and_a_positive_step() {
    let missing = "sequence ![any where true] [any where true]";
    assert_eq!(errors(elastic(missing)), [Code::Syntax]);
    let only = "sequence with maxspan=1m ![any where true] ![any where true]";
    assert_eq!(errors(elastic(only)), [Code::Syntax]);
}

#[test]
fn s29_a_sample_has_keys_and_at_most_five_filters() {
    let sample = |filters: usize| {
        elastic(&format!("sample by host.id {}", "[any where true]".repeat(filters)))
    };
    assert!(matches!(sample(5).unwrap().query, Query::Sample(steps) if steps.len() == 5));
    assert_eq!(errors(sample(6)), [Code::Syntax]);
    assert_eq!(errors(elastic("sample [any where true] [any where true]")), [Code::Syntax]);
    let until = "sample by host.id [any where true] [any where true] until [any where true]";
    assert_eq!(errors(elastic(until)), [Code::Syntax]);
}

#[test]
fn s30_aliases_name_earlier_members() {
    let text = "sequence by host.id [file where true] as e0 \
                [process where process.executable == e0.file.path]";
    let found = sequence(endpoint(text));
    let Expr::Compare { right, .. } = &found.steps[1].filter.condition else { panic!() };
    assert!(matches!(right, Scalar::Member(0, field::FILE_PATH)));
    assert!(errors(elastic(text)).contains(&Code::Unsupported));
    let runs = "sequence [file where true] with runs=2 as e0 [any where e0.user.id == user.id]";
    let found = sequence(endpoint(runs));
    let Expr::Compare { left, .. } = &found.steps[2].filter.condition else { panic!() };
    assert!(matches!(left, Scalar::Member(1, field::USER_ID)), "the last of the runs: {left:?}");
}

#[test]
fn s30_names_are_refused_where_no_member_is_known() {
    let two = "[file where true] as e0 [process where true]";
    assert!(endpoint(&format!("sequence {two}")).is_ok(), "the control");
    for form in ["sample by user.id", "join by user.id"] {
        assert_eq!(errors(endpoint(&format!("{form} {two}"))), [Code::Syntax], "{form}");
    }
    let key = "sequence [file where true] by file.path as e0 [process where true] by ";
    assert!(endpoint(&format!("{key}file.path")).is_ok(), "the control");
    assert_eq!(errors(endpoint(&format!("{key}e0.file.path"))), [Code::BadOperand]);
    let lineage = "sequence [file where true] as e0 \
                   [process where child of [process where process.pid == WHOM]]";
    assert!(endpoint(&lineage.replace("WHOM", "1")).is_ok(), "the control");
    assert_eq!(errors(endpoint(&lineage.replace("WHOM", "e0.process.pid"))), [Code::BadOperand]);
}

#[test]
fn s30_lineage_queries_nest_and_belong_to_the_program() {
    let text = "file where descendant of [process where event of [any where true]]";
    let mut schema = Schema::new(Unknown::Document);
    let (compiled, _) = query(text, Dialect::Endpoint, CaseMode::Sensitive, &mut schema);
    let found = condition(compiled.ok_or_else(Vec::new));
    assert!(matches!(found, Expr::Lineage(Relation::Descendant, 1)));
    assert!(matches!(schema.lineages[1].condition, Expr::Lineage(Relation::Event, 0)));
    assert_eq!(errors(elastic(text)), [Code::Unsupported, Code::Unsupported]);
}

#[test]
fn s30_join_and_fork() {
    let text = "join by user [a where true] [b where true] until [c where true]";
    let Query::Join { steps, until } = classic(text).unwrap().query else { panic!() };
    assert_eq!((steps.len(), until.is_some()), (2, true));
    assert_eq!(errors(elastic(text)), [Code::Unsupported]);
    let found = sequence(classic("sequence [a where true] fork=true by x [b where true] by y"));
    assert_eq!(found.steps.iter().map(|one| one.fork).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn classic_lists_have_elements_and_searches() {
    let found = condition(classic("any where a.b[1].c == 'x'"));
    assert!(matches!(found, Expr::Computed(Scalar::Element(_, parts), _) if parts.len() == 2));
    let found = condition(classic(
        "any where arraySearch(a, s, s.b == 1 and arrayCount(s.c, t, t == s.d) == 2)",
    ));
    let Expr::Truth(Scalar::Search { variable, count, .. }) = found else { panic!("{found:?}") };
    assert_eq!((variable, count), (0, false));
    let found = classic("sequence [a where true] [b where true] | filter events[1].x.y == 2");
    let Pipe::Filter(Expr::Computed(Scalar::Member(step, _), _)) = &found.unwrap().pipes[0] else {
        panic!("no member")
    };
    assert_eq!(*step, 1);
}

#[test]
fn classic_functions_may_follow_their_first_argument() {
    let found = condition(classic("any where process.name:substring(0, 2):length() == 2"));
    let Expr::Computed(Scalar::Call { function: Function::Length, args, .. }, _) = found else {
        panic!("{found:?}")
    };
    assert!(matches!(&args[0], Scalar::Call { function: Function::Substring, .. }));
}

#[test]
fn keys_fold_case_where_texts_do() {
    let text = "join by a [any where true] [any where true]";
    let found = compile(text, Dialect::Classic, CaseMode::Insensitive).unwrap().query;
    let Query::Join { steps, .. } = found else { panic!("{found:?}") };
    let key = &steps[0].by[0].value;
    assert!(matches!(key, Scalar::Call { function: Function::ToLower, .. }), "{key:?}");
}

#[test]
fn several_errors_are_found_in_one_query() {
    let text = "sequence [process where == 1] [file where nofun(1) and (2 ==)] [any where 3 and 4]";
    let found = errors(elastic(text));
    assert_eq!(
        found,
        [Code::Syntax, Code::Syntax, Code::UnknownFunction, Code::BadOperand, Code::BadOperand]
    );
    let found = errors(elastic("any where a == 'x' and b = 1 and c == "));
    assert_eq!(found, [Code::Token, Code::Token, Code::Syntax]);
}

#[test]
fn what_is_too_large_or_too_deep_is_an_error() {
    for piece in
        ["(", "not ", "-", "length(", "child of [any where ", "a + ", "1 in (", "[", "a == "]
    {
        for dialect in [Dialect::Elastic, Dialect::Classic] {
            for times in [1_000, 100_000] {
                let text = format!("any where {}", piece.repeat(times));
                let found = errors(compile(&text, dialect, CaseMode::Sensitive));
                assert!(!found.is_empty(), "{piece}");
                if piece != "[" && piece != "a == " {
                    assert!(found.contains(&Code::Limit), "{piece} {times}: {found:?}");
                }
            }
        }
    }
    let list = format!("any where a in ({})", "1,".repeat(5_000) + "1");
    assert_eq!(errors(elastic(&list)), [Code::Limit]);
    assert_eq!(errors(elastic("any where a == 99999999999999999999")), [Code::Token]);
    assert_eq!(errors(elastic("any where a == 1e999")), [Code::Token]);
    let steps = format!("sequence {}", "[any where true] with runs=100 ".repeat(3));
    assert_eq!(errors(elastic(&steps)), [Code::Limit]);
}
