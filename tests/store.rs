//! The store alone holds the data: after a flush and a stop, a server with a new data directory sees everything, on a
//! directory as on an S3 server.

mod harness;

use harness::moto::Moto;
use harness::{Launch, Server};
use mysql_async::prelude::*;
use std::sync::Arc;

#[tokio::test]
async fn a_directory_holds_the_data() {
    let store = tempfile::tempdir().unwrap();
    store_holds_the_data(|data| Launch::new(data).store(&format!("file://{}", store.path().display()))).await;
}

#[tokio::test]
async fn an_s3_bucket_holds_the_data() {
    let moto = Arc::new(Moto::start());
    moto.create_bucket("auctions");
    store_holds_the_data(|data| Launch::new(data).on_s3(&moto, "s3://auctions/some/prefix")).await;
}

#[tokio::test]
async fn acknowledged_rows_survive_kill_9_with_their_store_on_s3() {
    let (moto, data) = (Arc::new(Moto::start()), tempfile::tempdir().unwrap());
    moto.create_bucket("auctions");
    let launch = Launch::new(data.path()).on_s3(&moto, "s3://auctions");
    let server = launch.start();
    server.run(&["CREATE DATABASE s", "CREATE TABLE s.t (id INT PRIMARY KEY)", "INSERT INTO s.t VALUES (1)"]).await;
    server.run(&["FLUSH TABLES", "INSERT INTO s.t VALUES (2)"]).await;
    server.kill();
    std::fs::remove_dir_all(data.path().join("cache")).unwrap_or_default();
    let server = launch.start();
    let mut connection = server.connect().await;
    let ids: Vec<i32> = connection.query("SELECT id FROM s.t ORDER BY id").await.unwrap();
    assert_eq!(ids, [1, 2]);
}

#[tokio::test]
async fn what_is_wrong_with_a_bucket_is_explained() {
    let (moto, data) = (Arc::new(Moto::start()), tempfile::tempdir().unwrap());
    let missing = || Launch::new(data.path()).on_s3(&moto, "s3://missing");
    let (code, line) = missing().fail();
    assert_eq!(code, 3, "{line}");
    assert!(line.contains("the bucket does not exist") && line.contains("aws s3 mb s3://missing"), "{line}");
    let nobody = missing().variable("AWS_ACCESS_KEY_ID", "").variable("AWS_SECRET_ACCESS_KEY", "").fail();
    assert_eq!(nobody.0, 3, "{}", nobody.1);
    assert!(nobody.1.contains("no valid credentials") && nobody.1.contains("AWS_ACCESS_KEY_ID"), "{}", nobody.1);
}

const SCHEMA: &[&str] = &[
    "CREATE DATABASE s",
    "CREATE TABLE s.people (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(40) NOT NULL, born DATE,
        height DECIMAL(4,2), UNIQUE KEY by_name (name))",
    "CREATE TABLE s.notes (id INT PRIMARY KEY AUTO_INCREMENT, person INT NOT NULL, body TEXT, KEY by_person (person))",
];

const QUERIES: &[&str] = &[
    "SELECT COUNT(*), MIN(id), MAX(id), SUM(height), MIN(born), MAX(name) FROM s.people",
    "SELECT id, name, born, height, NULL FROM s.people WHERE name = 'person 17'",
    "SELECT p.name, COUNT(*), MAX(LENGTH(n.body)), NULL, NULL FROM s.people p JOIN s.notes n ON n.person = p.id
        GROUP BY p.name ORDER BY p.name LIMIT 10",
    "SELECT id, body, NULL, NULL, NULL FROM s.notes WHERE person = 5 ORDER BY id",
];

/// Each query's answer as text.
async fn answers(server: &Server) -> Vec<String> {
    let mut connection = server.connect().await;
    let mut answers = Vec::new();
    for query in QUERIES {
        let rows: Vec<mysql_async::Row> =
            connection.query(*query).await.unwrap_or_else(|error| panic!("{query}: {error}"));
        let text = rows.iter().map(|row| format!("{:?}\n", row.clone().unwrap_raw())).collect();
        answers.push(text);
    }
    connection.disconnect().await.unwrap();
    answers
}

async fn store_holds_the_data(launch: impl Fn(&std::path::Path) -> Launch) {
    let data = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let server = launch(data[0].path()).start();
    server.run(SCHEMA).await;
    let mut connection = server.connect().await;
    for batch in 0..10 {
        let people: Vec<String> = (0..20)
            .map(|number| batch * 20 + number)
            .map(|number| format!("('person {number}', '19{:02}-03-04', 1.{:02})", number % 100, number % 97))
            .collect();
        connection
            .query_drop(format!("INSERT INTO s.people (name, born, height) VALUES {}", people.join(",")))
            .await
            .unwrap();
    }
    for number in 0..50 {
        let note = format!("INSERT INTO s.notes (person, body) VALUES ({}, REPEAT('ab', {number}))", 1 + number % 9);
        connection.query_drop(note).await.unwrap();
    }
    connection.query_drop("UPDATE s.people SET height = 2.5 WHERE id <= 3").await.unwrap();
    connection.query_drop("DELETE FROM s.people WHERE id BETWEEN 190 AND 195").await.unwrap();
    let expected = answers(&server).await;
    connection.query_drop("FLUSH TABLES").await.unwrap();
    connection.disconnect().await.unwrap();
    server.stop();

    // Everything is there, and counters and versions go on behind what was.
    let server = launch(data[1].path()).start();
    assert_eq!(answers(&server).await, expected);
    server
        .run(&["INSERT INTO s.people (name) VALUES ('newcomer')", "UPDATE s.people SET height = 3 WHERE id = 1"])
        .await;
    let mut connection = server.connect().await;
    let newcomer: u32 =
        connection.query_first("SELECT id FROM s.people WHERE name = 'newcomer'").await.unwrap().unwrap();
    assert!(newcomer > 200, "{newcomer}");
    let duplicate = connection.query_drop("INSERT INTO s.people (name) VALUES ('person 17')").await.unwrap_err();
    assert!(matches!(&duplicate, mysql_async::Error::Server(error) if error.code == 1062), "{duplicate}");
    let expected = answers(&server).await;
    connection.query_drop("FLUSH TABLES").await.unwrap();
    connection.disconnect().await.unwrap();
    server.kill();

    let server = launch(data[2].path()).start();
    assert_eq!(answers(&server).await, expected);
    server.stop();
}
