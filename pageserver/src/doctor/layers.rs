//! One layer from end to end: is it there, is it as long as the manifest says, does its index hold, does every block?

use super::DoctorError;
use super::report::{Damage, Place, Progress};
use crate::layer::format::BlockEntry;
use crate::layer::reader::{Layer, LayerSource, ReadError};
use crate::layer::sequential::Sequential;
use crate::layer::{Block, FormatError};
use crate::manifest::{LayerMeta, ManifestError, ManifestStore};
use common::env::objects::Objects;
use common::id::TabletId;
use common::key::{KEY_PREFIX_BYTES, KeyRange};
use std::sync::Arc;
use std::sync::atomic::Ordering;

const WINDOW_BYTES: u64 = 8 << 20;
/// A block that is damaged is read again: it may have been damaged on its way.
const ADVICE: &str = "what is in it cannot be read: restore the object from a copy or a backup (the name says all, so \
                      any copy of this object will do); if the rows are of a secondary index, drop and create that index";

pub struct Checked {
    pub blocks: u64,
    pub damage: Vec<Damage>,
}

pub async fn check(
    source: LayerSource,
    tablet: TabletId,
    meta: LayerMeta,
    progress: Arc<Progress>,
) -> Result<Checked, DoctorError> {
    let objects = source.objects.clone();
    let (mut checked, bytes) = (Checked { blocks: 0, damage: Vec::new() }, meta.bytes);
    match Layer::open(source, meta.clone()).await {
        Ok(layer) => check_blocks(Arc::new(layer), tablet, &mut checked, &progress).await?,
        Err(error) => {
            if let Some(what) = damage_of(error, &objects, tablet, &meta).await? {
                let place = Place { block: None, start: meta.index_offset, end: meta.bytes, table: None, index: None };
                checked.damage.push(damage(&meta, tablet, Some(place), what));
            }
            progress.bytes_done.fetch_add(bytes, Ordering::Relaxed);
        }
    }
    progress.layers_done.fetch_add(1, Ordering::Relaxed);
    Ok(checked)
}

async fn check_blocks(
    layer: Arc<Layer>,
    tablet: TabletId,
    checked: &mut Checked,
    progress: &Progress,
) -> Result<(), DoctorError> {
    if let Some(what) = contradiction(&layer) {
        checked.damage.push(damage(&layer.meta, tablet, None, what.to_string()));
    }
    let objects = layer.objects().clone();
    let mut blocks = Sequential::new(layer.clone(), &KeyRange::all(), WINDOW_BYTES);
    loop {
        let (number, bytes) = match blocks.next().await {
            Ok(Some(next)) => next,
            Ok(None) => break,
            Err(error) => {
                if let Some(what) = damage_of(error, &objects, tablet, &layer.meta).await? {
                    checked.damage.push(damage(&layer.meta, tablet, None, what));
                }
                break;
            }
        };
        progress.bytes_done.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        checked.blocks += 1;
        let entry = &layer.index.blocks[number];
        let outcome = match layer.block_apart(number, bytes).await {
            Ok(block) => compare(&block, entry).map_err(|what| what.to_string()),
            Err(ReadError::Corrupt { what, .. }) => Err(what.to_string()),
            Err(error) => match damage_of(error, &objects, tablet, &layer.meta).await? {
                Some(what) => Err(what),
                None => break,
            },
        };
        if let Err(what) = outcome {
            checked.damage.push(damage(&layer.meta, tablet, Some(place(number, entry)), what));
        }
        // A long row of blocks in memory must not keep others waiting.
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// What manifest and index say of each other.
fn contradiction(layer: &Layer) -> Option<FormatError> {
    let (meta, blocks) = (&layer.meta, &layer.index.blocks);
    let versions: u64 = blocks.iter().map(|block| u64::from(block.rows)).sum();
    let ends = (blocks.first().map(|block| &block.first), blocks.last().map(|block| &block.last));
    let lsns = (blocks.iter().map(|block| block.lsn_min).min(), blocks.iter().map(|block| block.lsn_max).max());
    let agrees = versions == meta.versions
        && ends == (Some(&meta.first), Some(&meta.last))
        && lsns == (Some(meta.lsn_min), Some(meta.lsn_max));
    (!agrees).then_some(FormatError("the index is not that of the layer which the manifest names"))
}

/// What block and index say of each other, beyond the checksum.
fn compare(block: &Block, entry: &BlockEntry) -> Result<(), FormatError> {
    let keys = block.keys().decode(0..block.rows());
    if keys.first() != Some(&entry.first) || keys.last() != Some(&entry.last) {
        return Err(FormatError("its keys are not those that the index names"));
    }
    let in_order =
        |at: usize| keys[at] < keys[at + 1] || (keys[at] == keys[at + 1] && block.lsn(at) > block.lsn(at + 1));
    if !(0..keys.len().saturating_sub(1)).all(in_order) {
        return Err(FormatError("its versions are out of order"));
    }
    (0..block.rows()).try_for_each(|row| block.row(row).map(|_| ()))
}

fn place(number: usize, entry: &BlockEntry) -> Place {
    let word = |at: usize| Some(u32::from_be_bytes(entry.first.get(at..at + 4)?.try_into().ok()?));
    Place {
        block: Some(number as u64),
        start: entry.offset,
        end: entry.offset + u64::from(entry.length),
        table: word(0),
        index: word(KEY_PREFIX_BYTES - 4),
    }
}

fn damage(meta: &LayerMeta, tablet: TabletId, place: Option<Place>, what: String) -> Damage {
    Damage { object: meta.path().to_string(), tablet: tablet.0, place, what, advice: ADVICE.to_owned() }
}

/// What is wrong with a layer that cannot be read; `None` where nobody names it any more, an error where the store does
/// not answer.
async fn damage_of(
    error: ReadError,
    objects: &Objects,
    tablet: TabletId,
    meta: &LayerMeta,
) -> Result<Option<String>, DoctorError> {
    let what = match error {
        ReadError::Corrupt { what, .. } => return Ok(Some(what.to_string())),
        ReadError::Store(error) if error.is_not_found() => "the object is missing".to_owned(),
        ReadError::Store(error) if error.is_too_short() => error.source.to_string(),
        ReadError::Store(error) => return Err(error.into()),
        ReadError::Fetch(error) => error.to_string(),
    };
    // Compaction may have replaced it since the manifest was read.
    match ManifestStore::new(objects.clone(), tablet).newest().await {
        Ok(Some(manifest)) if !manifest.layers.iter().any(|layer| layer.id() == meta.id()) => Ok(None),
        Ok(None) => Ok(None),
        Ok(Some(_)) | Err(ManifestError::Corrupt { .. } | ManifestError::Fenced { .. }) => Ok(Some(what)),
        Err(ManifestError::Store(error)) => Err(error.into()),
    }
}
