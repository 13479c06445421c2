//! The example that the README starts with: it loads, its queries answer, and its bidders lose no bid.

mod harness;

use harness::Launch;
use mysql_async::prelude::*;
use std::process::Command;

#[tokio::test]
async fn the_auction_loads_and_its_queries_answer() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::new(data.path()).start();
    let url = format!("mysql://root@{}/", server.mysql());
    let demo = |arguments: &[&str]| {
        let output = Command::new(harness::program())
            .args(["demo", "auction", "--url", &url, "--users", "60", "--items", "80", "--bids", "900"])
            .args(arguments)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, stdout, stderr) = demo(&["--bid-seconds", "2"]);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(stdout.contains("checked: all ") && stdout.contains("Try next:"), "{stdout}");
    let (code, _, stderr) = demo(&[]);
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("--replace"), "{stderr}");

    let mut connection = server.connect().await;
    connection.query_drop("USE auction").await.unwrap();
    let queries = std::fs::read_to_string("examples/auction/queries.sql").unwrap();
    let mut answered = 0;
    for query in queries.split(";\n").map(str::trim).filter(|query| !query.is_empty()) {
        let rows: Vec<mysql_async::Row> =
            connection.query(query).await.unwrap_or_else(|error| panic!("{query}\n{error}"));
        // The last one lists what must not be.
        assert_eq!(rows.is_empty(), query.contains("none should be listed"), "{query}: {} rows", rows.len());
        answered += 1;
    }
    assert_eq!(answered, 8);
    connection.disconnect().await.unwrap();
    server.stop();
}

#[test]
fn no_server_is_explained() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("mysql://root@{nobody}/");
    let output = Command::new(harness::program()).args(["demo", "auction", "--url", &url]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("drumlin start"), "{stderr}");
}
