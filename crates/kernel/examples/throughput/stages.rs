//! The stages one by one, on records in memory.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use engine::{Engine, Host};
use model::program::Program;
use model::wire::Record;

use crate::mix::Mix;

/// Passes over the mix for each stage; the best one is the cost without disturbance.
const PASSES: usize = 7;

/// Measures and prints each stage.
pub(crate) fn run(mix: &Mix) -> Result<(), Box<dyn std::error::Error>> {
    measure(mix, "decode", || {
        for bytes in mix.records() {
            black_box(Record::parse(bytes).is_ok());
        }
    });
    let mut failure = None;
    measure(mix, "decode, table, view, empty program", || {
        if let Err(error) = engine_pass(mix) {
            failure = Some(error);
        }
    });
    failure.map_or(Ok(()), Err)
}

fn engine_pass(mix: &Mix) -> Result<(), Box<dyn std::error::Error>> {
    let mut engine = Engine::new(Arc::new(Program::default()), Host::default())?;
    let mut events = 0;
    for bytes in mix.records() {
        engine.push(&Record::parse(bytes)?, &mut |_, _| events += 1);
    }
    if events != mix.places.len() {
        return Err(format!("{events} events of {} records", mix.places.len()).into());
    }
    black_box(engine.stats());
    Ok(())
}

fn measure(mix: &Mix, stage: &str, mut pass: impl FnMut()) {
    let mut spent: Vec<f64> = (0..PASSES)
        .map(|_| {
            let begin = Instant::now();
            pass();
            begin.elapsed().as_secs_f64()
        })
        .collect();
    spent.sort_by(f64::total_cmp);
    let each = |seconds: f64| seconds * 1e9 / mix.places.len() as f64;
    let (best, median) = (spent.first().copied(), spent.get(PASSES / 2).copied());
    let (best, median) = (each(best.unwrap_or_default()), each(median.unwrap_or_default()));
    println!(
        "{stage}: {best:.0} ns an event (median {median:.0}), {:.2} million events/s",
        1e3 / median
    );
}
