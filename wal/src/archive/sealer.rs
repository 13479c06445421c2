//! Sealer: when what is committed and not yet archived is to become an object. No clock, no I/O.

use common::id::Lsn;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug, Clone)]
pub struct Sealer {
    bytes_max: u64,
    age_max: Duration,
    archived: Lsn,
    /// Of the bytes that were applied, those that are archived.
    bytes_archived: u64,
    /// When the oldest transaction that is not archived was seen first.
    since: Option<Instant>,
}

impl Sealer {
    pub fn new(bytes_max: u64, age_max: Duration, archived: Lsn) -> Sealer {
        Sealer { bytes_max, age_max, archived, bytes_archived: 0, since: None }
    }

    pub fn archived(&self) -> Lsn {
        self.archived
    }

    /// How long the oldest transaction has waited.
    pub fn waiting_for(&self, now: Instant) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// Whether an object is due, where so many bytes up to `applied` have been applied.
    pub fn is_due(&mut self, applied: Lsn, bytes: u64, now: Instant) -> bool {
        if applied <= self.archived {
            (self.since, self.bytes_archived) = (None, bytes);
            return false;
        }
        let since = *self.since.get_or_insert(now);
        bytes.saturating_sub(self.bytes_archived) >= self.bytes_max || now >= since + self.age_max
    }

    /// An object with `bytes` has been written, which was cut when everything up to `applied` was there.
    pub fn written(&mut self, up_to: Lsn, bytes: u64, applied: (Lsn, u64), cut_at: Instant) {
        self.archived = up_to;
        if up_to >= applied.0 {
            (self.since, self.bytes_archived) = (None, applied.1);
        } else {
            (self.since, self.bytes_archived) = (Some(cut_at), self.bytes_archived + bytes);
        }
    }

    /// What is up to here will not be archived.
    pub fn skip_to(&mut self, lsn: Lsn) {
        self.archived = self.archived.max(lsn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_due_by_size_and_by_age_and_never_where_nothing_is_new() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut sealer = Sealer::new(1000, 20 * second, Lsn(10));
        assert!(!sealer.is_due(Lsn(10), 5000, start + 100 * second), "an idle log");
        assert!(!sealer.is_due(Lsn(11), 5100, start + 101 * second));
        assert!(!sealer.is_due(Lsn(12), 5200, start + 120 * second));
        assert_eq!(sealer.waiting_for(start + 120 * second), 19 * second);
        assert!(sealer.is_due(Lsn(12), 5200, start + 121 * second), "by age");
        // Another one came while it was written.
        sealer.written(Lsn(12), 200, (Lsn(12), 5200), start + 121 * second);
        assert!(!sealer.is_due(Lsn(13), 5300, start + 122 * second));
        assert!(sealer.is_due(Lsn(20), 6300, start + 122 * second), "by size");
        // More than an object takes.
        sealer.written(Lsn(15), 1000, (Lsn(20), 7900), start + 123 * second);
        assert!(sealer.is_due(Lsn(20), 7900, start + 123 * second));
        sealer.written(Lsn(19), 1000, (Lsn(20), 7900), start + 124 * second);
        assert!(!sealer.is_due(Lsn(20), 7900, start + 125 * second));
        assert!(sealer.is_due(Lsn(20), 7900, start + 144 * second));
    }
}
