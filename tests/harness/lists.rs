//! Lists in a table, which transactions append to and read, and the verdict about what they saw. See [`super::history`].

use super::history::{self, Anomaly, Operation, Outcome, Transaction};
use mysql_async::Conn;
use mysql_async::prelude::*;
use rand::{RngExt, rngs::StdRng};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Lists in use at a time.
pub const LISTS: u32 = 5;

/// A table of lists and what values are left for them. `id INT PRIMARY KEY, v MEDIUMTEXT NOT NULL`.
pub struct Lists {
    pub table: String,
    next_value: AtomicU64,
}

fn values(text: &str) -> Vec<u64> {
    text.split(',').map(|value| value.parse().expect("lists hold numbers")).collect()
}

impl Lists {
    pub async fn create(connection: &mut Conn, table: &str) -> Lists {
        let create = format!("CREATE TABLE {table} (id INT PRIMARY KEY, v MEDIUMTEXT NOT NULL)");
        for statement in [format!("DROP TABLE IF EXISTS {table}"), create] {
            connection.query_drop(&statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        Lists { table: table.to_owned(), next_value: AtomicU64::new(1) }
    }

    /// BEGIN, and some appends and reads of the [`LISTS`] lists from `first` on. COMMIT or ROLLBACK is the caller's.
    pub async fn some_operations(
        &self,
        connection: &mut Conn,
        random: &mut StdRng,
        first: u32,
        operations: &mut Vec<Operation>,
    ) -> mysql_async::Result<()> {
        let table = &self.table;
        connection.query_drop("BEGIN").await?;
        for _ in 0..random.random_range(1..=4) {
            let key = first + random.random_range(0..LISTS);
            if random.random_bool(0.5) {
                let text: Option<String> =
                    connection.query_first(format!("SELECT v FROM {table} WHERE id = {key}")).await?;
                operations.push(Operation::Read(key, text.map_or(Vec::new(), |text| values(&text))));
            } else {
                let value = self.next_value.fetch_add(1, Ordering::Relaxed);
                // Before it is known whether it went in: what fails is rolled back.
                operations.push(Operation::Append(key, value));
                let sql = format!(
                    "INSERT INTO {table} VALUES ({key}, '{value}') ON DUPLICATE KEY UPDATE v = CONCAT(v, ',{value}')"
                );
                connection.query_drop(sql).await?;
            }
        }
        Ok(())
    }

    /// As they are when nothing runs any more.
    pub async fn last(&self, connection: &mut Conn) -> BTreeMap<u32, Vec<u64>> {
        let rows: Vec<(u32, String)> =
            connection.query(format!("SELECT id, v FROM {}", self.table)).await.expect("a read");
        rows.into_iter().map(|(id, text)| (id, values(&text))).collect()
    }
}

/// Panics at what an isolation level forbids; else says how many transactions were committed.
pub fn judge(level: &str, history: &[Transaction], last: &BTreeMap<u32, Vec<u64>>) -> usize {
    let mut found = history::check(history, last);
    if level != "serializable" {
        // A plain read is of the snapshot, an append of the newest list: these two levels allow what may come of it.
        found.remove(&Anomaly::GSingle);
        found.remove(&Anomaly::G2);
    }
    let committed = history.iter().filter(|transaction| transaction.outcome == Outcome::Committed).count();
    assert!(found.is_empty(), "{level}: {found:#?}");
    assert!(committed * 4 > history.len(), "{level}: hardly anything was committed");
    committed
}
