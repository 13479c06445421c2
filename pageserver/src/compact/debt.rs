//! What compaction still has to do: how far writers are ahead of it.

use super::choose::ChooseOptions;
use super::level0::LEVEL1_PER_FLUSHED;
use crate::manifest::LayerMeta;

/// Bytes that have to be rewritten until all is well, about: what is too much for a level, with what it meets in the next
/// one.
pub fn debt_bytes<'a>(layers: impl Iterator<Item = &'a LayerMeta>, options: &ChooseOptions) -> u64 {
    let mut levels: Vec<u64> = Vec::new();
    for layer in layers {
        let level = layer.level as usize;
        if levels.len() <= level {
            levels.resize(level + 1, 0);
        }
        levels[level] += layer.bytes;
    }
    let of_level = |level: usize| levels.get(level).copied().unwrap_or_default();
    let (mut debt, mut coming) = (0u64, 0u64);
    // Level 0 is left alone up to its share of level 1.
    let mut level_bytes_max = (of_level(1) / LEVEL1_PER_FLUSHED).max(options.part_bytes);
    let mut met_max = LEVEL1_PER_FLUSHED;
    for level in 0..levels.len() {
        let excess = (of_level(level) + coming).saturating_sub(level_bytes_max);
        // Each of its bytes meets so many of the next level.
        let met = (of_level(level + 1) / of_level(level).max(1)).min(met_max);
        debt = debt.saturating_add(excess.saturating_mul(1 + met));
        coming = excess;
        level_bytes_max = match level {
            0 => options.level1_bytes,
            _ => level_bytes_max.saturating_mul(options.level_growth),
        };
        met_max = options.level_growth;
    }
    debt
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compact::choose::testing::OPTIONS;
    use crate::manifest::testing::layers;

    #[test]
    fn debt_is_what_has_to_be_rewritten() {
        let debt = |lines: &[&str]| debt_bytes(layers(lines).iter(), &OPTIONS);
        assert_eq!(debt(&["0 a-z 20-29 50", "0 a-z 10-19 50", "1 a-z 1-9 90"]), 0);
        // 60 more than a part; level 1, which they meet about half of, is then 50 too large.
        assert_eq!(debt(&["0 a-z 30-39 80", "0 a-z 20-29 80", "1 a-z 1-9 90"]), 60 + 50);
        // 30 too much for level 1, each byte of which meets three of level 2.
        assert_eq!(debt(&["1 a-z 1-9 130", "2 a-z 1-9 390"]), 120);
    }
}
