//! Middle and spread of repeated measurements.

/// Quartiles of some measurements.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stats {
    /// A quarter is below.
    pub(super) low: f64,
    /// The middle.
    pub(super) median: f64,
    /// A quarter is above.
    pub(super) high: f64,
}

impl Stats {
    /// Of at least one measurement.
    pub(super) fn of(values: &[f64]) -> Option<Stats> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Stats { low: at(&sorted, 1)?, median: at(&sorted, 2)?, high: at(&sorted, 3)? })
    }
}

/// Resamplings from which an interval is told.
const RESAMPLINGS: usize = 4_000;

/// A median, and the interval that holds the median of 95 of 100 repetitions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Middle {
    /// Lower end of the interval.
    pub(super) low: f64,
    /// The median.
    pub(super) median: f64,
    /// Upper end of the interval.
    pub(super) high: f64,
}

impl Middle {
    /// Of at least one measurement. The interval is that of the medians of resamplings (bootstrap);
    /// the same measurements give the same interval.
    pub(super) fn of(values: &[f64]) -> Option<Middle> {
        let median = Stats::of(values)?.median;
        let mut random = Random(values.len() as u64);
        let mut medians = Vec::with_capacity(RESAMPLINGS);
        let mut sample = values.to_vec();
        for _ in 0..RESAMPLINGS {
            for value in &mut sample {
                *value = *values.get(random.below(values.len()))?;
            }
            medians.push(Stats::of(&sample)?.median);
        }
        medians.sort_by(f64::total_cmp);
        let [low, high] = [RESAMPLINGS / 40, RESAMPLINGS - 1 - RESAMPLINGS / 40];
        Some(Middle { low: *medians.get(low)?, median, high: *medians.get(high)? })
    }
}

/// Numbers that follow no order (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bound = u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
        usize::try_from((mixed ^ (mixed >> 31)) % bound).unwrap_or(0)
    }
}

/// The value below which so many quarters are; between two values, what lies between.
fn at(sorted: &[f64], quarters: usize) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let (index, rest) = (last * quarters / 4, last * quarters % 4);
    let low = *sorted.get(index)?;
    let high = *sorted.get(index + 1).unwrap_or(&low);
    let part = [0.0, 0.25, 0.5, 0.75].get(rest)?;
    Some(low + (high - low) * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_of_five() {
        let stats = Stats::of(&[5.0, 1.0, 3.0, 2.0, 4.0]).unwrap();
        assert_eq!(stats, Stats { low: 2.0, median: 3.0, high: 4.0 });
    }

    #[test]
    fn between_two_values_lies_the_middle() {
        let stats = Stats::of(&[1.0, 2.0]).unwrap();
        assert_eq!(stats, Stats { low: 1.25, median: 1.5, high: 1.75 });
    }

    #[test]
    fn nothing_has_no_middle() {
        assert_eq!(Stats::of(&[]), None);
    }

    #[test]
    fn the_interval_holds_the_middle_and_shrinks_with_more_values() {
        let spread = |n: u32| (0..n).map(|i| f64::from(i * 37 % n)).collect::<Vec<_>>();
        let width = |n: u32| {
            let it = Middle::of(&spread(n)).unwrap();
            assert!(it.low < it.median && it.median < it.high, "{it:?}");
            (it.high - it.low) / f64::from(n)
        };
        let (few, many) = (width(11), width(200));
        assert!(many < few / 2.0, "{many} is narrower than {few}");
    }

    #[test]
    fn one_value_in_the_tail_moves_nothing() {
        let mut values = vec![1.0; 20];
        values.push(50.0);
        assert_eq!(Middle::of(&values), Some(Middle { low: 1.0, median: 1.0, high: 1.0 }));
    }
}
