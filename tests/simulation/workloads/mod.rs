//! What clients do, each kind with an invariant of its own beside those of the ledger.

mod append;
mod auction;
mod bank;
mod branches;
mod index;
mod loads;
mod register;
mod seats;
mod tickets;

use crate::remote::Remote;
use crate::sim::{Process, Sim};
use crate::txn::Failure;
use bytes::Bytes;
use common::id::{ColumnId, IndexId, TableId};
use common::key::{Key, KeyRange, index_prefix};
use common::physical::PhysicalValue;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::oneshot;

/// A client: a loop in a compute.
pub struct Client {
    pub sim: Arc<Sim>,
    pub remote: Arc<Remote>,
    /// Unique over all clients of its kind.
    pub number: u64,
    /// The last transaction began when nothing failed any more.
    healed: AtomicBool,
}

impl Client {
    fn new(sim: &Arc<Sim>, process: &Arc<Process>, number: u64) -> Client {
        Client { sim: sim.clone(), remote: Remote::new(sim, process), number, healed: AtomicBool::new(false) }
    }

    /// Between two transactions. False: begin nothing new.
    async fn pause(&self) -> bool {
        tokio::time::sleep(self.sim.ms(30, 700)).await;
        self.begins()
    }

    /// False: begin nothing new.
    fn begins(&self) -> bool {
        self.healed.store(self.sim.healed.is_cancelled(), Ordering::Relaxed);
        !self.sim.finished.is_cancelled()
    }

    /// One line in the trace.
    fn tell(&self, what: &str, outcome: &Result<impl std::fmt::Debug, Failure>) {
        self.sim.event(|| format!("{what} {}: {outcome:?}", self.number));
        if self.healed.load(Ordering::Relaxed) && matches!(outcome, Err(Failure::LockTimeout | Failure::NoAnswer(_))) {
            self.sim.violation(format!("nothing fails any more, yet {what} {} ends with {outcome:?}", self.number));
        }
    }
}

/// Starts the clients of one compute; each answers when it has ended.
pub fn start(sim: &Arc<Sim>, process: &Arc<Process>, compute: u64) -> Vec<oneshot::Receiver<()>> {
    let client = |number: u64| Client::new(sim, process, number);
    vec![
        process.spawn(bank::transfer(client(compute))),
        process.spawn(bank::audit(client(compute))),
        process.spawn(auction::bid(client(2 * compute))),
        process.spawn(auction::bid(client(2 * compute + 1))),
        process.spawn(register::run(client(compute))),
        process.spawn(append::run(client(compute))),
        process.spawn(seats::book(client(compute))),
        process.spawn(tickets::draw(client(compute))),
        process.spawn(index::write(client(2 * compute))),
        process.spawn(index::write(client(2 * compute + 1))),
        process.spawn(index::define(client(compute))),
        process.spawn(loads::run(client(compute))),
        process.spawn(branches::begin(client(compute))),
        process.spawn(branches::finish_all(client(compute))),
    ]
}

/// Puts there what the workloads begin with.
pub async fn prepare(sim: &Arc<Sim>, process: &Arc<Process>) -> Result<(), Failure> {
    bank::prepare(&Client::new(sim, process, 0)).await
}

/// After everything has settled.
pub fn finish(sim: &Arc<Sim>) {
    bank::finish(sim);
    auction::finish(sim);
    seats::finish(sim);
    index::finish(sim);
    loads::finish(sim);
    branches::finish(sim);
}

const BANK: TableId = TableId(1001);
const AUCTION: TableId = TableId(1002);
const REGISTERS: TableId = TableId(1003);
const LISTS: TableId = TableId(1004);
const SEATS: TableId = TableId(1005);
const TICKETS: TableId = TableId(1006);
const LOADS: TableId = TableId(1010);
const BRANCHES: TableId = TableId(1011);

fn key(table: TableId, number: u64) -> Key {
    let mut key = index_prefix(table, IndexId(0)).to_vec();
    key.extend(number.to_be_bytes());
    key.into()
}

fn all(table: TableId) -> KeyRange {
    KeyRange::index(table, IndexId(0))
}

/// A row with a number, and enough bytes that a write takes several sectors.
fn row(number: i64, padding_bytes: usize) -> Bytes {
    let mut row = expr::row_encoding::RowWriter::new();
    row.put(ColumnId(0), PhysicalValue::Int64(number));
    let padding: Vec<u8> = (0..padding_bytes).map(|at| (at as i64 * 31 + number) as u8 | 1).collect();
    row.put(ColumnId(1), PhysicalValue::Bytes(padding.into()));
    row.finish()
}

fn number(row: &Bytes) -> i64 {
    match pageserver::layer::row::decode(row).ok().and_then(|fields| fields.first().cloned().flatten()) {
        Some(PhysicalValue::Int64(number)) => number,
        other => panic!("a row without its number: {other:?}"),
    }
}
