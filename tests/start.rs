//! The contract of `drumlin start`: what it prints, how it stops, and how it explains what is in its way.

mod harness;

use harness::{Launch, segment};
use mysql_async::prelude::*;
use rustix::process::Signal;
use std::process::Command;

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn drumlin(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(harness::program()).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn the_ready_line_names_everything_and_http_agrees() {
    let data = directory();
    let server = Launch::new(&data.path().join("new/data")).start();
    let version = server.ready_value("version").to_owned();
    let store = server.ready_value("store");
    assert!(server.ready_line().starts_with("ready mysql=127.0.0.1:"), "{}", server.ready_line());
    assert!(store.starts_with("file:///") && store.ends_with("/new/data/objects"), "{store}");
    let mut connection = server.connect().await;
    let answer: String = connection.query_first("SELECT VERSION()").await.unwrap().unwrap();
    assert!(answer.starts_with("8.4.") && answer.ends_with(&format!("-Drumlin-{version}")), "{answer}");
    assert_eq!(server.get("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(server.get("/readyz").await, (200, "ready\n".to_owned()));
    let (status, metrics) = server.get("/metrics").await;
    assert_eq!(status, 200);
    assert!(metrics.contains("drumlin_object_store_requests_total"), "{metrics}");
    assert_eq!(server.get("/nothing").await.0, 404);
    connection.disconnect().await.unwrap();
    server.stop();
}

#[tokio::test]
async fn a_clean_stop_keeps_everything_whichever_signal_asks_for_it() {
    let data = directory();
    let launch = Launch::new(data.path());
    for (number, signal) in [Signal::TERM, Signal::INT].into_iter().enumerate() {
        let server = launch.start();
        server.run(&["CREATE DATABASE IF NOT EXISTS d"]).await;
        server.run(&["CREATE TABLE IF NOT EXISTS d.t (id INT PRIMARY KEY, name VARCHAR(20))"]).await;
        server.run(&[&format!("INSERT INTO d.t VALUES ({number}, 'x')")]).await;
        server.stop_by(signal);
    }
    let server = launch.start();
    let mut connection = server.connect().await;
    let rows: Vec<i32> = connection.query("SELECT id FROM d.t ORDER BY id").await.unwrap();
    assert_eq!(rows, [0, 1]);
}

#[test]
fn help_names_every_flag_and_the_exit_codes() {
    let (code, help, _) = drumlin(&["start", "--help"]);
    assert_eq!(code, 0);
    for expected in [
        "--data-dir",
        "--listen",
        "--store",
        "--http",
        "--cache-memory",
        "--cache-disk",
        "--retention",
        "--archive-age",
        "--archive-size",
        "--archive-wait",
        "--accept-archive-gap",
        "--insecure",
        "Exit codes:",
        "DRUMLIN_ROOT_PASSWORD",
        "[default: 127.0.0.1:3306]",
        "[default: 127.0.0.1:8080]",
        "[default: ./drumlin-data]",
    ] {
        assert!(help.contains(expected), "{expected} is missing in:\n{help}");
    }
    let (code, help, _) = drumlin(&["node", "start", "--help"]);
    assert_eq!(code, 0);
    for expected in
        ["--role", "--store", "--replaces", "--cache-memory", "--cache-disk", "--retention", "--archive-age"]
    {
        assert!(help.contains(expected), "{expected} is missing in:\n{help}");
    }
    let (code, version, _) = drumlin(&["--version"]);
    assert_eq!((code, version), (0, format!("drumlin {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn a_wrong_command_line_is_explained() {
    for (arguments, expected) in [
        (&["start", "--data-directory", "x"][..], "unexpected argument '--data-directory'"),
        (&["start", "--listen", "nowhere"], "invalid value 'nowhere' for '--listen"),
        (&["start", "--cache-memory", "lots"], "expected bytes, or a number with K, M, G or T"),
        (&["start", "--retention", "long"], "expected seconds, or a number with s, m, h or d"),
        (&["begin"], "unrecognized subcommand 'begin'"),
    ] {
        let (code, stdout, stderr) = drumlin(arguments);
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(expected) && stderr.contains("--help"), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_busy_port_is_named_with_the_flag_that_chooses_another() {
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap().to_string();
    for flag in ["--listen", "--http"] {
        let data = directory();
        let (code, line) = Launch::new(data.path()).argument(flag).argument(&address).fail();
        assert_eq!(code, 3, "{line}");
        assert!(line.contains(&address) && line.contains(flag) && line.contains("in use"), "{line}");
    }
}

#[test]
fn a_directory_in_use_is_named_with_its_process() {
    let data = directory();
    let launch = Launch::new(data.path());
    let server = launch.start();
    let (code, line) = launch.fail();
    assert_eq!(code, 3, "{line}");
    assert!(line.contains(&format!("in use by process {}", server.pid())), "{line}");
    server.kill();
    launch.start().stop();
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let (code, line) = Launch::new(&file.path().join("data")).fail();
    assert_eq!(code, 3, "{line}");
    assert!(line.contains("cannot write to data directory") && line.contains("--data-dir"), "{line}");
}

#[test]
fn a_bad_store_url_is_explained() {
    for (url, code, expected) in [
        ("ftp://somewhere/x", 2, "use file://DIR, s3://BUCKET[/PREFIX] or memory://"),
        ("objects", 2, "it has no scheme"),
        ("file:///proc/nothing/here", 3, "make the directory writable"),
    ] {
        let data = directory();
        let (actual, line) = Launch::new(data.path()).store(url).fail();
        assert_eq!(actual, code, "{line}");
        assert!(line.contains(expected), "{line}");
    }
}

#[tokio::test]
async fn other_hosts_need_a_password_or_a_flag() {
    let data = directory();
    let open = Launch::new(data.path()).argument("--listen").argument("0.0.0.0:0");
    let (code, line) = open.fail();
    assert_eq!(code, 2, "{line}");
    assert!(line.contains("DRUMLIN_ROOT_PASSWORD") && line.contains("--insecure"), "{line}");
    open.clone().argument("--insecure").start().stop();
    let server = Launch::new(data.path()).variable("DRUMLIN_ROOT_PASSWORD", "hidden").start();
    assert!(server.try_connect("").await.is_err());
    assert!(server.try_connect("wrong").await.is_err());
    server.try_connect("hidden").await.unwrap().disconnect().await.unwrap();
}

/// Enough transactions for a log with many records.
async fn fill(launch: &Launch, flush: bool) {
    let server = launch.start();
    server.run(&["CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY, name VARCHAR(2000))"]).await;
    let mut connection = server.connect().await;
    for id in 0..60 {
        connection.query_drop(format!("INSERT INTO d.t VALUES ({id}, REPEAT('x', 1000))")).await.unwrap();
    }
    if flush {
        connection.query_drop("FLUSH TABLES").await.unwrap();
    }
    connection.disconnect().await.unwrap();
    server.kill();
}

#[tokio::test]
async fn a_damaged_log_is_named_with_the_place_and_nothing_is_forgotten() {
    let data = directory();
    let launch = Launch::new(data.path());
    fill(&launch, false).await;
    let segment = segment::damage(data.path());
    let (code, line) = launch.fail();
    assert_eq!(code, 4, "{line}");
    let name = segment.file_name().unwrap().to_str().unwrap();
    assert!(line.contains(name) && line.contains("damaged at offset") && line.contains("restore"), "{line}");
}

#[tokio::test]
async fn a_damaged_manifest_is_named() {
    let data = directory();
    let launch = Launch::new(data.path());
    fill(&launch, true).await;
    let manifests = files_named(&data.path().join("objects"), "manifest-");
    assert!(!manifests.is_empty());
    for manifest in &manifests {
        let mut contents = std::fs::read(manifest).unwrap();
        let middle = contents.len() / 2;
        contents[middle] ^= 1;
        std::fs::write(manifest, contents).unwrap();
    }
    let (code, line) = launch.fail();
    assert_eq!(code, 4, "{line}");
    assert!(line.contains("manifest-") && line.contains("damaged"), "{line}");
}

fn files_named(directory: &std::path::Path, start: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_named(&path, start));
        } else if path.file_name().unwrap().to_string_lossy().starts_with(start) {
            found.push(path);
        }
    }
    found
}
