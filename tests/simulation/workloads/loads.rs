//! Loads: rows that lie in the object store before their commit, which names them. They are there all at once or not at all,
//! also where the page server that wrote them dies in between.

use super::{Client, LOADS, all, key, row};
use crate::sim::Sim;
use crate::txn::{Failure, Txn};
use common::id::Lsn;
use common::service::PageService;
use common::service::page::{BulkFinished, BulkRow, PageError};
use std::sync::Arc;

const ROWS: u64 = 12;

pub async fn run(client: Client) {
    let mut load = 0;
    while client.pause().await {
        load += 1;
        let mut txn = Txn::new(&client.sim, &client.remote);
        let outcome = match fill(&client, &mut txn, load).await {
            Ok(()) => txn.commit().await,
            Err(failure) => Err(failure),
        };
        client.tell("load", &outcome);
        let rows = client.sim.random.below(4) == 0;
        if rows && client.begins() {
            let outcome = audit(&client).await;
            client.tell("audit of loads", &outcome);
        }
    }
}

/// Every other row in a layer of its own, so that layers have to be merged, and none of which was there before.
async fn fill(client: &Client, txn: &mut Txn, load: u64) -> Result<(), Failure> {
    txn.begin_optimistic().await?;
    let number = |row: u64| (client.number << 32) + load * ROWS + row;
    let row = |at: u64| row(at as i64, client.sim.random.below(200) as usize);
    let rows: Vec<BulkRow> = (0..ROWS).map(|at| (key(LOADS, number(at)), Some(row(at)))).collect();
    let mut layers = Vec::new();
    for odd in 0..2 {
        let half = rows.iter().skip(odd).step_by(2).cloned().collect();
        layers.extend(client.remote.bulk_write(half).await.map_err(failure)?);
    }
    let BulkFinished::Ready(layers) = client.remote.bulk_finish(layers).await.map_err(failure)? else {
        client.sim.violation("a load has a key twice".to_string());
        return Err(Failure::Conflict);
    };
    tokio::time::sleep(client.sim.ms(0, 60)).await;
    for layer in layers {
        let of_layer = rows.iter().filter(|(key, _)| *key >= layer.first && *key <= layer.last);
        client.sim.ledger.bulk(layer.record().key, of_layer.map(|row| (row.clone(), Lsn::MAX)).collect());
        let record = layer.record();
        txn.put_blind(record.key, record.row.expect("a record names a layer"));
    }
    Ok(())
}

/// What another page server wrote is refused, and the load begun again.
fn failure(error: PageError) -> Failure {
    match error {
        PageError::BadRequest(_) => Failure::Conflict,
        other => Failure::NoAnswer(other.to_string()),
    }
}

async fn audit(client: &Client) -> Result<(), Failure> {
    let mut txn = Txn::new(&client.sim, &client.remote);
    txn.begin_optimistic().await?;
    let rows = txn.scan(all(LOADS)).await?;
    if !(rows.len() as u64).is_multiple_of(ROWS) {
        client.sim.violation(format!("{} rows of loads of {ROWS}", rows.len()));
    }
    Ok(())
}

pub fn finish(sim: &Arc<Sim>) {
    let rows = sim.ledger.rows(&all(LOADS)).len() as u64;
    sim.event(|| format!("{rows} rows were loaded"));
    if !rows.is_multiple_of(ROWS) {
        sim.violation(format!("{rows} rows of loads of {ROWS} at the end"));
    }
}
