//! Stored routines where one session's text cases do not reach: OUT parameters of prepared statements, definitions that
//! another compute makes, events that exactly one compute runs.

mod harness;

use harness::cluster::Cluster;
use mysql_async::prelude::*;
use mysql_async::{Conn, Row};
use std::time::{Duration, Instant};

const WAIT_MAX: Duration = Duration::from_secs(60);

async fn wait_for(connection: &mut Conn, query: &str, wanted: impl Fn(i64) -> bool) -> i64 {
    let begun = Instant::now();
    loop {
        let found: Option<i64> = connection.query_first(query).await.expect(query);
        let found = found.unwrap_or_default();
        if wanted(found) {
            return found;
        }
        assert!(begun.elapsed() < WAIT_MAX, "{query} stays {found}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_compute_knows_routines_and_one_runs_each_event() {
    let cluster = Cluster::up(1, 1, 2);
    let mut a = cluster.connect("compute-1").await.expect("connect");
    let mut b = cluster.connect("compute-2").await.expect("connect");
    a.query_drop("CREATE DATABASE d").await.unwrap();
    a.query_drop("USE d").await.unwrap();
    a.query_drop("CREATE PROCEDURE p(IN x INT, OUT y INT, INOUT z VARCHAR(20)) BEGIN SELECT x; SET y = x * 2, z = CONCAT(z, '!'); END")
        .await
        .unwrap();
    b.query_drop("USE d").await.unwrap();

    // The result set, the parameters, the OK.
    let mut answer = b.exec_iter("CALL p(?, ?, ?)", (21, 0, "now")).await.unwrap();
    let rows: Vec<Row> = answer.collect().await.unwrap();
    assert_eq!(mysql_async::from_row::<i64>(rows[0].clone()), 21);
    let parameters: Vec<Row> = answer.collect().await.unwrap();
    assert_eq!(mysql_async::from_row::<(i64, String)>(parameters[0].clone()), (42, "now!".to_owned()));
    let rest: Vec<Row> = answer.collect().await.unwrap();
    assert!(rest.is_empty());
    drop(answer);
    assert_eq!(b.query_first("SELECT 1").await.unwrap(), Some(1));

    // A trigger that one compute makes fires on the other from its next statement on.
    for statement in ["CREATE TABLE t (id INT PRIMARY KEY)", "CREATE TABLE log (id INT)"] {
        a.query_drop(statement).await.unwrap();
    }
    b.query_drop("INSERT INTO t VALUES (1)").await.unwrap();
    a.query_drop("CREATE TRIGGER ai AFTER INSERT ON t FOR EACH ROW INSERT INTO log VALUES (NEW.id)").await.unwrap();
    b.query_drop("INSERT INTO t VALUES (2)").await.unwrap();
    assert_eq!(a.query_first("SELECT MAX(id) FROM log").await.unwrap(), Some(2));

    // Both computes look at the schedule; each time is somebody's once.
    a.query_drop("CREATE TABLE runs (at DATETIME, n INT AUTO_INCREMENT PRIMARY KEY)").await.unwrap();
    let event = "CREATE EVENT e ON SCHEDULE EVERY 1 SECOND DO INSERT INTO runs (at) VALUES (NOW())";
    a.query_drop(event).await.unwrap();
    wait_for(&mut a, "SELECT COUNT(*) FROM runs", |runs| runs >= 3).await;
    b.query_drop("ALTER EVENT e DISABLE").await.unwrap();
    let runs: Option<i64> = a.query_first("SELECT COUNT(*) FROM runs").await.unwrap();
    let times: Option<i64> =
        a.query_first("SELECT TIMESTAMPDIFF(SECOND, MIN(at), MAX(at)) + 1 FROM runs").await.unwrap();
    // A run may begin late, and so in the second of the next one; more runs than times there are not.
    assert!(runs <= times.map(|times| times + 1), "{runs:?} runs in {times:?} seconds");

    // One that is over is gone; its work is done.
    a.query_drop("CREATE EVENT once ON SCHEDULE AT NOW() + INTERVAL 1 SECOND DO INSERT INTO log VALUES (77)")
        .await
        .unwrap();
    wait_for(&mut b, "SELECT COUNT(*) FROM log WHERE id = 77", |runs| runs == 1).await;
    wait_for(&mut b, "SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_NAME = 'once'", |left| left == 0)
        .await;
    drop((a, b));
    cluster.down();
}
