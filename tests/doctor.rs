//! `drumlin doctor`: a sound store, damage, what nobody needs, and its exit codes; on a directory and on an S3 server.

mod harness;

use harness::moto::Moto;
use harness::{Launch, Server};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

fn doctor(environment: &[(String, String)], arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drumlin"));
    command.arg("doctor").args(arguments).envs(environment.iter().cloned());
    let Output { status, stdout, stderr } = command.output().expect("run the drumlin binary");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code().expect("it ends by itself"), text(stdout), text(stderr))
}

async fn fill(server: &Server) {
    server.run(&["CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY, name VARCHAR(40), KEY (name))"]).await;
    for first in [0, 100] {
        let rows: Vec<String> = (first..first + 100).map(|id| format!("({id}, 'name {id}')")).collect();
        server.run(&[&format!("INSERT INTO d.t VALUES {}", rows.join(",")), "FLUSH TABLES"]).await;
    }
}

fn layers(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory.join("tablets/1/layers")).expect("a directory of layers");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

#[tokio::test]
async fn a_directory_is_examined() {
    let (data, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let url = format!("file://{}", store.path().display());
    let server = Launch::new(data.path()).store(&url).start();
    fill(&server).await;
    // Beside the running server.
    let (code, report, errors) = doctor(&[], &["--store", &url]);
    assert_eq!(code, 0, "{report}{errors}");
    assert!(report.contains("nothing is damaged") && report.contains("1 tablets"), "{report}");
    server.stop();

    let sound = layers(store.path());
    let orphan = sound[0].with_file_name("0000000001-0000999999.layer");
    std::fs::write(&orphan, b"left by a crash").unwrap();
    let (code, report, _) = doctor(&[], &["--store", &url]);
    assert_eq!((code, report.contains("not needed")), (0, false), "it is young: {report}");
    let (code, report, _) = doctor(&[], &["--store", &url, "--grace", "0"]);
    assert_eq!(code, 0, "{report}");
    assert!(report.contains("not needed: tablets/1/layers/0000000001-0000999999.layer"), "{report}");

    let mut bytes = std::fs::read(&sound[0]).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&sound[0], bytes).unwrap();
    let name = sound[0].file_name().unwrap().to_str().unwrap();
    let (code, report, errors) = doctor(&[], &["--store", &url]);
    assert_eq!(code, 4, "{report}{errors}");
    assert!(report.contains(name) && report.contains("block 0") && report.contains("checksum mismatch"), "{report}");
    assert!(report.contains("restore the object from a copy or a backup"), "{report}");
    assert!(errors.contains("one place is damaged"), "{errors}");
    let (code, report, _) = doctor(&[], &["--store", &url, "--grace", "0", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!((code, &report["damage"][0]["place"]["block"]), (4, &serde_json::json!(0)), "{report}");
    assert_eq!(report["leaks"][0]["bytes"], 15, "{report}");
}

#[tokio::test]
async fn a_bucket_is_examined() {
    let (moto, data) = (Arc::new(Moto::start()), tempfile::tempdir().unwrap());
    moto.create_bucket("auctions");
    let launch = Launch::new(data.path()).on_s3(&moto, "s3://auctions/some/prefix");
    let server = launch.start();
    fill(&server).await;
    let (code, report, errors) = doctor(&launch.environment, &["--store", "s3://auctions/some/prefix"]);
    assert_eq!(code, 0, "{report}{errors}");
    assert!(report.contains("nothing is damaged"), "{report}");
    server.stop();
    let (code, _, errors) = doctor(&launch.environment, &["--store", "s3://missing"]);
    assert_eq!(code, 3, "{errors}");
    assert!(errors.contains("the bucket does not exist"), "{errors}");
}

#[test]
fn stores_that_are_none_are_explained() {
    let directory = tempfile::tempdir().unwrap();
    let empty = format!("file://{}", directory.path().display());
    let missing = format!("{empty}/missing");
    for (url, code, reason) in [
        (empty.as_str(), 3, "there is no database on this store"),
        (&missing, 3, "there is no such directory"),
        ("objects", 2, "it has no scheme"),
    ] {
        let (found, _, errors) = doctor(&[], &["--store", url]);
        assert_eq!(found, code, "{url}: {errors}");
        assert!(errors.contains(reason), "{url}: {errors}");
    }
    assert!(!directory.path().join("missing").exists(), "nothing is made");
}
