//! Random events whose values come from a few, so that they meet.

use std::net::Ipv4Addr;

use model::value::{Node, Value};
use proptest::prelude::*;

use crate::detect::sample::{Ev, S};

/// Texts of names and arguments.
pub(super) const WORDS: &[&[u8]] =
    &[b"", b"a", b"A", b"b", b"ab", b"aB", b"ba", b"1", b"0x1f", b"2.5", "é".as_bytes(), b"a\xff"];

/// Whether a process can be the parent of the one that an event is about: nobody is an ancestor of
/// himself, so ids grow.
fn is_older(parent: i64, keys: &[Value<'static>]) -> bool {
    match keys.first() {
        Some(Value::Int(own)) => parent < *own,
        // The text "1" is the same process as the number.
        Some(Value::Str(_)) => parent < 1,
        _ => true,
    }
}

fn event() -> impl Strategy<Value = Ev> {
    let word = || prop::sample::select(WORDS);
    let categories: Vec<&'static [&'static str]> = vec![&["process"], &["file", "process"], &[]];
    let key = prop_oneof![
        12 => (0i64..3).prop_map(|key| vec![Value::Int(key)]),
        1 => Just(Vec::new()),
        1 => Just(vec![Value::Str(b"1")]),
        2 => prop::collection::vec((0i64..3).prop_map(Value::Int), 2..4),
    ];
    let map = (0i64..3, word()).prop_map(|(number, text)| {
        Node::Map(vec![("n".into(), Node::Int(number)), ("t".into(), Node::Str(text.into()))])
    });
    let item = prop_oneof![map, (0i64..3).prop_map(Node::Int), Just(Node::Null)];
    let fields = (
        prop::sample::select(categories),
        prop::sample::select(vec!["a", "b", "c"]),
        key,
        prop::option::of(0i64..3),
        prop::option::of(word()),
        prop::collection::vec(word(), 0..3),
        prop::option::of((0u8..4).prop_map(|a| Ipv4Addr::new(10, 0, 0, a).into())),
        prop::option::of((-3i32..4).prop_map(|half| f64::from(half) / 2.0)),
        prop::collection::vec(item, 0..3),
    );
    fields.prop_map(|(categories, action, keys, parent, name, args, address, float, list)| Ev {
        parent: parent.filter(|parent| is_older(*parent, &keys)),
        number: 0,
        time: 0,
        categories,
        action: action.to_owned(),
        keys,
        name,
        args: args.iter().flat_map(|arg| [*arg, b"\0"].concat()).collect(),
        address,
        float,
        list,
    })
}

/// Some events in the order of time; several may happen at once.
pub(super) fn stream(most: usize) -> impl Strategy<Value = Vec<Ev>> {
    prop::collection::vec((event(), 0i64..3), 0..=most).prop_map(|events| {
        let mut time = 0;
        let placed = (1..).zip(events).map(|(number, (event, pause))| {
            time += pause * S;
            Ev { number, time, ..event }
        });
        placed.collect()
    })
}
