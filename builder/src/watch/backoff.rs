//! How long to wait after something failed.

use std::time::Duration;

/// The bounds of the waits between tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The bound of the first wait.
    pub shortest: Duration,
    /// No wait is longer.
    pub longest: Duration,
}

impl Backoff {
    /// The wait after so many failures in a row: `chance`, from 0 to 1, of the upper half of a bound that doubles.
    #[must_use]
    pub fn wait(&self, failures: u32, chance: f64) -> Duration {
        let doubled = 2_u32.checked_pow(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        let bound = self.shortest.saturating_mul(doubled).min(self.longest);
        let half = bound / 2;
        half + half.mul_f64(chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BACKOFF: Backoff = Backoff { shortest: Duration::from_secs(10), longest: Duration::from_mins(15) };

    #[test]
    fn the_bound_doubles_up_to_the_longest_wait() {
        let bounds: Vec<u64> = (1..=9).map(|failures| BACKOFF.wait(failures, 1.0).as_secs()).collect();
        assert_eq!(bounds, [10, 20, 40, 80, 160, 320, 640, 900, 900]);
        assert_eq!(BACKOFF.wait(1, 0.0), Duration::from_secs(5));
    }

    proptest! {
        #[test]
        fn no_wait_leaves_its_bounds(failures in any::<u32>(), chance in -1.0..2.0) {
            let wait = BACKOFF.wait(failures, chance);
            prop_assert!(wait >= BACKOFF.shortest / 2 && wait <= BACKOFF.longest);
        }
    }
}
