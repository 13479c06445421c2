//! Tickets: numbers from a counter, as AUTO_INCREMENT gives them. None is ever given twice, also where nothing came of the
//! first one, and a leader that leads gives none below one that is used already.

use super::{Client, TICKETS, all, key, row};
use crate::txn::{Failure, Txn};
use common::id::CounterId;
use common::service::WalService;
use common::service::wal::AllocateRequest;

const COUNTER: CounterId = CounterId(7);

pub async fn draw(client: Client) {
    while client.pause().await {
        let mut txn = Txn::new(&client.sim, &client.remote);
        let outcome = match take(&client, &mut txn).await {
            Ok(()) => txn.commit().await,
            Err(failure) => Err(failure),
        };
        client.tell("ticket", &outcome);
    }
}

async fn take(client: &Client, txn: &mut Txn) -> Result<(), Failure> {
    txn.begin_optimistic().await?;
    let newest = client.sim.ledger.rows(&all(TICKETS)).last().map(|(ticket, _)| ticket.clone());
    let before = client.remote.true_leader().await;
    let request = AllocateRequest { counter: COUNTER, count: 1, at_least: 1 };
    let number = client.remote.allocate(request).await.map_err(|error| Failure::NoAnswer(error.to_string()))?;
    let ticket = key(TICKETS, number);
    if newest.is_some_and(|newest| ticket <= newest) && before.is_some() && before == client.remote.true_leader().await
    {
        client.sim.violation(format!("number {number} is below one that is used"));
    }
    if !client.sim.ledger.handed_out(number) {
        client.sim.violation(format!("number {number} was given to two"));
    }
    if txn.get(std::slice::from_ref(&ticket)).await?[0].is_some() {
        client.sim.violation(format!("number {number} is used"));
    }
    txn.put(ticket, Some(row(number as i64, 3)));
    txn.bump(COUNTER, number + 1);
    Ok(())
}
