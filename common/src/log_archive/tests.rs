use super::*;
use crate::id::CommitId;
use crate::service::wal::{Batch, Mutation, Transaction};
use object_store::memory::InMemory;
use std::sync::Arc;

fn batch(lsns: std::ops::RangeInclusive<u64>) -> Batch {
    let transaction = |lsn: u64| Transaction {
        lsn: Lsn(lsn),
        commit_id: CommitId(lsn.into()),
        mutations: vec![(crate::id::TabletId(1), Mutation { key: "k".into(), row: Some("v".into()) })],
        counters: Vec::new(),
    };
    let (first_lsn, last_lsn) = (Lsn(*lsns.start()), Lsn(*lsns.end()));
    Batch { first_lsn, last_lsn, time_us: first_lsn.0 * 10, transactions: lsns.map(transaction).collect() }
}

fn sealed(generation: u64, term: u64, ranges: &[std::ops::RangeInclusive<u64>]) -> Sealed {
    let batches: Vec<Bytes> =
        ranges.iter().map(|range| postcard::to_stdvec(&batch(range.clone())).unwrap().into()).collect();
    Sealed::new(generation, Term(term), &batches).unwrap()
}

fn archive() -> LogArchive {
    LogArchive::new(Objects::new(Arc::new(InMemory::new())))
}

async fn plan(archive: &LogArchive, after: u64) -> Plan {
    let contents = archive.contents().await.unwrap();
    Plan::new(&contents, &archive.bases(&contents).await.unwrap(), Lsn(after))
}

fn ranges(plan: &Plan) -> Vec<(u64, u64, u64)> {
    plan.steps.iter().map(|step| (step.name.generation, step.from.0, step.up_to.0)).collect()
}

#[tokio::test]
async fn what_was_written_is_read() {
    let archive = archive();
    let object = sealed(1, 3, &[4..=6, 7..=7]);
    archive.write(&object).await.unwrap();
    archive.write(&object).await.expect("an attempt whose answer was lost");
    let contents = archive.contents().await.unwrap();
    assert_eq!((contents.objects.len(), contents.newest_of(1)), (1, Some(Lsn(7))));
    let read = archive.read(contents.objects[0].name).await.unwrap();
    assert_eq!(read.batches, [batch(4..=6), batch(7..=7)]);
    // The same name, and something else in it.
    let other =
        Sealed { bytes: Base { generation: 1, previous: 0, continues_at: Lsn(1), founder: 1 }.encode(), ..object };
    assert!(matches!(archive.write(&other).await, Err(ArchiveError::Refused(_))));
}

#[test]
fn hostile_bytes_are_refused() {
    let bytes = sealed(1, 3, &[4..=6, 7..=7]).bytes;
    for length in 0..bytes.len() {
        assert!(Object::decode(&bytes[..length]).is_err(), "{length}");
    }
    for at in 0..bytes.len() {
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 0x10;
        assert!(Object::decode(&damaged).is_err(), "{at}");
        // A checksum that fits proves nothing about what is inside.
        let end = damaged.len() - 4;
        let crc = crc_fast::crc32_iscsi(&damaged[..end]).to_le_bytes();
        damaged[end..].copy_from_slice(&crc);
        let _ = Object::decode(&damaged);
    }
    let postcard = |range| -> Bytes { postcard::to_stdvec(&batch(range)).unwrap().into() };
    assert!(Sealed::new(1, Term(1), &[postcard(1..=2), postcard(4..=5)]).is_err(), "a gap");
    assert!(Sealed::new(1, Term(1), &[]).is_err());
    assert!(Base::decode(&bytes).is_err());
}

#[tokio::test]
async fn objects_that_overlap_are_read_once_and_gaps_are_seen() {
    let archive = archive();
    for object in [sealed(0, 1, &[1..=10]), sealed(0, 1, &[11..=20]), sealed(0, 2, &[11..=20, 21..=25])] {
        archive.write(&object).await.unwrap();
    }
    let found = plan(&archive, 5).await;
    assert_eq!(ranges(&found), [(0, 6, 10), (0, 11, 25)]);
    assert_eq!((found.end, found.gap), (Lsn(25), None));
    archive.write(&sealed(0, 2, &[28..=30])).await.unwrap();
    archive.write(&sealed(0, 2, &[31..=40])).await.unwrap();
    let found = plan(&archive, 20).await;
    assert_eq!((ranges(&found), found.end), (vec![(0, 21, 25)], Lsn(25)));
    assert_eq!(found.gap, Some(Gap { from: Lsn(26), up_to: Lsn(27), newest: Lsn(40) }));
    assert_eq!(ranges(&plan(&archive, 27).await), [(0, 28, 30), (0, 31, 40)]);
    assert_eq!(ranges(&plan(&archive, 40).await), []);
}

#[tokio::test]
async fn a_founded_log_goes_on_where_the_one_before_was_read_up_to() {
    let archive = archive();
    archive.write(&sealed(0, 1, &[1..=10])).await.unwrap();
    archive.write(&sealed(0, 1, &[11..=15, 16..=20])).await.unwrap();
    let contents = archive.contents().await.unwrap();
    assert_eq!(archive.claim(&contents, Lsn(15)).await.unwrap(), 1);
    assert_eq!(archive.claim(&contents, Lsn(15)).await.unwrap(), 2, "of two founders each gets its own");
    // Nothing of the new log is archived yet, and the old one's last leader still writes.
    archive.write(&sealed(0, 1, &[21..=30])).await.unwrap();
    assert_eq!(ranges(&plan(&archive, 5).await), [(0, 6, 10), (0, 11, 15)]);
    archive.write(&sealed(2, 1, &[16..=18])).await.unwrap();
    let found = plan(&archive, 12).await;
    assert_eq!((ranges(&found), found.gap), (vec![(0, 13, 15), (2, 16, 18)], None));
}

/// To add one: run with `DRUMLIN_WRITE_GOLDEN=1`, and commit the file.
fn golden(name: &str, today: &[u8]) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/formats").join(name);
    if std::env::var_os("DRUMLIN_WRITE_GOLDEN").is_some() && !path.exists() {
        std::fs::write(&path, today).unwrap();
    }
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn files_of_every_format_stay_readable() {
    let object = sealed(7, 3, &[4..=6, 7..=7]);
    let read = Object::decode(&golden("log-archive-1.bin", &object.bytes)).unwrap();
    assert_eq!((read.name, read.batches), (object.name, vec![batch(4..=6), batch(7..=7)]));
    let base = Base { generation: 7, previous: 5, continues_at: Lsn(1_000_000), founder: 1 << 100 };
    assert_eq!(Base::decode(&golden("log-archive-base-1.bin", &base.encode())), Ok(base));
}
