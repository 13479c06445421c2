//! Objects that nobody names any more: left by crashes, by merges, by attempts that seemed to fail and were carried out
//! late, or not deleted in time.
//!
//! A layer may be named by a tablet other than the one it is at home in, and by a manifest that this process does not
//! know that it published. So the manifests on the store decide, those of all tablets together, and what this process is
//! writing or reading is left alone besides. The reaper deletes what it has been told of twice.

use crate::inventory::{Inventory, Kind, is_gone};
use crate::manifest::{LayerId, Manifest};
use crate::tablet::Tablets;
use common::cluster_map::ClusterMap;
use common::env::objects::ObjectError;
use common::id::TabletId;
use object_store::path::Path;

/// What may be deleted if it is still so after a while. Nothing, where this process does not own the tablets, or where
/// a manifest cannot be read.
pub async fn find(tablets: &Tablets) -> Result<Vec<Path>, ObjectError> {
    let inventory = Inventory::take(&tablets.source.objects).await?;
    let (Some(named), Some(map), Some(first)) = (inventory.named(), inventory.map(), inventory.first()) else {
        return Ok(Vec::new());
    };
    let owner = tablets.owner();
    if first.owner != owner {
        return Ok(Vec::new());
    }
    // A merge that is not on the store yet may be undone by a crash: a tablet is gone when both say so.
    let set = tablets.set();
    let gone = |id: TabletId| is_gone(&map, id) && set.by_id(id).is_none();
    let manifest_of = |id: TabletId| inventory.manifests.get(&id).and_then(|manifest| manifest.as_ref().ok());
    let unneeded = |path: &Path| match Kind::of(path) {
        Kind::Layer(id) => {
            !named.contains(&id)
                && !tablets.source.held.is_held(id)
                && (gone(id.home) || is_ours(&map, manifest_of(id.home), id, owner))
        }
        Kind::Manifest { tablet, .. } => gone(tablet),
        Kind::Other => false,
    };
    let objects = inventory.objects.iter().map(|object| &object.location);
    Ok(objects.filter(|path| unneeded(path)).cloned().collect())
}

/// Whether a layer was written by this owner or one before it. A tablet that is about to come into being, or that another
/// process owns, keeps what it has.
fn is_ours(map: &ClusterMap, manifest: Option<&Manifest>, id: LayerId, owner: u128) -> bool {
    let known = map.tablets().any(|tablet| tablet == id.home);
    known && manifest.is_some_and(|manifest| manifest.owner == owner && id.generation <= manifest.generation)
}
