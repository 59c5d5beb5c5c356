//! The whole way from real BPF rings: bursts are put into them, then taken out, decoded and
//! followed by one core. Producer and consumer take turns, so the figure is the consumer's own.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::{Engine, Host};
use kernel::{Options, Rings, Sensors};
use model::op::Kind;
use model::program::Program;
use model::wire::{RING_LIFE, RING_REST, Record};

use crate::mix::Mix;

/// Records put in before they are taken out; they fit into the default rings.
const BURST: usize = 4_000;
/// Later than every merge window.
const LATE: u64 = u64::MAX;

/// Measures and prints. Needs root.
pub(crate) fn run(mix: &Mix) -> Result<(), Box<dyn std::error::Error>> {
    let sensors = Sensors::load(Options::default())?;
    let Some(mut injector) = sensors.injector() else {
        return Err("this kernel cannot put records into a ring from user space".into());
    };
    let [alarm, life, rest] = sensors.ring_fds().map(|fd: BorrowedFd<'_>| fd.try_clone_to_owned());
    let mut rings = Rings::new([alarm?, life?, rest?])?;
    let mut engine = Engine::new(Arc::new(Program::default()), Host::default())?;
    let (mut spent, mut events, mut bad) = (Duration::ZERO, 0usize, 0usize);
    let all: Vec<&[u8]> = mix.records().collect();
    for burst in all.chunks(BURST) {
        for bytes in burst {
            let kind = Record::parse(bytes)?.kind();
            let is_life = matches!(kind, Kind::Fork | Kind::Exec | Kind::Exit);
            injector.put(if is_life { RING_LIFE } else { RING_REST }, bytes)?;
        }
        let begin = Instant::now();
        rings.drain(LATE, usize::MAX, &mut |bytes| match Record::parse(bytes) {
            Ok(record) => engine.push(&record, &mut |_, _| events += 1),
            Err(_) => bad += 1,
        });
        spent += begin.elapsed();
    }
    let lost = all.len() - events;
    let each = spent.as_secs_f64() * 1e9 / events.max(1) as f64;
    println!(
        "ring, merge, decode, table, view, empty program: {each:.0} ns an event, {:.2} million \
         events/s; {events} of {} arrived, {lost} lost, {bad} unreadable",
        1e3 / each,
        all.len()
    );
    if lost > 0 || injector.refused() > 0 || rings.broken() > 0 {
        return Err("records were lost on the way".into());
    }
    Ok(())
}
