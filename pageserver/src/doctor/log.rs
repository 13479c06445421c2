//! The archive of the log: does every object hold, and is what a recovery would read whole?

use super::DoctorError;
use super::report::{Damage, Report};
use crate::inventory::Inventory;
use common::id::Lsn;
use common::log_archive::{ArchiveError, Contents, Listed, LogArchive, Plan};
use futures::{StreamExt, TryStreamExt};
use std::collections::BTreeMap;

const OBJECTS_AT_ONCE: usize = 4;
const DAMAGED: &str = "a log that is lost could not be founded anew from what is behind it, until that is in layers: \
                       restore the object from a copy; a running server deletes it once it is in layers and old";
const GAP: &str = "a log that is lost could not be founded anew from what is behind the gap, until that is in layers; if \
                   the log is lost now, start with --accept-archive-gap to go on with what is before it";
const STRANGE: &str = "no log wrote an object of this name; move it away";

pub async fn check(
    archive: &LogArchive,
    contents: &Contents,
    inventory: &Inventory,
    report: &mut Report,
) -> Result<(), DoctorError> {
    report.log_objects = contents.objects.len() as u64;
    report.log_bytes = contents.objects.iter().map(|listed| listed.bytes).sum();
    for object in &contents.strange {
        report.damage.push(Damage::of_log(object.clone(), "its name means nothing".to_owned(), STRANGE));
    }
    let mut bases = BTreeMap::new();
    for generation in contents.bases.keys() {
        match archive.base(*generation).await {
            Ok(base) => drop(bases.insert(*generation, base)),
            Err(ArchiveError::DamagedBase { base, what }) => {
                report.damage.push(Damage::of_log(base, what.to_string(), DAMAGED));
            }
            Err(ArchiveError::Store(error)) if error.is_not_found() => {}
            Err(error) => return Err(DoctorError::Archive(error)),
        }
    }
    let mut sound = Contents { objects: Vec::new(), ..contents.clone() };
    for (listed, damaged) in objects(archive, contents).await? {
        match damaged {
            None => sound.objects.push(listed),
            Some(what) => report.damage.push(Damage::of_log(listed.name.to_string(), what, DAMAGED)),
        }
    }
    // Read after the archive was listed: what was removed from there meanwhile is below, or was there and in layers soon after.
    let durable = inventory.first().map_or(Lsn::ZERO, |manifest| manifest.durable);
    let plan = Plan::new(&sound, &bases, durable);
    report.recoverable_up_to = plan.end.0;
    if let Some(gap) = plan.gap {
        let what =
            format!("LSNs {} to {} are missing, and those behind up to {} are there", gap.from, gap.up_to, gap.newest);
        report.damage.push(Damage::of_log("log/".to_owned(), what, GAP));
    }
    Ok(())
}

type Checked = (Listed, Option<String>);

/// All objects, and what is wrong with each. One that was removed meanwhile is as good as there: it was needed no more.
async fn objects(archive: &LogArchive, contents: &Contents) -> Result<Vec<Checked>, DoctorError> {
    let checks: Vec<_> = contents
        .objects
        .iter()
        .map(|listed| async move {
            match archive.read(listed.name).await {
                Ok(_) => Ok((*listed, None)),
                Err(ArchiveError::Damaged { what, .. }) => Ok((*listed, Some(what.to_string()))),
                Err(ArchiveError::Store(error)) if error.is_not_found() => Ok((*listed, None)),
                Err(error) => Err(DoctorError::Archive(error)),
            }
        })
        .collect();
    futures::stream::iter(checks).buffered(OBJECTS_AT_ONCE).try_collect().await
}
