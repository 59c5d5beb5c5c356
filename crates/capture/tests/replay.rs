//! A recording replayed finds what was found live, also where it begins in the middle.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod busy;

use std::sync::Arc;

use capture::block::Loss;
use capture::frame::Kind;
use capture::{Block, Head, Item, Piece, Player, Reader, RuleSet, Verdict, Writer};
use engine::{Engine, NoScripts};
use model::program::Program;
use model::script::Scripts;
use model::wire::Record;

use busy::{Live, head, host, program, rules};

/// The records of a busy host.
fn stream(records: u64) -> Vec<Vec<u8>> {
    busy::stream(records).collect()
}

fn no_scripts(_: &Program) -> Box<dyn Scripts> {
    Box::new(NoScripts)
}

/// Plays a recording with these rules.
fn play(bytes: &[u8], program: &Program, given: &RuleSet) -> (Verdict, Vec<u128>) {
    let mut reader = Reader::open(bytes).unwrap();
    let mut player: Option<Player<'_>> = None;
    let mut found = Vec::new();
    while let Some(piece) = reader.next_piece().unwrap() {
        let Piece::Frame(frame) = piece else {
            player.as_mut().unwrap().gap();
            continue;
        };
        match (frame.header.kind, &mut player) {
            (Kind::Head, None) => {
                let head = Head::of(&frame).unwrap();
                let new = Player::new(head, program.clone(), given.clone(), &no_scripts);
                player = Some(new.unwrap());
            }
            (Kind::Head, Some(player)) => player.head(Head::of(&frame).unwrap()).unwrap(),
            (Kind::State, Some(player)) => player.state(&frame.block().unwrap()),
            (Kind::Items, Some(player)) => player
                .items(frame.header.number, &frame.block().unwrap(), &mut |heard| {
                    heard
                        .found(&mut |_, matched| {
                            found.push(matched.id);
                            Ok(())
                        })
                        .unwrap();
                })
                .unwrap(),
            (Kind::End, Some(player)) => player.end(),
            other => panic!("{other:?}"),
        }
    }
    (player.unwrap().finish(), found)
}

/// A recording from the beginning.
fn whole(records: &[Vec<u8>]) -> (Vec<u8>, u64) {
    let mut live = Live::new();
    let mut writer = Writer::begin(Vec::new(), &head(&live.engine, 0, true), &[]).unwrap();
    live.run(records, &mut |block| writer.block(block).unwrap());
    (writer.end().unwrap(), live.alerts)
}

#[test]
fn a_replay_finds_what_was_found_live() {
    let (bytes, alerts) = whole(&stream(3_000));
    let (verdict, found) = play(&bytes, &program(), &rules());
    assert!(alerts > 300, "{alerts} alerts are few");
    assert_eq!((verdict.live, verdict.replayed, verdict.different), (alerts, alerts, 0));
    assert_eq!(found.len() as u64, alerts);
    assert_eq!(verdict.live_digest, verdict.replayed_digest);
    assert_eq!((verdict.open, verdict.gaps, verdict.malformed, verdict.other_rules), (0, 0, 0, 0));
    assert!(verdict.whole && verdict.closed);
    let (again, same) = play(&bytes, &program(), &rules());
    assert_eq!((again, same), (verdict, found), "and again the same");
}

#[test]
fn other_rules_find_something_else_and_that_is_told() {
    let (bytes, alerts) = whole(&stream(500));
    let mut fewer = program();
    fewer.rules.remove(0);
    let (verdict, _) = play(&bytes, &fewer, &RuleSet::of(&fewer, std::iter::empty()));
    assert_eq!(verdict.other_rules, 1);
    assert_eq!(verdict.live, alerts);
    assert!(verdict.different > 0 && verdict.replayed + verdict.different == alerts);
    let text = &verdict.differences[0];
    assert!(text.contains("opens-shadow was found only live"), "{text}");
    assert_ne!(verdict.live_digest, verdict.replayed_digest);
}

#[test]
fn what_an_engine_knows_is_known_to_the_one_that_is_told() {
    let records = stream(4_000);
    let (before, after) = records.split_at(2_000);
    let mut live = Live::new();
    for bytes in before {
        live.take(bytes);
    }
    let mut told = Engine::new(Arc::new(program()), host()).unwrap();
    for block in capture::state::of(&live.engine) {
        for item in block.iter() {
            match item.unwrap() {
                Item::Fact(fact) => told.learn(fact),
                Item::Known(bytes) => told.recall(&Record::parse(bytes).unwrap()),
                other => panic!("{other:?}"),
            }
        }
    }
    told.resume(live.engine.stats().events);
    let mut events = 0;
    for (number, bytes) in after.iter().enumerate() {
        let record = Record::parse(bytes).unwrap();
        let mut shown = [None, None];
        for (engine, shown) in [&mut live.engine, &mut told].into_iter().zip(&mut shown) {
            engine.push(&record, &mut |view, _| {
                *shown = Some(serde_json::Value::Object(model::json::document(view)));
            });
        }
        let [one, other] = shown;
        assert_eq!(one, other, "record {number}");
        events += u64::from(one.is_some());
    }
    assert!(events > 1_800, "{events}");
}

#[test]
fn a_recording_that_begins_in_the_middle_is_equal_but_for_what_was_before() {
    let records = stream(4_000);
    let (before, after) = records.split_at(2_000);
    let mut live = Live::new();
    for bytes in before {
        live.take(bytes);
    }
    live.block.clear();
    let (head, state) = (head(&live.engine, 40, false), capture::state::of(&live.engine));
    let mut writer = Writer::begin(Vec::new(), &head, &state).unwrap();
    live.run(after, &mut |block| writer.block(block).unwrap());
    let (verdict, _) = play(&writer.end().unwrap(), &program(), &rules());
    assert_eq!(verdict.differences, Vec::<String>::new());
    assert!(verdict.live > 300 && verdict.live_digest == verdict.replayed_digest);
    assert!(verdict.open < 60, "{} of {} are open", verdict.open, verdict.live);
    assert!(!verdict.whole);
}

#[test]
fn a_segment_that_goes_on_where_another_ended_changes_nothing() {
    let records = stream(3_000);
    let (bytes, _) = whole(&records);
    let (expected, found) = play(&bytes, &program(), &rules());
    let mut live = Live::new();
    let mut writer = Writer::begin(Vec::new(), &head(&live.engine, 0, true), &[]).unwrap();
    let mut segments = Vec::new();
    let mut blocks = Vec::new();
    live.run(&records, &mut |block| blocks.push(block.clone()));
    // What the engine knew in between is told again, and is known.
    let known = capture::state::of(&live.engine);
    for (number, block) in blocks.iter().enumerate() {
        if number == 30 {
            segments.push(writer.end().unwrap());
            let next = head(&live.engine, 30, false);
            writer = Writer::begin(Vec::new(), &next, &known).unwrap();
        }
        writer.block(block).unwrap();
    }
    segments.push(writer.end().unwrap());
    let (verdict, same) = play(&segments.concat(), &program(), &rules());
    assert_eq!((verdict, same), (expected, found));
}

#[test]
fn what_is_missing_is_told_and_nothing_after_it_is_called_a_difference() {
    let records = stream(2_000);
    let mut live = Live::new();
    let mut writer = Writer::begin(Vec::new(), &head(&live.engine, 0, true), &[]).unwrap();
    let mut number = 0;
    live.run(&records, &mut |block| {
        number += 1;
        if number == 12 {
            let mut lost = Block::new();
            lost.loss(Loss { items: block.items().into(), bytes: 1 });
            writer.block(&lost).unwrap();
        } else {
            writer.block(block).unwrap();
        }
    });
    let bytes = writer.end().unwrap();
    let (verdict, _) = play(&bytes, &program(), &rules());
    assert!(verdict.lost.items > 50 && verdict.gaps == 0);
    assert_eq!(verdict.different, 0);
    assert_eq!(verdict.live_digest, verdict.replayed_digest);
    assert!(verdict.open > 0 && verdict.live > 0, "{verdict:?}");
    // A frame in the middle is damaged.
    let mut damaged = bytes.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    let (verdict, _) = play(&damaged, &program(), &rules());
    assert_eq!((verdict.gaps > 0, verdict.different), (true, 0));
}

#[test]
fn a_forged_alert_and_a_missing_one_are_found() {
    let records = stream(1_000);
    for forged in [true, false] {
        let mut live = Live::new();
        let mut writer = Writer::begin(Vec::new(), &head(&live.engine, 0, true), &[]).unwrap();
        let mut done = false;
        live.run(&records, &mut |block| {
            let mut other = Block::new();
            for item in block.iter() {
                match item.unwrap() {
                    Item::Record(bytes) => other.record(bytes),
                    Item::Fact(fact) => other.fact(&fact),
                    Item::Tick(now) => other.tick(now),
                    Item::Match(found) => {
                        let members: Vec<u64> = found.members().collect();
                        let rule = std::str::from_utf8(found.rule).unwrap();
                        if done || forged {
                            other.matched(found.id, rule, &members);
                        }
                        if !done && forged {
                            other.matched(found.id ^ 1, rule, &members);
                        }
                        done = true;
                    }
                    item => panic!("{item:?}"),
                }
            }
            writer.block(&other).unwrap();
        });
        let (verdict, _) = play(&writer.end().unwrap(), &program(), &rules());
        assert_eq!(verdict.different, 1, "{:?}", verdict.differences);
        let only = if forged { "only live" } else { "only in the replay" };
        assert!(verdict.differences[0].ends_with(only), "{:?}", verdict.differences);
        assert_ne!(verdict.live_digest, verdict.replayed_digest);
    }
}
