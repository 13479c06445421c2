//! kill -9 at random moments under concurrent writers: every acknowledged transaction is there, whole; none that was
//! reported failed is; and what a power cut may do to the end of the log or a lost cache directory changes nothing.
//!
//! `DRUMLIN_KILL_ROUNDS` sets the number of rounds (5 unless it says otherwise), `DRUMLIN_KILL_SEED` repeats a run's
//! choices, though not the timing of the machine.

mod harness;

use common::env::Random;
use harness::{Launch, Server, segment};
use mysql_async::prelude::*;
use mysql_async::{Conn, Error};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinSet;

const WRITERS: u32 = 8;
const PARTS: u64 = 3;

/// What a writer was told about a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Committed,
    Failed,
    /// The connection broke before the answer.
    Nothing,
}

type Transaction = (u32, u32);

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |value| value.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_transactions_survive_kill_9() {
    let (rounds, seed) =
        (variable("DRUMLIN_KILL_ROUNDS", 5), variable("DRUMLIN_KILL_SEED", Random::system().below(1 << 32)));
    println!("{rounds} rounds, DRUMLIN_KILL_SEED={seed}");
    let random = Random::seeded(seed);
    let data = tempfile::tempdir().unwrap();
    let launch = Launch::new(data.path());
    let server = launch.start();
    server
        .run(&[
            "CREATE DATABASE k",
            "CREATE TABLE k.parts (writer INT, txn INT, part INT, filler VARCHAR(200), PRIMARY KEY (writer, txn, part))",
            "CREATE TABLE k.totals (id INT PRIMARY KEY, transactions BIGINT NOT NULL)",
            "INSERT INTO k.totals VALUES (1, 0)",
        ])
        .await;
    let mut server = Some(server);
    let mut told: BTreeMap<Transaction, Told> = BTreeMap::new();
    let mut unanswered = 0;
    for round in 0..rounds {
        let running = match server.take() {
            Some(server) => server,
            None => launch.start(),
        };
        check(&running, &mut told).await;
        let before = told.len();
        let delay = Duration::from_millis(20 + random.below(900));
        let flush = round % 3 == 1;
        unanswered += write_and_kill(running, delay, flush, &mut told).await;
        let mut meanwhile = Vec::new();
        if round % 3 == 2 {
            std::fs::remove_dir_all(data.path().join("cache")).unwrap_or_default();
            meanwhile.push("cache directory deleted".to_owned());
        }
        if round % 2 == 1 {
            // What a flush has put into the store was synced, whether its client got the answer or not.
            let answered = |bytes: &[u8]| {
                flush || markers(bytes).any(|transaction| told.get(&transaction) == Some(&Told::Committed))
            };
            meanwhile.extend(segment::tear(data.path(), &random, answered));
        }
        println!("round {round}: {} transactions in {delay:?}; {}", told.len() - before, meanwhile.join(", "));
    }
    let last = launch.start();
    check(&last, &mut told).await;
    last.stop();
    let count = |wanted| told.values().filter(|told| **told == wanted).count();
    println!(
        "{rounds} kills: {} transactions committed and found whole, {} failed and absent; {unanswered} had no answer",
        count(Told::Committed),
        count(Told::Failed),
    );
    assert!(count(Told::Committed) > 0, "the writers did nothing");
}

/// Runs the writers and kills the server under them. Returns how many transactions were left without an answer.
async fn write_and_kill(server: Server, delay: Duration, flush: bool, told: &mut BTreeMap<Transaction, Told>) -> usize {
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let connection = server.connect().await;
        let next = told.range((writer, 0)..(writer + 1, 0)).next_back().map_or(0, |((_, txn), _)| txn + 1);
        writers.spawn(write_until_killed(connection, writer, next));
    }
    if flush {
        let mut connection = server.connect().await;
        writers.spawn(async move {
            while connection.query_drop("FLUSH TABLES").await.is_ok() {}
            Vec::new()
        });
    }
    // The moment is the point of the test; nothing waits for it.
    tokio::time::sleep(delay).await;
    server.kill();
    let mut unanswered = 0;
    while let Some(transactions) = writers.join_next().await {
        for (transaction, answer) in transactions.unwrap() {
            unanswered += usize::from(answer == Told::Nothing);
            told.insert(transaction, answer);
        }
    }
    unanswered
}

async fn write_until_killed(mut connection: Conn, writer: u32, first: u32) -> Vec<(Transaction, Told)> {
    let mut told = Vec::new();
    for txn in first.. {
        let answer = match transaction(&mut connection, writer, txn).await {
            Ok(committed) => {
                if committed {
                    Told::Committed
                } else {
                    Told::Failed
                }
            }
            Err(Error::Server(error)) => {
                // A conflict or a deadlock: the transaction is over, or is ended here.
                assert!(matches!(error.code, 1205 | 1213), "{error}");
                match connection.query_drop("ROLLBACK").await {
                    Ok(()) | Err(Error::Server(_)) => Told::Failed,
                    Err(_) => {
                        told.push(((writer, txn), Told::Failed));
                        break;
                    }
                }
            }
            Err(_) => {
                told.push(((writer, txn), Told::Nothing));
                break;
            }
        };
        told.push(((writer, txn), answer));
    }
    told
}

/// Text that only this transaction's rows hold.
fn marker(writer: u32, txn: u32) -> String {
    format!("<{writer}:{txn}>")
}

/// The transactions whose rows are in these bytes of the log.
fn markers(bytes: &[u8]) -> impl Iterator<Item = Transaction> + '_ {
    let begins = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'<');
    begins.filter_map(|(at, _)| {
        let text = bytes[at + 1..].split(|byte| *byte == b'>').next()?;
        let (writer, txn) = std::str::from_utf8(text).ok()?.split_once(':')?;
        Some((writer.parse().ok()?, txn.parse().ok()?))
    })
}

/// Three rows and the row that everybody updates. Some transactions end in ROLLBACK. Returns whether it committed.
async fn transaction(connection: &mut Conn, writer: u32, txn: u32) -> Result<bool, Error> {
    let filler = marker(writer, txn) + &"f".repeat((txn % 180) as usize);
    connection.query_drop("START TRANSACTION").await?;
    let first = format!("INSERT INTO k.parts VALUES ({writer}, {txn}, 0, '{filler}'), ({writer}, {txn}, 1, NULL)");
    connection.query_drop(first).await?;
    connection.query_drop(format!("INSERT INTO k.parts VALUES ({writer}, {txn}, 2, '{filler}')")).await?;
    connection.query_drop("UPDATE k.totals SET transactions = transactions + 1 WHERE id = 1").await?;
    let commit = txn % 7 != 6;
    connection.query_drop(if commit { "COMMIT" } else { "ROLLBACK" }).await?;
    Ok(commit)
}

/// Compares what is there with what the writers were told; what they were not told is settled from here on.
async fn check(server: &Server, told: &mut BTreeMap<Transaction, Told>) {
    let mut connection = server.connect().await;
    let found: Vec<(u32, u32, u64, u64)> = connection
        .query("SELECT writer, txn, COUNT(*), CAST(SUM(part) AS UNSIGNED) FROM k.parts GROUP BY writer, txn")
        .await
        .unwrap();
    let total: u64 = connection.query_first("SELECT transactions FROM k.totals WHERE id = 1").await.unwrap().unwrap();
    connection.disconnect().await.unwrap();
    let mut present = BTreeMap::new();
    for (writer, txn, parts, sum) in found {
        assert_eq!((parts, sum), (PARTS, 3), "transaction {txn} of writer {writer} is there in part");
        assert!(present.insert((writer, txn), ()).is_none());
    }
    for (transaction, answer) in told.iter_mut() {
        let there = present.contains_key(transaction);
        match answer {
            Told::Committed => assert!(there, "{transaction:?} was acknowledged and is gone"),
            Told::Failed => assert!(!there, "{transaction:?} was reported failed and is there"),
            Told::Nothing => *answer = if there { Told::Committed } else { Told::Failed },
        }
    }
    for transaction in present.keys() {
        assert!(told.contains_key(transaction), "{transaction:?} was never written");
    }
    assert_eq!(total, present.len() as u64, "the row that every transaction updates");
}
