//! Mutated packets and statements: the server answers or ends the connection, serves another client all the time, and its
//! memory stays where it was. `DRUMLIN_MUTATIONS` says how many packets (a tenth as many statements), `DRUMLIN_SEED` which
//! ones. At length, against a release build:
//! `DRUMLIN_TEST_BINARY=... DRUMLIN_MUTATIONS=1000000 cargo test --test protocol mutated -- --nocapture`

use super::corpus;
use super::harness::mutation::{mutated, revalued, reworded};
use super::harness::wire::{self, Wire};
use super::harness::{Launch, Server};
use common::env::random::Random;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, DriverError, Error, Opts, Params, Value};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio::time::timeout;

const MUTATIONS: u64 = 2_000;
/// Mutations between two looks at the server.
const ROUND: u64 = 1_000;
/// What may be kept after many requests: caches that fill, memory that the allocator does not give back; what one query may
/// hold is among it.
const GROWTH_MAX_BYTES: u64 = 256 << 20;
/// Of a query, and of all: some of what mutation makes is endless recursion, which ends there.
const QUERY_MEMORY: &str = "64M";
/// No answer within this is a hang. Statements that run for long are ended by `max_execution_time` before.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Of a mutated statement that reads.
const EXECUTION_MS_MAX: u64 = 5_000;
/// Statements that follow each other as in their file, before another place is chosen.
const IN_ORDER: u64 = 40;
/// Logins that wait for their refusal.
const SLOW_MAX: usize = 100;
/// Between two questions of the other client.
const WATCH_EVERY: Duration = Duration::from_millis(5);

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
        with(0x11, b"nobody\0\0d\0\x2d\0mysql_native_password\0"),
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

/// A login, or COM_CHANGE_USER, of somebody who was not there before: whoever fails again has to wait.
fn of_another(payload: &[u8], number: u64) -> Vec<u8> {
    const NAME: &[u8] = b"nobody\0";
    match payload.windows(NAME.len()).position(|window| window == NAME) {
        Some(at) => [&payload[..at], format!("n{number}\0").as_bytes(), &payload[at + NAME.len()..]].concat(),
        None => payload.to_vec(),
    }
}

/// What a balancer would say of a client that was not there before.
fn from_another(number: u64) -> String {
    let [.., a, b, c] = number.to_be_bytes();
    format!("PROXY TCP4 10.{a}.{b}.{c} 192.0.2.1 40000 3306\r\n")
}

/// Memory of the server at the start, in the middle and at the end.
struct Memory<'a> {
    server: &'a Server,
    count: u64,
    first_bytes: Option<u64>,
    middle_bytes: Option<u64>,
}

impl<'a> Memory<'a> {
    fn of(server: &'a Server, count: u64) -> Memory<'a> {
        Memory { server, count, first_bytes: None, middle_bytes: None }
    }

    /// After so many of all.
    fn look(&mut self, done: u64) {
        let now_bytes = memory_bytes(self.server);
        let first_bytes = *self.first_bytes.get_or_insert_with(|| {
            println!("memory at the start: {} MiB", now_bytes >> 20);
            now_bytes
        });
        if done >= self.count / 2 && self.middle_bytes.is_none() {
            println!("memory after {done}: {} MiB", now_bytes >> 20);
            self.middle_bytes = Some(now_bytes);
        }
        if done == self.count {
            println!("memory at the end, after {done}: {} MiB", now_bytes >> 20);
        }
        assert!(now_bytes < first_bytes + GROWTH_MAX_BYTES, "memory grew from {first_bytes} to {now_bytes} bytes");
    }
}

/// Another client, which is served all the time.
struct Bystander {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Served>,
}

#[derive(Default)]
struct Served {
    answers: u64,
    longest: Duration,
    /// A mutated COM_PROCESS_KILL may name its connection.
    lost: u64,
}

impl Bystander {
    fn begin(server: &Server) -> Bystander {
        let stop = Arc::new(AtomicBool::new(false));
        Bystander { task: tokio::spawn(watch(Opts::from(server.options()), stop.clone())), stop }
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        let Served { answers, longest, lost } = self.task.await.unwrap();
        println!(
            "another client had {answers} answers meanwhile, the slowest after {longest:?}; it was killed {lost} times"
        );
        assert!(answers > 0);
    }
}

async fn watch(options: Opts, stop: Arc<AtomicBool>) -> Served {
    let mut served = Served::default();
    let mut ticks = tokio::time::interval(WATCH_EVERY);
    while !stop.load(Ordering::Relaxed) {
        let connected = timeout(ANSWER_WITHIN, Conn::new(options.clone())).await;
        let mut connection = connected.expect("the other client hangs").expect("the other client comes in");
        while !stop.load(Ordering::Relaxed) {
            ticks.tick().await;
            let begun = Instant::now();
            let asked = connection.query_first::<u64, _>("SELECT 6 * 7");
            match timeout(ANSWER_WITHIN, asked).await.expect("the other client hangs") {
                Ok(answer) => assert_eq!(answer, Some(42)),
                Err(_) => {
                    served.lost += 1;
                    break;
                }
            }
            served.answers += 1;
            served.longest = served.longest.max(begun.elapsed());
        }
    }
    served
}

async fn start() -> (tempfile::TempDir, Server) {
    let data = tempfile::tempdir().unwrap();
    let launch = Launch::new(data.path()).argument("--proxy-from").argument("127.0.0.0/8");
    let server = launch.argument("--query-memory").argument(QUERY_MEMORY).start();
    clean(&server).await;
    (data, server)
}

/// As at the start: what mutated statements made is gone.
async fn clean(server: &Server) {
    let mut connection = server.connect().await;
    connection.query_drop("SET foreign_key_checks = 0").await.unwrap();
    let databases: Vec<String> = connection.query("SHOW DATABASES").await.unwrap();
    let own = ["information_schema", "mysql", "performance_schema", "sys"];
    for database in databases.iter().filter(|name| !own.contains(&name.as_str())) {
        connection.query_drop(format!("DROP DATABASE `{}`", database.replace('`', "``"))).await.unwrap();
    }
    let accounts = "SELECT CONCAT(QUOTE(user), '@', QUOTE(host)) FROM mysql.user WHERE user <> 'root'";
    let accounts: Vec<String> = connection.query(accounts).await.unwrap();
    for account in accounts {
        connection.query_drop(format!("DROP USER {account}")).await.unwrap();
    }
    for statement in ["CREATE DATABASE d", "CREATE TABLE d.t (a INT PRIMARY KEY, b VARCHAR(20))"] {
        connection.query_drop(statement).await.unwrap();
    }
    connection.disconnect().await.unwrap();
}

/// Twice as many rows in each round, while `n` is below; all parts read what the round before gave.
fn doubling(rounds: u32) -> String {
    let part = format!("SELECT n + 1 FROM r WHERE n <= {rounds}");
    format!("WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL {part} UNION ALL {part}) SELECT COUNT(*) FROM r")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recursion_holds_what_a_query_may_and_ends_with_its_client() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::new(data.path()).argument("--query-memory").argument("4M").start();
    let mut connection = server.connect().await;
    // A row takes some 90 bytes: 32,768 of them fit, not with the 16,384 that they are made of.
    let count: Option<u64> = connection.query_first(doubling(14)).await.unwrap();
    assert_eq!(count, Some((1 << 15) - 1));
    match connection.query_drop(doubling(15)).await {
        Err(Error::Server(error)) => assert_eq!(error.code, 1041, "{error}"),
        other => panic!("{other:?}"),
    }
    server.stop();

    let data = tempfile::tempdir().unwrap();
    let server = Launch::new(data.path()).start();
    let mut other = server.connect().await;
    let mut wire = Wire::log_in(server.mysql(), wire::PLAIN);
    wire.query(&doubling(900));
    let running = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'WITH RECURSIVE%'";
    let begun = Instant::now();
    for (wanted, leave) in [(1, true), (0, false)] {
        while other.query_first::<u64, _>(running).await.unwrap() != Some(wanted) {
            assert!(begun.elapsed() < ANSWER_WITHIN, "{wanted} were to run");
            tokio::time::sleep(WATCH_EVERY).await;
        }
        if leave {
            drop(std::mem::replace(&mut wire, Wire::connect(server.mysql())));
        }
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutated_packets_hurt_nobody() {
    let (_data, server) = start().await;
    let (count, seed) = (setting("DRUMLIN_MUTATIONS", MUTATIONS), setting("DRUMLIN_SEED", 1));
    let random = Random::seeded(seed);
    let commands = commands();
    let capabilities = [wire::PLAIN, wire::PLAIN | wire::DEPRECATE_EOF | wire::MULTI_STATEMENTS];
    let logins = capabilities.map(|capabilities| wire::login_of("nobody", capabilities));
    let mut memory = Memory::of(&server, count);
    let bystander = Bystander::begin(&server);
    let (mut logged_in, mut slow) = (None, VecDeque::new());
    for number in 0..count {
        if number % ROUND == 0 {
            // It may be in the middle of a transaction, which others would wait for.
            logged_in.take().into_iter().for_each(Wire::finish);
            clean(&server).await;
            memory.look(number);
        }
        match random.below(20) {
            // Before anybody is known.
            0 => {
                let mut wire = Wire::connect(server.mysql());
                let login = of_another(&logins[random.below(2) as usize], number);
                let login = wire::framed(1, &mutated(&login, &commands, &random));
                let _ = wire.send_raw(&[from_another(number).as_bytes(), &login].concat());
                // Names that come again, the empty one, are slowed down: meanwhile others go on.
                slow.push_back(wire);
                if slow.len() > SLOW_MAX {
                    slow.pop_front().into_iter().for_each(Wire::finish);
                }
            }
            // Headers too: lengths and numbers that do not fit.
            1 => {
                let mut wire = Wire::log_in(server.mysql(), wire::PLAIN);
                let command = of_another(&commands[random.below(commands.len() as u64) as usize], number);
                let _ = wire.send_raw(&mutated(&wire::framed(0, &command), &commands, &random));
                wire.finish();
            }
            _ => {
                let mut wire = match logged_in.take() {
                    Some(wire) => wire,
                    None => Wire::log_in(server.mysql(), wire::PLAIN | wire::MULTI_STATEMENTS),
                };
                let command = of_another(&commands[random.below(commands.len() as u64) as usize], number);
                let command = mutated(&command, &commands, &random);
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
    slow.into_iter().for_each(Wire::finish);
    memory.look(count);
    bystander.end().await;
    println!("{count} mutated packets, seed {seed}: answered or refused");
    server.stop();
}

/// KILL, and whether the session is gone soon.
async fn is_gone_after_kill(server: &Server, id: u32) -> bool {
    let mut other = server.connect().await;
    // It may have ended meanwhile.
    let _ = other.query_drop(format!("KILL {id}")).await;
    let gone = async {
        let listed = format!("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = {id}");
        while other.query_first::<u64, _>(&listed).await.unwrap() != Some(0) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(ANSWER_WITHIN, gone).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutated_statements_are_answered_or_refused() {
    let (_data, server) = start().await;
    let (count, seed) = (setting("DRUMLIN_MUTATIONS", MUTATIONS) / 10, setting("DRUMLIN_SEED", 1));
    let random = Random::seeded(seed);
    let mut statements: Vec<Vec<u8>> = STATEMENTS.iter().map(|statement| statement.as_bytes().to_vec()).collect();
    statements.extend(corpus::statements());
    let mut memory = Memory::of(&server, count);
    let bystander = Bystander::begin(&server);
    let (mut answered, mut killed, mut errors) = (0, 0, BTreeMap::<u16, u64>::new());
    let mut connection = server.connect().await;
    let (mut place, mut before) = (0, String::new());
    for number in 0..count {
        if number % ROUND == 0 {
            connection.reset().await.unwrap();
            clean(&server).await;
            memory.look(number);
        }
        if number % IN_ORDER == 0 {
            place = random.below(statements.len() as u64) as usize;
            connection.reset().await.unwrap();
            let waits = format!("SET max_execution_time = {EXECUTION_MS_MAX}, innodb_lock_wait_timeout = 1");
            connection.query_drop(waits).await.unwrap();
            connection.query_drop("CREATE DATABASE IF NOT EXISTS d").await.unwrap();
            connection.query_drop("USE d").await.unwrap();
        }
        place = (place + 1) % statements.len();
        let statement = &statements[place];
        // As it is first: what follows has tables to be about.
        if random.below(2) == 0 {
            let whole = timeout(ANSWER_WITHIN, run(&mut connection, statement, false)).await;
            let whole = whole.unwrap_or_else(|_| panic!("no answer: {}", String::from_utf8_lossy(statement)));
            if !matches!(whole, Ok(()) | Err(Error::Server(_))) {
                connection = server.connect().await;
            }
        }
        let change = [mutated, reworded, revalued, revalued][random.below(4) as usize];
        let statement = change(statement, &statements, &random);
        let text = String::from_utf8_lossy(&statement).into_owned();
        let shown = || format!("statement {number} of seed {seed}: {text}\nbehind: {before}");
        let ran = timeout(ANSWER_WITHIN, run(&mut connection, &statement, random.below(4) == 0)).await;
        let Ok(ran) = ran else {
            // max_execution_time is for SELECT: a loop of a routine that a mutation made long ends by KILL.
            assert!(is_gone_after_kill(&server, connection.id()).await, "no answer, nor an end by KILL: {}", shown());
            killed += 1;
            connection = server.connect().await;
            connection.query_drop("CREATE DATABASE IF NOT EXISTS d").await.unwrap();
            connection.query_drop("USE d").await.unwrap();
            continue;
        };
        match ran {
            Ok(()) => answered += 1,
            // Error 1105 is ours to explain.
            Err(Error::Server(error)) if error.code == 1105 => panic!("{error}: {}", shown()),
            Err(Error::Server(error)) => *errors.entry(error.code).or_default() += 1,
            // The server asked for a file.
            Err(Error::Driver(DriverError::LocalInfile(_))) => connection = server.connect().await,
            Err(error) => panic!("{error}: {}", shown()),
        }
        before = text;
    }
    clean(&server).await;
    memory.look(count);
    bystander.end().await;
    println!(
        "{count} mutated statements, seed {seed}: {answered} answered, {killed} killed, the rest refused, by error: {errors:?}"
    );
    connection.disconnect().await.unwrap();
    server.stop();
}

/// As text, or prepared, with NULL for each parameter.
async fn run(connection: &mut Conn, statement: &[u8], prepared: bool) -> Result<(), Error> {
    if !prepared {
        return connection.query_drop(statement).await;
    }
    let prepared = connection.prep(statement).await?;
    let values = vec![Value::NULL; prepared.num_params().into()];
    let ran = connection.exec_drop(&prepared, Params::Positional(values)).await;
    connection.close(prepared).await?;
    ran
}
