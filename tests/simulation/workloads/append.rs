//! Lists: read, and write back longer, without any lock. Only the conflict check keeps them apart.

use super::{Client, LISTS, key, number, row};
use crate::txn::{Failure, Txn};
use common::id::Lsn;

const LISTS_MAX: u64 = 6;

pub async fn run(client: Client) {
    while client.pause().await {
        let mut txn = Txn::new(&client.sim, &client.remote);
        let outcome = match append(&client, &mut txn).await {
            Ok(()) => txn.commit().await,
            Err(failure) => Err(failure),
        };
        client.tell("append", &outcome);
    }
}

async fn append(client: &Client, txn: &mut Txn) -> Result<(), Failure> {
    let _: Lsn = txn.begin_optimistic().await?;
    let (list, other) = (client.sim.random.below(LISTS_MAX), client.sim.random.below(LISTS_MAX));
    let keys = [key(LISTS, list), key(LISTS, other)];
    let rows = txn.get(&keys).await?;
    // Sometimes long enough that the conflict window has moved on meanwhile.
    tokio::time::sleep(client.sim.ms(0, 120)).await;
    txn.put(keys[0].clone(), Some(row(rows[0].as_ref().map_or(0, number) + 1, client.sim.random.below(900) as usize)));
    if list != other {
        txn.check(keys[1].clone());
    }
    Ok(())
}
