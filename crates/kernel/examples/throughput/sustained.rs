//! A program in the kernel makes records at a steady pace on one core while another takes them out,
//! decodes them and keeps the process table: what is asked is whether any is lost.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use engine::{Engine, Host};
use kernel::{Options, Rings, Sensors};
use model::op::Kind;
use model::program::Program;
use model::wire::{RING_LIFE, RING_REST, Record};

/// How long.
const RUN: Duration = Duration::from_secs(5);
/// Records a second that are asked for.
const RATE: u64 = 1_200_000;
/// Records of each kind in one step of the producer; nothing is put in between steps that are due.
const STEP: [(u32, Kind, u32); 4] = [
    (RING_LIFE, Kind::Fork, 100),
    (RING_LIFE, Kind::Exec, 100),
    (RING_REST, Kind::Create, 700),
    (RING_LIFE, Kind::Exit, 100),
];

/// Measures and prints. Needs root.
pub(crate) fn run() -> Result<(), Box<dyn std::error::Error>> {
    let sensors = Sensors::load(Options::default())?;
    let producer = sensors.producer()?;
    let [alarm, life, rest] = sensors.ring_fds().map(|fd: BorrowedFd<'_>| fd.try_clone_to_owned());
    let mut rings = Rings::new([alarm?, life?, rest?])?;
    let mut engine = Engine::new(Arc::new(Program::default()), Host::default())?;
    let (made, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    let done = AtomicBool::new(false);
    let (mut seen, mut bad, mut busy) = (0u64, 0u64, Duration::ZERO);
    let begin = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            produce(&producer, begin, &made, &refused);
            done.store(true, Ordering::Release);
        });
        loop {
            let last = done.load(Ordering::Acquire);
            let start = Instant::now();
            let handed = rings.drain(u64::MAX, 65_536, &mut |bytes| match Record::parse(bytes) {
                Ok(record) => {
                    // The producer gives the same processes in each step, so not every record is
                    // an event: an end that was told before is none.
                    engine.push(&record, &mut |_, _| ());
                    seen += 1;
                }
                Err(_) => bad += 1,
            });
            if handed > 0 {
                busy += start.elapsed();
            } else if last {
                break;
            }
        }
    });
    let (made, refused) = (made.into_inner(), refused.into_inner());
    let seconds = begin.elapsed().as_secs_f64();
    println!(
        "sustained for {seconds:.1} s: {:.2} million events/s from a program in the kernel; {seen} of {made} \
         arrived, {refused} found no room, {bad} unreadable; the reader was busy {:.0} % of its core",
        made as f64 / seconds / 1e6,
        busy.as_secs_f64() / seconds * 100.0,
    );
    if seen != made || refused > 0 || bad > 0 {
        return Err("records were lost on the way".into());
    }
    Ok(())
}

/// Steps at the pace asked for; a step that is late is made up for.
fn produce(producer: &kernel::bench::Producer, begin: Instant, made: &AtomicU64, lost: &AtomicU64) {
    let step: u64 = STEP.iter().map(|(_, _, count)| u64::from(*count)).sum();
    let mut asked = 0;
    while begin.elapsed() < RUN {
        if asked as f64 > begin.elapsed().as_secs_f64() * RATE as f64 {
            std::hint::spin_loop();
            continue;
        }
        for (ring, kind, count) in STEP {
            let put = producer.produce(ring, kind, count).unwrap_or(0);
            made.fetch_add(put.into(), Ordering::Relaxed);
            lost.fetch_add((count - put).into(), Ordering::Relaxed);
        }
        asked += step;
    }
}
