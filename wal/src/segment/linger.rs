//! Linger: whether the writer waits a moment before a group, because what comes meanwhile would share its sync.
//!
//! A sync costs about as much for one commit as for ten, in time and in work of the processor. Where several sessions commit,
//! some of them come a moment after the first; where one does, nobody comes, and waiting only makes it slower. So the writer
//! looks at what waiting has brought lately, and tries again from time to time where it brought nothing.

use std::time::Duration;

/// Waiting pays from so many further commits on, on average.
const GAIN_MIN: f64 = 0.4;
/// How much one group counts for the averages.
const WEIGHT: f64 = 1.0 / 16.0;
/// Groups between two tries where waiting does not pay.
const TRY_EVERY: u32 = 512;
/// A try lasts for so many groups: one tells nothing.
const TRY_GROUPS: u32 = 8;
/// The wait is this part of a sync: a group is late by a part of what it takes anyway.
const PART_OF_SYNC: f64 = 0.5;
const WAIT_MAX: Duration = Duration::from_micros(200);
/// Less than this is less than waking up takes.
const WAIT_MIN: Duration = Duration::from_micros(20);

pub struct Linger {
    /// Commits that came while the writer waited, on average.
    gain: f64,
    sync_seconds: f64,
    /// Groups since the last try ended, or before this one began.
    groups: u32,
}

impl Linger {
    pub fn new() -> Linger {
        Linger { gain: 0.0, sync_seconds: 0.0, groups: 0 }
    }

    /// How long to wait before the next group, if at all.
    pub fn wait(&mut self) -> Option<Duration> {
        let wait = Duration::from_secs_f64(self.sync_seconds * PART_OF_SYNC).min(WAIT_MAX);
        if self.gain < GAIN_MIN {
            self.groups += 1;
            if self.groups >= TRY_EVERY + TRY_GROUPS {
                self.groups = 0;
            }
            if self.groups < TRY_EVERY {
                return None;
            }
        }
        Some(wait).filter(|wait| *wait >= WAIT_MIN)
    }

    /// So many commits came meanwhile.
    pub fn waited(&mut self, came: u32) {
        self.gain += (f64::from(came) - self.gain) * WEIGHT;
    }

    pub fn synced(&mut self, elapsed: Duration) {
        self.sync_seconds += (elapsed.as_secs_f64() - self.sync_seconds) * WEIGHT;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `groups` were waited for, while each wait brings `came` commits.
    fn waits(linger: &mut Linger, groups: u32, came: u32) -> u32 {
        let mut waits = 0;
        for _ in 0..groups {
            if linger.wait().is_some() {
                waits += 1;
                linger.waited(came);
            }
            linger.synced(Duration::from_micros(200));
        }
        waits
    }

    #[test]
    fn waits_where_others_come_and_seldom_where_nobody_does() {
        let mut linger = Linger::new();
        let alone = waits(&mut linger, 10_000, 0);
        assert!((1..300).contains(&alone), "{alone} of 10,000 waits for nobody");
        let busy = waits(&mut linger, 10_000, 3);
        assert!(busy > 9_000, "{busy} of 10,000 waits that would pay");
        let alone = waits(&mut linger, 10_000, 0);
        assert!(alone < 300, "{alone} of 10,000 waits for nobody");
    }

    #[test]
    fn a_fast_disk_is_not_waited_for() {
        let mut linger = Linger::new();
        for _ in 0..10_000 {
            linger.waited(5);
            linger.synced(Duration::from_micros(30));
            assert_eq!(linger.wait(), None);
        }
    }
}
