//! Branches: transfers in two phases, as XA has them. One client prepares, another finishes, whoever has died or leads in
//! between. What is prepared can always be finished, by exactly one, and nobody writes its keys before.

use super::{BRANCHES, Client, all, key, number, row};
use crate::sim::Sim;
use crate::txn::{self, Failure, Txn};
use std::sync::Arc;

const ACCOUNTS: u64 = 4;

/// Moves money, in one phase or two.
pub async fn begin(client: Client) {
    let mut begun = 0;
    // Whoever waits for a prepared one at the end waits for finishers that have ended.
    while client.pause().await && !client.sim.healed.is_cancelled() {
        begun += 1;
        let mut txn = Txn::new(&client.sim, &client.remote);
        let outcome = match move_money(&client, &mut txn).await {
            Ok(()) if client.sim.strikes(600) => txn.prepare(&[client.number as u8, begun]).await,
            Ok(()) => txn.commit().await,
            Err(failure) => {
                txn.roll_back().await;
                Err(failure)
            }
        };
        client.tell("branch", &outcome);
    }
}

async fn move_money(client: &Client, txn: &mut Txn) -> Result<(), Failure> {
    let from = client.sim.random.below(ACCOUNTS);
    let to = (from + 1 + client.sim.random.below(ACCOUNTS - 1)) % ACCOUNTS;
    let keys = [key(BRANCHES, from), key(BRANCHES, to)];
    txn.lock(keys.to_vec(), Vec::new()).await?;
    let rows = txn.get(&keys).await?;
    let balance = |at: usize| rows[at].as_ref().map_or(0, number);
    txn.put(keys[0].clone(), Some(row(balance(0) - 1, 9)));
    txn.put(keys[1].clone(), Some(row(balance(1) + 1, 9)));
    Ok(())
}

/// Finishes what it finds prepared.
pub async fn finish_all(client: Client) {
    while client.pause().await {
        let outcome = finish_found(&client).await;
        client.tell("finish", &outcome);
    }
}

async fn finish_found(client: &Client) -> Result<(), Failure> {
    for (record, at, row) in txn::prepared(&client.sim, &client.remote).await? {
        let commits = client.sim.strikes(700);
        match txn::finish_prepared(&client.sim, &client.remote, record.clone(), (at, row), commits).await {
            // Somebody else is faster: whoever it is has his place in the order, and may lose it with his leader.
            Err(Failure::Conflict) => {}
            outcome => drop(outcome?),
        }
    }
    Ok(())
}

pub fn finish(sim: &Arc<Sim>) {
    let total: i64 = sim.ledger.rows(&all(BRANCHES)).iter().map(|(_, row)| number(row)).sum();
    if total != 0 {
        sim.violation(format!("branches have made {total} out of nothing"));
    }
}
