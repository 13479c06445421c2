//! Mutated packets and statements: the server answers or ends the connection, serves others meanwhile, and its memory
//! stays where it was. `DRUMLIN_MUTATIONS` says how many packets (a tenth as many statements), `DRUMLIN_SEED` which ones.

use super::harness::wire::{self, Wire};
use super::harness::{Launch, Server};
use common::env::random::Random;
use mysql_async::prelude::Queryable;

const MUTATIONS: u64 = 2_000;
/// Mutations between two looks at the server.
const ROUND: u64 = 1_000;
/// What may be kept after many requests: caches that fill, memory that the allocator does not give back.
const GROWTH_MAX_BYTES: u64 = 256 << 20;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: not a number")))
}

/// Resident memory of the server.
fn memory_bytes(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Payloads that clients send.
fn commands() -> Vec<Vec<u8>> {
    let with = |code: u8, rest: &[u8]| [&[code], rest].concat();
    let mut commands = vec![
        with(0x02, b"d"),
        with(0x04, b"t\0%"),
        with(0x09, b""),
        with(0x0c, &[9, 0, 0, 0]),
        with(0x0e, b""),
        with(0x11, b"root\0\0d\0\x2d\0mysql_native_password\0"),
        with(0x1b, &[0, 0]),
        with(0x1f, b""),
        with(0x16, b"SELECT a, b FROM t WHERE a = ? AND b > ?"),
        with(0x17, &[1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 0, 253, 0, 7, 0, 0, 0, 3, b'a', b'b', b'c']),
        with(0x17, &[1, 0, 0, 0, 1, 1, 0, 0, 0, 3, 1, 8, 0, 12, 0]),
        with(0x18, &[1, 0, 0, 0, 1, 0, b'x', b'y', b'z']),
        with(0x1a, &[1, 0, 0, 0]),
        with(0x1c, &[1, 0, 0, 0, 100, 0, 0, 0]),
        with(0x19, &[1, 0, 0, 0]),
    ];
    commands.extend(STATEMENTS.iter().map(|statement| with(0x03, statement.as_bytes())));
    commands
}

const STATEMENTS: &[&str] = &[
    "SELECT t.a, COUNT(*), GROUP_CONCAT(DISTINCT u.b ORDER BY u.b SEPARATOR ';') FROM t JOIN t AS u USING (a) WHERE t.b LIKE 'x%' GROUP BY t.a HAVING COUNT(*) > 1 ORDER BY 2 DESC LIMIT 5",
    "INSERT INTO t (a, b) VALUES (1, 'x'), (2, NULL) ON DUPLICATE KEY UPDATE b = VALUES(b)",
    "UPDATE t SET b = CONCAT(b, '!') WHERE a BETWEEN 1 AND 3 ORDER BY a LIMIT 2",
    "DELETE FROM t WHERE a IN (SELECT a FROM (SELECT a FROM t WHERE b IS NULL) AS x)",
    "WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT SUM(n) OVER (ORDER BY n ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM r",
    "SELECT JSON_EXTRACT('{\"a\": [1, 2.5, \"x\"]}', '$.a[1]'), CAST('2024-02-30' AS DATE), 0x4d7953514c, _latin1'gr\u{fc}n', b'101', -1e308 * 10",
    "CREATE TABLE IF NOT EXISTS v (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, c DECIMAL(10,2) DEFAULT '1.5', e ENUM('a','b') CHARACTER SET latin1, KEY k ((id + 1)))",
    "SHOW FULL COLUMNS FROM t LIKE 'a%'",
    "SET @x = 5, SESSION sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES', time_zone = '+05:30'",
    "EXPLAIN FORMAT=TREE SELECT * FROM t WHERE a = 1 FOR UPDATE SKIP LOCKED",
    "START TRANSACTION; SAVEPOINT s; SELECT /*+ NO_ICP(t) */ * FROM t; ROLLBACK TO s; COMMIT",
    "SELECT REGEXP_REPLACE('aabbcc', '(b+)', '<$1>'), SUBSTRING_INDEX('a.b.c', '.', -2), INTERVAL(3, 1, 2, 4), CASE WHEN 1 THEN 'x' END",
];

/// Some bytes are others, gone, there twice, or of another payload.
fn mutated(payload: &[u8], others: &[Vec<u8>], random: &Random) -> Vec<u8> {
    let mut bytes = payload.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len() as u64 + 1) as usize;
        match random.below(7) {
            0 => bytes.insert(at, random.u64() as u8),
            1 => bytes.truncate(at),
            2 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            3 if at < bytes.len() => {
                bytes[at] = [0, 1, 0x7f, 0x80, 0xfb, 0xfc, 0xfe, 0xff, b'\'', b'(', b'`'][random.below(11) as usize]
            }
            4 => {
                let piece = bytes[at..].iter().take(random.below(40) as usize).copied().collect::<Vec<_>>();
                let again = random.below(8) as usize;
                bytes.splice(at..at, piece.repeat(again));
            }
            5 => {
                let end = (at + random.below(12) as usize).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                let other = &others[random.below(others.len() as u64) as usize];
                let from = random.below(other.len() as u64 + 1) as usize;
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
    bytes
}

/// Others are served, and nothing was kept.
async fn look(server: &Server, at_first: &mut Option<u64>) {
    let mut connection = server.connect().await;
    let answer: Option<u64> = connection.query_first("SELECT 6 * 7").await.unwrap();
    assert_eq!(answer, Some(42));
    connection.disconnect().await.unwrap();
    let now = memory_bytes(server);
    let first = *at_first.get_or_insert(now);
    assert!(now < first + GROWTH_MAX_BYTES, "memory grew from {first} to {now} bytes");
}

async fn start() -> (tempfile::TempDir, Server) {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::new(data.path()).start();
    server.run(&["CREATE DATABASE d", "CREATE TABLE d.t (a INT PRIMARY KEY, b VARCHAR(20))"]).await;
    (data, server)
}

#[tokio::test]
async fn mutated_packets_hurt_nobody() {
    let (_data, server) = start().await;
    let (count, seed) = (setting("DRUMLIN_MUTATIONS", MUTATIONS), setting("DRUMLIN_SEED", 1));
    let random = Random::seeded(seed);
    let commands = commands();
    let logins = [wire::login(wire::PLAIN), wire::login(wire::PLAIN | wire::DEPRECATE_EOF | wire::MULTI_STATEMENTS)];
    let mut memory = None;
    let mut logged_in = None;
    for number in 0..count {
        if number % ROUND == 0 {
            look(&server, &mut memory).await;
        }
        match random.below(20) {
            // Before anybody is known.
            0 => {
                let mut wire = Wire::connect(server.mysql());
                let _ =
                    wire.send_raw(&wire::framed(1, &mutated(&logins[random.below(2) as usize], &commands, &random)));
                wire.finish();
            }
            // Headers too: lengths and numbers that do not fit.
            1 => {
                let mut wire = Wire::log_in(server.mysql(), wire::PLAIN);
                let command = &commands[random.below(commands.len() as u64) as usize];
                let _ = wire.send_raw(&mutated(&wire::framed(0, command), &commands, &random));
                wire.finish();
            }
            _ => {
                let mut wire = match logged_in.take() {
                    Some(wire) => wire,
                    None => Wire::log_in(server.mysql(), wire::PLAIN | wire::MULTI_STATEMENTS),
                };
                let command = mutated(&commands[random.below(commands.len() as u64) as usize], &commands, &random);
                // Its answer ends where that of the next command begins.
                let mark = format!("mark-{number}-of-{seed}");
                let next = format!("\x03SELECT '{mark}'");
                let sent = wire.send_raw(&[wire::framed(0, &command), wire::framed(0, next.as_bytes())].concat());
                if sent.is_ok() && wire.read_to(mark.as_bytes()) {
                    logged_in = Some(wire);
                }
            }
        }
    }
    look(&server, &mut memory).await;
    println!(
        "{count} mutated packets, seed {seed}: answered or refused; memory {} bytes at first, {} at last",
        memory.unwrap_or_default(),
        memory_bytes(&server)
    );
    server.stop();
}

#[tokio::test]
async fn mutated_statements_are_answered_or_refused() {
    let (_data, server) = start().await;
    let (count, seed) = (setting("DRUMLIN_MUTATIONS", MUTATIONS) / 10, setting("DRUMLIN_SEED", 1));
    let random = Random::seeded(seed);
    let statements: Vec<Vec<u8>> = STATEMENTS.iter().map(|statement| statement.as_bytes().to_vec()).collect();
    let (mut memory, mut answered) = (None, 0);
    let mut connection = server.connect().await;
    for number in 0..count {
        if number % ROUND == 0 {
            look(&server, &mut memory).await;
        }
        if number % 20 == 0 {
            connection.reset().await.unwrap();
            connection.query_drop("USE d").await.unwrap();
        }
        let statement = mutated(&statements[random.below(statements.len() as u64) as usize], &statements, &random);
        match connection.query_drop(statement).await {
            Ok(()) => answered += 1,
            // Error 1105 is ours to explain.
            Err(mysql_async::Error::Server(error)) => assert_ne!(error.code, 1105, "{error}"),
            Err(error) => panic!("{error}"),
        }
    }
    look(&server, &mut memory).await;
    println!("{count} mutated statements, seed {seed}: {answered} answered, the rest refused");
    connection.disconnect().await.unwrap();
    server.stop();
}
