//! The last minute of an auction: bidders compete, most of them for a few items, and no bid may be lost.

use super::auction::failed;
use super::marketplace::{Sizes, hot_item};
use crate::failure::Failure;
use common::env::Random;
use mysql_async::prelude::*;
use mysql_async::{Conn, Error, Opts, OptsBuilder};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const BIDDERS: u64 = 16;

#[derive(Debug, Default)]
struct Tally {
    placed: u64,
    /// Deadlocks and lock waits that ran out; the bidder tries again.
    retried: u64,
    slowest: Duration,
}

pub async fn run(options: &Opts, sizes: Sizes, seconds: u64) -> Result<(), Failure> {
    println!("{BIDDERS} bidders compete for {seconds} s ...");
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut bidders = JoinSet::new();
    for bidder in 0..BIDDERS {
        let options: Opts = OptsBuilder::from_opts(options.clone()).db_name(Some("auction")).into();
        bidders.spawn(bid_until(options, sizes, bidder, end));
    }
    let mut total = Tally::default();
    while let Some(tally) = bidders.join_next().await {
        let tally = tally.map_err(|error| Failure::running(format!("a bidder failed: {error}")))??;
        total.placed += tally.placed;
        total.retried += tally.retried;
        total.slowest = total.slowest.max(tally.slowest);
    }
    println!(
        "{} bids placed ({} per second), {} tried again, slowest {} ms",
        total.placed,
        total.placed / seconds,
        total.retried,
        total.slowest.as_millis()
    );
    check(options, u64::from(sizes.bids) + total.placed).await
}

async fn bid_until(options: Opts, sizes: Sizes, bidder: u64, end: Instant) -> Result<Tally, Failure> {
    let mut connection = Conn::new(options).await.map_err(failed("connect a bidder"))?;
    let (random, mut tally) = (Random::seeded(bidder), Tally::default());
    while Instant::now() < end {
        let item = 1 + hot_item(sizes.items, &random);
        let user = 1 + random.below(u64::from(sizes.users));
        let begun = Instant::now();
        match place_bid(&mut connection, item, user).await {
            Ok(()) => tally.placed += 1,
            Err(Error::Server(error)) if matches!(error.code, 1205 | 1213) => {
                tally.retried += 1;
                connection.query_drop("ROLLBACK").await.map_err(failed("roll back a bid"))?;
            }
            Err(error) => return Err(failed("place a bid")(error)),
        }
        tally.slowest = tally.slowest.max(begun.elapsed());
    }
    let _ = connection.disconnect().await;
    Ok(tally)
}

async fn place_bid(connection: &mut Conn, item: u32, user: u64) -> Result<(), Error> {
    connection.query_drop("START TRANSACTION").await?;
    let lock = "SELECT COALESCE(high_bid_cents, starting_cents) FROM items WHERE id = ? FOR UPDATE";
    let price: Option<u32> = connection.exec_first(lock, (item,)).await?;
    let Some(price) = price else { return connection.query_drop("ROLLBACK").await };
    let amount = price + 25;
    let insert = "INSERT INTO bids (item_id, user_id, amount_cents, placed_at) VALUES (?, ?, ?, NOW())";
    connection.exec_drop(insert, (item, user, amount)).await?;
    let update = "UPDATE items SET high_bid_cents = ?, high_bidder_id = ?, bid_count = bid_count + 1 WHERE id = ?";
    connection.exec_drop(update, (amount, user, item)).await?;
    connection.query_drop("COMMIT").await
}

/// Every bid is there, and every item's price and count are those of its bids.
async fn check(options: &Opts, expected: u64) -> Result<(), Failure> {
    let options: Opts = OptsBuilder::from_opts(options.clone()).db_name(Some("auction")).into();
    let mut connection = Conn::new(options).await.map_err(failed("connect"))?;
    let mut ask = async |query: &str| -> Result<u64, Failure> {
        let answer: Option<u64> = connection.query_first(query).await.map_err(failed("check the bids"))?;
        Ok(answer.unwrap_or_default())
    };
    let bids = ask("SELECT COUNT(*) FROM bids").await?;
    let wrong = ask(
        "SELECT COUNT(*) FROM (SELECT i.id FROM items i JOIN bids b ON b.item_id = i.id GROUP BY i.id, i.high_bid_cents, \
         i.bid_count HAVING i.high_bid_cents <> MAX(b.amount_cents) OR i.bid_count <> COUNT(*)) AS wrong",
    )
    .await?;
    if (bids, wrong) != (expected, 0) {
        return Err(Failure::running(format!(
            "{bids} bids where {expected} were acknowledged, {wrong} items whose price or count is not that of their bids: this is a bug"
        )));
    }
    println!("checked: all {bids} bids are there, and every price is its item's highest bid");
    Ok(())
}
