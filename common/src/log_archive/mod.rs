//! Log archive: the committed log on the object store, so that a log whose every disk is lost can be founded anew without
//! losing more than its last seconds.
//!
//! ```text
//! log/<generation>/base                      who founded this log, and where the log before it ends
//! log/<generation>/<first>-<last>-<term>     transactions of these LSNs, as they were committed
//! ```
//!
//! A log has a generation from its founding. The leader writes what is committed; wal nodes read it when they found the
//! next log, page servers' doctor when it examines the store.
//!
//! Invariants
//! - An object holds committed transactions only, without a gap, and is never replaced: of one name there is one content.
//! - Within a generation objects may overlap (two leaders cut the log differently), and then agree.
//! - Of generation g what lies above the place where g + 1 goes on counts for nothing.

mod object;
mod plan;

pub use object::{Base, MalformedArchive, Object, Sealed};
pub use plan::{Gap, Plan, Step};

use crate::env::Random;
use crate::env::objects::{Created, ObjectError, Objects};
use crate::id::{Lsn, Term};
use crate::service::wal::Batch;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use std::collections::BTreeMap;
use std::fmt;

/// Where everything of the archive lies.
const ROOT: &str = "log";
/// Others that found a log beside the same store in the same moment.
const CLAIMS_MAX: usize = 16;

/// What an object of the archive is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    pub generation: u64,
    pub first: Lsn,
    pub last: Lsn,
    /// Of the leader that wrote it.
    pub term: Term,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ObjectName { generation, first, last, term } = self;
        write!(formatter, "{ROOT}/{generation:010}/{:020}-{:020}-{:010}", first.0, last.0, term.0)
    }
}

impl ObjectName {
    fn parse(generation: u64, name: &str) -> Option<ObjectName> {
        let mut numbers = name.split('-').map(|number| number.parse::<u64>());
        let mut next = || numbers.next()?.ok();
        let (first, last, term) = (Lsn(next()?), Lsn(next()?), Term(next()?));
        let parsed = ObjectName { generation, first, last, term };
        let is_its_name = first <= last && last <= object::LSN_MAX && parsed.to_string().ends_with(name);
        is_its_name.then_some(parsed)
    }
}

/// An object as a listing shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    pub name: ObjectName,
    pub bytes: u64,
    /// Microseconds since 1970, by the store's clock.
    pub modified_us: u64,
}

/// What there is, by a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    pub objects: Vec<Listed>,
    /// Generations with a base, and when that was written.
    pub bases: BTreeMap<u64, u64>,
    /// Names that mean nothing.
    pub strange: Vec<String>,
}

impl Contents {
    /// The newest generation there is anything of; 0 where there is nothing.
    pub fn newest_generation(&self) -> u64 {
        let of_objects = self.objects.iter().map(|listed| listed.name.generation);
        self.bases.keys().copied().chain(of_objects).max().unwrap_or(0)
    }

    /// The newest LSN of one generation's objects.
    pub fn newest_of(&self, generation: u64) -> Option<Lsn> {
        let of_it = self.objects.iter().filter(|listed| listed.name.generation == generation);
        of_it.map(|listed| listed.name.last).max()
    }

    pub fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.bases.is_empty() && self.strange.is_empty()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error(transparent)]
    Store(#[from] ObjectError),
    /// Another copy of it may be found by leaving this one out.
    #[error("archived log {name}: {what}")]
    Damaged { name: ObjectName, what: MalformedArchive },
    #[error("archive of the log: {base}: {what}")]
    DamagedBase { base: String, what: MalformedArchive },
    #[error("archive of the log: {0}")]
    Refused(String),
}

/// The archive on a store.
#[derive(Debug, Clone)]
pub struct LogArchive {
    objects: Objects,
}

impl LogArchive {
    pub fn new(objects: Objects) -> LogArchive {
        LogArchive { objects }
    }

    pub async fn contents(&self) -> Result<Contents, ArchiveError> {
        let mut contents = Contents::default();
        for object in self.objects.list(&Path::from(ROOT)).await? {
            let path = object.location.as_ref();
            let modified_us = u64::try_from(object.last_modified.timestamp_micros()).unwrap_or(0);
            let place = path.strip_prefix("log/").and_then(|rest| rest.split_once('/'));
            let place = place.and_then(|(generation, name)| Some((generation.parse::<u64>().ok()?, name)));
            match place.map(|(generation, name)| (generation, name, ObjectName::parse(generation, name))) {
                Some((generation, "base", _)) => drop(contents.bases.insert(generation, modified_us)),
                Some((_, _, Some(name))) => {
                    contents.objects.push(Listed { name, bytes: object.size, modified_us });
                }
                _ => contents.strange.push(path.to_owned()),
            }
        }
        contents.objects.sort_by_key(|listed| listed.name);
        Ok(contents)
    }

    pub async fn base(&self, generation: u64) -> Result<Base, ArchiveError> {
        let path = base_path(generation);
        let bytes = self.objects.get(&path).await?;
        let damaged = |what| ArchiveError::DamagedBase { base: path.to_string(), what };
        let base = Base::decode(&bytes).map_err(damaged)?;
        match base.generation == generation {
            true => Ok(base),
            false => Err(damaged(MalformedArchive("it is not what its name says"))),
        }
    }

    /// All bases that a listing showed; one that has been deleted since is left out.
    pub async fn bases(&self, contents: &Contents) -> Result<BTreeMap<u64, Base>, ArchiveError> {
        let mut bases = BTreeMap::new();
        for generation in contents.bases.keys() {
            match self.base(*generation).await {
                Ok(base) => drop(bases.insert(*generation, base)),
                Err(ArchiveError::Store(error)) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(bases)
    }

    /// A new generation, for a log that goes on behind `continues_at` of what there was. Of several founders each gets its own.
    pub async fn claim(&self, contents: &Contents, continues_at: Lsn) -> Result<u64, ArchiveError> {
        let previous = contents.newest_generation();
        for generation in (previous + 1..).take(CLAIMS_MAX) {
            let base = Base { generation, previous, continues_at, founder: Random::system().u128() };
            if self.objects.create(&base_path(generation), base.encode()).await? == Created::Ours {
                return Ok(generation);
            }
        }
        Err(ArchiveError::Refused("others found logs beside this store at the same time".to_owned()))
    }

    /// Writes an object unless it is there. Asking again after a failure is fine.
    pub async fn write(&self, sealed: &Sealed) -> Result<(), ArchiveError> {
        match self.objects.create(&object_path(&sealed.name), sealed.bytes.clone()).await? {
            Created::Ours => Ok(()),
            Created::Theirs => {
                Err(ArchiveError::Refused(format!("{} is there with another content; it is left alone", sealed.name)))
            }
        }
    }

    pub async fn read(&self, name: ObjectName) -> Result<Object, ArchiveError> {
        let bytes: Bytes = self.objects.get(&object_path(&name)).await?;
        let damaged = |what| ArchiveError::Damaged { name, what };
        let object = Object::decode(&bytes).map_err(damaged)?;
        match object.name == name {
            true => Ok(object),
            false => Err(damaged(MalformedArchive("it is not what its name says"))),
        }
    }

    /// What a plan says, one batch after the other; the next object is fetched meanwhile.
    pub fn batches(&self, steps: Vec<Step>) -> BoxStream<'_, Result<Batch, ArchiveError>> {
        let objects = stream::iter(steps).map(move |step| async move {
            let counts = |batch: &Batch| step.from <= batch.first_lsn && batch.last_lsn <= step.up_to;
            let object = self.read(step.name).await?;
            let batches: Vec<Result<Batch, ArchiveError>> = object.batches.into_iter().filter(counts).map(Ok).collect();
            Ok::<_, ArchiveError>(stream::iter(batches))
        });
        objects.buffered(2).try_flatten().boxed()
    }

    pub async fn delete(&self, name: ObjectName) -> Result<(), ArchiveError> {
        Ok(self.objects.delete(&object_path(&name)).await?)
    }

    pub async fn delete_base(&self, generation: u64) -> Result<(), ArchiveError> {
        Ok(self.objects.delete(&base_path(generation)).await?)
    }
}

fn object_path(name: &ObjectName) -> Path {
    Path::from(name.to_string())
}

fn base_path(generation: u64) -> Path {
    Path::from(format!("{ROOT}/{generation:010}/base"))
}

#[cfg(test)]
mod tests;
