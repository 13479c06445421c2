//! An index that is made and dropped while others write rows, as compute does it: writers hold the definition shared, who
//! changes it holds it exclusively and fills the index from the rows that are there. Rows are new keys, so what keeps a
//! row from being missing in the index is the lock on the definition alone.
//!
//! At every LSN: while there is an index, it has an entry for each row.

use super::{Client, all, key, number, row};
use crate::sim::Sim;
use crate::txn::{self, Failure, Txn};
use common::id::{Lsn, TableId};
use common::key::Key;
use std::sync::Arc;

const DEFINITIONS: TableId = TableId(1007);
const ROWS: TableId = TableId(1008);
const ENTRIES: TableId = TableId(1009);

fn definition() -> Key {
    key(DEFINITIONS, 1)
}

pub async fn write(client: Client) {
    let mut written = 0;
    while client.pause().await {
        written += 1;
        let mut txn = Txn::new(&client.sim, &client.remote);
        let outcome = match put(&client, &mut txn, (client.number << 32) + written).await {
            Ok(()) => txn.commit().await,
            Err(failure) => {
                txn.roll_back().await;
                Err(failure)
            }
        };
        client.tell("row", &outcome);
    }
}

async fn put(client: &Client, txn: &mut Txn, id: u64) -> Result<(), Failure> {
    txn.lock_shared(vec![definition()]).await?;
    let indexed = is_indexed(&txn.get(&[definition()]).await?);
    txn.lock(vec![key(ROWS, id)], Vec::new()).await?;
    tokio::time::sleep(client.sim.ms(0, 150)).await;
    txn.put(key(ROWS, id), Some(row(1, 3)));
    if indexed {
        txn.put(key(ENTRIES, id), Some(row(1, 3)));
    }
    Ok(())
}

fn is_indexed(definition: &[Option<bytes::Bytes>]) -> bool {
    definition.iter().flatten().any(|row| number(row) == 1)
}

pub async fn define(client: Client) {
    while client.pause().await {
        let mut txn = Txn::new(&client.sim, &client.remote);
        let outcome = match change(&client, &mut txn).await {
            Ok(()) => txn.commit().await,
            Err(failure) => {
                txn.roll_back().await;
                Err(failure)
            }
        };
        client.tell("index", &outcome);
        if let Ok(lsn) = outcome {
            client.tell("index audit", &audit(&client, lsn).await);
        }
    }
}

/// Makes the index, or drops it.
async fn change(client: &Client, txn: &mut Txn) -> Result<(), Failure> {
    txn.lock(vec![definition()], Vec::new()).await?;
    txn.rely_on_locks();
    let indexed = is_indexed(&txn.get(&[definition()]).await?);
    let found = txn.scan(all(if indexed { ENTRIES } else { ROWS })).await?;
    tokio::time::sleep(client.sim.ms(0, 250)).await;
    for (found, _) in found {
        let id = u64::from_be_bytes(found[found.len() - 8..].try_into().expect("keys end with a number"));
        txn.put(key(ENTRIES, id), (!indexed).then(|| row(1, 3)));
    }
    txn.put(definition(), Some(row(i64::from(!indexed), 3)));
    Ok(())
}

async fn audit(client: &Client, lsn: Lsn) -> Result<(), Failure> {
    let definition = txn::get(&client.sim, &client.remote, lsn, &[definition()]).await?;
    let rows = txn::scan(&client.sim, &client.remote, lsn, all(ROWS)).await?.len();
    let entries = txn::scan(&client.sim, &client.remote, lsn, all(ENTRIES)).await?.len();
    if is_indexed(&definition) && rows != entries {
        client.sim.violation(format!("at LSN {lsn} an index has {entries} entries for {rows} rows"));
    }
    Ok(())
}

pub fn finish(sim: &Arc<Sim>) {
    let rows = |table| sim.ledger.rows(&all(table)).len();
    let indexed = sim.ledger.rows(&all(DEFINITIONS)).iter().any(|(_, row)| number(row) == 1);
    if indexed && rows(ROWS) != rows(ENTRIES) {
        sim.violation(format!("an index has {} entries for {} rows at the end", rows(ENTRIES), rows(ROWS)));
    }
}
