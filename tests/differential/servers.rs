//! The three that answer: MariaDB, and Drumlin on its row executor and on its analytic one.

use crate::harness::mariadb::MariaDb;
use crate::harness::{Launch, Server, text_of};
use mysql_async::consts::ColumnType;
use mysql_async::prelude::*;
use mysql_async::{Conn, Error, Opts, OptsBuilder, Row};
use std::time::Duration;

/// Longer than any statement over tables this small takes, in a debug build on a busy machine.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(300);
/// MySQL 8.4's default, but for ONLY_FULL_GROUP_BY: MariaDB does not see that a grouped expression is one.
const SQL_MODE: &str =
    "STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION";

/// The plainest plans of MariaDB: those that are not have answers of their own now and then.
const PLAIN_PLANS: &str = "derived_merge=off,semijoin=off,materialization=off,subquery_cache=off,exists_to_in=off,\
                           condition_pushdown_for_derived=off,split_materialized=off,derived_with_keys=off,\
                           condition_pushdown_for_subquery=off,rowid_filter=off,not_null_range_scan=off";

pub type Cell = Option<Vec<u8>>;

#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// Columns of binary floating point numbers: their last digits depend on the order of additions.
    pub doubles: Vec<bool>,
    pub rows: Vec<Vec<Cell>>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Rows(Rows),
    Done { affected_rows: u64 },
    Error { code: u16, message: String },
    Lost(String),
}

struct Session {
    options: Opts,
    setup: Vec<String>,
    database: Option<String>,
    connection: Option<Conn>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    MariaDb,
    Row,
    Analytic,
}

pub struct Servers {
    mariadb: Session,
    row: Session,
    analytic: Session,
    started: (MariaDb, Server, tempfile::TempDir),
}

impl Servers {
    pub fn start() -> Servers {
        let arguments = [
            "--innodb-flush-log-at-trx-commit=0",
            "--skip-innodb-doublewrite",
            "--character-set-server=utf8mb4",
            "--explicit-defaults-for-timestamp=1",
        ];
        let mariadb = MariaDb::start_with(&arguments);
        let directory = tempfile::tempdir().unwrap();
        let server = Launch::new(directory.path()).start();
        // TIME_ROUND_FRACTIONAL: MySQL rounds fractions of seconds that a column does not keep.
        let on_mariadb = [
            format!("SET sql_mode = '{SQL_MODE},TIME_ROUND_FRACTIONAL', max_statement_time = 5"),
            format!("SET optimizer_switch = '{PLAIN_PLANS}'"),
        ];
        let on_drumlin =
            |executor: &str| vec![format!("SET sql_mode = '{SQL_MODE}'"), format!("SET drumlin_executor = {executor}")];
        // Statements on rows run by their outlines, those on columns with their literals.
        let mut on_rows = on_drumlin("row");
        on_rows.push("SET drumlin_outlines = always".to_owned());
        // There, subqueries become joins wherever they can; on rows, where there are few, they stay.
        let mut on_columns = on_drumlin("analytic");
        on_columns.push("SET optimizer_switch = 'subquery_to_derived=on'".to_owned());
        Servers {
            mariadb: Session::new(mariadb.options(), on_mariadb.to_vec()),
            row: Session::new(server.options(), on_rows),
            analytic: Session::new(server.options(), on_columns),
            started: (mariadb, server, directory),
        }
    }

    fn session(&mut self, peer: Peer) -> &mut Session {
        match peer {
            Peer::MariaDb => &mut self.mariadb,
            Peer::Row => &mut self.row,
            Peer::Analytic => &mut self.analytic,
        }
    }

    pub async fn run(&mut self, peer: Peer, sql: &str) -> Outcome {
        self.session(peer).run(sql).await
    }

    /// An empty database of this name on both servers, used by all sessions.
    pub async fn fresh_database(&mut self, name: &str) {
        for peer in [Peer::MariaDb, Peer::Row] {
            self.must(peer, &format!("DROP DATABASE IF EXISTS {name}")).await;
            self.must(peer, &format!("CREATE DATABASE {name}")).await;
        }
        self.use_database(name).await;
    }

    /// The collation of literals.
    pub async fn set_collation(&mut self, collation: &str) {
        for peer in [Peer::MariaDb, Peer::Row, Peer::Analytic] {
            let statement = format!("SET NAMES utf8mb4 COLLATE {collation}");
            self.must(peer, &statement).await;
            self.session(peer).setup.push(statement);
        }
    }

    pub async fn use_database(&mut self, name: &str) {
        for peer in [Peer::MariaDb, Peer::Row, Peer::Analytic] {
            self.must(peer, &format!("USE {name}")).await;
            self.session(peer).database = Some(name.to_owned());
        }
    }

    pub async fn drop_database(&mut self, name: &str) {
        for peer in [Peer::MariaDb, Peer::Row] {
            self.must(peer, &format!("DROP DATABASE IF EXISTS {name}")).await;
        }
    }

    /// A statement of the test itself.
    async fn must(&mut self, peer: Peer, sql: &str) {
        let outcome = self.run(peer, sql).await;
        assert!(matches!(outcome, Outcome::Done { .. }), "{peer:?}: {sql}: {outcome:?}");
    }

    /// Ends Drumlin, which must still be well.
    pub fn stop(self) {
        let (_mariadb, server, _directory) = self.started;
        server.stop();
    }
}

impl Session {
    fn new(options: OptsBuilder, mut setup: Vec<String>) -> Session {
        setup.push("SET time_zone = '+00:00', timestamp = 1709208000, default_week_format = 0".to_owned());
        setup.push("SET group_concat_max_len = 100000".to_owned());
        Session { options: Opts::from(options), setup, database: None, connection: None }
    }

    async fn run(&mut self, sql: &str) -> Outcome {
        if self.connection.is_none() {
            let mut connection = Conn::new(self.options.clone()).await.expect("the server answers");
            let database = self.database.iter().map(|name| format!("USE {name}"));
            for statement in self.setup.iter().cloned().chain(database) {
                connection.query_drop(&statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
            }
            self.connection = Some(connection);
        }
        let connection = self.connection.as_mut().expect("connected above");
        let outcome = match tokio::time::timeout(STATEMENT_TIMEOUT, ask(connection, sql)).await {
            Ok(Ok(outcome)) => return outcome,
            Ok(Err(Error::Server(error))) => return Outcome::Error { code: error.code, message: error.message },
            Ok(Err(error)) => Outcome::Lost(error.to_string()),
            Err(_) => Outcome::Lost(format!("no answer within {STATEMENT_TIMEOUT:?}")),
        };
        self.connection = None;
        outcome
    }
}

async fn ask(connection: &mut Conn, sql: &str) -> Result<Outcome, Error> {
    let mut answer = connection.query_iter(sql).await?;
    let is_double = |of: ColumnType| matches!(of, ColumnType::MYSQL_TYPE_DOUBLE | ColumnType::MYSQL_TYPE_FLOAT);
    let doubles: Vec<bool> = answer.columns_ref().iter().map(|column| is_double(column.column_type())).collect();
    let rows: Vec<Row> = answer.collect().await?;
    drop(answer);
    if doubles.is_empty() {
        return Ok(Outcome::Done { affected_rows: connection.affected_rows() });
    }
    let rows = rows.into_iter().map(|row| row.unwrap().into_iter().map(text_of).collect()).collect();
    Ok(Outcome::Rows(Rows { doubles, rows }))
}

impl Outcome {
    pub fn text(&self) -> String {
        match self {
            Outcome::Rows(rows) => rows.rows.iter().map(|row| shown(row) + "\n").collect(),
            Outcome::Done { affected_rows } => format!("{affected_rows} rows affected\n"),
            Outcome::Error { code, message } => format!("error {code}: {message}\n"),
            Outcome::Lost(reason) => format!("lost: {reason}\n"),
        }
    }
}

fn shown(row: &[Cell]) -> String {
    let cell = |cell: &Cell| match cell {
        None => "NULL".to_owned(),
        Some(bytes) => format!("{:?}", String::from_utf8_lossy(bytes)),
    };
    row.iter().map(cell).collect::<Vec<_>>().join(", ")
}
