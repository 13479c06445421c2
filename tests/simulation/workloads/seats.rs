//! Seats: at most so many rows in a range, kept by a lock on the range alone. Bookings are new keys, so no check of versions
//! stands in for the lock: where a range was granted by an earlier leader, the commit must not go through.

use super::{Client, SEATS, all, key, row};
use crate::sim::Sim;
use crate::txn::{Failure, Txn};
use std::sync::Arc;

const SEATS_MAX: usize = 3;

pub async fn book(client: Client) {
    let mut booked = 0;
    while client.pause().await {
        booked += 1;
        let mut txn = Txn::new(&client.sim, &client.remote);
        let outcome = match choose(&client, &mut txn, booked).await {
            Ok(()) => txn.commit().await,
            Err(failure) => {
                txn.roll_back().await;
                Err(failure)
            }
        };
        client.tell("seat", &outcome);
    }
}

async fn choose(client: &Client, txn: &mut Txn, booked: u64) -> Result<(), Failure> {
    txn.lock(Vec::new(), vec![all(SEATS)]).await?;
    let taken = txn.scan(all(SEATS)).await?;
    tokio::time::sleep(client.sim.ms(0, 60)).await;
    if taken.len() >= SEATS_MAX {
        for (seat, _) in taken {
            txn.put(seat, None);
        }
    } else {
        txn.put_blind(key(SEATS, (client.number << 32) + booked), row(booked as i64, 3));
    }
    Ok(())
}

pub fn finish(sim: &Arc<Sim>) {
    let taken = sim.ledger.rows(&all(SEATS)).len();
    if taken > SEATS_MAX {
        sim.violation(format!("{taken} of {SEATS_MAX} seats are taken at the end"));
    }
}
