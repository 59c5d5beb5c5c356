//! Tables against the oracle.

use std::net::IpAddr;

use model::policy::{Mode, Operation, Policy, Verdict};
use proptest::collection::vec;
use proptest::prelude::*;

use super::host::{Host, Image, Request, Thing};
use super::oracle::{Oracle, Past};
use super::random::{self, NOW};
use crate::network::{Endpoint, destination};
use crate::subjects::{Facts, Maps, Process};
use crate::tables::Content;
use crate::{Compiled, Labels, Options, Tables, compile};

/// What happens: a process runs something new, or asks for something.
#[derive(Debug, Clone)]
enum Event {
    Exec(Image),
    Ask(Request),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        1 => random::image().prop_map(Event::Exec),
        4 => random::request().prop_map(Event::Ask),
    ]
}

pub(crate) fn options(mode: Mode) -> Options {
    Options { generation: 3, mode, now: NOW }
}

pub(crate) fn exec(compiled: &Compiled, maps: &Maps, image: &Image, before: &Process) -> Process {
    let tables = &compiled.tables;
    let executable = tables.label_path(image.executable.as_bytes());
    let script = image.script.map(|script| tables.label_path(script.as_bytes()));
    let script = script.unwrap_or_default();
    let facts = Facts {
        executable: executable.as_slice(),
        script: script.as_slice(),
        hash: Content::Is(image.hash),
        user: maps.user(image.user),
        group: maps.group(&image.groups),
        cgroup: maps.cgroup(image.cgroup),
        login: image.login,
    };
    tables.subjects.exec(&facts, before)
}

fn process(compiled: &Compiled, maps: &Maps, past: &Past) -> Process {
    let images = past.images.iter();
    images.fold(Process::default(), |before, image| exec(compiled, maps, image, &before))
}

fn labels(compiled: &Compiled, maps: &Maps, request: &Request) -> Labels {
    let tables = &compiled.tables;
    match &request.thing {
        Thing::Path(path) => tables.label_path(path),
        Thing::Hash(hash) => tables.label_hash(hash),
        Thing::Capability(number) => tables.label_capability(*number),
        Thing::CreatedBy(past) => tables.label_created(&process(compiled, maps, past)),
        Thing::Process(past) => tables.label_process(&process(compiled, maps, past)),
        Thing::Peer(peer, names) => {
            let known = compiled.names.iter().filter(|one| names.contains(&one.0));
            let classes: Vec<u32> = known.map(|one| one.1).collect();
            tables.label_peer(peer, request.operation, &classes)
        }
        Thing::Nothing => Labels::default(),
    }
}

/// Tables that know of names what the request says, and something of all names.
fn resolved(
    compiled: &Compiled,
    operation: Operation,
    peer: &Endpoint,
    names: &[String],
) -> Tables {
    let known = compiled.names.iter().filter(|one| names.contains(&one.0));
    let address = destination(peer.address, operation);
    let asked = known.map(|one| (one.1, address));
    let other = compiled.names.iter().map(|one| (one.1, IpAddr::from([198, 51, 100, 7])));
    compiled.tables.resolved(&asked.chain(other).collect::<Vec<_>>()).unwrap()
}

fn check(
    policies: &[Policy],
    mode: Mode,
    start: &Image,
    events: &[Event],
) -> Result<(), TestCaseError> {
    let oracle = Oracle { policies, mode, now: NOW };
    let compiled = compile(policies, &options(mode)).unwrap();
    let maps = compiled.symbols.resolve(&Host);
    let mut past = Past { images: vec![start.clone()], ..Past::default() };
    let mut subject = exec(&compiled, &maps, start, &Process::default());
    for event in events {
        let request = match event {
            Event::Exec(image) => {
                past.images.push(image.clone());
                subject = exec(&compiled, &maps, image, &subject);
                continue;
            }
            Event::Ask(request) => request,
        };
        let labels = labels(&compiled, &maps, request);
        prop_assume!(!labels.unresolved);
        let decision = compiled.tables.decide(&subject, request.operation, &labels);
        if let Thing::Peer(peer, names) = &request.thing
            && (names.is_empty() || !destination(peer.address, request.operation).is_unspecified())
        {
            // Names that are resolved are decided as if who asks told them.
            let tables = resolved(&compiled, request.operation, peer, names);
            let labels = tables.label_peer(peer, request.operation, &[]);
            let again = tables.decide(&subject, request.operation, &labels);
            prop_assert!(labels.unresolved || again == decision, "{:?} {:?}", again, request);
            prop_assert!(tables.is_resolved_from(&compiled.tables));
            prop_assert_eq!(Tables::parse(&tables.encode().unwrap()).unwrap(), tables);
        }
        let expected = oracle.decide(&past, request, false);
        prop_assert_eq!((decision.verdict, decision.why), expected, "{:?}", request);
        let would = oracle.decide(&past, request, true);
        prop_assert_eq!(decision.would, (would.0 != expected.0).then_some(would), "{:?}", request);
        let audits = oracle.audits(&past, request);
        prop_assert_eq!(decision.audited, !audits.is_empty());
        let audited = compiled.tables.audits(&subject, request.operation, &labels);
        prop_assert_eq!(audited, audits, "{:?}", request);
        if decision.verdict == Verdict::Allow {
            past.armed.extend(oracle.arms(&past, request));
            subject.armed |= decision.arms;
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn tables_decide_as_the_policies_say(
        policies in vec(random::policy(), 1..4),
        audit in any::<bool>(),
        start in random::image(),
        events in vec(event(), 1..24),
    ) {
        check(&policies, if audit { Mode::Audit } else { Mode::Enforce }, &start, &events)?;
    }
}
