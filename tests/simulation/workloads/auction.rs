//! Auction: many clients raise one counter, and each writes beside it, in another row, what it made of it. The lock passes on
//! before the disk, so most read what is not durable yet.

use super::{AUCTION, Client, all, key, number, row};
use crate::sim::Sim;
use crate::txn::{Failure, Txn};
use common::id::Lsn;
use std::sync::Arc;

/// The row of the last bid; row 0 counts.
const LAST: u64 = 1;

pub async fn bid(client: Client) {
    loop {
        // In a hurry: the last minute.
        tokio::time::sleep(client.sim.ms(5, 350)).await;
        if !client.begins() {
            return;
        }
        let mut txn = Txn::new(&client.sim, &client.remote);
        let outcome = match raise(&client, &mut txn).await {
            Ok(seen) => {
                let outcome = txn.commit().await;
                if outcome.is_ok() {
                    check(&client, seen);
                }
                outcome
            }
            Err(failure) => {
                txn.roll_back().await;
                Err(failure)
            }
        };
        client.tell("bid", &outcome);
    }
}

/// What was read holds once it may be shown; before that it may come from a leader whose commits are lost.
fn check(client: &Client, (count, last, lsn): (i64, i64, Lsn)) {
    if count != last {
        client.sim.violation(format!("{count} bids were made, and the last one is number {last}, at LSN {lsn}"));
    }
}

async fn raise(client: &Client, txn: &mut Txn) -> Result<(i64, i64, Lsn), Failure> {
    let counter = key(AUCTION, 0);
    txn.lock(vec![counter.clone()], Vec::new()).await?;
    // The other row is not locked: it has to be read where the lock says, after all that the last holder did.
    let rows = txn.get(&[counter.clone(), key(AUCTION, LAST)]).await?;
    let (count, last) = (rows[0].as_ref().map_or(0, number), rows[1].as_ref().map_or(0, number));
    let seen = (count, last, txn.lsn());
    if client.sim.strikes(100) {
        txn.show().await?;
        check(client, seen);
    }
    let padding = client.sim.random.below(700) as usize;
    txn.put(counter, Some(row(count + 1, padding)));
    txn.put_blind(key(AUCTION, LAST), row(count + 1, 5));
    Ok(seen)
}

pub fn finish(sim: &Arc<Sim>) {
    let numbers: Vec<i64> = sim.ledger.rows(&all(AUCTION)).iter().map(|(_, row)| number(row)).collect();
    if numbers.windows(2).any(|pair| pair[0] != pair[1]) {
        sim.violation(format!("the auction ends with {numbers:?}"));
    }
}
