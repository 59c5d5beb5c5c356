//! What queries mean, and that no text whatever breaks the front end.

use expect_test::{Expect, expect};
use model::program::{Expr, Filter, Program, Query, RuleMeta, Scalar};
use proptest::prelude::*;

use crate::diagnostic::{Span, nearest};
use crate::{CaseMode, CompiledQuery, Diagnostic, Dialect, Schema, Unknown, load, query};

fn compile(text: &str) -> (Option<CompiledQuery>, Vec<Diagnostic>) {
    query(text, Dialect::Elastic, CaseMode::Sensitive, &mut Schema::new(Unknown::Error))
}

/// The filter of a query on single events.
fn filter(text: &str) -> Filter {
    let (compiled, found) = compile(text);
    assert!(!found.iter().any(Diagnostic::is_error), "{text}: {found:#?}");
    match compiled.unwrap().query {
        Query::Event(filter) => filter,
        other => panic!("{other:?}"),
    }
}

fn condition(text: &str) -> Expr {
    filter(text).condition
}

/// A condition in prefix form: short enough to read.
fn brief(expr: &Expr) -> String {
    let joined = |parts: &[Expr]| parts.iter().map(brief).collect::<Vec<_>>().join(" ");
    match expr {
        Expr::Const(value) => value.to_string(),
        Expr::And(parts) => format!("(and {})", joined(parts)),
        Expr::Or(parts) => format!("(or {})", joined(parts)),
        Expr::Not(inner) => format!("(not {})", brief(inner)),
        Expr::Test(field, test) => {
            let name = model::field::field(*field).unwrap().name;
            format!("[{name} {}]", brief_test(test))
        }
        Expr::Computed(Scalar::Call { function, .. }, test) => {
            format!("[{function:?}(…) {}]", brief_test(test))
        }
        other => format!("{other:?}"),
    }
}

fn brief_test(test: &model::program::Test) -> String {
    use model::program::{Literal, Test};
    let fold = |fold: &bool| if *fold { "~" } else { "" };
    let texts = |any: &[Vec<u8>]| {
        any.iter().map(|text| String::from_utf8_lossy(text)).collect::<Vec<_>>().join(",")
    };
    let literal = |literal: &Literal| match literal {
        Literal::Int(number) => number.to_string(),
        Literal::Float(number) => format!("{number:?}"),
        Literal::Bool(flag) => flag.to_string(),
        Literal::Str(text) => format!("{:?}", String::from_utf8_lossy(text)),
    };
    match test {
        Test::Exists => "exists".to_owned(),
        Test::Equals { any, fold: folded } => {
            let all: Vec<String> = any.iter().map(literal).collect();
            format!("={} {}", fold(folded), all.join(","))
        }
        Test::Compare(order, value) => format!("{order:?} {}", literal(value)),
        Test::Wildcard { any, fold: folded } => format!("like{} {}", fold(folded), texts(any)),
        Test::Regex { any, fold: folded } => format!("regex{} {}", fold(folded), any.join(",")),
        Test::Part { place, any, fold: folded } => {
            format!("{place:?}{} {}", fold(folded), texts(any))
        }
        Test::Cidr(networks) => format!("in {networks:?}"),
        Test::Length(order, number) => format!("length {order:?} {number}"),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "expect! makes a value")]
fn check(text: &str, expected: Expect) {
    expected.assert_eq(&brief(&condition(&format!("any where {text}"))));
}

#[test]
fn operators_bind_as_in_eql() {
    check(
        "process.name == \"a\" or not process.name == \"b\" and process.pid == 1",
        expect![[
            r#"(or [process.name = "a"] (and (not [process.name = "b"]) [process.pid = 1]))"#
        ]],
    );
    check(
        "not process.name == \"a\" and process.pid < -1",
        expect![[r#"(and (not [process.name = "a"]) [process.pid Less -1])"#]],
    );
    check(
        "not (process.pid == 1 and (process.pid == 2 or process.pid == 3))",
        expect!["(not (and [process.pid = 1] (or [process.pid = 2] [process.pid = 3])))"],
    );
}

#[test]
fn inequality_and_not_are_complements() {
    check("process.name != \"a\"", expect![[r#"(not [process.name = "a"])"#]]);
    check("process.name not in (\"a\", \"b\")", expect![[r#"(not [process.name = "a","b"])"#]]);
    check("not not process.interactive", expect!["[process.interactive = true]"]);
    check("length(process.name) != 3", expect!["(not [process.name length Equal 3])"]);
    check("process.name == null", expect!["(not [process.name exists])"]);
    check("null != ?process.name", expect!["[process.name exists]"]);
}

#[test]
fn wildcards_only_in_colon_and_like() {
    check("process.name == \"a*\"", expect![[r#"[process.name = "a*"]"#]]);
    check("process.name in~ (\"a*\")", expect![[r#"[process.name =~ "a*"]"#]]);
    check("process.name : \"a*\"", expect!["[process.name like~ a*]"]);
    check("process.name : (\"a\", \"b\")", expect![[r#"[process.name =~ "a","b"]"#]]);
    check("process.name like (\"a?\", \"b\")", expect!["[process.name like a?,b]"]);
    check("process.name like~ \"a?\"", expect!["[process.name like~ a?]"]);
    check("wildcard~(process.name, \"a*\")", expect!["[process.name like~ a*]"]);
}

#[test]
fn functions_and_literals() {
    check("STARTSWITH~(process.name, \"a\")", expect!["[process.name Start~ a]"]);
    check("endsWith(file.path, \".so\")", expect!["[file.path End .so]"]);
    check("stringContains(file.path, \"x\")", expect!["[file.path Anywhere x]"]);
    check("match(file.path, \"a+\", \"b\")", expect!["[file.path regex a+,b]"]);
    check("file.path regex~ \"\"\"\\d\"x\"\"\"", expect![[r#"[file.path regex~ \d"x]"#]]);
    check("cidrMatch(source.ip, \"10.1.2.3/8\")", expect!["[source.ip in [(10.1.2.3, 8)]]"]);
    check("source.ip == \"::1\"", expect!["[source.ip in [(::1, 128)]]"]);
    check("3 >= length(process.args)", expect!["[process.args length LessEqual 3]"]);
    check(
        "user.id == \"0\" or user.id in (1, \"2\")",
        expect!["(or [user.id = 0] [user.id = 1,2])"],
    );
    check("process.pid > 1.5", expect!["[process.pid Greater 1.5]"]);
    check("`process`.`name` == \"\\u{e9}\\n\"", expect![[r#"[process.name = "é\n"]"#]]);
    check("true /* one */ and // two\n false", expect!["(and true false)"]);
}

#[test]
fn a_category_is_a_word_a_string_or_any() {
    assert_eq!(filter("process where true").category.as_deref(), Some("process"));
    assert_eq!(filter("\"file\" where true").category.as_deref(), Some("file"));
    assert_eq!(filter("any where true").category, None);
}

#[test]
fn one_bad_rule_hides_no_other() {
    let rule = |id: &str, query: &str| {
        format!(
            "[[rule]]\nid = \"{id}\"\nname = \"n\"\ndescription = \"d\"\nseverity = \"low\"\n\
             query = '{query}'\n"
        )
    };
    let text = rule("first", "process where true")
        + &rule("bad-name", "process where nothing == 1")
        + &rule("bad-syntax", "process when true")
        + &rule("last", "process where false");
    let loaded =
        load([("a.toml".to_owned(), text), ("b/c.toml".to_owned(), rule("b", "any where true"))]);
    let ids: Vec<&str> = loaded.program.rules.iter().map(|rule| rule.meta.id.as_str()).collect();
    assert_eq!(ids, ["first", "last", "b"]);
    assert_eq!(loaded.program.rules[2].meta.file, "c.toml");
    let wrong: Vec<_> = loaded.diagnostics.iter().filter(|found| found.is_error()).collect();
    let about: Vec<&str> = wrong.iter().filter_map(|found| found.rule.as_deref()).collect();
    assert_eq!(about, ["bad-name", "bad-syntax"]);
}

#[test]
fn a_correlation_counts_rules_of_all_formats_but_none_with_pipes() {
    let of = |pipes: &str| {
        let query = format!("process where process.name == \"a\" {pipes}");
        let own = format!(
            "[[rule]]\nid = \"own\"\nname = \"n\"\ndescription = \"d\"\nseverity = \"low\"\n\
             query = '{query}'\n"
        );
        let counts = "title: C\nid: c\ncorrelation:\n  type: event_count\n  rules: [own]\n  \
                      timespan: 1m\n  condition: {gte: 3}\n";
        let files = [("own.toml", own), ("c.yml", counts.to_owned())];
        let loaded = load(files.map(|(name, text)| (name.to_owned(), text)));
        let errors = loaded.diagnostics.iter().filter(|one| one.is_error());
        let errors: Vec<String> = errors.map(|one| one.message.clone()).collect();
        (loaded.program.rules.len(), errors)
    };
    assert_eq!(of(""), (2, Vec::new()));
    let why = "the correlation is not run: the rule `own` has pipes, whose results are not counted";
    assert_eq!(of("| head 5"), (1, vec![why.to_owned()]));
}

#[test]
fn members_have_their_names_when_a_rule_is_written_as_text() {
    let text = |text: &str, dialect| {
        let mut schema = Schema::new(Unknown::Error);
        let (compiled, found) = query(text, dialect, CaseMode::Sensitive, &mut schema);
        let rule = compiled.unwrap_or_else(|| panic!("{text}: {found:#?}"));
        crate::fmt::rule(&rule.rule(RuleMeta::default()), &Program::default()).unwrap()
    };
    let endpoint = "sequence with maxspan=1m\n  [file where true]\n  [file where true] as e1\n  \
                    [process where process.executable == e1.file.path]";
    assert_eq!(text(endpoint, Dialect::Endpoint), endpoint);
    let classic = "sequence\n  [file where true]\n  [process where true]\n\
                   | unique events[1].process.pid";
    assert_eq!(text(classic, Dialect::Classic), classic);
}

#[test]
fn long_chains_are_not_deep() {
    let chain = vec!["process.pid == 1"; 3_000].join(" and ");
    let Expr::And(parts) = condition(&format!("any where {chain}")) else { panic!("not a chain") };
    assert_eq!(parts.len(), 3_000);
}

#[test]
fn how_long_a_response_lasts_is_within_bounds_or_told_at_its_place() {
    let load = |response: &str, more: &str| {
        let text = format!(
            "[[rule]]\nid = \"a\"\nname = \"n\"\ndescription = \"d\"\nseverity = \"low\"\n\
             response = [{response}]\n{more}\nquery = 'process where true'\n"
        );
        let loaded = crate::load([("a.toml".to_owned(), text.clone())]);
        let wrong = loaded.diagnostics.iter().find(|one| one.is_error());
        let wrong = wrong.map(|one| (one.message.clone(), one.span.clone()));
        let place = |(message, span): (String, Span)| (message, text.get(span).unwrap().to_owned());
        (loaded.program.rules.first().and_then(|rule| rule.meta.response_ttl), wrong.map(place))
    };
    for (text, seconds) in [("1s", 1), ("90s", 90), ("10m", 600), ("2h", 7200), ("7d", 604_800)] {
        assert_eq!(load("\"stop\"", &format!("response_ttl = \"{text}\"")), (Some(seconds), None));
    }
    assert_eq!(load("\"stop\"", ""), (None, None));
    let refused = |response: &str, text: &str| {
        load(response, &format!("response_ttl = \"{text}\"")).1.unwrap()
    };
    for (text, why) in [
        ("0s", "`0s` is not between 1s and 7d"),
        ("8d", "`8d` is not between 1s and 7d"),
        ("99999999999d", "`99999999999d` is not between 1s and 7d"),
        ("soon", "`soon` is no time"),
        ("-1s", "`-1s` is no time"),
        ("10", "`10` is no time"),
    ] {
        assert_eq!(refused("\"stop\"", text), (why.to_owned(), format!("\"{text}\"")));
    }
    for response in ["", "\"kill\"", "\"quarantine\"", "\"deny\""] {
        let (why, _) = refused(response, "1h");
        assert_eq!(why, "no response of this rule ends by itself", "{response}");
    }
    let late = load("\"deny\"", "response_ttl = \"1h\"\nplacement = \"any\"");
    assert_eq!(late, (Some(3600), None));
}

#[test]
fn near_misses_are_found() {
    assert_eq!(nearest("process.nmae", ["process.name", "process.pid"]), Some("process.name"));
    assert_eq!(nearest("strat", ["start", "end"]), Some("start"));
    assert_eq!(nearest("frobnicate", ["length", "match"]), None);
}

/// Words and signs of the language, and what breaks them.
const PIECES: &[&str] = &[
    "process",
    "any",
    "where",
    "and",
    "or",
    "not",
    "in",
    "in~",
    "like",
    "like~",
    "regex",
    ":",
    "==",
    "!=",
    "<",
    ">=",
    "(",
    ")",
    "[",
    "]",
    ",",
    "|",
    "~",
    "?",
    "-",
    "+",
    "/",
    "/*",
    "*/",
    "//",
    "\n",
    "\"",
    "\"a\"",
    "\"a*\"",
    "\"\"\"",
    "\"\\u{e9}\"",
    "\\",
    "'",
    "`",
    "é",
    "null",
    "true",
    "1",
    "1.5",
    "1e999",
    "process.name",
    "process.pid",
    "user.id",
    "source.ip",
    "process.interactive",
    "event.type",
    "startsWith",
    "length",
    "cidrMatch",
    "sequence",
    "sequence by process.pid",
    "sample by",
    "join",
    "until",
    "by",
    "as e0",
    "e0.process.pid",
    "with maxspan=1m",
    "with runs=2",
    "fork",
    "[process where true]",
    "![",
    "descendant of [",
    "head 1",
    "unique_count",
    "filter count > 1",
    "events[1].process.pid",
    "arraySearch(process.args, v, v == \"a\")",
    "between(process.name, \"a\", \"b\")",
    "?'a'",
    "=",
    "$",
    "\u{0}",
    "\u{2028}",
];

/// Pieces that make most texts reach the parser and many the type check.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![9 => prop::sample::select(PIECES).prop_map(str::to_owned), 1 => "\\PC{0,3}"]
}

proptest! {
    /// Any query gives a condition or an error, and each place is within it, at characters.
    #[test]
    fn any_query_is_answered(pieces in prop::collection::vec(piece(), 0..30), spaced: bool) {
        let query = pieces.join(if spaced { " " } else { "" });
        let (compiled, found) = compile(&query);
        prop_assert!(compiled.is_some() != found.iter().any(Diagnostic::is_error));
        for one in found {
            prop_assert!(query.get(one.span.clone()).is_some(), "{one:?}");
        }
        for dialect in [Dialect::Endpoint, Dialect::Classic] {
            let mut schema = Schema::new(Unknown::Document);
            let (compiled, found) = crate::query(&query, dialect, CaseMode::Insensitive, &mut schema);
            prop_assert!(compiled.is_some() != found.iter().any(Diagnostic::is_error));
        }
    }

    /// Any text is answered, and what is found can be shown.
    #[test]
    fn any_file_is_answered(query in prop::collection::vec(piece(), 0..12), raw in "\\PC{0,40}") {
        let text = format!("[[rule]]\nid = \"a\"\nquery = \"\"\"\n{}\"\"\"\n{raw}", query.join(" "));
        let loaded = load([("f.toml".to_owned(), text)]);
        for found in &loaded.diagnostics {
            prop_assert!(!crate::render::text(found, &loaded.sources, true).is_empty());
            prop_assert!(crate::render::json(found, &loaded.sources).is_object());
        }
        let errors = loaded.diagnostics.iter().filter(|one| one.is_error());
        prop_assert!(errors.count() > 0, "name and severity are missing");
    }
}

/// Found by `any_file_is_answered`: an escape of TOML that stands for one character of two bytes.
#[test]
fn an_escaped_character_is_shown_where_it_is() {
    let loaded = load([(
        "f.toml".to_owned(),
        "[[rule]]\nid = \"a\"\nquery = \"\"\"\n\"\\u{e9}\"\"\"\"\n".to_owned(),
    )]);
    for found in &loaded.diagnostics {
        assert!(!crate::render::text(found, &loaded.sources, true).is_empty(), "{found:?}");
    }
}
