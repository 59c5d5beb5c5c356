//! What documents become, in which order, and what is refused.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use model::field::{self, FIELDS, FieldId};
use model::value::{Fields, Value};

use super::{Bad, Event, Lines, Names, Order, Ordered};

/// Fields that only documents have, in the order of their numbers.
const MORE: &[&str] = &["event_type", "list", "nested.list", "nested", "a.b"];

fn names() -> Arc<Names> {
    let more: Vec<String> = MORE.iter().map(|name| (*name).to_owned()).collect();
    Arc::new(Names::new(&more, |_| true))
}

fn more(name: &str) -> FieldId {
    let index = MORE.iter().position(|known| *known == name).unwrap();
    FieldId(u16::try_from(FIELDS.len() + index).unwrap())
}

fn read(text: &str) -> Event {
    let mut event = Event::new(names());
    event.read(text.as_bytes()).unwrap_or_else(|bad| panic!("{text}: {bad}"));
    event
}

fn values(event: &Event, id: FieldId) -> Vec<Value<'_>> {
    event.get(id).each().collect()
}

#[test]
fn dotted_and_nested_names_are_the_same() {
    for text in [
        r#"{"process.parent.name": "nginx", "user.id": "0", "event.category": "process"}"#,
        r#"{"process": {"parent": {"name": "nginx"}}, "user": {"id": 0}, "event": {"category": ["process"]}}"#,
        r#" {"process.parent": {"name": "ngi\u006ex"}, "user" : {"\u0069d": "0"}, "event.category": ["process"]} "#,
    ] {
        let event = read(text);
        assert_eq!(event.get(field::PROCESS_PARENT_NAME), Value::str("nginx"), "{text}");
        assert_eq!(event.get(field::USER_ID), Value::Int(0), "{text}");
        assert_eq!(values(&event, field::EVENT_CATEGORY), [Value::str("process")], "{text}");
        assert_eq!(event.get(field::PROCESS_PID), Value::Null, "{text}");
    }
}

#[test]
fn values_take_the_type_of_their_field() {
    let event = read(
        r#"{"process":{"pid":"7","args":["a\n","b",3,true,null,["c"]],"interactive":"true","name":5},
            "source":{"ip":"::1"},"host":{"ip":["10.0.0.1","none"]},"@timestamp":1700000000000,
            "a":{"b":[1,2.5,"x",false]},"user":{"id":"S-1-5"}}"#,
    );
    assert_eq!(event.get(field::PROCESS_PID), Value::Int(7));
    let args = ["a\n", "b", "3", "true", "c"].map(Value::str);
    assert_eq!(values(&event, field::PROCESS_ARGS), args);
    assert_eq!(event.get(field::PROCESS_INTERACTIVE), Value::Bool(true));
    assert_eq!(event.get(field::PROCESS_NAME), Value::str("5"));
    assert_eq!(event.get(field::SOURCE_IP), Value::Ip("::1".parse().unwrap()));
    let addresses = [Value::str("10.0.0.1"), Value::str("none")];
    assert_eq!(values(&event, field::HOST_IP), addresses);
    assert_eq!(event.time(), Some(1_700_000_000_000_000_000));
    let mixed = [Value::Int(1), Value::Float(2.5), Value::str("x"), Value::Bool(false)];
    assert_eq!(values(&event, more("a.b")), mixed);
    assert_eq!(event.get(field::USER_ID), Value::str("S-1-5"));
}

#[test]
fn absent_is_what_is_null_or_empty() {
    let event = read(r#"{"process":{"name":null,"args":[],"env_vars":[null]},"list":[]}"#);
    for id in [field::PROCESS_NAME, field::PROCESS_ARGS, field::PROCESS_ENV_VARS, more("list")] {
        assert_eq!(event.get(id).each().count(), 0, "{id:?}");
    }
}

#[test]
fn objects_in_arrays_add_their_values() {
    let text = r#"{"nested":{"list":[{"a":"x","c":[{"d":1}]},{"a":"y"}]},"process":[{"name":"a"},{"name":"b"}]}"#;
    let event = read(text);
    assert_eq!(values(&event, field::PROCESS_NAME), [Value::str("a"), Value::str("b")]);
    let list = event.get(more("nested.list"));
    assert_eq!(list.nth(1).at("a"), Value::str("y"));
    assert_eq!(list.nth(0).at("c").nth(0).at("d"), Value::Int(1));
    assert_eq!(event.get(more("nested")).at("list"), list);
}

#[test]
fn the_last_of_two_values_wins_and_names_of_fields_beat_aliases() {
    let event =
        read(r#"{"process.pid":1,"process":{"pid":2},"event_type":"file","pid":9,"timestamp":1}"#);
    assert_eq!(event.get(field::PROCESS_PID), Value::Int(2));
    assert_eq!(values(&event, field::EVENT_CATEGORY), [Value::str("file")]);
    assert_eq!(event.get(more("event_type")), Value::str("file"));
    let event = read(r#"{"event_type":"file","event":{"category":"process"}}"#);
    assert_eq!(values(&event, field::EVENT_CATEGORY), [Value::str("process")]);
}

#[test]
fn an_event_is_empty_again_before_it_is_filled() {
    let mut event = read(r#"{"process":{"name":"a"},"list":[1]}"#);
    event.read(br#"{"process":{"pid":1}}"#).unwrap();
    assert_eq!(event.get(field::PROCESS_NAME), Value::Null);
    assert_eq!(event.get(more("list")), Value::Null);
    assert_eq!(event.view().document(), br#"{"process":{"pid":1}}"#);
}

#[test]
fn what_is_no_json_is_refused_wherever_it_stands() {
    let deep = "[".repeat(100) + &"]".repeat(100);
    for (text, reason) in [
        ("", "byte 0: expected an object"),
        ("[]", "byte 0: expected an object"),
        ("{", "byte 1: expected a string"),
        (r#"{"x":1"#, "byte 6: expected a comma or a closing brace"),
        (r#"{"x":01}"#, "byte 5: expected a value"),
        (r#"{"x":1.}"#, "byte 5: expected a value"),
        (r#"{"x":nul}"#, "byte 5: expected a value"),
        (r#"{"x":"a}"#, "byte 6: expected a closing quote"),
        (r#"{"x":1} y"#, "byte 8: expected the end of the line"),
        (r#"{"x":[1,]}"#, "byte 8: expected a value"),
        (r#"{"process":{"name":"\q"}}"#, "an escape in a string is not one of JSON"),
        (&format!(r#"{{"x":{deep}}}"#), "objects and arrays are nested deeper than 64"),
    ] {
        let bad = Event::new(names()).read(text.as_bytes()).unwrap_err();
        assert_eq!(bad.to_string(), reason, "{text}");
    }
    assert_eq!(Event::new(names()).read(b"{\"\xff\":1}"), Err(Bad::Utf8 { at: 2 }));
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn positions(path: &Path, order: Order) -> (Vec<u64>, Ordered) {
    let mut events = Ordered::new(Lines::open(path).unwrap(), names(), order);
    let mut all = Vec::new();
    while let Some(placed) = events.next().unwrap() {
        all.push(placed.position);
    }
    (all, events)
}

#[test]
fn events_come_by_time_then_sequence_then_place() {
    let file = file(
        "{\"@timestamp\":5}\n{\"@timestamp\":3,\"event.sequence\":2}\n\n{\"x\":1}\n\
         {\"@timestamp\":3,\"event.sequence\":1}\n{bad\n{\"@timestamp\":1}",
    );
    assert_eq!(positions(file.path(), Order::Input).0, [1, 2, 4, 5, 7]);
    let (all, events) = positions(file.path(), Order::Time(100));
    assert_eq!(all, [7, 5, 2, 4, 1]);
    assert_eq!((events.report.events, events.report.bad), (5, 1));
    assert_eq!(events.report.first_bad[0].0, 6);
    assert_eq!(events.recall(4).unwrap(), b"{\"x\":1}");
    assert_eq!(events.recall(7).unwrap(), b"{\"@timestamp\":1}");
    assert_eq!(events.recall(8), None);
    // What is later than the window keeps its place.
    assert_eq!(positions(file.path(), Order::Time(2)).0, [2, 4, 5, 7, 1]);
}

#[test]
fn an_array_is_read_like_lines() {
    let file = file(" [ {\"@timestamp\":2} ,\n {\"@timestamp\":1}]\n");
    let (all, events) = positions(file.path(), Order::Time(9));
    assert_eq!(all, [2, 1]);
    assert_eq!(events.recall(1).unwrap(), b"{\"@timestamp\":2}");
    let bad = super::tests::file("[{}, x]");
    assert!(Lines::open(bad.path()).unwrap_err().to_string().contains("expected a value"));
}

#[test]
fn earlier_documents_are_found_far_back() {
    let lines: Vec<String> = (1..=500).map(|n| format!("{{\"n\":{n}}}")).collect();
    let file = file(&lines.join("\n"));
    let (all, events) = positions(file.path(), Order::Input);
    assert_eq!(all.len(), 500);
    for n in [1, 63, 64, 65, 128, 129, 500] {
        assert_eq!(events.recall(n).unwrap(), lines[usize::try_from(n).unwrap() - 1].as_bytes());
    }
}

#[test]
fn a_line_that_is_too_long_is_stepped_over() {
    let file = file(&format!("{{\"a\":\"{}\"}}\n{{}}\n", "x".repeat(super::source::LINE_MAX)));
    let (all, events) = positions(file.path(), Order::Input);
    assert_eq!(all, [2]);
    assert_eq!(events.report.first_bad, [(1, Bad::Long)]);
}

#[test]
fn lines_of_any_length_are_whole_whatever_blocks_they_stand_in() {
    let sizes = [1, 70, 300_000, 5, 262_100, 262_144, 900_000, 2, 60];
    let lines: Vec<String> = sizes
        .iter()
        .map(|size| format!("{{\"process.name\":\"{}\"}}", "n".repeat(*size)))
        .collect();
    for ending in ["", "\n", "\n\n \n"] {
        let file = file(&(lines.join("\n") + ending));
        let mut events = Ordered::new(Lines::open(file.path()).unwrap(), names(), Order::Input);
        for (position, line) in (1..).zip(&lines) {
            let placed = events.next().unwrap().unwrap();
            assert_eq!(placed.position, position);
            assert_eq!(placed.event.document(), line.as_bytes());
        }
        assert!(events.next().unwrap().is_none());
        assert_eq!(events.recall(7).unwrap(), lines[6].as_bytes());
    }
}

#[test]
fn only_what_is_asked_for_is_kept() {
    let names = Arc::new(Names::new(&[], |id| id == field::PROCESS_NAME));
    let mut event = Event::new(names);
    event.read(br#"{"process":{"name":"a","pid":1},"pid":2}"#).unwrap();
    assert_eq!(event.get(field::PROCESS_NAME), Value::str("a"));
    assert_eq!(event.get(field::PROCESS_PID), Value::Null);
}
