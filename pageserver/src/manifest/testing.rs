//! Layers in a line of text each, for tests of whatever decides by manifests.

use super::{LayerMeta, Manifest};
use common::id::{Lsn, TabletId};

/// "level first-last lsn-lsn bytes [tombstones]", of ten versions each; sequence numbers in order.
pub fn layers(lines: &[&str]) -> Vec<LayerMeta> {
    let layer = |(line, sequence): (&&str, u64)| {
        let words: Vec<&str> = line.split(' ').collect();
        let (first, last) = words[1].split_once('-').unwrap();
        let (lsn_min, lsn_max) = words[2].split_once('-').unwrap();
        LayerMeta {
            home: TabletId(1),
            generation: 1,
            sequence,
            level: words[0].parse().unwrap(),
            bytes: words[3].parse().unwrap(),
            index_offset: 0,
            first: first.to_owned().into(),
            last: last.to_owned().into(),
            lsn_min: Lsn(lsn_min.parse().unwrap()),
            lsn_max: Lsn(lsn_max.parse().unwrap()),
            versions: 10,
            tombstones: words.get(4).map_or(0, |count| count.parse().unwrap()),
            stamped: false,
        }
    };
    lines.iter().zip(1..).map(layer).collect()
}

pub fn manifest(lines: &[&str]) -> Manifest {
    let manifest = Manifest { durable: Lsn(1000), layers: layers(lines), ..Manifest::empty(TabletId(1), 0) };
    manifest.check().unwrap();
    manifest
}
