//! What rules make the sensors deliver. Conditions are built by hand: the engine does not know the
//! language.

use model::field::FieldId;
use model::program::{Filter, Logic, Query, RuleMeta};

use super::*;

fn words(field: FieldId, any: &[&str]) -> Expr {
    let any = any.iter().map(|word| Literal::Str(word.as_bytes().to_vec())).collect();
    Expr::Test(field, Test::Equals { any, fold: false })
}

fn like(field: FieldId, any: &[&str]) -> Expr {
    let any = any.iter().map(|text| text.as_bytes().to_vec()).collect();
    Expr::Test(field, Test::Wildcard { any, fold: true })
}

fn not(expr: Expr) -> Expr {
    Expr::Not(Box::new(expr))
}

fn program(category: Option<&str>, condition: Expr) -> Program {
    let category = category.map(str::to_owned);
    let query = Query::Event(Filter { category, condition });
    let (meta, logic) = (RuleMeta::default(), Logic::Complement);
    let rules = vec![Rule { meta, logic, query, pipes: Vec::new() }];
    Program { rules, ..Program::default() }
}

/// Kinds beyond those that are always delivered.
fn kinds(program: &Program) -> Vec<&'static str> {
    of(program).kinds.iter().filter(|kind| !ALWAYS.contains(*kind)).map(Kind::name).collect()
}

fn open(path: Expr) -> Program {
    program(Some("file"), Expr::And(vec![words(field::EVENT_ACTION, &["open"]), path]))
}

/// Watches as `path` or `path/**`.
fn watches(program: &Program) -> Vec<String> {
    let show = |watch: &Watch| {
        assert!(watch.kinds.contains(Kind::Open), "{watch:?}");
        if watch.recursive { format!("{}/**", watch.path) } else { watch.path.clone() }
    };
    of(program).watch.iter().map(show).collect()
}

#[test]
fn a_rule_asks_for_the_operations_it_can_match() {
    assert!(kinds(&program(Some("process"), words(field::EVENT_TYPE, &["start"]))).is_empty());
    let network = program(Some("network"), words(field::EVENT_TYPE, &["start"]));
    assert_eq!(kinds(&network), ["connect", "accept"]);
    let either = Expr::Or(vec![
        words(field::EVENT_ACTION, &["ptrace"]),
        Expr::And(vec![words(field::EVENT_ACTION, &["mount"]), words(field::FILE_NAME, &["x"])]),
    ]);
    assert_eq!(kinds(&program(None, either)), ["mount", "ptrace"]);
    let negated = Expr::And(vec![
        words(field::EVENT_TYPE, &["change"]),
        not(words(field::EVENT_ACTION, &["uid_change", "gid_change", "session_id_change"])),
    ]);
    assert_eq!(kinds(&program(Some("process"), negated)), ["capset", "namespace"]);
}

#[test]
fn nothing_is_asked_for_without_rules_but_the_process_table() {
    assert_eq!(of(&Program::default()).kinds, ALWAYS);
}

#[test]
fn opens_are_asked_for_only_where_a_path_bounds_them() {
    let shadow = open(words(field::FILE_PATH, &["/etc/shadow", "/etc/gshadow"]));
    assert_eq!(watches(&shadow), ["/etc/gshadow", "/etc/shadow"]);
    assert_eq!(kinds(&shadow), ["open"]);
    assert!(unbounded(&shadow).is_empty());

    let by_name = open(words(field::FILE_NAME, &["shadow"]));
    assert!(of(&by_name).watch.is_empty());
    assert!(kinds(&by_name).is_empty(), "without a watch there is nothing to deliver");
    assert_eq!(unbounded(&by_name), [(0, Unbounded::Files)]);
}

#[test]
fn a_wildcard_is_bounded_by_its_literal_directory() {
    assert_eq!(watches(&open(like(field::FILE_PATH, &["/etc/cron*"]))), ["/etc/**"]);
    assert_eq!(watches(&open(like(field::FILE_PATH, &["/root/.ssh/*"]))), ["/root/.ssh/**"]);
    assert_eq!(watches(&open(like(field::FILE_DIRECTORY, &["/etc/cron.d"]))), ["/etc/cron.d"]);
    for pattern in ["*/passwd", "/*/passwd", "etc/*"] {
        let rule = open(like(field::FILE_PATH, &[pattern]));
        assert_eq!(unbounded(&rule), [(0, Unbounded::Files)], "{pattern}");
    }
}

#[test]
fn all_branches_of_or_must_be_bounded_and_one_of_and() {
    let path = || words(field::FILE_PATH, &["/a"]);
    let name = || words(field::FILE_NAME, &["a"]);
    assert_eq!(watches(&open(Expr::And(vec![name(), path()]))), ["/a"]);
    assert_eq!(unbounded(&open(Expr::Or(vec![name(), path()]))).len(), 1);
    assert_eq!(watches(&open(not(Expr::Or(vec![name(), not(path())])))), ["/a"]);
    assert_eq!(unbounded(&open(not(path()))).len(), 1, "all files but one");
}

#[test]
fn a_branch_about_another_operation_needs_no_path() {
    let rule = program(
        Some("file"),
        Expr::Or(vec![
            words(field::EVENT_ACTION, &["deletion"]),
            Expr::And(vec![
                words(field::EVENT_ACTION, &["modification"]),
                words(field::FILE_PATH, &["/etc/passwd"]),
            ]),
        ]),
    );
    let interest = of(&rule);
    let write = KindSet::EMPTY.with(Kind::Write);
    assert_eq!(
        interest.watch,
        [Watch { path: "/etc/passwd".into(), recursive: false, kinds: write }]
    );
    assert_eq!(kinds(&rule), ["write", "unlink"]);
    assert!(unbounded(&rule).is_empty());
}

#[test]
fn watches_of_several_rules_are_joined_by_path() {
    let mut all = open(words(field::FILE_PATH, &["/etc"]));
    all.rules.extend(open(like(field::FILE_PATH, &["/etc/*"])).rules);
    assert_eq!(watches(&all), ["/etc/**"]);
}

#[test]
fn variables_are_captured_by_name() {
    let env = |test| program(Some("process"), test);
    let named = env(Expr::Or(vec![
        like(field::PROCESS_ENV_VARS, &["LD_PRELOAD=*"]),
        not(words(field::PROCESS_ENV_VARS, &["HOME=/root"])),
    ]));
    assert_eq!(of(&named).env, ["HOME", "LD_PRELOAD"]);
    assert!(unbounded(&named).is_empty());
    let nameless = env(like(field::PROCESS_ENV_VARS, &["LD_*=x"]));
    assert_eq!(unbounded(&nameless), [(0, Unbounded::Environment)]);
    assert!(of(&nameless).env.is_empty());
}
