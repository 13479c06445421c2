//! A cluster of real processes under writers, while its nodes are killed, stopped, wiped and replaced.
//!
//! Short by default. Long runs: `DRUMLIN_CLUSTER_SECONDS` (seconds of kills, one every five), `DRUMLIN_CLUSTER_WRITERS`,
//! `DRUMLIN_CLUSTER_WAL` (members of the log, 3), `DRUMLIN_FRESH_PAIRS`; with `-- --nocapture` the figures are shown.

mod harness;

use common::rpc::{Deadlines, Identity, RpcClient, WalClient};
use common::service::WalService;
use harness::bank::{ACCOUNTS, BALANCE, Bank, setting};
use harness::cluster::Cluster;
use mysql_async::prelude::*;
use rustix::process::Signal;
use std::sync::Arc;
use std::time::{Duration, Instant};

const KILL_INTERVAL: Duration = Duration::from_secs(5);

/// One cluster at a time: it has enough processes.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn print_times(what: &str, times: &mut [Duration]) {
    times.sort();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{what}: {} times, median {median:?}, worst {worst:?}", times.len());
}

/// Pairs that are under way at the same time, each of a row of its own.
const FRESH_LANES: u64 = 8;

/// Writes through one compute and reads through the other, `pairs` times.
async fn check_fresh(cluster: &Arc<Cluster>, pairs: u64) {
    let mut a = cluster.connect("compute-1").await.expect("connect");
    a.query_drop("CREATE TABLE bank.fresh (id INT PRIMARY KEY, value BIGINT NOT NULL)").await.expect("create");
    let lanes: Vec<_> = (0..FRESH_LANES)
        .map(|lane| tokio::spawn(check_fresh_lane(cluster.clone(), lane, pairs.div_ceil(FRESH_LANES))))
        .collect();
    for lane in lanes {
        lane.await.expect("a lane");
    }
    println!("{pairs} pairs of a write through one compute and a read through the other: none stale");
}

async fn check_fresh_lane(cluster: Arc<Cluster>, lane: u64, pairs: u64) {
    let mut a = cluster.connect("compute-1").await.expect("connect");
    let mut b = cluster.connect("compute-2").await.expect("connect");
    a.query_drop(format!("INSERT INTO bank.fresh VALUES ({lane}, 0)")).await.expect("insert");
    for value in 1..=pairs {
        let (write, read) = if value % 2 == 0 { (&mut a, &mut b) } else { (&mut b, &mut a) };
        write.query_drop(format!("UPDATE bank.fresh SET value = {value} WHERE id = {lane}")).await.expect("update");
        let select = format!("SELECT value FROM bank.fresh WHERE id = {lane}");
        let seen: Option<u64> = read.query_first(select).await.expect("select");
        assert_eq!(seen, Some(value), "a stale answer");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_while_nodes_of_every_role_die() {
    let _alone = ALONE.lock().await;
    let members = u16::try_from(setting("DRUMLIN_CLUSTER_WAL", 3)).expect("a few members");
    let cluster = Arc::new(Cluster::up(members, 2, 2));
    let bank = Bank::open(&cluster, setting("DRUMLIN_CLUSTER_WRITERS", 4)).await;
    bank.wait_acknowledged(Instant::now()).await;

    let mut locker = cluster.connect("compute-1").await.expect("connect");
    let got: Option<i64> = locker.query_first("SELECT GET_LOCK('of a leader', 0)").await.expect("GET_LOCK");
    assert_eq!(got, Some(1));

    // The leader of the log, again and again.
    let kills = (setting("DRUMLIN_CLUSTER_SECONDS", 5) / KILL_INTERVAL.as_secs()).max(1);
    let mut times = Vec::new();
    for _ in 0..kills {
        let leader = cluster.with_part("leader");
        let killed = Instant::now();
        cluster.end(&leader, Signal::KILL);
        times.push(bank.wait_acknowledged(killed).await);
        cluster.restart(&leader);
        tokio::task::block_in_place(|| cluster.wait_ready(&leader));
        tokio::time::sleep(KILL_INTERVAL.saturating_sub(killed.elapsed()).min(Duration::from_secs(kills))).await;
    }
    print_times("kill -9 of the leader to the next acknowledged commit", &mut times);

    // Named locks were in the leader's memory: their session ends, rather than go on as if it had them.
    match locker.query_drop("DO 1").await {
        Err(mysql_async::Error::Server(error)) => assert_eq!(error.code, 3169, "{error}"),
        other => panic!("the session of a lost lock goes on: {other:?}"),
    }

    // One that stands still must not acknowledge anything when it wakes up.
    let leader = cluster.with_part("leader");
    let stopped = Instant::now();
    cluster.signal(&leader, Signal::STOP);
    println!("SIGSTOP of the leader: {:?} to the next acknowledged commit", bank.wait_acknowledged(stopped).await);
    tokio::time::sleep(Duration::from_secs(if kills > 2 { 10 } else { 1 })).await;
    cluster.signal(&leader, Signal::CONT);
    let woken = Instant::now();
    bank.wait_acknowledged(woken).await;

    // The page server that owns the tablets: its standby answers, and takes over.
    let owner = cluster.with_part("owner");
    let mut reader = cluster.connect("compute-1").await.expect("connect");
    let killed = Instant::now();
    cluster.end(&owner, Signal::KILL);
    let total: Option<i64> = reader.query_first("SELECT SUM(balance) FROM bank.accounts").await.expect("a read");
    println!("kill -9 of the owning page server: a read answers after {:?}", killed.elapsed());
    assert_eq!(total, Some(ACCOUNTS as i64 * BALANCE));
    tokio::task::block_in_place(|| {
        cluster.wait("the standby owns the tablets", || {
            cluster.status().iter().any(|node| node["part"] == "owner" && node["name"] != owner.as_str()).then_some(())
        })
    });
    println!("its standby owns the tablets after {:?}", killed.elapsed());
    cluster.restart(&owner);
    tokio::task::block_in_place(|| cluster.wait_ready(&owner));

    // A compute: the other one is undisturbed, and what the dead one had locked is free again; nobody takes part of what it
    // had not committed.
    reader.query_drop("CREATE TABLE bank.held (id INT PRIMARY KEY, value INT NOT NULL)").await.expect("create");
    reader.query_drop("INSERT INTO bank.held VALUES (1, 0), (5, 0)").await.expect("insert");

    // One that stands still loses its locks, and must not go on as if it had them: somebody else has been in its range.
    let mut sleeper = cluster.connect("compute-2").await.expect("connect");
    for statement in ["BEGIN", "SELECT * FROM bank.held WHERE id > 2 FOR UPDATE"] {
        sleeper.query_drop(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    cluster.signal("compute-2", Signal::STOP);
    let stopped = Instant::now();
    reader.query_drop("INSERT INTO bank.held VALUES (6, 0)").await.expect("its range is free");
    println!("SIGSTOP of a compute: its range is free after {:?}", stopped.elapsed());
    cluster.signal("compute-2", Signal::CONT);
    let inserted = sleeper.query_drop("INSERT INTO bank.held VALUES (8, 0)").await;
    match inserted.and(sleeper.query_drop("COMMIT").await) {
        Err(mysql_async::Error::Server(error)) => assert_eq!(error.code, 1213, "{error}"),
        other => panic!("a transaction that has lost its range commits: {other:?}"),
    }
    reader.query_drop("DELETE FROM bank.held WHERE id = 6").await.expect("delete");
    drop(sleeper);

    let mut holder = cluster.connect("compute-2").await.expect("connect");
    let got: Option<i64> = holder.query_first("SELECT GET_LOCK('of the dead', 0)").await.expect("GET_LOCK");
    assert_eq!(got, Some(1));
    for statement in
        ["BEGIN", "UPDATE bank.held SET value = 1 WHERE id = 1", "SELECT * FROM bank.held WHERE id > 2 FOR UPDATE"]
    {
        holder.query_drop(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    cluster.end("compute-2", Signal::KILL);
    let killed = Instant::now();
    let total: Option<i64> = reader.query_first("SELECT SUM(balance) FROM bank.accounts").await.expect("a read");
    assert_eq!(total, Some(ACCOUNTS as i64 * BALANCE));
    reader.query_drop("UPDATE bank.held SET value = value + 10").await.expect("its locks are free");
    reader.query_drop("INSERT INTO bank.held VALUES (7, 10)").await.expect("its ranges are free");
    let got: Option<i64> = reader.query_first("SELECT GET_LOCK('of the dead', 30)").await.expect("GET_LOCK");
    println!("kill -9 of a compute: its locks are free after {:?}", killed.elapsed());
    let values: Vec<i64> = reader.query("SELECT value FROM bank.held ORDER BY id").await.expect("a read");
    assert_eq!((got, values), (Some(1), vec![10, 10, 10]));
    drop(holder);
    cluster.restart("compute-2");
    tokio::task::block_in_place(|| cluster.wait_ready("compute-2"));

    check_fresh(&cluster, setting("DRUMLIN_FRESH_PAIRS", 50)).await;
    bank.close().await;
    drop(reader);
    Arc::into_inner(cluster).expect("the writers have ended").down();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wal_nodes_lose_their_disks_one_after_the_other_and_come_back_as_new_members() {
    let _alone = ALONE.lock().await;
    let cluster = Arc::new(Cluster::up(3, 1, 1));
    let bank = Bank::open(&cluster, 2).await;
    for node in cluster.of_role("wal") {
        bank.wait_acknowledged(Instant::now()).await;
        // The leader is among them: stopped cleanly, it hands over.
        let stopped = Instant::now();
        cluster.end(&node.name, Signal::TERM);
        println!("{} stopped: {:?} to the next acknowledged commit", node.name, bank.wait_acknowledged(stopped).await);
        std::fs::remove_dir_all(cluster.directory().join(&node.name)).unwrap();
        cluster.restart(&node.name);
        tokio::task::block_in_place(|| cluster.wait_ready(&node.name));
    }
    bank.wait_acknowledged(Instant::now()).await;
    bank.close().await;
    Arc::into_inner(cluster).expect("the writers have ended").down();
}

fn rotate(cluster: &Cluster) {
    let mut command = std::process::Command::new(harness::program());
    let output =
        command.args(["cluster", "rotate", "--dir"]).arg(cluster.directory()).output().expect("cluster rotate");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}{}", text(&output.stdout), text(&output.stderr), cluster.logs());
}

/// Whether a wal node answers somebody with this identity.
async fn is_let_in(cluster: &Cluster, certificates: &std::path::Path) -> bool {
    let client = RpcClient::new(&Identity::load(certificates).expect("an identity")).expect("a client");
    let wal = WalClient::new(client.peer(cluster.node("wal-1").listen), Deadlines::default());
    let answered = wal.status().await.is_ok();
    client.close().await;
    answered
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_replaced_while_the_cluster_serves() {
    let _alone = ALONE.lock().await;
    let cluster = Arc::new(Cluster::up(3, 1, 2));
    let certificates = cluster.directory().join("certificates/compute-1");
    let stolen = tempfile::tempdir().unwrap();
    for file in ["ca.pem", "node.pem", "node-key.pem", "transport.key"] {
        std::fs::copy(certificates.join(file), stolen.path().join(file)).unwrap();
    }
    assert!(is_let_in(&cluster, stolen.path()).await);
    let mut connection = cluster.connect("compute-1").await.expect("connect");
    connection.query_drop("CREATE DATABASE d").await.expect("create");
    connection.query_drop("CREATE TABLE d.t (a INT PRIMARY KEY, b INT NOT NULL)").await.expect("create");
    connection.query_drop("INSERT INTO d.t VALUES (1, 0)").await.expect("insert");

    // Nobody waits, and nothing fails.
    let rotating = cluster.clone();
    let rotation = tokio::task::spawn_blocking(move || rotate(&rotating));
    let mut writes = 0;
    while !rotation.is_finished() {
        connection.query_drop("UPDATE d.t SET b = b + 1").await.expect("a write while certificates change");
        writes += 1;
    }
    rotation.await.unwrap();
    println!("{writes} writes while certificates changed");

    assert!(!is_let_in(&cluster, stolen.path()).await, "the old certificate");
    assert!(is_let_in(&cluster, &certificates).await, "the new one");
    // Connections of the new authority alone.
    for name in ["pageserver-1", "compute-2", "wal-1", "wal-2", "wal-3"] {
        cluster.end(name, Signal::KILL);
        cluster.restart(name);
        tokio::task::block_in_place(|| cluster.wait_ready(name));
    }
    let mut other = cluster.connect("compute-2").await.expect("connect");
    let seen: Option<u64> = other.query_first("SELECT b FROM d.t").await.expect("select");
    assert_eq!(seen, Some(writes));

    // Cut short when nothing but the names of the directories was left to change, and then once more as a whole.
    let directory = |name: &str| cluster.directory().join(name);
    std::fs::rename(directory("ca"), directory("ca-next")).unwrap();
    tokio::task::block_in_place(|| rotate(&cluster));
    assert!(is_let_in(&cluster, &certificates).await);
    tokio::task::block_in_place(|| rotate(&cluster));
    assert!(directory("ca").exists() && !directory("ca-next").exists());
    other.query_drop("UPDATE d.t SET b = b + 1").await.expect("a write");
    drop((connection, other));
    Arc::into_inner(cluster).expect("nobody else has it").down();
}

/// `drumlin` with these arguments; what it said on both outputs, and whether it succeeded.
fn drumlin(arguments: &[&str], token: &str) -> (bool, String) {
    let mut command = std::process::Command::new(harness::program());
    let output = command.args(arguments).env("DRUMLIN_JOIN_TOKEN", token).output().expect("drumlin");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

/// A process that ends with this value.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `drumlin cluster admit`.
struct Admitting {
    _process: Running,
    address: String,
}

impl Admitting {
    fn start(cluster: &Cluster) -> Admitting {
        let log = std::fs::File::create(cluster.directory().join("admit.log")).unwrap();
        let mut command = std::process::Command::new(harness::program());
        command.args(["cluster", "admit", "--listen", "127.0.0.1:0", "--dir"]).arg(cluster.directory());
        let process = command.stdout(std::process::Stdio::piped()).stderr(log).spawn().expect("cluster admit");
        let mut process = Running(process);
        let mut ready = String::new();
        std::io::BufRead::read_line(
            &mut std::io::BufReader::new(process.0.stdout.take().expect("its output")),
            &mut ready,
        )
        .unwrap();
        let address = ready.split_whitespace().find_map(|word| word.strip_prefix("admit=")).expect("ready").to_owned();
        Admitting { _process: process, address }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_joins_with_a_token_that_ends() {
    let _alone = ALONE.lock().await;
    let cluster = Cluster::up(1, 1, 1);
    let path = |name: &str| cluster.directory().join(name).display().to_string();
    let dir = cluster.directory().display().to_string();
    let token = || {
        let mut command = std::process::Command::new(harness::program());
        command.args(["cluster", "token", "--dir", &dir, "--role", "compute"]);
        let output = command.output().expect("cluster token");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let record = |token: &str| path(&format!("tokens/{}.json", token.split('.').nth(2).unwrap()));
    let good = token();
    let admitting = Admitting::start(&cluster);
    let join = |token: &str, name: &str| {
        drumlin(&["node", "join", "--from", &admitting.address, "--certificates", &path(name)], token)
    };
    let (joined, said) = join(&good, "joined/certificates");
    assert!(joined && said.contains("role=compute"), "{said}");

    // It serves, as one of the cluster.
    let mut node = cluster.node("compute-1");
    let held: Vec<_> = (0..2).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let ports: Vec<String> = held.iter().map(|port| port.local_addr().unwrap().to_string()).collect();
    drop(held);
    for (flag, value) in [
        ("--name", "joined"),
        ("--data-dir", &path("joined/data")),
        ("--certificates", &path("joined/certificates")),
        ("--listen", &ports[0]),
        ("--http", &ports[1]),
    ] {
        let at = node.start.iter().position(|word| word == flag).expect("a flag");
        node.start[at + 1] = value.to_owned();
    }
    node.log = path("joined/log").into();
    let wrong: Vec<&str> =
        node.start[1..].iter().map(|word| if word == "compute" { "wal" } else { word.as_str() }).collect();
    let (started, said) = drumlin(&wrong, "");
    assert!(!started && said.contains("for the role compute alone"), "{said}");
    let log = std::fs::File::create(&node.log).unwrap();
    let mut command = std::process::Command::new(&node.start[0]);
    command.args(&node.start[1..]).stdout(log.try_clone().unwrap()).stderr(log);
    let running = Running(command.env_remove("DRUMLIN_ROOT_PASSWORD").spawn().expect("the new node"));
    let mut old = cluster.connect("compute-1").await.expect("connect");
    old.query_drop("CREATE DATABASE d").await.expect("create");
    old.query_drop("CREATE TABLE d.t (a INT PRIMARY KEY)").await.expect("create");
    let options: mysql_async::Opts = mysql_async::OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(ports[0].rsplit(':').next().unwrap().parse().unwrap())
        .user(Some("root"))
        .prefer_socket(false)
        .into();
    let begun = Instant::now();
    let mut new = loop {
        match mysql_async::Conn::new(options.clone()).await {
            Ok(connection) => break connection,
            Err(error) => {
                let log = std::fs::read_to_string(&node.log).unwrap_or_default();
                assert!(begun.elapsed() < Duration::from_secs(180), "{error}: {log}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    };
    new.query_drop("INSERT INTO d.t VALUES (7)").await.expect("insert");
    assert_eq!(old.query_first::<u32, _>("SELECT a FROM d.t").await.expect("select"), Some(7));
    drop((old, new));

    // Once, and not for longer than it was made for.
    let refused = |token: &str, why: &str| {
        let (joined, said) = join(token, "nobody");
        assert!(!joined && said.contains(why), "{why}: {said}");
        assert!(!said.contains(token.rsplit('.').next().unwrap()), "the secret is shown: {said}");
    };
    refused(&good, "used as often as it may be");
    let expired = token();
    let text = std::fs::read_to_string(record(&expired)).unwrap();
    let mut changed: serde_json::Value = serde_json::from_str(&text).unwrap();
    changed["expires_us"] = 1.into();
    std::fs::write(record(&expired), changed.to_string()).unwrap();
    refused(&expired, "has expired");
    let withdrawn = token();
    std::fs::remove_file(record(&withdrawn)).unwrap();
    refused(&withdrawn, "not known here");
    let other = token();
    let last = if other.ends_with('0') { '1' } else { '0' };
    refused(&format!("{}{last}", &other[..other.len() - 1]), "not known here");
    refused("drumlin-join-1.0123", "no join token");
    let strange = format!("drumlin-join-1.{}.{}", "0".repeat(64), other.splitn(3, '.').nth(2).unwrap());
    refused(&strange, "another authority");
    std::fs::create_dir(path("ca-next")).unwrap();
    refused(&other, "being replaced");
    std::fs::remove_dir(path("ca-next")).unwrap();
    assert!(join(&other, "second").0);

    let secrets = [&good, &expired, &withdrawn, &other].map(|token| token.rsplit('.').next().unwrap().to_owned());
    let logs = cluster.logs() + &std::fs::read_to_string(path("admit.log")).unwrap();
    assert!(logs.contains("let a node in") && logs.contains("did not let a node in"), "{logs}");
    for entry in std::fs::read_dir(path("tokens")).unwrap() {
        let kept = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!secrets.iter().any(|secret| kept.contains(secret)), "{kept}");
    }
    assert!(!secrets.iter().any(|secret| logs.contains(secret)));
    drop(running);
    drop(admitting);
    cluster.down();
}
