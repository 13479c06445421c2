use super::*;
use common::service::wal::LockMode;

fn transaction() -> Transaction {
    Transaction::new(TxnId(1), Isolation::RepeatableRead, false, true)
}

fn put(transaction: &mut Transaction, key: &'static str, row: Option<&'static str>) {
    transaction.write(key.into(), row.map(Bytes::from), Some(Lsn(5))).unwrap();
}

fn shown(transaction: &Transaction) -> String {
    let rows = transaction.buffer.iter().map(|(key, row)| {
        let row = row.as_ref().map_or("-".into(), |row| String::from_utf8_lossy(&row.load().unwrap()).into_owned());
        format!("{}={row}", String::from_utf8_lossy(key))
    });
    rows.collect::<Vec<_>>().join(" ")
}

#[test]
fn undo_gives_the_buffer_of_the_mark() {
    let mut txn = transaction();
    put(&mut txn, "a", Some("1"));
    let bytes = txn.bytes;
    let mark = txn.mark();
    put(&mut txn, "a", Some("22"));
    put(&mut txn, "b", None);
    put(&mut txn, "a", None);
    assert_eq!(shown(&txn), "a=- b=-");
    txn.undo_to(mark);
    assert_eq!((shown(&txn).as_str(), txn.bytes), ("a=1", bytes));
}

#[test]
fn views_taken_before_a_write_do_not_see_it() {
    let mut txn = transaction();
    put(&mut txn, "a", Some("1"));
    let before = txn.buffer.clone();
    put(&mut txn, "a", Some("2"));
    assert_eq!(before[&Bytes::from("a")].as_ref().unwrap().load().unwrap(), Bytes::from("1"));
}

#[test]
fn savepoints_by_name_in_any_case() {
    let mut txn = transaction();
    txn.savepoint("One");
    put(&mut txn, "a", Some("1"));
    txn.savepoint("two");
    put(&mut txn, "b", Some("2"));
    txn.rollback_to("TWO").unwrap();
    assert_eq!(shown(&txn), "a=1");
    txn.rollback_to("one").unwrap();
    assert_eq!(shown(&txn), "");
    assert_eq!(txn.rollback_to("two").unwrap_err().code, ErrorCode::SP_DOES_NOT_EXIST, "later ones are gone");
    txn.release_savepoint("ONE").unwrap();
    assert_eq!(txn.release_savepoint("one").unwrap_err().message, "SAVEPOINT one does not exist");
}

#[test]
fn savepoint_set_again_moves() {
    let mut txn = transaction();
    txn.savepoint("s");
    put(&mut txn, "a", Some("1"));
    txn.savepoint("S");
    put(&mut txn, "b", Some("1"));
    txn.rollback_to("s").unwrap();
    assert_eq!(shown(&txn), "a=1");
}

#[test]
fn commit_names_writes_locks_and_checks_by_the_oldest_observation() {
    let mut txn = transaction();
    let lock = |txn: &Transaction, key: &'static str, lsn| txn.locks.lock().grant(key.into(), LockMode::Shared, lsn);
    put(&mut txn, "a", Some("1"));
    txn.write("a".into(), Some(Bytes::from("2")), Some(Lsn(9))).unwrap();
    txn.write("blind".into(), None, None).unwrap();
    lock(&txn, "locked", Lsn(7));
    lock(&txn, "locked", Lsn(8));
    lock(&txn, "a", Lsn(3));
    txn.check("table".into(), Lsn(4));
    txn.bump_counter(CounterBump { counter: CounterId(1), next: 5, reset: false });
    txn.bump_counter(CounterBump { counter: CounterId(1), next: 3, reset: false });
    let request = txn.into_commit(CommitId(9)).unwrap();
    let writes: Vec<_> = request.writes.iter().map(|write| (&write.mutation.key[..], write.observed)).collect();
    assert_eq!(writes, [(&b"a"[..], Lsn(3)), (&b"blind"[..], Lsn::MAX)]);
    let mut checks: Vec<_> = request.checks.iter().map(|check| (&check.key[..], check.lsn)).collect();
    checks.sort();
    assert_eq!(checks, [(&b"locked"[..], Lsn(7)), (&b"table"[..], Lsn(4))]);
    assert_eq!(request.counters, [CounterBump { counter: CounterId(1), next: 5, reset: false }]);
}

#[test]
fn a_write_set_over_the_limit_is_refused_and_not_kept() {
    let mut txn = transaction().with_limit(1000);
    put(&mut txn, "a", Some("1"));
    let large = Bytes::from(vec![0; 1000]);
    let error = txn.write("b".into(), Some(large), None).unwrap_err();
    assert_eq!(error.code, ErrorCode(1197));
    assert_eq!(shown(&txn), "a=1");
}

#[test]
fn read_committed_takes_a_snapshot_at_each_statement() {
    let mut repeatable = transaction();
    let mut committed = Transaction::new(TxnId(2), Isolation::ReadCommitted, false, true);
    let open = Arc::new(OpenSnapshots::default());
    for lsn in [Lsn(4), Lsn(6)] {
        repeatable.settle_snapshot(lsn, &open);
        committed.settle_snapshot(lsn, &open);
    }
    assert_eq!((repeatable.snapshot(), committed.snapshot()), (Some(Lsn(4)), Some(Lsn(6))));
}

#[test]
fn rows_that_leave_the_buffer_are_not_undone_and_their_layers_are() {
    let layer = |sequence| BulkLayer {
        home: common::id::TabletId(1),
        generation: 1,
        sequence,
        bytes: 2,
        index_offset: 1,
        first: "m".into(),
        last: "n".into(),
        rows: 2,
        tombstones: 0,
    };
    let mut txn = transaction();
    put(&mut txn, "a", Some("1"));
    let (bytes, mark) = (txn.bytes, txn.mark());
    for key in ["m", "z", "n"] {
        put(&mut txn, key, Some("2"));
    }
    let range = KeyRange { start: "m".into(), end: "o".into() };
    let taken: Vec<_> = txn.take_rows(&range).into_iter().map(|(key, _)| key).collect();
    assert_eq!((taken, shown(&txn).as_str()), (vec![Key::from("m"), Key::from("n")], "a=1 z=2"));
    txn.add_bulk(vec![layer(1), layer(2)]);
    let mut other = transaction();
    other.add_bulk(vec![layer(3)]);
    assert!(other.has_writes());
    let request = other.into_commit(CommitId(1)).unwrap();
    let written: Vec<_> = request.writes.iter().map(|write| BulkLayer::of(&write.mutation)).collect();
    assert_eq!(written, [Some(Ok(layer(3)))]);
    txn.undo_to(mark);
    assert_eq!((shown(&txn).as_str(), txn.bytes, txn.bulk().len()), ("a=1", bytes, 0));
}
