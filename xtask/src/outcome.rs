//! What a stage, or a part of one, came to.

/// Counts of cases; they add up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Cases that held.
    pub(crate) passed: usize,
    /// Cases that did not.
    pub(crate) failed: usize,
    /// Cases that this machine cannot run; each was reported with its reason.
    pub(crate) skipped: usize,
}

impl Outcome {
    /// One case that held.
    pub(crate) const PASS: Outcome = Outcome { passed: 1, failed: 0, skipped: 0 };
    /// One case that did not.
    pub(crate) const FAIL: Outcome = Outcome { passed: 0, failed: 1, skipped: 0 };
    /// One case that could not run.
    pub(crate) const SKIP: Outcome = Outcome { passed: 0, failed: 0, skipped: 1 };
}

impl std::ops::AddAssign for Outcome {
    fn add_assign(&mut self, other: Outcome) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl std::iter::Sum for Outcome {
    fn sum<I: Iterator<Item = Outcome>>(items: I) -> Outcome {
        items.fold(Outcome::default(), |mut sum, one| {
            sum += one;
            sum
        })
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Outcome { passed, failed, skipped } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_is_exact() {
        let all = [Outcome::PASS, Outcome::PASS, Outcome::FAIL, Outcome::SKIP];
        assert_eq!(all.into_iter().sum::<Outcome>().to_string(), "2 passed, 1 failed, 1 skipped");
    }
}
