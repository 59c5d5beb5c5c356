//! How many events per second one core takes from the rings through decoding and the process
//! table, with an empty program. `cargo xtask bench ring` runs it.
//!
//! First the stages one by one on records in memory, then the whole way from a real ring, in bursts and then
//! at a steady pace.

#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "it prints figures of a few digits"
)]

#[path = "throughput/mix.rs"]
mod mix;
#[path = "throughput/ring.rs"]
mod ring;
#[path = "throughput/stages.rs"]
mod stages;
#[path = "throughput/sustained.rs"]
mod sustained;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mix = mix::Mix::new();
    mix.describe();
    stages::run(&mix)?;
    ring::run(&mix)?;
    sustained::run()
}
