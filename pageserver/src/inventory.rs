//! What lies on the store below `tablets/`, and which of it the manifests name: for whoever deletes what nobody needs, and
//! for whoever reports it.

use crate::manifest::{LayerId, Manifest, ManifestError, ManifestStore};
use common::cluster_map::{ClusterMap, FIRST_TABLET};
use common::env::objects::{ObjectError, Objects};
use common::id::TabletId;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectMeta;
use object_store::path::Path;
use std::collections::{BTreeMap, BTreeSet, HashSet};

const REQUESTS_MAX: usize = 16;

/// Where everything of page servers lies.
pub fn root() -> Path {
    Path::from("tablets")
}

pub struct Inventory {
    /// Listed before the manifests were read: what is named by then was named by one of them, or later ones.
    pub objects: Vec<ObjectMeta>,
    /// In force when they were read, of every tablet that has one, also of those that are not in the map.
    pub manifests: BTreeMap<TabletId, Result<Manifest, ManifestError>>,
}

/// What an object is by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Layer(LayerId),
    Manifest { tablet: TabletId, number: u64 },
    Other,
}

impl Kind {
    pub fn of(path: &Path) -> Kind {
        if let Some(id) = LayerId::of_path(path) {
            return Kind::Layer(id);
        }
        let manifest = || {
            let (tablet, name) = path.as_ref().strip_prefix("tablets/")?.split_once('/')?;
            let number = name.strip_prefix("manifest-")?.parse().ok()?;
            Some(Kind::Manifest { tablet: TabletId(tablet.parse().ok()?), number })
        };
        manifest().unwrap_or(Kind::Other)
    }
}

impl Inventory {
    pub async fn take(objects: &Objects) -> Result<Inventory, ObjectError> {
        let listed = objects.list(&root()).await?;
        let tablet = |object: &ObjectMeta| match Kind::of(&object.location) {
            Kind::Manifest { tablet, .. } => Some(tablet),
            _ => None,
        };
        let tablets: BTreeSet<TabletId> = listed.iter().filter_map(tablet).collect();
        let reads = tablets.into_iter().map(|tablet| async move {
            match ManifestStore::new(objects.clone(), tablet).newest().await {
                Ok(None) => Ok(None),
                Ok(Some(manifest)) => Ok(Some((tablet, Ok(manifest)))),
                Err(ManifestError::Store(error)) => Err(error),
                Err(error) => Ok(Some((tablet, Err(error)))),
            }
        });
        let reads: Vec<_> = reads.collect();
        let read = futures::stream::iter(reads).buffer_unordered(REQUESTS_MAX).boxed();
        let manifests: Vec<Option<_>> = read.try_collect().await?;
        Ok(Inventory { objects: listed, manifests: manifests.into_iter().flatten().collect() })
    }

    /// `None`: a manifest cannot be read, so nobody knows what is not named.
    pub fn named(&self) -> Option<HashSet<LayerId>> {
        let mut named = HashSet::new();
        for manifest in self.manifests.values() {
            named.extend(manifest.as_ref().ok()?.layers.iter().map(|layer| layer.id()));
        }
        Some(named)
    }

    /// Of the first tablet.
    pub fn first(&self) -> Option<&Manifest> {
        self.manifests.get(&FIRST_TABLET)?.as_ref().ok()
    }

    /// The map that the store holds, if there is anything on it that can be read.
    pub fn map(&self) -> Option<ClusterMap> {
        Some(self.first()?.map.clone().unwrap_or_default())
    }
}

/// A tablet that was, and is not any more. Ids are given out once.
pub fn is_gone(map: &ClusterMap, tablet: TabletId) -> bool {
    tablet < map.next_tablet() && !map.tablets().any(|known| known == tablet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_an_object_is() {
        let layer = LayerId { home: TabletId(3), generation: 7, sequence: 9 };
        assert_eq!(Kind::of(&layer.path()), Kind::Layer(layer));
        let manifest = Path::from("tablets/3/manifest-00000000000000000012");
        assert_eq!(Kind::of(&manifest), Kind::Manifest { tablet: TabletId(3), number: 12 });
        for other in ["tablets/3/layers/1-2.layer", "tablets/x/manifest-1", "tablets/3/manifest-", "tablets/3", "x"] {
            assert_eq!(Kind::of(&Path::from(other)), Kind::Other, "{other}");
        }
    }
}
