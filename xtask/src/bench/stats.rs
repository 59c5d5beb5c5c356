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

    /// How much more this is than another, in percent of the other.
    pub(super) fn above(&self, other: &Stats) -> f64 {
        (self.median / other.median - 1.0) * 100.0
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
    fn the_change_is_relative_to_the_other() {
        let of = |value| Stats::of(&[value]).unwrap();
        assert!((of(102.0).above(&of(100.0)) - 2.0).abs() < 1e-9);
    }
}
