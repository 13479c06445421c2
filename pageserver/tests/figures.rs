//! What the planner is told about columns stays near the truth over updates, deletions, compactions and splits.

mod support;

use bytes::Bytes;
use common::cluster_map::MapChange;
use common::id::{ColumnId, IndexId, Lsn, TableId, TabletId};
use common::key::{Key, KeyRange, index_prefix};
use common::physical::PhysicalValue;
use common::service::page::{GetRequest, IndexFigures};
use expr::row_encoding::RowWriter;
use object_store::ObjectStore;
use pageserver::{Config, PageServer};
use std::sync::Arc;
use support::faults::FaultyStore;
use support::log::{LogHandle, MemoryLog};
use support::small_config;

const ROWS: u32 = 6000;

fn key(number: u32) -> Key {
    [&index_prefix(TableId(7), IndexId(1))[..], &number.to_be_bytes()].concat().into()
}

/// Column 1: unique; 2: a hundred values, NULL in a quarter of the rows; 3: few small and one large; 4: text.
fn row(number: u32) -> Bytes {
    let mut row = RowWriter::new();
    row.put(ColumnId(1), PhysicalValue::Int64(i64::from(number)));
    row.put(
        ColumnId(2),
        if number.is_multiple_of(4) { PhysicalValue::Null } else { PhysicalValue::UInt64(u64::from(number % 100)) },
    );
    row.put(ColumnId(3), PhysicalValue::Int64(if number == 1234 { 1_000_000 } else { i64::from(number % 3) }));
    row.put(
        ColumnId(4),
        PhysicalValue::Bytes(format!("a text that is longer than what is kept of it, {number}").into()),
    );
    row.finish()
}

async fn figures(server: &PageServer) -> IndexFigures {
    server.service().figures(KeyRange::index(TableId(7), IndexId(1))).await.unwrap()
}

/// Three standard errors of a HyperLogLog with 1024 registers (1.04 / sqrt(1024) = 3.25 %).
const DISTINCT_ERROR: f64 = 0.1;
/// The layers of this test are small, so their samples are: of 375 keys (one of 16) while a row may be in two layers, half of
/// them visible. Three times sqrt((1 - p) / (p n)) with p = 1/2, n = 375 is 15.5 %; layers of unlike size share fewer.
const ROWS_ERROR: f64 = 0.2;

fn near(found: u64, truth: std::ops::RangeInclusive<u32>, error: f64, what: &str) {
    let (least, most) = (f64::from(*truth.start()) * (1.0 - error), f64::from(*truth.end()) * (1.0 + error));
    assert!((least..=most).contains(&(found as f64)), "{what}: {found} is not about {truth:?}");
}

fn check(figures: &IndexFigures, what: &str) {
    near(figures.rows, ROWS..=ROWS, ROWS_ERROR, what);
    // What was deleted counts until a compaction has dropped it, in figures of values.
    let values = ROWS..=ROWS + 500;
    let [first, second, third, fourth] = &figures.columns[..] else { panic!("{what}: four columns") };
    assert_eq!(first.column, ColumnId(1));
    near(first.distinct, values.clone(), DISTINCT_ERROR, what);
    assert_eq!(first.min, Some(PhysicalValue::Int64(0)), "{what}");
    assert!(matches!(first.max, Some(PhysicalValue::Int64(5999..6500))), "{what}: {:?}", first.max);
    let middle = &first.quantiles[first.quantiles.len() / 2];
    let PhysicalValue::Int64(middle) = middle else { panic!("{what}: {middle:?}") };
    assert!((2000..4000).contains(middle), "{what}: the middle of 6000 is not {middle}");
    // A hundred values without every fourth.
    assert!((70..=80).contains(&second.distinct), "{what}: {} different values", second.distinct);
    near(second.nulls, ROWS / 4..=ROWS / 4, ROWS_ERROR, what);
    assert!((3..=4).contains(&third.distinct), "{what}");
    assert_eq!(third.max, Some(PhysicalValue::Int64(1_000_000)), "{what}");
    assert_eq!(third.quantiles[third.quantiles.len() / 2], PhysicalValue::Int64(1), "{what}");
    near(fourth.distinct, values, DISTINCT_ERROR, what);
    assert_eq!(fourth.nulls, 0, "{what}");
}

#[tokio::test]
async fn figures_follow_the_data() {
    let (log, store) = (MemoryLog::new(60_000_000), FaultyStore::new(1));
    let objects: Arc<dyn ObjectStore> = store;
    let config = Config { block_bytes: 4 << 10, block_rows_max: 100, layer_bytes_max: 64 << 10, ..small_config() };
    let config = Config { memtable_bytes_max: 256 << 10, memtables_bytes_max: 4 << 20, ..config };
    let server = pageserver::start(config, Arc::new(LogHandle(log.clone())), objects).await.unwrap();
    let write = async |numbers: &mut dyn Iterator<Item = (u32, bool)>| -> Lsn {
        let changes = numbers.map(|(number, there)| (key(number), there.then(|| row(number)))).collect();
        let lsn = log.commit(changes, Vec::new());
        server.service().get(GetRequest { lsn, keys: Vec::new() }).await.unwrap();
        lsn
    };
    assert_eq!(figures(&server).await, IndexFigures::default());
    // In two halves, and with some that do not stay.
    write(&mut (0..ROWS + 500).filter(|number| number % 2 == 0).map(|number| (number, true))).await;
    server.flush().await.unwrap();
    write(&mut (0..ROWS + 500).filter(|number| number % 2 == 1).map(|number| (number, true))).await;
    server.flush().await.unwrap();
    write(&mut (ROWS..ROWS + 500).map(|number| (number, false))).await;
    // A later LSN, so that what was deleted is out of reach of all that may be read.
    for _ in 0..70 {
        write(&mut std::iter::once((0, true))).await;
    }
    server.flush().await.unwrap();
    server.compact().await.unwrap();
    check(&figures(&server).await, "compacted");
    // Every row once more.
    for part in 0..3 {
        write(&mut (0..ROWS).filter(|number| number % 3 == part).map(|number| (number, true))).await;
        server.flush().await.unwrap();
    }
    for _ in 0..70 {
        write(&mut std::iter::once((0, true))).await;
    }
    server.flush().await.unwrap();
    let twice = figures(&server).await;
    // With those that were deleted.
    near(twice.columns[0].distinct, ROWS..=ROWS + 500, DISTINCT_ERROR, "updated");
    near(twice.rows, ROWS..=ROWS, ROWS_ERROR, "updated");
    server.compact().await.unwrap();
    check(&figures(&server).await, "updated and compacted");
    server.change_map(&MapChange::Split { tablet: TabletId(1), at: key(ROWS / 3) }).await.unwrap();
    server.flush().await.unwrap();
    check(&figures(&server).await, "split");
    server.compact().await.unwrap();
    check(&figures(&server).await, "split and compacted");
}
