//! What the corpus begins with: a little of everything that is really written.

use bytes::Bytes;
use common::branch_points::BranchPoints;
use common::cluster_map::{ClusterMap, Owner, TabletEntry};
use common::id::{ColumnId, CommitId, CounterId, IndexId, Lsn, TableId, TabletId, Term, TxnId};
use common::key::{Key, KeyRange, index_prefix};
use common::log_archive;
use common::physical::{PhysicalType, PhysicalValue};
use common::prepared::{self, PreparedCommit, PreparedLocks};
use common::service::page::*;
use common::service::wal::*;
use expr::row_encoding::RowWriter;
use pageserver::layer::writer::{LayerWriter, WriterOptions};
use pageserver::layer::{Compression, Version, format};
use pageserver::manifest::{self, LayerMeta, Manifest};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

type Seed = (&'static str, String, Vec<u8>);

/// Target, file, content.
pub fn all() -> Vec<Seed> {
    [messages(), log(), rows_and_keys(), layers(), of_clients(), statements()].concat()
}

fn seed(target: &'static str, name: &str, bytes: impl Into<Vec<u8>>) -> Seed {
    (target, name.to_owned(), bytes.into())
}

fn stored<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).unwrap()
}

fn key(number: u8) -> Key {
    [&index_prefix(TableId(7), IndexId(1))[..], &[1, 0x80, 0, 0, 0, 0, 0, 0, number]].concat().into()
}

fn row(number: u8) -> Bytes {
    let mut row = RowWriter::new();
    let values = [
        PhysicalValue::Int64(i64::from(number) * 1_000_003),
        PhysicalValue::UInt64(u64::from(number / 5)),
        PhysicalValue::Float64([0.5, 1.25, -3.0][usize::from(number) % 3]),
        PhysicalValue::Bytes(Bytes::from(format!("text {number}"))),
        if number.is_multiple_of(4) { PhysicalValue::Null } else { PhysicalValue::Int128(i128::from(number) << 64) },
        PhysicalValue::Int256([number; 32]),
    ];
    for (column, value) in values.into_iter().enumerate() {
        row.put(ColumnId(column as u16), value);
    }
    row.finish()
}

fn write(number: u8) -> Write {
    let row = (number != 3).then(|| row(number));
    Write { mutation: Mutation { key: key(number), row }, observed: Lsn(9) }
}

fn batch() -> Batch {
    let transaction = |lsn: u64| Transaction {
        lsn: Lsn(lsn),
        commit_id: CommitId(u128::from(lsn) << 70),
        mutations: (1..4).map(|number| (TabletId(1), write(number).mutation)).collect(),
        counters: vec![CounterBump { counter: CounterId(4), next: 70, reset: false }],
    };
    Batch {
        first_lsn: Lsn(10),
        last_lsn: Lsn(11),
        time_us: 1_700_000_000_000_000,
        transactions: vec![transaction(10), transaction(11)],
    }
}

fn locks() -> Vec<(LockTarget, LockMode)> {
    let range = KeyRange::index(TableId(7), IndexId(1));
    vec![(LockTarget::Key(key(1)), LockMode::Shared), (LockTarget::Range(range), LockMode::Exclusive)]
}

/// Variants of a message are numbered in their order, and stand before it.
fn messages() -> Vec<Seed> {
    let commit = CommitRequest {
        checks: vec![Observed { key: key(5), lsn: Lsn(3) }],
        depends_on: Some(Undurable { term: Term(2), lsn: Lsn(8) }),
        tenure: Some(Tenure { term: Term(2), session: 4 }),
        also_holds: vec![TxnId(9)],
        ..CommitRequest::of(CommitId(77), TxnId(5), vec![write(1), write(3)])
    };
    let lock = LockRequest {
        ranges: vec![(KeyRange::table(TableId(7)), LockMode::Exclusive)],
        ..LockRequest::keys(TxnId(5), vec![(key(1), LockMode::Shared)], LockWait::Timeout(Duration::from_secs(5)))
    };
    let column = ScanColumn { column: ColumnId(1), physical: PhysicalType::Int64, default: PhysicalValue::Null };
    let scan = |output| ScanRequest {
        lsn: Lsn(10),
        ranges: vec![KeyRange::table(TableId(7))],
        direction: Direction::Backward,
        limit: Some(5),
        output,
        bounds: vec![ColumnBound { column: ColumnId(1), min: Some(PhysicalValue::Int64(-1)), max: None }],
        batch_rows: 1000,
    };
    let sum = PartialCall::Sum(vec![TermStep::Column(0), TermStep::Constant(7), TermStep::Multiply]);
    let aggregates = Aggregates { columns: vec![column.clone()], calls: vec![PartialCall::Rows, sum] };
    let scanned: Vec<ScannedRow> =
        (1..4).map(|number| ScannedRow { key: key(number), lsn: Lsn(number.into()), row: row(number) }).collect();
    let values = [PhysicalValue::UInt64(7), PhysicalValue::Null, PhysicalValue::Int256([0xfe; 32])];
    let call = |request: &[u8]| [&[1][..], &7u64.to_le_bytes(), &5_000u32.to_le_bytes(), request].concat();
    let commit = stored(&(3u32, &commit));
    vec![
        seed("rpc_frame", "read_lsn", [0]),
        seed("rpc_frame", "lock", stored(&(1u32, &lock))),
        seed("rpc_frame", "call", call(&commit)),
        seed("rpc_frame", "commit", commit),
        seed("rpc_frame", "cancel", [&[2][..], &7u64.to_le_bytes()].concat()),
        seed("rpc_frame", "get", stored(&(8u32, GetRequest { lsn: Lsn(3), keys: vec![key(1), key(2)] }))),
        seed("rpc_frame", "subscribe", stored(&(0u32, SubscribeRequest { from: Lsn(3), tablets: vec![TabletId(1)] }))),
        seed("rpc_frame", "scan_rows", stored(&(1u32, scan(ScanOutput::Rows)))),
        seed("rpc_frame", "scan_columns", stored(&(1u32, scan(ScanOutput::Columns(vec![column]))))),
        seed("rpc_frame", "scan_aggregates", stored(&(1u32, scan(ScanOutput::Aggregates(aggregates))))),
        seed("rpc_frame", "item", stored(&Ok::<_, WalError>(StreamItem::Batch(Arc::new(batch()))))),
        seed("rpc_batch", "rows", [&[1][..], &stored(&scanned)].concat()),
        seed("rpc_batch", "aggregates", [&[3][..], &stored(&values.to_vec())].concat()),
    ]
}

fn log() -> Vec<Seed> {
    let batch = batch();
    let prefix = |tag: u8, first: Lsn, last: Lsn| [&[tag][..], &first.0.to_le_bytes(), &last.0.to_le_bytes()].concat();
    let command = [prefix(1, batch.first_lsn, batch.last_lsn), stored(&batch)].concat();
    let counters = vec![(CounterId(1), 2u64)];
    let base = [prefix(2, Lsn(7), Lsn(7)), stored(&((Lsn(7), counters), ClusterMap::default()))].concat();
    let entry = |kind: u8, payload: &[u8]| {
        let words = [12u64, 3, batch.last_lsn.0].map(u64::to_le_bytes).concat();
        [&words[..], &[kind, 0, 0, 0, 0, 0, 0, 0], payload].concat()
    };
    let sealed = log_archive::Sealed::new(1, Term(3), &[stored(&batch).into()]).unwrap();
    let locks = PreparedLocks { txn: TxnId(7), locks: locks() };
    let commit = PreparedCommit {
        writes: vec![write(1)],
        checks: vec![Observed { key: key(5), lsn: Lsn(3) }],
        counters: Vec::new(),
    };
    let map = ClusterMap::new(vec![
        TabletEntry { tablet: TabletId(1), start: Bytes::new() },
        TabletEntry { tablet: TabletId(2), start: key(9) },
    ]);
    let mut points = BranchPoints::default();
    points.insert("release", Lsn(40)).unwrap();
    let owner = Owner { process: 5, address: "192.0.2.1:7000".parse().unwrap() };
    // Counters and outcomes behind four numbers; map, prepared transactions and generation behind those.
    let history = (Lsn(11), 5u64, Lsn(2), Lsn(1), vec![(CounterId(4), 70u64)], vec![(CommitId(77), Lsn(11))]);
    let history = [stored(&history), stored(map.as_ref().unwrap()), stored(&vec![(key(1), &locks)]), vec![3]].concat();
    vec![
        seed("log_record", "batch", entry(1, &command)),
        seed("log_record", "blank", entry(0, &[])),
        seed("log_record", "membership", entry(3, &[1, 1, 1, 2, 3])),
        seed("log_record", "command", command),
        seed("log_record", "base", base),
        seed("log_record", "trim", [prefix(3, Lsn(0), Lsn(0)), stored(&Lsn(5))].concat()),
        seed("log_archive", "object", sealed.bytes),
        seed("log_archive", "base", include_bytes!("../formats/log-archive-base-1.bin")),
        seed("history", "full", history),
        seed("cluster_row", "map", map.unwrap().encode()),
        seed("cluster_row", "branch_points", points.encode()),
        seed("cluster_row", "owner", owner.encode()),
        seed("cluster_row", "prepared", prepared::encode(&locks, &commit)),
    ]
}

fn rows_and_keys() -> Vec<Seed> {
    let fixed = {
        let mut column = Vec::new();
        let keys: Vec<Key> = (0..20).map(key).collect();
        pageserver::layer::column::keys::encode(&keys.iter().map(|key| &key[..]).collect::<Vec<_>>(), &mut column);
        [&19u16.to_le_bytes()[..], &column].concat()
    };
    let varying = {
        let mut column = Vec::new();
        let texts = ["", "a", "ab", "abc", "abd", "b", "bcdefghijklmnop"];
        let keys: Vec<Vec<u8>> = texts.iter().map(|text| [&key(0)[..9], text.as_bytes(), &[0, 0]].concat()).collect();
        pageserver::layer::column::keys::encode(&keys.iter().map(|key| &key[..]).collect::<Vec<_>>(), &mut column);
        [&6u16.to_le_bytes()[..], &column].concat()
    };
    vec![
        seed("stored_row", "all_types", row(5)),
        seed("stored_row", "with_null", row(8)),
        seed("stored_row", "json", {
            let mut row = RowWriter::new();
            row.put(ColumnId(3), PhysicalValue::Bytes(Bytes::from_static(br#"{"a": [1, 2.5, null, "x"], "b": {}}"#)));
            row.finish()
        }),
        seed("stored_row", "empty", RowWriter::new().finish()),
        seed("keys", "fixed", fixed),
        seed("keys", "varying", varying),
    ]
}

fn layers() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (name, compression) in [("lz4", Compression::Lz4), ("zstd", Compression::Zstd { level: 1 })] {
        let mut writer = LayerWriter::new(WriterOptions { block_bytes: 2 << 10, block_rows: 60, compression });
        for number in 0..100 {
            for lsn in [u64::from(number) + 10, 1] {
                let row = (number % 9 != 0).then(|| row(number));
                writer.push(Version { key: key(number), lsn: Lsn(lsn), row });
            }
        }
        writer.push(Version { key: key(200), lsn: Lsn(1), row: Some(Bytes::from_static(b"no row at all")) });
        let bytes = writer.finish().unwrap().bytes;
        let footer = &bytes[bytes.len() - format::FOOTER_BYTES..];
        let offset = u64::from_le_bytes(footer[..8].try_into().unwrap()) as usize;
        let index = format::decode_tail(&bytes[offset..], bytes.len() as u64).unwrap();
        seeds.push(seed("layer_index", name, &bytes[offset..]));
        for (place, block) in [index.blocks.first(), index.blocks.last()].into_iter().flatten().enumerate() {
            let content = &bytes[block.offset as usize..][..block.length as usize];
            seeds.push(seed("layer_block", &format!("{name}_{place}"), content));
        }
    }
    let mut manifest = Manifest::empty(TabletId(1), 0xfeed);
    manifest.durable = Lsn(700);
    manifest.counters = vec![(CounterId(4), 12_345)];
    manifest.layers = vec![LayerMeta {
        home: TabletId(1),
        generation: 1,
        sequence: 2,
        level: 1,
        bytes: 5_000,
        index_offset: 4_000,
        first: key(1),
        last: key(2),
        lsn_min: Lsn(1),
        lsn_max: Lsn(700),
        versions: 99,
        tombstones: 9,
        stamped: false,
    }];
    seeds.push(seed("manifest", "today", manifest::encode(&manifest)));
    seeds.push(seed("manifest", "version_1", include_bytes!("../formats/manifest-1.bin")));
    seeds.push(seed("manifest", "version_2", include_bytes!("../formats/manifest-2.bin")));
    seeds.push(seed("manifest", "version_3", include_bytes!("../formats/manifest-3.bin")));
    seeds
}

fn of_clients() -> Vec<Seed> {
    let login = |capabilities: u32, rest: &[u8]| {
        [&capabilities.to_le_bytes()[..], &(64u32 << 20).to_le_bytes(), &[45], &[0; 23], b"ann\0", rest].concat()
    };
    // Protocol 4.1, secure connection, plugins, length-encoded answers, attributes, a database, zstd.
    let all = 1 << 9 | 1 << 15 | 1 << 19 | 1 << 21 | 1 << 20 | 1 << 3 | 1 << 26;
    let rest = [&[20][..], &[7; 20], b"d\0caching_sha2_password\0", &[8, 3], b"_os", &[3], b"lin", &[3]].concat();
    let values = [0, 1, 3, 0, 253, 0, 12, 0, 11, 0, 7, 0, 0, 0, 3, b'a', b'b', b'c'];
    let moments = [11, 0xe8, 7, 2, 29, 12, 30, 45, 1, 0, 0, 0, 12, 1, 1, 0, 0, 0, 10, 20, 30, 1, 0, 0, 0];
    let execute = [&[0x17, 1, 0, 0, 0, 0, 1, 0, 0, 0][..], &values, &moments].concat();
    let attributes = [&[0x03, 1, 1, 0, 1, 0xfd, 0, 2][..], b"id", &[2], b"x7", b"SELECT 1"].concat();
    let v2 =
        [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[0x21, 0x11, 0, 12], &[203, 0, 113, 7, 192, 0, 2, 1, 0x9c, 0x40, 0x0c, 0xea]];
    let zlib = {
        use std::io::Write;
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(&[b'x'; 100]).unwrap();
        let content = encoder.finish().unwrap();
        [&[content.len() as u8, 0, 0, 0, 100, 0, 0][..], &content].concat()
    };
    vec![
        seed("packet", "login", login(all, &rest)),
        seed("packet", "login_plain", login(1 << 9 | 1 << 15 | 1 << 19, b"\0mysql_native_password\0")),
        seed("packet", "change_user", *b"\x11root\0\0d\0\x2d\0mysql_native_password\0"),
        seed("packet", "execute", execute),
        seed("packet", "attributes", attributes),
        seed("packet", "query", *b"\x03SELECT 'gr\xc3\xbcn'"),
        seed("packet", "long_data", [0x18, 1, 0, 0, 0, 1, 0, b'x', b'y']),
        seed("packet", "fetch", [0x1c, 1, 0, 0, 0, 100, 0, 0, 0]),
        seed("envelope", "proxy_1", *b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 3306\r\n"),
        seed("envelope", "proxy_2", v2.concat()),
        seed("envelope", "zlib", zlib),
        seed("envelope", "plain_frame", [5, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 14]),
        // SEQUENCE { SEQUENCE { [0] 2, serial, algorithm, issuer /CN=ca, validity, subject /C=SE } }
        seed("envelope", "certificate", {
            let name = |kind: u8, text: &[u8]| {
                let value = [&[0x06, 3, 0x55, 4, kind, 0x0c, text.len() as u8][..], text].concat();
                let attribute = [&[0x30, value.len() as u8][..], &value].concat();
                let set = [&[0x31, attribute.len() as u8][..], &attribute].concat();
                [&[0x30, set.len() as u8][..], &set].concat()
            };
            let fields =
                [&[0xa0, 3, 2, 1, 2, 2, 1, 7, 0x30, 0][..], &name(3, b"ca"), &[0x30, 0], &name(6, b"SE")].concat();
            let signed = [&[0x30, fields.len() as u8][..], &fields].concat();
            [&[0x30, signed.len() as u8][..], &signed].concat()
        }),
    ]
}

/// One of each kind, and what the lexer has rules of its own for.
fn statements() -> Vec<Seed> {
    let texts = [
        "SELECT t.a, COUNT(*), GROUP_CONCAT(DISTINCT u.b ORDER BY u.b SEPARATOR ';') FROM t JOIN t AS u USING (a) WHERE t.b LIKE 'x%' ESCAPE '|' GROUP BY t.a WITH ROLLUP HAVING COUNT(*) > 1 ORDER BY 2 DESC LIMIT 5 OFFSET 2",
        "WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT SUM(n) OVER w FROM r WINDOW w AS (PARTITION BY n % 2 ORDER BY n ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FOR UPDATE SKIP LOCKED",
        "INSERT INTO d.t (a, b) VALUES (1, 'x'), (2, DEFAULT) AS new ON DUPLICATE KEY UPDATE b = CONCAT(new.b, VALUES(b))",
        "INSERT INTO t VALUES (1,'it''s',NULL,-1.5e3,0x4d79),(2,\"q\",b'101',N'x',_utf8mb4'y' COLLATE utf8mb4_bin)",
        "UPDATE t AS x, u SET x.b = DEFAULT, u.c = x.a << 2 | 1 WHERE x.a BETWEEN 1 AND 3 AND u.c IS NOT TRUE",
        "DELETE FROM t PARTITION (p0) WHERE a IN (SELECT a FROM u) ORDER BY a LIMIT 2",
        "CREATE TABLE IF NOT EXISTS v (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, c DECIMAL(10,2) DEFAULT '1.5', e ENUM('a','b') CHARACTER SET latin1, g INT AS (id * 2) STORED, CHECK (c > 0), UNIQUE KEY k ((id + 1), e(3) DESC), CONSTRAINT f FOREIGN KEY (id) REFERENCES t (a) ON DELETE CASCADE) ENGINE=InnoDB COMMENT='x' PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE)",
        "ALTER TABLE t ADD COLUMN z JSON AFTER a, MODIFY b TEXT, DROP INDEX k, RENAME TO d.w, ALGORITHM=INPLACE, LOCK=NONE",
        "CREATE OR REPLACE ALGORITHM=MERGE DEFINER=`root`@`%` SQL SECURITY INVOKER VIEW v (x) AS SELECT a FROM t WITH LOCAL CHECK OPTION",
        "CREATE PROCEDURE p (IN a INT, OUT b VARCHAR(9)) READS SQL DATA BEGIN DECLARE x INT DEFAULT 0; DECLARE c CURSOR FOR SELECT a FROM t; DECLARE CONTINUE HANDLER FOR SQLSTATE '02000', 1062 SET x = 1; l: WHILE x < 5 DO SET x = x + 1; IF x = 3 THEN ITERATE l; ELSEIF x > 4 THEN LEAVE l; END IF; END WHILE; CASE x WHEN 1 THEN SELECT 1; ELSE SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'm'; END CASE; REPEAT FETCH c INTO b; UNTIL x END REPEAT; END",
        "CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW FOLLOWS f SET NEW.b = IF(OLD.b <=> NEW.b, 'same', NEW.b)",
        "CREATE EVENT e ON SCHEDULE EVERY '1:30' HOUR_MINUTE STARTS NOW() + INTERVAL 1 DAY ON COMPLETION PRESERVE DO DELETE FROM t",
        "CREATE USER ann@'10.%' IDENTIFIED WITH caching_sha2_password BY 'p' REQUIRE SUBJECT '/CN=a' AND ISSUER '/CN=b' WITH MAX_QUERIES_PER_HOUR 5 PASSWORD EXPIRE INTERVAL 9 DAY ACCOUNT LOCK",
        "GRANT SELECT (a, b), INSERT, EXECUTE ON PROCEDURE d.p TO ann@localhost, r WITH GRANT OPTION",
        "SET @x = 5, SESSION sql_mode = 'ANSI_QUOTES', @@global.max_connections := DEFAULT, NAMES utf8mb4 COLLATE utf8mb4_bin",
        "SHOW FULL COLUMNS FROM t FROM d LIKE 'a%'",
        "EXPLAIN FORMAT=TREE SELECT /*+ NO_ICP(t) */ * FROM t FORCE INDEX (k) WHERE MATCH (b) AGAINST ('+x -y' IN BOOLEAN MODE)",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY; SAVEPOINT s; ROLLBACK TO s; COMMIT AND CHAIN -- end\n; # more\n/*!80000 SELECT 2 */",
        "LOAD DATA LOCAL INFILE 'f' REPLACE INTO TABLE t CHARACTER SET latin1 FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"' LINES STARTING BY 'x' IGNORE 1 LINES (a, @b) SET b = UPPER(@b)",
        "XA START 'a', X'0102', 7; XA RECOVER CONVERT XID",
        "SELECT CASE WHEN a THEN 1 END, CAST('2024-02-30' AS DATETIME(3)), a->>'$.x[last]', INTERVAL(3, 1), EXTRACT(YEAR_MONTH FROM NOW()), TRIM(LEADING 'x' FROM b), POSITION('a' IN b), CONVERT(b USING latin1), b REGEXP BINARY 'x', NOT a DIV 2 XOR ~b, ? FROM JSON_TABLE('[]', '$[*]' COLUMNS (n FOR ORDINALITY, x INT PATH '$.x' DEFAULT '0' ON EMPTY)) AS j",
        "PREPARE p FROM 'SELECT ?'; EXECUTE p USING @a; KILL QUERY 5; FLUSH TABLES; LOCK TABLES t READ, u AS v WRITE; HANDLER t OPEN; DO SLEEP(0); CALL p(1, @a); USE d; ANALYZE TABLE t",
        "RANGE COLUMNS (a, b) (PARTITION p0 VALUES LESS THAN (1, 'x'))",
        "`a``b` + \"c\"\"d\" || 'e\\'f' AND @`x y` <> .5e-3",
    ];
    texts.iter().enumerate().map(|(place, text)| seed("statement", &format!("{place:02}.sql"), *text)).collect()
}
