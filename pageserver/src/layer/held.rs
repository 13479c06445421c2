//! The layer objects that this process has to do with: those it is writing, has open, or reads for somebody who still
//! has an old snapshot. What is held is not deleted, whoever names it.

use crate::manifest::LayerId;
use object_store::path::Path;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

/// Shared by all tablets of a page server.
#[derive(Clone, Default)]
pub struct Held(Arc<Mutex<Registry>>);

#[derive(Default)]
struct Registry {
    paths: HashMap<LayerId, Weak<Path>>,
    /// At this size those that nobody holds any more are cleared away.
    clear_at: usize,
}

const CLEAR_AT_MIN: usize = 1024;

impl Held {
    /// Holds the layer's object for as long as the path that is returned, or one that was before, is alive.
    pub fn hold(&self, id: LayerId) -> Arc<Path> {
        let mut registry = self.0.lock();
        if let Some(path) = registry.paths.get(&id).and_then(Weak::upgrade) {
            return path;
        }
        if registry.paths.len() >= registry.clear_at {
            registry.paths.retain(|_, path| path.strong_count() > 0);
            registry.clear_at = (registry.paths.len() * 2).max(CLEAR_AT_MIN);
        }
        let path = Arc::new(id.path());
        registry.paths.insert(id, Arc::downgrade(&path));
        path
    }

    pub fn is_held(&self, id: LayerId) -> bool {
        self.0.lock().paths.get(&id).is_some_and(|path| path.strong_count() > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::id::TabletId;

    #[test]
    fn what_nobody_holds_is_forgotten() {
        let held = Held::default();
        let id = |sequence| LayerId { home: TabletId(1), generation: 1, sequence };
        let (kept, again) = (held.hold(id(1)), held.hold(id(1)));
        assert!(Arc::ptr_eq(&kept, &again));
        for sequence in 2..5000 {
            drop(held.hold(id(sequence)));
        }
        assert!(held.is_held(id(1)) && !held.is_held(id(2)));
        assert!(held.0.lock().paths.len() <= 2 * CLEAR_AT_MIN);
        drop((kept, again));
        assert!(!held.is_held(id(1)));
    }
}
