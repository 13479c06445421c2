//! When to split and when to merge. A pure function of sizes and write rates.

use common::cluster_map::{MAP_KEY, MapChange};
use common::id::TabletId;
use common::key::{KEY_PREFIX_BYTES, Key, KeyRange};

#[derive(Debug, Clone, Copy)]
pub struct BalanceOptions {
    /// A larger tablet is split.
    pub bytes_max: u64,
    /// Neighbours that are smaller together are merged.
    pub bytes_min: u64,
    /// A tablet to which more is written in a second is split.
    pub write_bytes_max: u64,
    pub tablets_max: usize,
}

/// What is known of a tablet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    pub tablet: TabletId,
    pub bytes: u64,
    pub write_bytes_per_second: u64,
    /// No change of it is on its way.
    pub settled: bool,
    /// It shares no layer with others.
    pub clean: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Where half of its bytes are.
    SplitBySize(TabletId),
    /// Where half of what was written lately is.
    SplitByWrites(TabletId),
    Merge(TabletId, TabletId),
}

/// `loads` are in key order. At most one change at a time: the next look sees what it did.
pub fn wish(loads: &[Load], options: &BalanceOptions) -> Option<Wish> {
    if loads.iter().any(|load| !load.settled) {
        return None;
    }
    if loads.len() < options.tablets_max {
        let largest = loads.iter().max_by_key(|load| load.bytes)?;
        if largest.bytes > options.bytes_max {
            return Some(Wish::SplitBySize(largest.tablet));
        }
        let busiest = loads.iter().max_by_key(|load| load.write_bytes_per_second)?;
        if busiest.write_bytes_per_second > options.write_bytes_max {
            return Some(Wish::SplitByWrites(busiest.tablet));
        }
    }
    // Half of the limit that splits: what was just split by writes is not merged again while they go on.
    let idle = |pair: &&[Load]| {
        let together = pair.iter().map(|load| load.write_bytes_per_second).sum::<u64>();
        together * 2 < options.write_bytes_max
    };
    let small = |pair: &&[Load]| pair.iter().map(|load| load.bytes).sum::<u64>() < options.bytes_min;
    let pairs = loads.windows(2).filter(|pair| pair.iter().all(|load| load.clean));
    let smallest = pairs.filter(small).filter(idle).min_by_key(|pair| pair[0].bytes + pair[1].bytes)?;
    Some(Wish::Merge(smallest[0].tablet, smallest[1].tablet))
}

/// The key at which half of `parts` (first key and bytes, in key order) lies on either side; `None` where there is no key
/// to split at within `range`. A border between indexes near the middle is preferred.
pub fn middle(range: &KeyRange, parts: &[(Key, u64)]) -> Option<Key> {
    let total: u64 = parts.iter().map(|(_, bytes)| bytes).sum();
    let allowed = |key: &Key| range.contains(key) && *key > range.start && *key > MAP_KEY;
    let mut before: u64 = 0;
    let mut best: Option<(u64, &Key)> = None;
    let mut previous: Option<&Key> = None;
    for (key, bytes) in parts {
        let border = previous.is_some_and(|previous| previous.get(..KEY_PREFIX_BYTES) != key.get(..KEY_PREFIX_BYTES));
        let off = before.abs_diff(total - before);
        // A tenth of the whole off the middle is made up for by a border.
        let off = if border { off.saturating_sub(total / 5) } else { off };
        if allowed(key) && best.is_none_or(|(least, _)| off < least) {
            best = Some((off, key));
        }
        before += bytes;
        previous = Some(key);
    }
    best.map(|(_, key)| key.clone())
}

/// The change of the map that a wish asks for; `at` is where to split.
pub fn change(wish: Wish, at: Option<Key>) -> Option<MapChange> {
    match wish {
        Wish::SplitBySize(tablet) | Wish::SplitByWrites(tablet) => Some(MapChange::Split { tablet, at: at? }),
        Wish::Merge(left, right) => Some(MapChange::Merge { left, right }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: BalanceOptions =
        BalanceOptions { bytes_max: 100, bytes_min: 40, write_bytes_max: 10, tablets_max: 4 };

    /// "id bytes writes [flags]", u for unsettled, s for sharing layers.
    fn wished(lines: &[&str]) -> Option<Wish> {
        let load = |line: &&str| {
            let words: Vec<&str> = line.split(' ').collect();
            let flags = words.get(3).copied().unwrap_or_default();
            Load {
                tablet: TabletId(words[0].parse().unwrap()),
                bytes: words[1].parse().unwrap(),
                write_bytes_per_second: words[2].parse().unwrap(),
                settled: !flags.contains('u'),
                clean: !flags.contains('s'),
            }
        };
        wish(&lines.iter().map(load).collect::<Vec<_>>(), &OPTIONS)
    }

    #[test]
    fn wishes() {
        let (one, two, three) = (TabletId(1), TabletId(2), TabletId(3));
        let cases: &[(&[&str], Option<Wish>)] = &[
            (&["1 100 10"], None),
            (&["1 101 0"], Some(Wish::SplitBySize(one))),
            (&["1 101 0", "2 150 0"], Some(Wish::SplitBySize(two))),
            (&["1 50 0", "2 50 11"], Some(Wish::SplitByWrites(two))),
            (&["1 500 0", "2 50 0", "3 50 0", "4 50 0"], None),
            (&["1 500 0", "2 50 0 u"], None),
            (&["1 30 0", "2 15 0", "3 20 0"], Some(Wish::Merge(two, three))),
            (&["1 10 0", "2 15 0", "3 20 0"], Some(Wish::Merge(one, two))),
            (&["1 10 0 s", "2 15 0", "3 20 0"], Some(Wish::Merge(two, three))),
            (&["1 10 3", "2 15 2"], None),
            (&["1 10 2", "2 15 2"], Some(Wish::Merge(one, two))),
            (&["1 20 0", "2 20 0"], None),
        ];
        for (lines, expected) in cases {
            assert_eq!(wished(lines), *expected, "{lines:?}");
        }
    }

    #[test]
    fn the_middle_has_half_on_either_side_and_prefers_borders() {
        let key = |index: u8, number: u8| Key::from(vec![0, 0, 0, 1, 0, 0, 0, index, number]);
        let all = KeyRange::all();
        let even: Vec<(Key, u64)> = (0..10).map(|number| (key(1, number), 10)).collect();
        assert_eq!(middle(&all, &even), Some(key(1, 5)));
        let heavy = [(key(1, 0), 10), (key(1, 1), 10), (key(1, 2), 100)];
        assert_eq!(middle(&all, &heavy), Some(key(1, 2)));
        let border: Vec<(Key, u64)> = (0..10).map(|number| (key(u8::from(number > 3), number), 10)).collect();
        assert_eq!(middle(&all, &border), Some(key(1, 4)));
        assert_eq!(middle(&all, &[(key(1, 0), 10)]), Some(key(1, 0)));
        let narrow = KeyRange { start: key(1, 3), end: key(1, 4) };
        assert_eq!(middle(&narrow, &even), None);
        assert_eq!(middle(&all, &[(MAP_KEY, 10)]), None);
    }
}
