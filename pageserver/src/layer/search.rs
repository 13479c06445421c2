//! Which block of a layer can hold a key: the beginnings of the blocks' last keys side by side, so that a search stays in
//! a few cache lines where the index itself is spread over memory.

use super::format::BlockEntry;

#[derive(Debug)]
pub struct BlockSearch {
    /// What the last keys of all blocks begin with.
    prefix: Vec<u8>,
    /// The eight bytes that follow it, by block; zeros where a key ends.
    words: Vec<u64>,
}

impl BlockSearch {
    /// Blocks ascend by key.
    pub fn of(blocks: &[BlockEntry]) -> BlockSearch {
        let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else {
            return BlockSearch { prefix: Vec::new(), words: Vec::new() };
        };
        let shared = first.last.iter().zip(&last.last).take_while(|(a, b)| a == b).count();
        BlockSearch {
            prefix: first.last[..shared].to_vec(),
            words: blocks.iter().map(|block| word(&block.last[shared..])).collect(),
        }
    }

    /// The first block whose last key is not less than `key`; `blocks` are those that the search was made of.
    pub fn first_not_before(&self, blocks: &[BlockEntry], key: &[u8]) -> usize {
        let Some(rest) = key.strip_prefix(&self.prefix[..]) else {
            return if *key < self.prefix[..] { 0 } else { blocks.len() };
        };
        let wanted = word(rest);
        let start = self.words.partition_point(|word| *word < wanted);
        let alike = self.words[start..].partition_point(|word| *word == wanted);
        start + blocks[start..start + alike].partition_point(|block| block.last < key)
    }
}

fn word(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(bytes) => u64::from_be_bytes(*bytes),
        None => {
            let mut padded = [0; 8];
            padded[..bytes.len()].copy_from_slice(bytes);
            u64::from_be_bytes(padded)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use common::id::Lsn;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_finds_what_a_search_over_whole_keys_finds(
            shared in prop::collection::vec(any::<u8>(), 0..4),
            keys in prop::collection::btree_set(prop::collection::vec(0u8..3, 0..12), 1..60),
            probes in prop::collection::vec(prop::collection::vec(0u8..4, 0..14), 1..40),
        ) {
            let of = |key: &[u8]| Bytes::from([&shared[..], key].concat());
            let blocks: Vec<BlockEntry> = keys.iter().map(|key| BlockEntry {
                offset: 0, length: 0, crc: 0, rows: 1, tombstones: 0, single: true, lsn_min: Lsn(1), lsn_max: Lsn(1),
                first: of(key), last: of(key), columns: Vec::new(),
            }).collect();
            let search = BlockSearch::of(&blocks);
            let whole = probes.iter().map(|probe| of(probe)).chain(probes.iter().map(|probe| Bytes::from(probe.clone())));
            for probe in whole.chain(blocks.iter().map(|block| block.last.clone())) {
                let expected = blocks.partition_point(|block| block.last < probe);
                prop_assert_eq!(search.first_not_before(&blocks, &probe), expected);
            }
        }
    }
}
