//! Scripts in rule files: who may ask which, and what is said of mistakes.

use model::program::{Expr, Query};
use model::script::Kind;

use super::*;
use crate::fmt;
use crate::load::{load, load_groups};
use crate::placement::{self, Place};

const TABLE: &str = "[[script]]\nname = \"packed\"\nfile = \"lib/packed.wasm\"\n\
                     fields = [\"process.executable\", \"process.args\"]\n\
                     regexes = { z = \"b+\", a = \"c\" }\nglobs = { t = \"/tmp/*\" }\n\
                     capabilities = [\"regex\", \"kill\"]\n";

fn rule(id: &str, query: &str) -> String {
    format!(
        "[[rule]]\nid = \"{id}\"\nname = \"n\"\ndescription = \"d\"\nseverity = \"low\"\n\
         query = '''{query}'''\n"
    )
}

fn named(name: &str, text: String) -> (String, String) {
    (name.to_owned(), text)
}

fn errors(loaded: &Loaded) -> Vec<(&'static str, &str)> {
    let all = loaded.diagnostics.iter().filter(|one| one.is_error());
    all.map(|one| (one.code.as_str(), one.message.as_str())).collect()
}

fn one(text: String) -> Loaded {
    load([named("a.toml", text)])
}

#[test]
fn a_table_becomes_a_script_and_a_call_a_question() {
    let query = "process where event.action == \"exec\" and not packed.is_upx(process.executable, 1, \
                 length(process.name), \"x\") and packed.Other2()";
    let loaded = one(TABLE.to_owned() + &rule("r", query));
    assert_eq!(errors(&loaded), []);
    let [script] = loaded.program.scripts.as_slice() else { panic!() };
    assert_eq!((script.kind, script.file.as_str()), (Kind::Wasm, "lib/packed.wasm"));
    assert_eq!(script.fields.len(), 2);
    let names: Vec<&str> = script.regexes.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["z", "a"], "in the order of the text, which their handles are");
    assert_eq!(script.asks.words(), ["alert", "regex", "kill"]);
    assert_eq!(script.may, Capabilities::ALERT, "nothing is given by asking");
    assert_eq!(script.functions, ["is_upx", "Other2"]);
    let rule = &loaded.program.rules[0];
    assert_eq!(fmt::rule(rule, &loaded.program).unwrap(), query, "and it is written as it was");
    let names: Vec<_> =
        rule.reads(&loaded.program).iter().map(|id| field::field(*id).unwrap().name).collect();
    for wanted in ["process.executable", "process.args", "process.name", "event.action"] {
        assert!(names.contains(&wanted), "{wanted}: what the script may read counts");
    }
    let laid_out = fmt::format(query).unwrap();
    assert!(laid_out.contains("packed.is_upx(process.executable, 1, length("), "{laid_out}");
}

#[test]
fn all_dialects_and_forms_ask_scripts() {
    let ask = "packed.f(process.name)";
    for (dialect, query) in [
        ("elastic", "process where (process.pid == 1 or Q) and Q"),
        ("elastic", "sequence by process.pid [process where Q] ![file where Q] [process where Q]"),
        ("elastic", "sample by process.pid [process where Q] [file where Q]"),
        ("endpoint", "process where descendant of [process where Q]"),
        ("classic", "join [process where Q] [file where Q] until [process where Q]"),
        ("classic", "process where arraySearch(process.args, it, packed.g(it)) and Q == true"),
        ("classic", "sequence [process where true] as a [file where packed.g(a.process.pid)]"),
    ] {
        let query = query.replace('Q', ask).replace(
            "by process.pid [process where packed.f(process.name)] !",
            "by process.pid with maxspan=1m [process where packed.f(process.name)] !",
        );
        let text = rule("r", &query) + &format!("dialect = \"{dialect}\"\n");
        let loaded = one(TABLE.to_owned() + &text);
        assert_eq!(errors(&loaded), [], "{query}");
        let asked = loaded.program.rules[0].questions(&loaded.program);
        assert!(!asked.is_empty(), "{query}");
        assert_eq!(placement::of(&loaded.program.rules[0], &loaded.program).place, Place::Engine);
    }
}

#[test]
fn a_rule_that_denies_cannot_wait_for_a_script() {
    let query = "process where event.action == \"exec\" and process.executable == \"/bin/x\"";
    let deny = "response = [\"deny\"]\n";
    let control = one(TABLE.to_owned() + &rule("r", query) + deny);
    assert_eq!(errors(&control), []);
    let asks = format!("{query} and packed.f(process.name)");
    let loaded = one(TABLE.to_owned() + &rule("r", &asks) + deny);
    assert_eq!(errors(&loaded), [("E046", "`deny` would come after the act")]);
    assert!(loaded.diagnostics.iter().any(|one| one.label.contains("asked in user space")));
}

#[test]
fn scripts_are_known_in_all_files_of_a_load_and_in_no_other_group() {
    let asks = || named("b.toml", rule("b", "process where packed.f(process.name)"));
    let declares = || named("c.toml", TABLE.to_owned());
    let together = load([asks(), declares()]);
    assert_eq!((errors(&together), together.program.rules.len()), (vec![], 1), "in any order");
    let apart = load_groups([vec![declares()], vec![asks()]]);
    assert_eq!(errors(&apart), [("E022", "no function `packed.f`")], "a stranger's is not known");
    let own = |name: &str| {
        named(name, TABLE.to_owned() + &rule(&name[..1], "process where packed.f(process.name)"))
    };
    let both = load_groups([vec![own("x.toml")], vec![own("y.toml")]]);
    assert_eq!((errors(&both), both.program.scripts.len()), (vec![], 2), "each has its own");
    let asked = |at: usize| match &both.program.rules[at].query {
        Query::Event(filter) => match &filter.condition {
            Expr::Script { script, .. } => *script,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    assert_eq!((asked(0), asked(1)), (0, 1));
    let twice = load([own("x.toml"), declares()]);
    let found = twice.diagnostics.iter().find(|one| one.code == Code::Script).unwrap();
    assert_eq!(
        (found.file.as_str(), found.message.as_str()),
        ("c.toml", "there is another script `packed`")
    );
    assert!(found.help.as_ref().unwrap().contains("x.toml"), "both places are named");
}

#[test]
fn mistakes_are_told_where_they_are() {
    let table = |key: &str, by: &str| {
        let kept = TABLE.lines().filter(|line| !line.starts_with(key));
        kept.map(|line| line.to_owned() + "\n").collect::<String>() + by + "\n"
    };
    let long = format!("name = \"{}\"", "a".repeat(MAX_SCRIPT_NAME + 1));
    for (key, by, code, message) in [
        ("name", "name = \"Packed\"", "E004", "`Packed` is no name of a script"),
        ("name", "name = \"0a\"", "E004", "`0a` is no name of a script"),
        ("name", long.as_str(), "E004", "is no name of a script"),
        ("name", "", "E002", "`name` is missing"),
        ("file", "", "E002", "`file` is missing"),
        ("file", "file = \"/a.wasm\"", "E004", "is no file of a script"),
        ("file", "file = \"../a.wasm\"", "E004", "is no file of a script"),
        ("file", "file = \"a/../b.wasm\"", "E004", "is no file of a script"),
        ("file", "file = \".a.wasm\"", "E004", "is no file of a script"),
        ("file", "file = \"a\\u0000.wasm\"", "E004", "is no file of a script"),
        ("file", "file = \"a.so\"", "E004", "neither Wasm nor Luau"),
        ("fields", "fields = [\"process.nmae\"]", "E020", "no field `process.nmae`"),
        ("fields", "fields = [\"file.path\", \"file.path\"]", "E004", "stands here twice"),
        ("regexes", "regexes = { a = \"(\" }", "E025", "the regular expression cannot be used"),
        ("regexes", "regexes = [\"a\"]", "E004", "must be a table"),
        ("globs", "globs = { A = \"x\" }", "E004", "`A` is no name of a pattern"),
        ("capabilities", "capabilities = [\"kil\"]", "E004", "`kil` is no capability"),
        ("capabilities", "capabilites = []", "E003", "unknown key `capabilites`"),
    ] {
        let loaded = one(table(key, by) + &rule("r", "process where packed.f(process.name)"));
        let found = errors(&loaded);
        let told = found.iter().any(|(has, text)| *has == code && text.contains(message));
        assert!(told, "{by}: {found:?}");
        assert_eq!(loaded.program.rules.len(), 0, "{by}: the rule that asks it is not loaded");
    }
    for (query, code, message) in [
        ("process where paked.f(process.name)", "E022", "no function `paked.f`"),
        ("process where packed.f~(process.name)", "E023", "a script is asked without `~`"),
        ("process where packed.a.b(process.name)", "E022", "`a.b` is no function of a script"),
        ("process where packed.f(1,2,3,4,5,6,7,8,9)", "E005", "more than 8 arguments"),
        ("process where packed.f(process.nmae)", "E020", "no field `process.nmae`"),
        ("process where packed.f", "E020", "no field `packed.f`"),
    ] {
        let loaded = one(TABLE.to_owned() + &rule("r", query));
        let found = errors(&loaded);
        assert!(
            matches!(found.as_slice(), [(has, text)] if *has == code && text.contains(message)),
            "{query}: {found:?}"
        );
    }
    let near = one(TABLE.to_owned() + &rule("r", "process where paked.f(process.name)"));
    let wrong = near.diagnostics.iter().find(|one| one.is_error());
    let help = wrong.and_then(|one| one.help.clone());
    assert_eq!(help.as_deref(), Some("there is a script `packed`: `packed.f(…)`"));
}

#[test]
fn a_refused_script_takes_its_rules_along_and_no_others() {
    let rules = rule("asks", "process where packed.f(process.name)")
        + &rule("asks-not", "process where process.name == \"x\"")
        + "[[script]]\nname = \"fine\"\nfile = \"fine.luau\"\n"
        + &rule("asks-another", "process where fine.f(process.name)");
    let mut loaded = one(TABLE.to_owned() + &rules);
    assert_eq!(loaded.program.rules.len(), 3, "the control");
    let help = "build it again".to_owned();
    let refuse =
        |message: &str| Refusal { script: 0, message: message.to_owned(), help: help.clone() };
    loaded.refuse_scripts(&[refuse("S003: no module"), refuse("S001: a later reason")]);
    let ids: Vec<&str> = loaded.program.rules.iter().map(|rule| rule.meta.id.as_str()).collect();
    assert_eq!(ids, ["asks-not", "asks-another"]);
    let found = errors(&loaded);
    assert_eq!(found, [("E047", "S003: no module"), ("E047", "the script `packed` is not run")]);
    let source = &loaded.sources[0].text;
    let places: Vec<&str> = loaded
        .diagnostics
        .iter()
        .filter(|one| one.is_error())
        .map(|one| &source[one.span.clone()])
        .collect();
    assert_eq!(places[0], "\"lib/packed.wasm\"");
    assert!(places[1].contains("packed.f"), "{places:?}");
}

#[test]
fn rules_of_others_ask_no_scripts() {
    let elastic = "[metadata]\nx = 1\n[rule]\nrule_id = \"e\"\nname = \"e\"\nlanguage = \"eql\"\ntype = \"eql\"\n\
                   query = '''process where packed.f(process.name)'''\n";
    let loaded = load([named("a.toml", TABLE.to_owned()), named("e.toml", elastic.to_owned())]);
    assert_eq!(errors(&loaded), [("E047", "a rule of Elastic asks no scripts")]);
    let declares = load([named("e.toml", elastic.to_owned() + TABLE)]);
    assert!(errors(&declares).contains(&("E047", "a rule of Elastic asks no scripts")));
}
