//! Reads and publishes manifests. Publishing is where ownership is decided: one of several writers of a number wins.

use super::manifest::{self, Manifest};
use crate::layer::column::FormatError;
use common::env::objects::{Created, ObjectError, Objects};
use common::id::TabletId;
use object_store::path::Path;

/// The manifests of one tablet.
#[derive(Clone)]
pub struct ManifestStore {
    objects: Objects,
    tablet: TabletId,
}

#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error(
        "{object} is damaged: {what}. Restore the object from a copy or a backup, or, if the log still reaches back to the manifest before it, move it away"
    )]
    Corrupt { object: Path, what: FormatError },
    /// Another process owns the tablet now; this one must stop.
    #[error(
        "manifest {number} of tablet {tablet} was published by another page server; this one no longer owns the tablet"
    )]
    Fenced { tablet: TabletId, number: u64 },
    #[error(transparent)]
    Store(#[from] ObjectError),
}

impl ManifestStore {
    pub fn new(objects: Objects, tablet: TabletId) -> ManifestStore {
        ManifestStore { objects, tablet }
    }

    fn directory(&self) -> Path {
        Path::from(format!("tablets/{}", self.tablet))
    }

    pub fn path(&self, number: u64) -> Path {
        Path::from(format!("tablets/{}/manifest-{number:020}", self.tablet))
    }

    /// Numbers of all manifests that exist, ascending.
    async fn numbers(&self) -> Result<Vec<u64>, ObjectError> {
        let objects = self.objects.list(&self.directory()).await?;
        let number = |path: &Path| path.filename()?.strip_prefix("manifest-")?.parse::<u64>().ok();
        let mut numbers: Vec<u64> =
            objects.iter().filter_map(|meta| number(&meta.location)).filter(|number| *number > 0).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The manifest in force; `None` for a tablet that never had one.
    pub async fn newest(&self) -> Result<Option<Manifest>, ManifestError> {
        loop {
            let Some(number) = self.numbers().await?.pop() else { return Ok(None) };
            match self.read(number).await {
                Ok(manifest) => return Ok(Some(manifest)),
                // Pruned by an owner between the listing and the read: list again.
                Err(ManifestError::Store(error)) if error.is_not_found() => continue,
                Err(error) => return Err(error),
            }
        }
    }

    async fn read(&self, number: u64) -> Result<Manifest, ManifestError> {
        let object = self.path(number);
        let mut last_error = FormatError("it could not be read");
        for _ in 0..2 {
            let bytes = self.objects.get(&object).await?;
            match manifest::decode(&bytes) {
                Ok(manifest) if manifest.number == number && manifest.tablet == self.tablet => return Ok(manifest),
                Ok(_) => last_error = FormatError("it is not what its name says"),
                Err(what) => last_error = what,
            }
        }
        Err(ManifestError::Corrupt { object, what: last_error })
    }

    /// Publishes `manifest` under its number, or finds out that somebody else was first. Returns what was published:
    /// the number is higher where an earlier attempt of the same owner, believed to have failed, had taken it.
    pub async fn publish(&self, mut manifest: Manifest) -> Result<Manifest, ManifestError> {
        loop {
            let object = self.path(manifest.number);
            manifest.check().map_err(|what| ManifestError::Corrupt { object: object.clone(), what })?;
            if self.objects.create(&object, manifest::encode(&manifest).into()).await? == Created::Ours {
                // The name was free, but perhaps only because newer owners have pruned the manifest that had it.
                return match self.numbers().await?.pop() {
                    Some(newest) if newest > manifest.number => Err(self.fenced(newest)),
                    _ => Ok(manifest),
                };
            }
            match self.read(manifest.number).await {
                // An earlier attempt that was believed to have failed. Nobody acted on it, this owner least of all: what
                // it says now takes its place.
                Ok(found) if found.owner == manifest.owner => manifest.number += 1,
                Ok(found) => return Err(self.fenced(found.number)),
                Err(ManifestError::Store(error)) if error.is_not_found() => return Err(self.fenced(manifest.number)),
                Err(error) => return Err(error),
            }
        }
    }

    fn fenced(&self, number: u64) -> ManifestError {
        ManifestError::Fenced { tablet: self.tablet, number }
    }

    /// Deletes all but the newest `kept` manifests before `current`.
    pub async fn prune(&self, current: u64, kept: usize) -> Result<(), ObjectError> {
        let mut numbers = self.numbers().await?;
        numbers.retain(|number| *number < current);
        let surplus = numbers.len().saturating_sub(kept);
        for number in &numbers[..surplus] {
            self.objects.delete(&self.path(*number)).await?;
        }
        Ok(())
    }

    /// Deletes the manifests of a tablet that is no more, up to the last one of its last owner.
    pub async fn delete_up_to(&self, last: u64) -> Result<(), ObjectError> {
        for number in self.numbers().await?.into_iter().filter(|number| *number <= last) {
            self.objects.delete(&self.path(number)).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::id::Lsn;
    use object_store::memory::InMemory;
    use std::sync::Arc;

    fn store(objects: &Objects) -> ManifestStore {
        ManifestStore::new(objects.clone(), TabletId(1))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn of_two_owners_exactly_one_publishes() {
        let objects = Objects::new(Arc::new(InMemory::new()));
        let mut current = Manifest::empty(TabletId(1), 0);
        for round in 0..200u64 {
            let next = |owner: u128| {
                let mut next = current.taken_over(owner);
                next.durable = Lsn(round);
                next
            };
            let race = |owner: u128| {
                let (manifests, next) = (store(&objects), next(owner));
                tokio::spawn(async move { manifests.publish(next).await })
            };
            let (first, second) = (race(1), race(2));
            let outcomes = [first.await.unwrap(), second.await.unwrap()];
            let winners: Vec<&Manifest> = outcomes.iter().flatten().collect();
            assert_eq!(winners.len(), 1, "{outcomes:?}");
            let lost = outcomes.iter().filter(|outcome| matches!(outcome, Err(ManifestError::Fenced { .. })));
            assert_eq!(lost.count(), 1);
            assert_eq!(store(&objects).newest().await.unwrap().as_ref(), Some(winners[0]));
            current = winners[0].clone();
        }
    }

    #[tokio::test]
    async fn a_stale_owner_does_not_win_a_number_that_was_pruned() {
        let objects = Objects::new(Arc::new(InMemory::new()));
        let manifests = store(&objects);
        let stale = manifests.publish(Manifest::empty(TabletId(1), 1).taken_over(1)).await.unwrap();
        let mut newest = stale.clone();
        for _ in 0..5 {
            newest = manifests.publish(newest.taken_over(2)).await.unwrap();
        }
        manifests.prune(newest.number, 1).await.unwrap();
        let outcome = manifests.publish(stale.with_layers(&[], Vec::new())).await;
        assert!(matches!(outcome, Err(ManifestError::Fenced { .. })), "{outcome:?}");
        assert_eq!(manifests.newest().await.unwrap(), Some(newest));
    }

    #[tokio::test]
    async fn an_attempt_of_its_own_that_seemed_to_fail_does_not_fence_an_owner() {
        let objects = Objects::new(Arc::new(InMemory::new()));
        let manifests = store(&objects);
        let first = manifests.publish(Manifest::empty(TabletId(1), 1).taken_over(1)).await.unwrap();
        let mut attempt = first.with_layers(&[], Vec::new());
        attempt.durable = Lsn(5);
        manifests.publish(attempt.clone()).await.unwrap();
        // The answer was lost; the owner goes on from `first`, with more to say.
        attempt.durable = Lsn(9);
        let published = manifests.publish(attempt).await.unwrap();
        assert_eq!((published.number, published.durable), (first.number + 2, Lsn(9)));
    }

    #[tokio::test]
    async fn any_flipped_bit_of_a_manifest_is_detected() {
        let objects = Objects::new(Arc::new(InMemory::new()));
        let manifests = store(&objects);
        let mut manifest = Manifest::empty(TabletId(1), 77).taken_over(77);
        manifest.durable = Lsn(1000);
        manifest.counters = vec![(common::id::CounterId(5), 6)];
        let sound = manifest::encode(&manifest);
        for bit in 0..sound.len() * 8 {
            let mut bytes = sound.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            objects.put(&manifests.path(1), bytes.into()).await.unwrap();
            assert!(matches!(manifests.newest().await, Err(ManifestError::Corrupt { .. })), "bit {bit}");
        }
    }
}
