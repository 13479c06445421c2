//! Retag: transactions of an earlier log as this one has them: by its own map. What an earlier log said of its map is its own.

use super::core::tablets_of;
use common::bulk::BulkLayer;
use common::cluster_map::{ClusterMap, MAP_KEY};
use common::service::wal::{Batch, Transaction};

/// The same writes, each for the tablet that has its key by `map`. Changes of the map are left out; their LSNs stay taken.
pub fn retagged(batch: Batch, map: &ClusterMap) -> Result<Batch, String> {
    let transactions = batch.transactions.into_iter().map(|transaction| retagged_transaction(transaction, map));
    Ok(Batch { transactions: transactions.collect::<Result<_, String>>()?, ..batch })
}

fn retagged_transaction(transaction: Transaction, map: &ClusterMap) -> Result<Transaction, String> {
    let mut mutations = Vec::with_capacity(transaction.mutations.len());
    let mut before: Option<BulkLayer> = None;
    for (_, mutation) in transaction.mutations {
        match BulkLayer::of(&mutation) {
            None if mutation.key == MAP_KEY => {}
            None => mutations.push((map.tablet_of(&mutation.key), mutation)),
            Some(layer) => {
                let layer = layer.map_err(|error| format!("LSN {}: {error}", transaction.lsn))?;
                // It stood there once for each tablet of the earlier map.
                if before.as_ref() != Some(&layer) {
                    mutations.extend(tablets_of(map, &layer).map(|tablet| (tablet, layer.record())));
                    before = Some(layer);
                }
            }
        }
    }
    Ok(Transaction { mutations, ..transaction })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use common::cluster_map::MapChange;
    use common::id::{CommitId, Lsn, TabletId};
    use common::service::wal::Mutation;

    #[test]
    fn writes_go_to_the_tablets_of_the_map_in_force() {
        let row = |key: &'static str| Mutation { key: key.into(), row: Some("r".into()) };
        let split = |map: &ClusterMap, tablet, at| {
            map.changed(&MapChange::Split { tablet: TabletId(tablet), at: Bytes::from_static(at) }).unwrap()
        };
        let earlier = split(&ClusterMap::default(), 1, b"g");
        let now = split(&split(&ClusterMap::default(), 1, b"c"), 2, b"p");
        let (first, last): (Bytes, Bytes) = ("b".into(), "x".into());
        let layer = BulkLayer {
            home: TabletId(1),
            generation: 1,
            sequence: 2,
            bytes: 9,
            index_offset: 1,
            first,
            last,
            rows: 2,
            tombstones: 0,
        };
        let map_row = Mutation { key: MAP_KEY, row: Some(earlier.encode()) };
        let mutations = vec![
            (TabletId(1), row("a")),
            (TabletId(2), row("z")),
            (TabletId(1), map_row),
            (TabletId(1), layer.record()),
            (TabletId(2), layer.record()),
        ];
        let transaction = Transaction { lsn: Lsn(5), commit_id: CommitId(1), mutations, counters: Vec::new() };
        let batch = Batch { first_lsn: Lsn(5), last_lsn: Lsn(5), time_us: 1, transactions: vec![transaction] };
        let batch = retagged(batch, &now).unwrap();
        let tags: Vec<u64> = batch.transactions[0].mutations.iter().map(|(tablet, _)| tablet.0).collect();
        assert_eq!(tags, [1, 3, 1, 2, 3]);
    }
}
