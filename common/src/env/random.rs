//! Randomness: from the system for real, from a seed in tests and simulation.

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::fmt;

/// A source of random numbers that many tasks may share. Cryptographically strong when made by [`Random::system`].
pub struct Random {
    generator: Mutex<StdRng>,
}

impl Random {
    /// Seeded by the operating system.
    pub fn system() -> Random {
        Random { generator: Mutex::new(rand::make_rng()) }
    }

    /// The same seed gives the same numbers.
    pub fn seeded(seed: u64) -> Random {
        Random { generator: Mutex::new(StdRng::seed_from_u64(seed)) }
    }

    pub fn u64(&self) -> u64 {
        self.generator.lock().next_u64()
    }

    /// For identifiers that are unique because nobody draws the same one twice.
    pub fn u128(&self) -> u128 {
        let mut generator = self.generator.lock();
        u128::from(generator.next_u64()) << 64 | u128::from(generator.next_u64())
    }

    /// One of `0..bound`, each as likely as the others (to within `bound / 2^64`); 0 when `bound` is 0.
    pub fn below(&self, bound: u64) -> u64 {
        // The high half of a 64 by 64 bit product maps the whole range evenly, without a division.
        ((u128::from(self.u64()) * u128::from(bound)) >> 64) as u64
    }

    pub fn fill(&self, bytes: &mut [u8]) {
        self.generator.lock().fill_bytes(bytes);
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Random")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_the_system_does_not() {
        assert_eq!(Random::seeded(7).u128(), Random::seeded(7).u128());
        assert_ne!(Random::seeded(7).u128(), Random::seeded(8).u128());
        assert_ne!(Random::system().u128(), Random::system().u128());
    }

    #[test]
    fn below_reaches_every_value_and_no_other() {
        let random = Random::seeded(1);
        let mut seen = [false; 5];
        for _ in 0..1_000 {
            seen[random.below(5) as usize] = true;
        }
        assert_eq!(seen, [true; 5]);
        assert_eq!(random.below(0), 0);
    }
}
