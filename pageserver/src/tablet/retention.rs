//! Which LSN lies a given time back, by the clock that the batches carry.

use common::id::Lsn;
use std::collections::VecDeque;
use std::time::Duration;

/// One note per second is precise enough for retention, and 4096 of them cover more than an hour; beyond that every
/// second note goes, so that any retention works with bounded memory.
const SPACING_US: u64 = 1_000_000;
const NOTES_MAX: usize = 4096;

#[derive(Default)]
pub struct TimeLine {
    /// (time, an LSN committed at or before it), both ascending.
    notes: VecDeque<(u64, Lsn)>,
    newest_us: u64,
}

impl TimeLine {
    pub fn note(&mut self, time_us: u64, lsn: Lsn) {
        self.newest_us = self.newest_us.max(time_us);
        if self.notes.back().is_none_or(|(last_us, _)| time_us >= last_us + SPACING_US) {
            self.notes.push_back((time_us, lsn));
        }
        if self.notes.len() > NOTES_MAX {
            let mut index = 0;
            self.notes.retain(|_| {
                index += 1;
                index % 2 == 0
            });
        }
    }

    /// Every snapshot taken within `retention` before the newest batch is at or above this LSN.
    pub fn horizon(&self, retention: Duration) -> Lsn {
        let Some(limit) = self.newest_us.checked_sub(retention.as_micros() as u64) else { return Lsn::ZERO };
        let old_enough = self.notes.partition_point(|(time_us, _)| *time_us <= limit);
        old_enough.checked_sub(1).map_or(Lsn::ZERO, |index| self.notes[index].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn horizon_lies_the_retention_back() {
        let mut line = TimeLine::default();
        assert_eq!(line.horizon(Duration::ZERO), Lsn::ZERO);
        for second in 0..100_000 {
            line.note(second * 1_000_000, Lsn(second * 10 + 1));
        }
        let hour = Duration::from_secs(3600);
        let horizon = line.horizon(hour).0;
        assert!(horizon <= (100_000 - 1 - 3600) * 10 + 1, "never less than the retention");
        assert!(horizon > (100_000 - 1 - 3600 - 200) * 10, "not much more either: {horizon}");
        assert!(line.notes.len() <= NOTES_MAX);
        assert_eq!(line.horizon(Duration::from_secs(200_000)), Lsn::ZERO);
    }
}
