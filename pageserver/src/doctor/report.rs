//! What an examination found, for people and for scripts.

use common::id::TabletId;
use serde::Serialize;
use std::sync::atomic::AtomicU64;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    pub tablets: u64,
    /// Old ones included.
    pub manifests: u64,
    /// That manifests in force name.
    pub layers: u64,
    pub blocks: u64,
    /// Below `tablets/`.
    pub objects: u64,
    pub bytes: u64,
    /// Below `log/`: the archive of the log.
    pub log_objects: u64,
    pub log_bytes: u64,
    /// The newest transaction that a log founded anew would have, by what is in layers and archived.
    pub recoverable_up_to: u64,
    pub damage: Vec<Damage>,
    pub leaks: Vec<Leak>,
    pub leaked_bytes: u64,
    /// A manifest could not be read, so what is not needed is not known.
    pub leaks_unknown: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    pub object: String,
    /// 0 for the archive of the log.
    pub tablet: u64,
    /// Within a layer; `None`: the object as a whole.
    pub place: Option<Place>,
    pub what: String,
    pub advice: String,
}

/// A block, or the index behind all blocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    pub block: Option<u64>,
    /// In the object, `[start, end)`.
    pub start: u64,
    pub end: u64,
    /// Whose rows they are, for a block.
    pub table: Option<u32>,
    pub index: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Leak {
    pub object: String,
    pub bytes: u64,
    pub age_seconds: u64,
}

/// How far an examination is.
#[derive(Debug, Default)]
pub struct Progress {
    pub layers_total: AtomicU64,
    pub layers_done: AtomicU64,
    pub bytes_total: AtomicU64,
    pub bytes_done: AtomicU64,
}

impl Report {
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }

    pub(super) fn sort(&mut self) {
        let place = |damage: &Damage| damage.place.as_ref().map(|place| place.start);
        self.damage.sort_by(|a, b| a.object.cmp(&b.object).then_with(|| place(a).cmp(&place(b))));
        self.leaks.sort_by(|a, b| a.object.cmp(&b.object));
    }
}

impl Damage {
    pub(super) fn manifest_in_force(object: String, tablet: TabletId, what: String) -> Damage {
        let advice = "no page server can start: restore the object from a copy or a backup, or, if the log still reaches \
                      back to the manifest before it, move it away";
        Damage { object, tablet: tablet.0, place: None, what, advice: advice.to_owned() }
    }

    pub(super) fn no_manifest(tablet: TabletId) -> Damage {
        Damage {
            object: format!("tablets/{tablet}/"),
            tablet: tablet.0,
            place: None,
            what: "the map names this tablet, and it has no manifest".to_owned(),
            advice: "restore the objects below it from a copy or a backup".to_owned(),
        }
    }

    pub(super) fn of_log(object: String, what: String, advice: &str) -> Damage {
        Damage { object, tablet: 0, place: None, what, advice: advice.to_owned() }
    }

    pub(super) fn old_manifest(object: String, tablet: TabletId, what: String) -> Damage {
        let advice = "it is no longer in force and only kept for inspection: nothing is lost; delete it";
        Damage { object, tablet: tablet.0, place: None, what, advice: advice.to_owned() }
    }
}
