//! Removes archived log that nobody will read again: it is in layers, and older than versions of rows are kept.
//!
//! A recovery begins where the store's layers end, which is at or above what this leader was told. So it never reads what is
//! removed here, whoever does it and whenever.

use super::Archiver;
use common::id::Lsn;
use common::log_archive::{ArchiveError, Base, Contents, ObjectName};

/// What may go.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unneeded {
    pub objects: Vec<ObjectName>,
    pub bases: Vec<u64>,
}

/// `base`: of this generation. What was written before `horizon_us` is old.
pub fn unneeded(contents: &Contents, generation: u64, base: Option<&Base>, durable: Lsn, horizon_us: u64) -> Unneeded {
    // All that earlier generations have and that counts is in layers.
    let earlier_is_over = base.is_some_and(|base| base.continues_at <= durable);
    // It says how far this generation is.
    let newest = contents.newest_of(generation);
    let old = contents.objects.iter().filter(|listed| listed.modified_us < horizon_us);
    let goes = |name: &ObjectName| match name.generation == generation {
        true => name.last <= durable && Some(name.last) != newest,
        false => name.generation < generation && earlier_is_over,
    };
    let objects: Vec<ObjectName> = old.map(|listed| listed.name).filter(goes).collect();
    let is_empty = |of: u64| {
        contents
            .objects
            .iter()
            .filter(|listed| listed.name.generation == of)
            .all(|listed| objects.contains(&listed.name))
    };
    let old_bases = contents.bases.iter().filter(|(_, modified_us)| **modified_us < horizon_us);
    let bases =
        old_bases.map(|(of, _)| *of).filter(|of| *of < generation && earlier_is_over && is_empty(*of)).collect();
    Unneeded { objects, bases }
}

impl Archiver {
    /// `Some`: another log was founded beside this store; it is for that one to remove things.
    pub(super) async fn sweep(&self, generation: u64) -> Result<Option<u64>, ArchiveError> {
        let contents = self.archive.contents().await?;
        let newest = contents.newest_generation();
        if newest > generation {
            return Ok(Some(newest));
        }
        let base = match contents.bases.contains_key(&generation) {
            true => Some(self.archive.base(generation).await?),
            false => None,
        };
        let durable = self.desk.durable_everywhere().max(self.source.applied.mark().trim);
        let retention_us = u64::try_from(self.config.retention.as_micros()).unwrap_or(u64::MAX);
        let horizon_us = (self.clock)().saturating_sub(retention_us);
        let unneeded = unneeded(&contents, generation, base.as_ref(), durable, horizon_us);
        for name in unneeded.objects {
            self.archive.delete(name).await?;
            self.metrics.archive_removed.inc();
        }
        for generation in unneeded.bases {
            self.archive.delete_base(generation).await?;
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::id::Term;
    use common::log_archive::Listed;

    fn listed(generation: u64, first: u64, last: u64, modified_us: u64) -> Listed {
        let name = ObjectName { generation, first: Lsn(first), last: Lsn(last), term: Term(1) };
        Listed { name, bytes: 1, modified_us }
    }

    #[test]
    fn what_is_in_layers_and_old_goes() {
        let contents = Contents {
            objects: vec![
                listed(1, 1, 10, 5),
                listed(1, 11, 99, 6),
                listed(2, 11, 20, 10),
                listed(2, 21, 30, 20),
                listed(2, 31, 40, 30),
                listed(2, 41, 50, 31),
            ],
            bases: [(1, 1), (2, 9)].into(),
            strange: Vec::new(),
        };
        let base = Base { generation: 2, previous: 1, continues_at: Lsn(10), founder: 0 };
        let at = |durable, horizon_us| {
            let unneeded = unneeded(&contents, 2, Some(&base), Lsn(durable), horizon_us);
            let firsts = unneeded.objects.iter().map(|name| (name.generation, name.first.0)).collect::<Vec<_>>();
            (firsts, unneeded.bases)
        };
        assert_eq!(at(9, 100), (vec![], vec![]), "a recovery begins in the generation before");
        assert_eq!(at(30, 5), (vec![], vec![]), "all is young");
        assert_eq!(at(30, 6), (vec![(1, 1)], vec![]));
        assert_eq!(at(30, 25), (vec![(1, 1), (1, 11), (2, 11), (2, 21)], vec![1]));
        assert_eq!(at(35, 100).0.len(), 4, "half of it is above what is in layers");
        assert_eq!(at(99, 100).0.len(), 5, "the newest stays");
    }
}
