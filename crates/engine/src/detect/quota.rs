//! What is given up when a rule holds too much.
//!
//! Whoever can make a rule remember something can flood it with unique keys. So what is evicted is
//! taken from the noisiest origin (the program and the parent that made the events): origins are
//! cut to one common height, from the highest down. Within an origin the oldest half of what may
//! stay is kept, and the newest; what lies between goes. So neither what was there before a flood
//! nor what has just come is lost. What has advanced beyond its first step goes last. A sixteenth is
//! evicted at once, so that the work is a few steps for each new partial.

use hashbrown::HashMap;

/// Of the quota, what is evicted at once.
const SHARE: usize = 16;

/// Something that can be evicted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<T> {
    pub(crate) what: T,
    pub(crate) origin: u32,
    /// Larger is younger.
    pub(crate) serial: u64,
    pub(crate) advanced: bool,
    /// How much of the quota it takes.
    pub(crate) weight: usize,
}

/// Which go, so that a sixteenth of the quota becomes free.
pub(crate) fn victims<T: Copy>(mut all: Vec<Candidate<T>>, quota: usize) -> Vec<T> {
    let room = quota - (quota / SHARE).max(1).min(quota);
    let total: usize = all.iter().map(|one| one.weight).sum();
    let Some(need) = total.checked_sub(room).filter(|need| *need > 0) else {
        return Vec::new();
    };
    all.sort_by_key(|one| (one.origin, one.advanced, one.serial));
    let mut heights: HashMap<u32, usize> = HashMap::new();
    for one in &all {
        *heights.entry(one.origin).or_default() += one.weight;
    }
    let height = level(heights.values().copied().collect(), need);
    let mut gone = Cut { what: Vec::new(), weight: 0 };
    let mut rest = Vec::new();
    for group in all.chunk_by(|a, b| a.origin == b.origin) {
        let held: usize = group.iter().map(|one| one.weight).sum();
        gone.middle(group, held.saturating_sub(height), &mut rest);
    }
    if let Some(more) = need.checked_sub(gone.weight).filter(|more| *more > 0) {
        // All are equally quiet: as if they had one origin.
        rest.sort_by_key(|one| (one.advanced, one.serial));
        gone.middle(&rest, more, &mut Vec::new());
    }
    gone.what
}

/// The largest height, at least 1, to which all must be cut to free what is needed.
fn level(mut heights: Vec<usize>, need: usize) -> usize {
    heights.sort_unstable_by(|a, b| b.cmp(a));
    let mut sum = 0;
    for (count, height) in (1..).zip(&heights) {
        sum += height;
        let next = heights.get(count).copied().unwrap_or(0);
        if sum.saturating_sub(next * count) >= need {
            return (sum.saturating_sub(need) / count).max(1);
        }
    }
    1
}

/// What goes.
struct Cut<T> {
    what: Vec<T>,
    weight: usize,
}

impl<T: Copy> Cut<T> {
    /// Takes so much out of a group in order of age, from the middle.
    fn middle(&mut self, group: &[Candidate<T>], much: usize, rest: &mut Vec<Candidate<T>>) {
        let held: usize = group.iter().map(|one| one.weight).sum();
        // Those that have advanced stand last and count as young.
        let old = held.saturating_sub(much) / 2;
        let (mut kept, mut taken) = (0, 0);
        for one in group {
            if taken < much && kept + one.weight > old {
                taken += one.weight;
                self.what.push(one.what);
            } else {
                kept += one.weight;
                rest.push(*one);
            }
        }
        self.weight += taken;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(origin: u32, serial: u64, advanced: bool) -> Candidate<u64> {
        Candidate { what: serial, origin, serial, advanced, weight: 1 }
    }

    #[test]
    fn the_noisiest_origin_pays() {
        let mut all: Vec<_> = (0..10).map(|serial| one(1, serial, false)).collect();
        all.extend((10..90).map(|serial| one(2, serial, false)));
        let gone = victims(all, 80);
        assert_eq!(gone.len(), 15, "down to fifteen sixteenths");
        assert!(gone.iter().all(|serial| *serial >= 10), "all from the flood: {gone:?}");
    }

    #[test]
    fn of_equally_quiet_origins_the_first_and_the_last_stay() {
        let all: Vec<_> = (0..100u32).map(|n| one(n, n.into(), false)).collect();
        let gone = victims(all, 96);
        assert_eq!(gone.len(), 10);
        assert!(!gone.contains(&0) && !gone.contains(&99), "{gone:?}");
    }

    #[test]
    fn what_has_advanced_goes_last() {
        let all: Vec<_> = (0..64).map(|n| one(1, n, n < 16)).collect();
        let gone = victims(all, 48);
        assert!(gone.iter().all(|serial| *serial >= 16), "{gone:?}");
    }

    #[test]
    fn what_is_heavy_counts_as_much_as_many() {
        let mut all: Vec<_> = (0..32).map(|serial| one(1, serial, false)).collect();
        all.push(Candidate { weight: 64, ..one(2, 32, false) });
        assert_eq!(victims(all, 80), [32], "one of 64 is noisier than 32 of one");
    }
}
