//! What a sound Luau script sees and can do.

use model::program::Severity;
use model::script::Scripts;
use model::value::{List, Node, Value};

use crate::common::{Bench, SECOND, luau, path};

/// Asks one script, which must be sound.
fn holds(body: &str, args: &[Value<'_>]) -> bool {
    let mut bench = Bench::sound(vec![luau(body)]);
    let answer = bench.ask(0, args);
    assert_eq!(bench.runtime.incidents(), [], "{body}");
    answer
}

#[test]
fn values_are_those_of_the_language() {
    for (body, value) in [
        ("return value == nil", Value::Null),
        ("return value == true", Value::Bool(true)),
        ("return value == 17", Value::Int(17)),
        ("return value == '9007199254740993'", Value::Int((1 << 53) + 1)),
        ("return value == 0.5", Value::Float(0.5)),
        ("return value == '/tmp/x'", Value::str("/tmp/x")),
        ("return value == '\\xff'", Value::Str(b"\xff")),
        ("return value == '::1'", Value::Ip("::1".parse().unwrap())),
        ("return #value == 2 and value[2] == '-c'", Value::List(List::Nul(b"sh\0-c\0"))),
        ("return value[1] == 'a'", Value::List(List::Words(&["a"]))),
    ] {
        assert!(holds(body, &[value]), "{body}");
    }
    let map = Node::Map(vec![("k".into(), Node::Int(1))]);
    assert!(holds("return value.k == 1", &[map.value()]));
    let long = vec![b'x'; 100_000];
    assert!(holds("return #value == 65536", &[Value::Str(&long)]), "cut");
}

#[test]
fn it_reads_its_fields_and_patterns_and_the_time_of_the_event() {
    let body = "return event.field('process.executable') == '/tmp/x'
                    and event.field('process.args')[3] == 'id'
                    and glob.tmp(value) and not glob.tmp('/usr') and glob.tmp({ 'a', '/tmp/b' })
                    and regex.shell('/bin/dash') and not regex.shell(value)
                    and event.time() == 1000";
    assert!(holds(body, &path()));
}

#[test]
fn the_time_that_passes_is_that_of_events() {
    let body = "local before = state.get('seen') state.put('seen', value, 2000)
                return before == value";
    let mut bench = Bench::sound(vec![luau(body)]);
    assert!(!bench.ask(0, &path()));
    assert!(bench.ask(0, &path()));
    bench.time += 2 * SECOND;
    assert!(!bench.ask(0, &path()), "it has expired");
    assert_eq!(bench.runtime.standing(0).entries, 1);
}

#[test]
fn what_it_says_is_typed_and_in_order() {
    let body = "emit('two', 'high', { b = 2, a = 'x', c = true, d = 0.5 }) emit('three')
                return request('alert') and not request('kill')";
    let mut bench = Bench::sound(vec![luau(body)]);
    assert!(bench.ask(0, &path()));
    assert_eq!(bench.causes(), ["refused"], "kill was not granted");
    let said = bench.runtime.said(0).unwrap();
    assert_eq!(said.alerts.len(), 2);
    assert_eq!(said.alerts[0].severity, Some(Severity::High));
    let fields: Vec<_> = said.alerts[0].fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(fields, ["a", "b", "c", "d"]);
    assert_eq!(said.alerts[0].fields[1].1, Node::Int(2));
    assert_eq!(said.alerts[1].message, "three");
    let requests: Vec<_> =
        said.requests.iter().map(|one| (one.action.as_str(), one.granted)).collect();
    assert_eq!(requests, [("alert", true), ("kill", false)]);
    assert_eq!(bench.runtime.said(0), None, "it was taken");
}

#[test]
fn errors_can_be_caught_and_the_language_is_whole() {
    let body = "local fine, why = pcall(error, 'x')
                local other = select(2, xpcall(error, function(e) return e .. '!' end, 'y'))
                local co = coroutine.wrap(function(a) local b = coroutine.yield(a + 1) return b * 2 end)
                local list = { 3, 1, 2 } table.sort(list)
                return not fine and why == 'x' and other == 'y!' and co(1) == 2 and co(5) == 10
                    and list[1] == 1 and ('%d-%s'):format(1, 'a') == '1-a' and #('a,b'):split(',') == 2
                    and (('abc'):gsub('b', 'x')) == 'axc' and math.floor(1.5) == 1
                    and bit32.band(6, 3) == 2 and utf8.len('ö') == 1 and tostring({}) == 'table'";
    assert!(holds(body, &path()));
}

#[test]
fn several_arguments_reach_it_in_order() {
    let source = b"return { f = function(a, b, c, d) return a == 1 and b == 'b' and c == nil and d == true end }";
    let script = crate::common::script(model::script::Kind::Lua, source, &["f"]);
    let mut bench = Bench::sound(vec![script]);
    let args = [Value::Int(1), Value::str("b"), Value::Null, Value::Bool(true)];
    assert!(bench.ask(0, &args));
    assert!(!bench.ask(0, &args[..3]));
}
