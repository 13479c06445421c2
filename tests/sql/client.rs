//! One session: runs a statement and gives what came back, as text.

use crate::harness::text_of;
use crate::target::Target;
use mysql_async::prelude::*;
use mysql_async::{Conn, Error, Opts, Row};
use std::time::Duration;

/// Longer than any statement of the corpora takes, on a busy machine in a debug build.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);

pub struct Client {
    /// None after a statement that hung or a connection that broke.
    connection: Option<Conn>,
    options: Opts,
}

/// A set of rows; every value as the text protocol sends it, None for NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Option<Vec<u8>>>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Done {
        sets: Vec<Rows>,
        affected_rows: u64,
        info: String,
    },
    Error {
        code: u16,
        state: String,
        message: String,
    },
    /// The connection broke, or no answer came in time.
    Lost(String),
}

impl Client {
    pub async fn connect(target: &Target, user: &str, password: &str, database: &str) -> Result<Client, String> {
        Client::log_in(target, user, password, database).await.map_err(|error| error.to_string())
    }

    pub async fn log_in(target: &Target, user: &str, password: &str, database: &str) -> Result<Client, Error> {
        let options = target
            .options()
            .user(Some(user))
            .pass((!password.is_empty()).then_some(password))
            .db_name((!database.is_empty()).then_some(database));
        // Statements run by their outlines, as those do that come again.
        let options = match std::env::var_os("DRUMLIN_SQL_OUTLINES") {
            Some(_) if target.is_drumlin => options.init(vec!["SET drumlin_outlines = always"]),
            _ => options,
        };
        let options = Opts::from(options);
        let connection = Conn::new(options.clone()).await?;
        Ok(Client { connection: Some(connection), options })
    }

    pub async fn run(&mut self, sql: &str) -> Outcome {
        let Some(connection) = &mut self.connection else {
            return Outcome::Lost("the session is gone".to_owned());
        };
        let outcome = match tokio::time::timeout(STATEMENT_TIMEOUT, ask(connection, sql)).await {
            Ok(Ok(done)) => return done,
            Ok(Err(Error::Server(error))) => {
                return Outcome::Error { code: error.code, state: error.state, message: error.message };
            }
            Ok(Err(error)) => Outcome::Lost(error.to_string()),
            Err(_) => Outcome::Lost(format!("no answer within {STATEMENT_TIMEOUT:?}")),
        };
        self.connection = None;
        outcome
    }

    /// Runs statements of the runner itself; these must pass.
    pub async fn must(&mut self, statements: &[&str]) {
        for statement in statements {
            let outcome = self.run(statement).await;
            assert!(matches!(outcome, Outcome::Done { .. }), "{statement}: {outcome:?}");
        }
    }

    /// The server has closed it, or is about to.
    pub fn lose(&mut self) {
        self.connection = None;
    }

    /// A new connection in place of a lost one. False if it was not lost.
    pub async fn reconnect(&mut self) -> bool {
        if self.connection.is_some() {
            return false;
        }
        self.connection = Some(Conn::new(self.options.clone()).await.expect("the server still answers"));
        true
    }
}

async fn ask(connection: &mut Conn, sql: &str) -> Result<Outcome, Error> {
    let mut sets = Vec::new();
    let mut answer = connection.query_iter(sql).await?;
    loop {
        let columns: Vec<String> = answer.columns_ref().iter().map(|column| column.name_str().into_owned()).collect();
        let rows: Vec<Row> = answer.collect().await?;
        if !columns.is_empty() {
            let rows = rows.into_iter().map(|row| row.unwrap().into_iter().map(text_of).collect()).collect();
            sets.push(Rows { columns, rows });
        }
        if answer.is_empty() {
            break;
        }
    }
    drop(answer);
    let info = connection.info().into_owned();
    Ok(Outcome::Done { sets, affected_rows: connection.affected_rows(), info })
}

impl Outcome {
    /// Header and rows of each set, tab separated.
    pub fn text(&self) -> String {
        match self {
            Outcome::Done { sets, .. } => sets.iter().map(Rows::text).collect(),
            Outcome::Error { code, state, message } => format!("Error {code} ({state}): {message}\n"),
            Outcome::Lost(reason) => format!("Lost: {reason}\n"),
        }
    }
}

impl Rows {
    pub fn text(&self) -> String {
        let mut text = self.columns.join("\t");
        text.push('\n');
        for row in &self.rows {
            text.push_str(&row.iter().map(cell).collect::<Vec<_>>().join("\t"));
            text.push('\n');
        }
        text
    }
}

pub fn cell(value: &Option<Vec<u8>>) -> String {
    value.as_ref().map_or_else(|| "NULL".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned())
}
