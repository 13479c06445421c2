//! Bank: transfers between accounts under locks, taken in any order, some past the log; the total never changes, at no LSN.

use super::{BANK, Client, all, key, number, row};
use crate::sim::Sim;
use crate::txn::{self, Failure, Txn};
use common::id::Lsn;
use std::sync::Arc;

const ACCOUNTS: u64 = 4;
const BALANCE: i64 = 100;

pub async fn prepare(client: &Client) -> Result<(), Failure> {
    let mut txn = Txn::new(&client.sim, &client.remote);
    for account in 0..ACCOUNTS {
        txn.put_blind(key(BANK, account), row(BALANCE, 10));
    }
    txn.commit().await.map(|_| ())
}

pub async fn transfer(client: Client) {
    while client.pause().await {
        let mut txn = Txn::new(&client.sim, &client.remote);
        let outcome = match move_money(&client, &mut txn).await {
            Ok(()) if client.sim.strikes(100) => txn.commit_past_log().await,
            Ok(()) => txn.commit().await,
            Err(failure) => {
                txn.roll_back().await;
                Err(failure)
            }
        };
        client.tell("transfer", &outcome);
    }
}

async fn move_money(client: &Client, txn: &mut Txn) -> Result<(), Failure> {
    let from = client.sim.random.below(ACCOUNTS);
    let to = (from + 1 + client.sim.random.below(ACCOUNTS - 1)) % ACCOUNTS;
    let keys = [key(BANK, from), key(BANK, to)];
    if client.sim.strikes(500) {
        txn.lock(vec![keys[0].clone()], Vec::new()).await?;
        txn.lock(vec![keys[1].clone()], Vec::new()).await?;
    } else {
        txn.lock(keys.to_vec(), Vec::new()).await?;
    }
    let rows = txn.get(&keys).await?;
    let amount = 1 + client.sim.random.below(10) as i64;
    let balance = |at: usize| rows[at].as_ref().map_or(0, number);
    let padding = client.sim.random.below(1500) as usize;
    txn.put(keys[0].clone(), Some(row(balance(0) - amount, padding)));
    txn.put(keys[1].clone(), Some(row(balance(1) + amount, padding)));
    Ok(())
}

/// Adds up, by a scan or by point reads.
pub async fn audit(client: Client) {
    while client.pause().await {
        let outcome = add_up(&client).await;
        client.tell("audit", &outcome);
    }
}

async fn add_up(client: &Client) -> Result<Lsn, Failure> {
    let lsn = txn::read_lsn(&client.sim, &client.remote).await?;
    let total: i64 = if client.sim.strikes(500) {
        txn::scan(&client.sim, &client.remote, lsn, all(BANK)).await?.iter().map(|(_, row)| number(row)).sum()
    } else {
        let keys: Vec<_> = (0..ACCOUNTS).map(|account| key(BANK, account)).collect();
        txn::get(&client.sim, &client.remote, lsn, &keys).await?.iter().flatten().map(number).sum()
    };
    if total != BALANCE * ACCOUNTS as i64 {
        client.sim.violation(format!("the accounts have {total} in all at LSN {lsn}"));
    }
    Ok(lsn)
}

pub fn finish(sim: &Arc<Sim>) {
    let total: i64 = sim.ledger.rows(&all(BANK)).iter().map(|(_, row)| number(row)).sum();
    if total != BALANCE * ACCOUNTS as i64 {
        sim.violation(format!("the accounts have {total} in all at the end"));
    }
}
