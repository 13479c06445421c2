//! Objects that nobody names any more: left by crashes of earlier owners, by merges, or deleted late.
//!
//! A layer may be named by a tablet other than the one it is at home in, so the manifests of all tablets decide together.

use crate::manifest::LayerId;
use crate::objects::ObjectError;
use crate::tablet::Tablets;
use common::id::TabletId;
use object_store::path::Path;
use std::collections::{HashMap, HashSet};

/// What may be deleted after a while. Names of the present owner may belong to what is just being written, and tablets
/// from the map's next id on may be about to come into being.
pub async fn find(tablets: &Tablets) -> Result<Vec<Path>, ObjectError> {
    let set = tablets.set();
    let mut named: HashSet<LayerId> = HashSet::new();
    let mut generations: HashMap<TabletId, u64> = HashMap::new();
    for tablet in &set.tablets {
        let manifest = tablet.manifest().await;
        generations.insert(tablet.id, manifest.generation);
        named.extend(manifest.layers.iter().map(|layer| layer.id()));
        named.extend(tablet.snapshot().layers.iter().map(|layer| layer.meta.id()));
    }
    let is_gone = |id: TabletId| id < set.map.next_tablet() && !generations.contains_key(&id);
    let leftover = |path: &Path| match LayerId::of_path(path) {
        Some(id) if named.contains(&id) => false,
        Some(id) => is_gone(id.home) || generations.get(&id.home).is_some_and(|now| id.generation < *now),
        None => manifest_of(path).is_some_and(is_gone),
    };
    let objects = tablets.source.objects.list(&Path::from("tablets")).await?;
    Ok(objects.into_iter().map(|meta| meta.location).filter(leftover).collect())
}

/// The tablet whose manifest an object of this name is.
fn manifest_of(path: &Path) -> Option<TabletId> {
    let (id, name) = path.as_ref().strip_prefix("tablets/")?.split_once('/')?;
    name.strip_prefix("manifest-")?.parse::<u64>().ok()?;
    Some(TabletId(id.parse().ok()?))
}
