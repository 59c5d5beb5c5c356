//! What was sent and what was lost, counted in the kernel per CPU.

use libbpf_rs::{MapCore, MapFlags};
use model::op::Kind;
use model::wire::{LOSS_COUNT, RING_COUNT};

use crate::error::Error;
use crate::object::Loaded;

/// Number of causes in `enum loss`.
pub const CAUSES: usize = LOSS_COUNT as usize;
/// Number of rings.
pub const RINGS: usize = RING_COUNT as usize;

/// Totals since the sensors were loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records put into a ring, by kind; kinds that never occurred are left out.
    pub sent: Vec<(Kind, u64)>,
    /// Losses by cause (`enum loss`), then by ring (`enum ring`).
    pub lost: [[u64; RINGS]; CAUSES],
}

impl Counters {
    pub(crate) fn read(loaded: &Loaded) -> Result<Counters, Error> {
        let mut counters = Counters::default();
        for kind in Kind::ALL {
            let count = sum(loaded, "sent", *kind as u32)?;
            if count > 0 {
                counters.sent.push((*kind, count));
            }
        }
        for (cause, rings) in (0u32..).zip(counters.lost.iter_mut()) {
            for (ring, count) in (0u32..).zip(rings.iter_mut()) {
                *count = sum(loaded, "lost", cause * RING_COUNT + ring)?;
            }
        }
        Ok(counters)
    }
}

/// Sum over all CPUs.
fn sum(loaded: &Loaded, map: &'static str, index: u32) -> Result<u64, Error> {
    let values = loaded
        .map(map)?
        .lookup_percpu(&index.to_ne_bytes(), MapFlags::ANY)
        .map_err(|error| Error::map(map, &error))?;
    let numbers = values.into_iter().flatten();
    Ok(numbers.filter_map(|value| value.try_into().ok().map(u64::from_ne_bytes)).sum())
}
