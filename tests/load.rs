//! LOAD DATA against the real binary: options, the client's file, the server's own, many rows at once, and kill -9 while
//! they come.
//!
//! `DRUMLIN_LOAD_ROWS`: rows of the large load (20,000 unless it says otherwise), which goes past the buffer from 1 MiB on.

mod harness;

use bytes::Bytes;
use common::env::file_store::FileStore;
use common::env::{Clock, SystemClock};
use futures::StreamExt;
use futures::stream;
use harness::{Launch, Server};
use mysql_async::prelude::*;
use mysql_async::{Conn, Error};
use pageserver::doctor::{self, DoctorOptions};
use std::sync::Arc;
use std::time::Duration;

async fn connect(server: &Server) -> Conn {
    let mut conn = server.connect().await;
    conn.query_drop("SET GLOBAL local_infile = 1").await.unwrap();
    conn.query_drop("CREATE DATABASE IF NOT EXISTS l").await.unwrap();
    conn.query_drop("USE l").await.unwrap();
    conn
}

/// Runs a statement, giving `file` when asked for one. In pieces, that do not end where lines do.
async fn load(conn: &mut Conn, statement: &str, file: impl Into<String>) -> Result<String, Error> {
    let file = Bytes::from(file.into());
    let pieces: Vec<_> =
        (0..file.len()).step_by(50_000).map(|at| Ok(file.slice(at..file.len().min(at + 50_000)))).collect();
    conn.set_infile_handler(async move { Ok(stream::iter(pieces).boxed()) });
    conn.query_drop(statement).await?;
    Ok(conn.info().into_owned())
}

fn number(error: &Error) -> u16 {
    match error {
        Error::Server(error) => error.code,
        error => panic!("{error}"),
    }
}

async fn rows(conn: &mut Conn, query: &str) -> String {
    let rows: Vec<mysql_async::Row> = conn.query(query).await.unwrap();
    let value = |value: mysql_async::Value| match value {
        mysql_async::Value::NULL => "NULL".to_owned(),
        mysql_async::Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        other => format!("{other:?}"),
    };
    let row = |row: mysql_async::Row| row.unwrap().into_iter().map(value).collect::<Vec<_>>().join("|");
    rows.into_iter().map(row).collect::<Vec<_>>().join("\n")
}

async fn warnings(conn: &mut Conn) -> String {
    rows(conn, "SHOW WARNINGS").await
}

#[tokio::test(flavor = "multi_thread")]
async fn options_and_files() {
    let (data, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let launch = Launch::new(data.path()).argument("--secure-file-priv").argument(files.path().to_str().unwrap());
    let server = launch.start();
    let mut conn = connect(&server).await;
    local(&mut conn).await;
    rules(&mut conn).await;
    server_side(&mut conn, files.path()).await;
    drop(conn);
    server.stop();
}

async fn local(conn: &mut Conn) {
    conn.query_drop("CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(20), n INT NOT NULL DEFAULT 7, b BLOB)")
        .await
        .unwrap();
    let info =
        load(conn, "LOAD DATA LOCAL INFILE 'x' INTO TABLE t", "1\tone\t1\ta\\tb\n2\t\\N\t2\t\\N\n").await.unwrap();
    assert_eq!(info, "Records: 2  Deleted: 0  Skipped: 0  Warnings: 0");
    assert_eq!(rows(conn, "SELECT * FROM t ORDER BY id").await, "1|one|1|a\tb\n2|NULL|2|NULL");
    // LOCAL makes warnings of what is wrong with rows, and skips duplicates.
    let info = load(
        conn,
        "LOAD DATA LOCAL INFILE 'x' INTO TABLE t",
        "2\tagain\t1\tx\n3\tthree\n4\tfour\tx\ty\tz\n5\tfive\t\\N\tb\n",
    );
    assert_eq!(info.await.unwrap(), "Records: 4  Deleted: 0  Skipped: 1  Warnings: 5");
    let shown = warnings(conn).await;
    for code in ["1062", "1261", "1366", "1262", "1263"] {
        assert!(shown.contains(code), "{code}: {shown}");
    }
    assert_eq!(rows(conn, "SELECT id, name, n FROM t WHERE id > 2 ORDER BY id").await, "3|three|7\n4|four|0\n5|five|0");
    let info =
        load(conn, "LOAD DATA LOCAL INFILE 'x' REPLACE INTO TABLE t (id, name)", "2\ttwo\n6\tsix\n").await.unwrap();
    assert_eq!(info, "Records: 2  Deleted: 1  Skipped: 0  Warnings: 0");
    assert_eq!(rows(conn, "SELECT id, name, n FROM t WHERE id IN (2, 6) ORDER BY id").await, "2|two|7\n6|six|7");
    // CSV with everything.
    let statement = "LOAD DATA LOCAL INFILE 'x' IGNORE INTO TABLE t CHARACTER SET latin1 \
        FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"' ESCAPED BY '' LINES STARTING BY '> ' TERMINATED BY '\\r\\n' \
        IGNORE 1 LINES (@key, name, @unused) SET id = @key * 10, n = LENGTH(name), b = CONCAT(name, '!')";
    let file = "> id,name,x\r\n> 1,\"a,b\",0\r\nno row\r\n> 2,\"c\"\"d\",\"\"\r\n> 3,NULL,1\r\n";
    assert_eq!(load(conn, statement, file).await.unwrap(), "Records: 3  Deleted: 0  Skipped: 0  Warnings: 1");
    assert_eq!(
        rows(conn, "SELECT id, name, n, b FROM t WHERE id >= 10 ORDER BY id").await,
        "10|a,b|3|a,b!\n20|c\"d|3|c\"d!\n30|NULL|0|NULL"
    );
    assert_eq!(rows(conn, "SELECT @key, @unused").await, "3|1");
}

async fn rules(conn: &mut Conn) {
    conn.query_drop("SET GLOBAL local_infile = 0").await.unwrap();
    let error = load(conn, "LOAD DATA LOCAL INFILE 'x' INTO TABLE t", "1\n").await.unwrap_err();
    assert_eq!(number(&error), 3948);
    conn.query_drop("SET GLOBAL local_infile = 1").await.unwrap();
    // What is wrong with the statement is said before the file is asked for, and the connection goes on.
    for (statement, code) in [
        ("LOAD DATA LOCAL INFILE 'x' INTO TABLE nothing", 1146),
        ("LOAD DATA LOCAL INFILE 'x' INTO TABLE t (wrong)", 1054),
        ("LOAD DATA LOCAL INFILE 'x' INTO TABLE t FIELDS ENCLOSED BY 'ab'", 1083),
        ("LOAD DATA LOCAL INFILE 'x' INTO TABLE t CHARACTER SET klingon", 1115),
        ("LOAD DATA LOCAL INFILE 'x' INTO TABLE t LINES", 1064),
    ] {
        assert_eq!(number(&load(conn, statement, "1\n").await.unwrap_err()), code, "{statement}");
    }
    // What is wrong with the file, while the rest of it is on its way.
    let long = "2\t\u{fffd}\n".to_owned() + &"1\tx\n".repeat(1_500_000);
    let statement = "LOAD DATA LOCAL INFILE 'x' INTO TABLE t CHARACTER SET ascii (@a, @b)";
    assert_eq!(number(&load(conn, statement, long).await.unwrap_err()), 1300);
    assert_eq!(rows(conn, "SELECT COUNT(*) FROM t WHERE id = 6").await, "1");
    // In a transaction, it is taken back with it.
    conn.query_drop("BEGIN").await.unwrap();
    load(conn, "LOAD DATA LOCAL INFILE 'x' INTO TABLE t (id)", "100\n101\n").await.unwrap();
    assert_eq!(rows(conn, "SELECT COUNT(*) FROM t WHERE id >= 100").await, "2");
    conn.query_drop("ROLLBACK").await.unwrap();
    assert_eq!(rows(conn, "SELECT COUNT(*) FROM t WHERE id >= 100").await, "0");
}

async fn server_side(conn: &mut Conn, files: &std::path::Path) {
    conn.query_drop(
        "CREATE TABLE s (id INT AUTO_INCREMENT PRIMARY KEY, a CHAR(3) NOT NULL, g CHAR(6) AS (CONCAT(a, a)), UNIQUE (a))",
    )
    .await
    .unwrap();
    std::fs::write(files.join("s.txt"), "abc12\nde 34\n").unwrap();
    let path = files.join("s.txt");
    let load = format!("LOAD DATA INFILE '{}' INTO TABLE s", path.display());
    conn.query_drop(format!("{load} LINES TERMINATED BY '\\n' (a) SET id = 5")).await.unwrap_err();
    assert_eq!(rows(conn, "SELECT COUNT(*) FROM s").await, "0");
    // Strict mode: too much or too little of a line is an error here.
    for (options, code) in [("(a)", 1406), ("(a, id, @c)", 1406), ("FIELDS TERMINATED BY ' ' (a, id)", 1406)] {
        assert_eq!(number(&conn.query_drop(format!("{load} {options}")).await.unwrap_err()), code, "{options}");
    }
    std::fs::write(files.join("s.txt"), "abc 1\nde\n").unwrap();
    let error = conn.query_drop(format!("{load} FIELDS TERMINATED BY ' ' (a, id)")).await.unwrap_err();
    assert_eq!(number(&error), 1261);
    let error = conn.query_drop(format!("{load} FIELDS TERMINATED BY ' ' (a)")).await.unwrap_err();
    assert_eq!(number(&error), 1262);
    std::fs::write(files.join("s.txt"), "abc12\nde 34\n").unwrap();
    conn.query_drop(format!("{load} CHARACTER SET latin1 FIELDS TERMINATED BY '' ENCLOSED BY '' (a, id)"))
        .await
        .unwrap();
    assert_eq!(rows(conn, "SELECT id, a, g FROM s ORDER BY id").await, "12|abc|abcabc\n34|de|dede");
    conn.query_drop("TRUNCATE s").await.unwrap();
    std::fs::write(files.join("s.txt"), "x\ny\nx\n").unwrap();
    assert_eq!(number(&conn.query_drop(format!("{load} (a)")).await.unwrap_err()), 1062);
    conn.query_drop(load.replace("INTO", "IGNORE INTO") + " (a)").await.unwrap();
    assert_eq!(rows(conn, "SELECT GROUP_CONCAT(a ORDER BY id) FROM s").await, "x,y");
    for name in ["/etc/hostname", "../nothing"] {
        let error = conn.query_drop(format!("LOAD DATA INFILE '{name}' INTO TABLE s (a)")).await.unwrap_err();
        assert_eq!(number(&error), 1290, "{name}");
    }
    let error = conn.query_drop("LOAD DATA INFILE 'nothing' INTO TABLE s (a)").await.unwrap_err();
    assert_eq!(number(&error), 29);
}

const LARGE: &str = "CREATE TABLE big (id INT PRIMARY KEY, a INT NOT NULL, t VARCHAR(200), UNIQUE KEY (a), KEY (t(8)))";

/// Keys ascend in one index and not in the other.
fn line(number: u32, rows: u32) -> String {
    format!(
        "{number}\t{}\tsome text that takes space in every row, number {number}\n",
        (u64::from(number) * 7919 % u64::from(rows))
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_go_past_the_buffer_and_kill_9_leaves_nothing_of_them() {
    let count: u32 = std::env::var("DRUMLIN_LOAD_ROWS").map_or(20_000, |rows| rows.parse().unwrap());
    let data = tempfile::tempdir().unwrap();
    let launch = Launch::new(data.path()).argument("--bulk-size").argument("1M");
    let server = launch.start();
    let mut conn = connect(&server).await;
    conn.query_drop(LARGE).await.unwrap();
    let file: String = (0..count).map(|number| line(number, count)).collect();
    // The file stops in the middle, and the server with it.
    let half = Bytes::from(file[..file.len() / 10 * 9].to_owned());
    let (stopped, stops) = tokio::sync::oneshot::channel();
    conn.set_infile_handler(async move {
        let pieces: Vec<_> =
            (0..half.len()).step_by(50_000).map(|at| Ok(half.slice(at..half.len().min(at + 50_000)))).collect();
        let end = stream::once(async move {
            let _ = stopped.send(());
            std::future::pending::<()>().await;
            Ok(Bytes::new())
        });
        Ok(stream::iter(pieces).chain(end).boxed())
    });
    let loading = tokio::spawn(async move { conn.query_drop("LOAD DATA LOCAL INFILE 'x' INTO TABLE l.big").await });
    stops.await.unwrap();
    server.kill();
    loading.abort();
    let server = launch.start();
    let mut conn = connect(&server).await;
    assert_eq!(rows(&mut conn, "SELECT COUNT(*) FROM big").await, "0");
    let info = load(&mut conn, "LOAD DATA LOCAL INFILE 'x' INTO TABLE big", file).await.unwrap();
    assert_eq!(info, format!("Records: {count}  Deleted: 0  Skipped: 0  Warnings: 0"));
    assert_eq!(rows(&mut conn, "SELECT COUNT(*), MIN(id), MAX(a) FROM big").await, format!("{count}|0|{}", count - 1));
    let number = count / 2;
    let a = u64::from(number) * 7919 % u64::from(count);
    assert_eq!(rows(&mut conn, &format!("SELECT id FROM big FORCE INDEX (a) WHERE a = {a}")).await, number.to_string());
    // The same again into another table, from there.
    conn.query_drop("CREATE TABLE copy LIKE big").await.unwrap();
    conn.query_drop("INSERT INTO copy SELECT * FROM big").await.unwrap();
    conn.query_drop("UPDATE copy SET a = -a WHERE id = 5").await.unwrap();
    assert_eq!(rows(&mut conn, "SELECT COUNT(*), SUM(a) < 0 FROM copy WHERE a < 1").await, "2|1");
    drop(conn);
    // All of it is in the log and the store, whatever was in memory.
    server.kill();
    let server = launch.start();
    let mut conn = connect(&server).await;
    assert_eq!(
        rows(&mut conn, "SELECT (SELECT COUNT(*) FROM big), (SELECT COUNT(*) FROM copy)").await,
        format!("{count}|{count}")
    );
    drop(conn);
    server.stop();
    let objects: Arc<dyn object_store::ObjectStore> = Arc::new(FileStore::new(&data.path().join("objects")).unwrap());
    let options = DoctorOptions { grace: Duration::from_secs(3600), now_us: SystemClock.wall_us() };
    let report = doctor::examine(objects, options, Arc::default()).await.unwrap();
    assert_eq!((report.damage, report.leaks), (Vec::new(), Vec::new()));
}
