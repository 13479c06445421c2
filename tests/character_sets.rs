//! Clients that do not speak UTF-8: what they write arrives as they mean it, and what they read is in their character set.

mod harness;

use harness::Launch;
use mysql_async::prelude::*;
use mysql_async::{Conn, Row, Value};

const WORD: &[u8] = b"gr\xf6\xdfe";

/// The values of one row, as they travelled.
async fn row(connection: &mut Conn, query: impl AsRef<[u8]>) -> Vec<Value> {
    let query = query.as_ref().to_vec();
    let row: Option<Row> = connection.query_first(query).await.unwrap();
    row.expect("a row").unwrap()
}

fn bytes(values: &[&[u8]]) -> Vec<Value> {
    values.iter().map(|value| Value::Bytes(value.to_vec())).collect()
}

#[tokio::test]
async fn latin1_clients_write_and_read_their_own_bytes() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::new(data.path()).start();
    let mut connection = server.connect().await;
    for statement in [
        "CREATE DATABASE sets",
        "USE sets",
        "CREATE TABLE words (id INT PRIMARY KEY, narrow VARCHAR(20) CHARACTER SET latin1, wide VARCHAR(20), b VARBINARY(20))",
        "SET NAMES latin1",
    ] {
        connection.query_drop(statement).await.unwrap();
    }
    let insert =
        [b"INSERT INTO words VALUES (1, '".as_slice(), WORD, b"', '", WORD, b"', _binary '", WORD, b"')"].concat();
    connection.query_drop(insert).await.unwrap();
    let parameters = (2, WORD.to_vec(), WORD.to_vec());
    connection.exec_drop("INSERT INTO words VALUES (?, ?, ?, x'6772f6df65')", parameters).await.unwrap();

    for id in [1, 2] {
        let read = format!("SELECT narrow, wide, b, HEX(narrow), HEX(wide), HEX(b) FROM words WHERE id = {id}");
        let hex: [&[u8]; 3] = [b"6772F6DF65", b"6772C3B6C39F65", b"6772F6DF65"];
        let utf8 = "größe".as_bytes();
        for (results, shown) in [
            ("latin1", [WORD, WORD, WORD]),
            ("utf8mb4", [utf8, utf8, WORD]),
            ("ascii", [b"gr??e", b"gr??e", WORD]),
            // Each column as it is.
            ("NULL", [WORD, utf8, WORD]),
            ("binary", [WORD, utf8, WORD]),
        ] {
            connection.query_drop(format!("SET character_set_results = {results}")).await.unwrap();
            let all = [shown, hex].concat();
            assert_eq!(row(&mut connection, &read).await, bytes(&all), "{id} {results}");
            let prepared: Option<Row> = connection.exec_first(&read, ()).await.unwrap();
            assert_eq!(prepared.unwrap().unwrap(), bytes(&all), "{id} {results}, prepared");
        }
    }

    connection.query_drop("SET NAMES latin1").await.unwrap();
    let named: Row = connection.query_first([b"SELECT 1 AS ".as_slice(), WORD].concat()).await.unwrap().unwrap();
    assert_eq!(named.columns_ref()[0].name_ref(), WORD);
    let told: Row = connection.query_first("SELECT narrow, wide, b FROM words").await.unwrap().unwrap();
    let sets: Vec<u16> = told.columns_ref().iter().map(|column| column.character_set()).collect();
    assert_eq!(sets, [8, 8, 63]);
    // The client's bytes are taken for those of another character set, not converted.
    let introduced = [b"SELECT HEX(_utf8mb4 '\xc3\xb6'), HEX(_latin1 '".as_slice(), WORD, b"')"].concat();
    assert_eq!(row(&mut connection, introduced).await, bytes(&[b"C3B6", b"6772F6DF65"]));
    let error = connection.query_drop(b"SELECT _utf8mb4 '\xf6'".to_vec()).await.unwrap_err();
    assert!(error.to_string().contains("Invalid utf8mb4 character string: 'F6'"), "{error}");
    connection.query_drop("SET NAMES utf8mb4").await.unwrap();
    assert_eq!(
        row(&mut connection, "SELECT HEX(_latin1 'ö'), CHAR_LENGTH(_latin1 'ö')").await[0],
        Value::Bytes(b"C3B6".to_vec())
    );
    connection.disconnect().await.unwrap();
    server.stop();
}
