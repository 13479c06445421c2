//! Parts of a tablet that can be merged by themselves: no layer crosses from one into another.

use crate::manifest::LayerMeta;
use common::key::Key;

/// Layers of level 0 and level 1 that hang together by their keys.
#[derive(Debug, Default)]
pub struct Part<'a> {
    /// As they came: newest first.
    pub flushed: Vec<&'a LayerMeta>,
    /// In key order.
    pub level1: Vec<&'a LayerMeta>,
}

impl<'a> Part<'a> {
    pub fn flushed_bytes(&self) -> u64 {
        bytes(&self.flushed)
    }

    pub fn level1_bytes(&self) -> u64 {
        bytes(&self.level1)
    }

    pub fn bytes(&self) -> u64 {
        self.flushed_bytes() + self.level1_bytes()
    }

    fn first(&self) -> Option<&'a Key> {
        self.flushed.iter().chain(&self.level1).map(|layer| &layer.first).min()
    }
}

pub fn bytes(layers: &[&LayerMeta]) -> u64 {
    layers.iter().map(|layer| layer.bytes).sum()
}

/// The finest parts there are, in key order. `flushed`: newest first.
pub fn parts<'a>(flushed: &[&'a LayerMeta], level1: &[&'a LayerMeta]) -> Vec<Part<'a>> {
    let mut layers: Vec<(usize, &LayerMeta)> = flushed.iter().copied().enumerate().collect();
    layers.extend(level1.iter().map(|layer| (usize::MAX, *layer)));
    layers.sort_by(|(_, a), (_, b)| a.first.cmp(&b.first));
    let mut parts: Vec<Part> = Vec::new();
    let mut end: Option<&Key> = None;
    let mut of_part: Vec<(usize, &LayerMeta)> = Vec::new();
    let mut close = |layers: &mut Vec<(usize, &'a LayerMeta)>| {
        layers.sort_by_key(|(age, _)| *age);
        let level1_at = layers.partition_point(|(age, _)| *age < usize::MAX);
        let of = |layers: &[(usize, &'a LayerMeta)]| layers.iter().map(|(_, layer)| *layer).collect();
        if !layers.is_empty() {
            parts.push(Part { flushed: of(&layers[..level1_at]), level1: of(&layers[level1_at..]) });
        }
        layers.clear();
    };
    for (age, layer) in layers {
        if end.is_some_and(|end| layer.first > *end) {
            close(&mut of_part);
        }
        end = end.max(Some(&layer.last));
        of_part.push((age, layer));
    }
    close(&mut of_part);
    parts
}

/// Keys at which layers of level 0 are cut, so that parts of about so many bytes come to be: at borders of parts, and,
/// within a part that is too large, of its layers of level 1.
pub fn cuts(parts: &[Part], part_bytes: u64) -> Vec<Key> {
    let mut cuts: Vec<Key> = Vec::new();
    let mut since = 0;
    for part in parts {
        let Some(first) = part.first() else { continue };
        if since >= part_bytes {
            cuts.push(first.clone());
            since = 0;
        }
        if part.bytes() < 2 * part_bytes {
            since += part.bytes();
            continue;
        }
        // What lies above level 1 is taken to be spread evenly over it.
        let scale = part.bytes() / part.level1_bytes().max(1);
        for layer in &part.level1 {
            if since >= part_bytes {
                cuts.push(layer.first.clone());
                since = 0;
            }
            since += layer.bytes * scale.max(1);
        }
    }
    cuts
}

/// Whether a layer has keys on both sides of a cut.
pub fn crosses(layer: &LayerMeta, cuts: &[Key]) -> bool {
    let at = cuts.partition_point(|cut| *cut <= layer.first);
    cuts.get(at).is_some_and(|cut| *cut <= layer.last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::testing::layers;

    fn told(lines: &[&str]) -> (Vec<String>, Vec<String>) {
        let layers = layers(lines);
        let of_level = |level: u32| layers.iter().filter(|layer| layer.level == level).collect::<Vec<_>>();
        let parts = parts(&of_level(0), &of_level(1));
        let names = |part: &Part| {
            let all = part.flushed.iter().chain(&part.level1).map(|layer| layer.sequence.to_string());
            all.collect::<Vec<_>>().join(" ")
        };
        let cuts = cuts(&parts, 100).iter().map(|cut| String::from_utf8_lossy(cut).into_owned()).collect();
        (parts.iter().map(names).collect(), cuts)
    }

    #[test]
    fn layers_that_overlap_are_one_part() {
        let lines = ["0 x-z 30-39 5", "0 b-d 20-29 5", "0 a-b 10-19 5", "1 c-e 1-9 80", "1 f-g 1-9 80", "1 h-i 1-9 80"];
        let (parts, cuts) = told(&lines);
        assert_eq!(parts, ["2 3 4", "5", "6", "1"]);
        assert_eq!(cuts, ["h"]);
        // One layer hangs everything together; level 1 says where that may end.
        let (parts, cuts) = told(&["0 a-z 20-29 60", "1 a-b 1-9 80", "1 c-d 1-9 80", "1 e-f 1-9 80", "1 g-h 1-9 80"]);
        assert_eq!(parts, ["1 2 3 4 5"]);
        assert_eq!(cuts, ["e"]);
        assert_eq!(told(&["0 a-z 20-29 900"]), (vec!["1".into()], vec![]));
    }

    #[test]
    fn crossing_is_having_keys_on_both_sides() {
        let layer = |keys: &str| layers(&[&format!("0 {keys} 1-2 1")]).remove(0);
        let cuts: Vec<Key> = vec!["d".into(), "m".into()];
        for (keys, expected) in [("a-c", false), ("a-d", true), ("d-l", false), ("e-z", true), ("m-z", false)] {
            assert_eq!(crosses(&layer(keys), &cuts), expected, "{keys}");
        }
    }
}
