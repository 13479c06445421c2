//! Registers: blind writes and reads of single keys. The ledger says whether they are linearizable: its order is the witness.

use super::{Client, REGISTERS, key, row};
use crate::txn::{self, Failure, Txn};
use common::id::Lsn;

const REGISTERS_MAX: u64 = 3;

pub async fn run(client: Client) {
    let mut written = 0;
    while client.pause().await {
        let register = key(REGISTERS, client.sim.random.below(REGISTERS_MAX));
        let outcome: Result<Lsn, Failure> = if client.sim.strikes(400) {
            written += 1;
            let mut txn = Txn::new(&client.sim, &client.remote);
            if client.sim.strikes(100) {
                txn.put(register, None);
            } else {
                txn.put_blind(register, row((client.number << 32) as i64 + written, 3));
            }
            txn.commit().await
        } else {
            read(&client, register).await
        };
        client.tell("register", &outcome);
    }
}

async fn read(client: &Client, register: common::key::Key) -> Result<Lsn, Failure> {
    let lsn = txn::read_lsn(&client.sim, &client.remote).await?;
    txn::get(&client.sim, &client.remote, lsn, &[register]).await?;
    Ok(lsn)
}
