//! performance_schema.data_locks and data_lock_waits: the lock table of the log, over all computes.
//!
//! A thread is a connection's number: the lower half of the id under which a session locks. Names of tables are locked
//! as TABLE, what GET_LOCK locks as USER LEVEL LOCK, the rest as RECORD, ranges by their ends.

use crate::catalog::virtual_tables::{VirtualContext, text};
use crate::catalog::{Catalog, storage};
use crate::txn::locking::NAMED_LOCKS;
use crate::txn::service_error::{wal_error, with_backoff};
use common::id::TxnId;
use common::key::{KEY_PREFIX_BYTES, table_and_index};
use common::service::wal::{LockInfo, LockMode, LockTarget};
use expr::SqlError;
use expr::value::{Row, Value};

pub(super) async fn data_locks(catalog: &Catalog, context: &VirtualContext) -> Result<Vec<Row>, SqlError> {
    let locks = report(context).await?;
    Ok(locks.iter().map(|lock| lock_row(lock, catalog)).collect())
}

pub(super) async fn data_lock_waits(context: &VirtualContext) -> Result<Vec<Row>, SqlError> {
    let locks = report(context).await?;
    let mut rows = Vec::new();
    for waiting in &locks {
        for blocker in waiting.waits_for.iter().flatten() {
            // The lock in the way, if it is held; else that which the other waits for itself.
            let overlapping = |lock: &&LockInfo| lock.txn == *blocker && overlap(&lock.target, &waiting.target);
            let blocking = locks.iter().filter(overlapping).min_by_key(|lock| lock.waits_for.is_some());
            let mut row = vec![text("INNODB")];
            row.extend(side(waiting.txn, Some(waiting)));
            row.extend(side(*blocker, blocking));
            rows.push(row);
        }
    }
    Ok(rows)
}

pub(super) async fn report(context: &VirtualContext) -> Result<Vec<LockInfo>, SqlError> {
    let Some(wal) = &context.wal else { return Ok(Vec::new()) };
    with_backoff(|| wal.locks()).await.map_err(wal_error)
}

/// Lock, transaction, thread, event, instance.
fn side(txn: TxnId, lock: Option<&LockInfo>) -> [Value; 5] {
    let lock = lock.map_or(Value::Null, |lock| Value::text(lock_id(lock)));
    [lock, transaction(txn), Value::UInt(thread(txn)), Value::UInt(0), Value::UInt(0)]
}

/// The connection's number.
pub fn thread(txn: TxnId) -> u64 {
    u64::from(txn.0 as u32)
}

/// The upper part of the id: a number for people to compare.
fn transaction(txn: TxnId) -> Value {
    Value::UInt((txn.0 >> 64) as u64)
}

fn lock_id(lock: &LockInfo) -> String {
    let bytes = match &lock.target {
        LockTarget::Key(key) => key.to_vec(),
        LockTarget::Range(range) => [&range.start[..], b"-", &range.end[..]].concat(),
    };
    // FNV-1a: the same lock has the same name in both tables.
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{:032x}:{hash:016x}", lock.txn.0)
}

fn hex(bytes: Vec<u8>) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn overlap(one: &LockTarget, other: &LockTarget) -> bool {
    match (one, other) {
        (LockTarget::Key(one), LockTarget::Key(other)) => one == other,
        (LockTarget::Key(key), LockTarget::Range(range)) | (LockTarget::Range(range), LockTarget::Key(key)) => {
            range.contains(key)
        }
        (LockTarget::Range(one), LockTarget::Range(other)) => one.overlaps(other),
    }
}

pub(super) fn lock_row(lock: &LockInfo, catalog: &Catalog) -> Row {
    let (start, end) = match &lock.target {
        LockTarget::Key(key) => (key, None),
        LockTarget::Range(range) => (&range.start, Some(&range.end)),
    };
    let rest = |key: &[u8]| key.get(KEY_PREFIX_BYTES..).unwrap_or_default().to_vec();
    let mut kind = "RECORD";
    let (mut schema, mut object, mut index) = (Value::Null, Value::Null, Value::Null);
    let mut data = Value::text(match end {
        None => hex(rest(start)),
        Some(end) => format!("[{}, {})", hex(rest(start)), hex(rest(end))),
    });
    match table_and_index(start) {
        Some((storage::CATALOG_TABLE, _)) => {
            let names = String::from_utf8_lossy(&rest(start)).into_owned();
            let (database, name) = names.split_once('\0').unwrap_or((&names, ""));
            kind = "TABLE";
            (schema, object, data) = (text(database), text(name), Value::Null);
        }
        Some((NAMED_LOCKS, _)) => {
            kind = "USER LEVEL LOCK";
            (object, data) = (text(String::from_utf8_lossy(&rest(start))), Value::Null);
        }
        Some((id, number)) => {
            if let Some(table) = catalog.tables_by_id.get(&id) {
                (schema, object) = (text(&table.database), text(&table.name));
                if let Some(found) = table.indexes.iter().find(|index| index.id == number) {
                    index = text(&found.name);
                }
            }
        }
        None => {}
    }
    let mode = match (kind, lock.mode) {
        ("TABLE", LockMode::Shared) => "IX",
        (_, LockMode::Shared) if end.is_none() => "S,REC_NOT_GAP",
        (_, LockMode::Exclusive) if end.is_none() && kind == "RECORD" => "X,REC_NOT_GAP",
        (_, LockMode::Shared) => "S",
        (_, LockMode::Exclusive) => "X",
    };
    vec![
        text("INNODB"),
        Value::text(lock_id(lock)),
        transaction(lock.txn),
        Value::UInt(thread(lock.txn)),
        Value::UInt(0),
        schema,
        object,
        Value::Null,
        Value::Null,
        index,
        Value::UInt(0),
        text(kind),
        text(mode),
        text(if lock.waits_for.is_some() { "WAITING" } else { "GRANTED" }),
        data,
    ]
}
