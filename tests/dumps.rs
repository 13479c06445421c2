//! Real dumps through the real client, answers beside a MariaDB that loaded the same.
//!
//! The dumps are in `shared/data`, beside the project, where continuous integration has them; elsewhere one line says
//! that they are not there. What was loaded is dumped again and loaded from that dump, with its routines, triggers and
//! events, and the two dumps must be the same.

mod harness;

use harness::Launch;
use harness::mariadb::MariaDb;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Queries over both dumps; the text file says what it tests.
const QUERIES: &str = include_str!("dumps/queries.sql");

fn data() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?.join("shared/data");
    folder.is_dir().then_some(folder)
}

/// Where the client connects.
enum Target<'a> {
    Drumlin(SocketAddr),
    MariaDb(&'a Path),
}

/// Runs statements with the `mariadb` client; gives what it prints, or its error.
fn client(target: &Target<'_>, input: &[u8]) -> Result<String, String> {
    let mut command = Command::new(harness::tools::program("mariadb", &["mariadb-client"]));
    command.args(["--no-defaults", "--user=root", "--default-character-set=utf8mb4", "--batch"]);
    match target {
        Target::Drumlin(address) => {
            command.args(["--protocol=tcp", "--skip-ssl"]);
            command.arg(format!("--host={}", address.ip())).arg(format!("--port={}", address.port()));
        }
        Target::MariaDb(socket) => {
            command.arg(format!("--socket={}", socket.display()));
        }
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("mariadb");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // The client stops reading at the first error; that shows in its status.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// What `mariadb-dump` says of a database, without the times at which it was made.
fn dumped(address: SocketAddr, database: &str) -> String {
    let mut command = Command::new(harness::tools::program("mariadb-dump", &["mysqldump"]));
    command.args(["--no-defaults", "--user=root", "--protocol=tcp", "--skip-ssl", "--skip-comments"]);
    command.args(["--routines", "--triggers", "--events", "--hex-blob", "--order-by-primary", "--databases", database]);
    command.arg(format!("--host={}", address.ip())).arg(format!("--port={}", address.port()));
    let output = command.output().expect("mariadb-dump");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn dumps_load_and_answer_as_mariadb_does() {
    let Some(data) = data() else {
        println!("no shared/data beside the project: the dumps were not loaded");
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let server = Launch::new(directory.path()).start();
    let maria = MariaDb::start();
    let drumlin = Target::Drumlin(server.mysql());
    let peer = Target::MariaDb(&maria.socket);

    let schema = std::fs::read_to_string(data.join("sakila/sakila-schema.sql")).unwrap();
    let rows = std::fs::read_to_string(data.join("sakila/sakila-data.sql")).unwrap();
    let mut employees = Vec::new();
    let packed = std::fs::File::open(data.join("employees/employees-small.sql.gz")).unwrap();
    std::io::copy(&mut flate2::read::GzDecoder::new(packed), &mut employees).unwrap();
    for (name, dump) in
        [("sakila schema", schema.as_bytes()), ("sakila data", rows.as_bytes()), ("employees", &employees)]
    {
        for (server, target) in [("mariadb", &peer), ("drumlin", &drumlin)] {
            client(target, dump).unwrap_or_else(|error| panic!("{name} into {server}: {error}"));
        }
    }
    let mut asked = 0;
    let mut different = Vec::new();
    for query in QUERIES.split(";\n").map(str::trim).filter(|query| !query.is_empty()) {
        let ours = client(&drumlin, query.as_bytes());
        let theirs = client(&peer, query.as_bytes()).unwrap_or_else(|error| panic!("mariadb: {error}\n{query}"));
        asked += 1;
        if ours.as_ref() != Ok(&theirs) {
            different
                .push(format!("{query}\n--- drumlin\n{}\n--- mariadb\n{theirs}", ours.unwrap_or_else(|error| error)));
        }
    }
    println!("{asked} queries asked of drumlin and mariadb, {} answers differ", different.len());
    assert!(different.is_empty(), "{}", different.join("\n\n"));

    let event = "CREATE EVENT sakila.e ON SCHEDULE EVERY 1 YEAR STARTS '2030-01-01 00:00:00' COMMENT 'never' DO BEGIN SET @a = 1; END";
    client(&drumlin, format!("DELIMITER //\n{event}//\n").as_bytes()).unwrap();
    let first = dumped(server.mysql(), "sakila");
    for part in ["PROCEDURE `film_in_stock`", "FUNCTION `get_customer_balance`", "TRIGGER `ins_film`", "EVENT `e`"] {
        assert!(first.contains(part), "the dump has no {part}");
    }
    client(&drumlin, b"DROP DATABASE sakila").unwrap();
    client(&drumlin, first.as_bytes()).unwrap();
    let second = dumped(server.mysql(), "sakila");
    let differs = first.lines().zip(second.lines()).find(|(one, other)| one != other);
    assert!(first == second, "dumps differ: {differs:?}");
}
