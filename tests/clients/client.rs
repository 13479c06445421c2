//! Rust's clients: `client LIBRARY` speaks the line protocol of tests/clients/main.rs on standard input and output.
//!
//! Built by `programs.rs` as a package of its own, so that the workspace knows nothing of these libraries.

use futures_util::TryStreamExt as _;
use std::collections::HashMap;
use std::io::{BufRead as _, Write as _};

type Lines = Vec<String>;

/// Why an operation gave no answer.
enum Failure {
    /// The library has no such thing.
    Absent(&'static str),
    Server {
        code: u16,
        state: String,
        message: String,
    },
    Other(String),
}

enum Parameter {
    Integer(i64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    Null,
}

/// Where to connect, and `tls`, `found`, `local` and so on.
struct Target<'a> {
    host: &'a str,
    port: u16,
    user: &'a str,
    password: &'a str,
    database: &'a str,
    words: Vec<&'a str>,
}

impl Target<'_> {
    fn asks(&self, word: &str) -> bool {
        self.words.contains(&word)
    }
}

/// One library's connection.
trait Link: Sized {
    async fn connect(target: &Target<'_>) -> Result<Self, Failure>;
    async fn query(&mut self, sql: String, lines: &mut Lines) -> Result<(), Failure>;
    async fn execute(&mut self, sql: String, parameters: Vec<Parameter>, lines: &mut Lines) -> Result<(), Failure>;
    async fn blob(&mut self, sql: String, sent: Vec<u8>) -> Result<Vec<u8>, Failure>;
    /// How many rows came; not more than `rows_max`.
    async fn stream(&mut self, sql: String, rows_max: usize) -> Result<usize, Failure>;
    async fn ping(&mut self) -> Result<(), Failure>;
    async fn reset(&mut self) -> Result<(), Failure>;
    async fn close(self) -> Result<(), Failure>;
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        out.push(match character {
            '\\' => match characters.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some(other) => other,
                None => '\\',
            },
            other => other,
        });
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

fn parameter(field: &str) -> Parameter {
    let value = &field[2..];
    match &field[..1] {
        "i" => Parameter::Integer(value.parse().expect("an integer")),
        "d" => Parameter::Double(value.parse().expect("a number")),
        "s" => Parameter::Text(unescaped(value)),
        "x" => {
            let byte = |at: usize| u8::from_str_radix(&value[at..at + 2], 16).expect("hexadecimal digits");
            Parameter::Bytes((0..value.len()).step_by(2).map(byte).collect())
        }
        _ => Parameter::Null,
    }
}

fn say(lines: &mut Lines, word: &str, fields: impl IntoIterator<Item = String>) {
    lines.push(fields.into_iter().fold(word.to_owned(), |line, field| line + "\t" + &field));
}

fn done(lines: &mut Lines, changed: u64, id: u64) {
    let id = if id == 0 { "-".to_owned() } else { id.to_string() };
    say(lines, "done", [changed.to_string(), id]);
}

mod with_mysql_async {
    use super::*;
    use mysql_async::consts::ColumnType;
    use mysql_async::prelude::*;
    use mysql_async::{BinaryProtocol, Column, Compression, Conn, Error, InfileData, OptsBuilder, QueryResult};
    use mysql_async::{Row, SslOpts, TextProtocol, Value};

    const BINARY: u16 = 63;

    impl From<Error> for Failure {
        fn from(error: Error) -> Failure {
            match error {
                Error::Server(error) => {
                    Failure::Server { code: error.code, state: error.state, message: error.message }
                }
                other => Failure::Other(other.to_string()),
            }
        }
    }

    fn shown(value: Value, column: &Column) -> String {
        let text = matches!(
            column.column_type(),
            ColumnType::MYSQL_TYPE_STRING | ColumnType::MYSQL_TYPE_VAR_STRING | ColumnType::MYSQL_TYPE_BLOB
        );
        match value {
            Value::NULL => "\\N".to_owned(),
            Value::Bytes(bytes) if text && column.character_set() == BINARY => hex(&bytes),
            Value::Bytes(bytes) => String::from_utf8(bytes).map_or_else(|e| hex(e.as_bytes()), |text| escaped(&text)),
            Value::Int(number) => number.to_string(),
            Value::UInt(number) => number.to_string(),
            Value::Float(number) => format!("{number:?}"),
            Value::Double(number) => format!("{number:?}"),
            Value::Date(year, month, day, 0, 0, 0, 0) if column.column_type() == ColumnType::MYSQL_TYPE_DATE => {
                format!("{year:04}-{month:02}-{day:02}")
            }
            Value::Date(year, month, day, hour, minute, second, micro) => {
                let fraction = if micro == 0 { String::new() } else { format!(".{micro:06}") };
                format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{fraction}")
            }
            Value::Time(negative, days, hours, minutes, seconds, micro) => {
                let sign = if negative { "-" } else { "" };
                let fraction = if micro == 0 { String::new() } else { format!(".{micro:06}") };
                format!("{sign}{:02}:{minutes:02}:{seconds:02}{fraction}", days * 24 + u32::from(hours))
            }
        }
    }

    async fn answer<P: mysql_async::prelude::Protocol>(
        mut result: QueryResult<'_, '_, P>,
        lines: &mut Lines,
    ) -> Result<(), Failure> {
        loop {
            match result.columns().filter(|columns| !columns.is_empty()) {
                Some(columns) => {
                    say(lines, "columns", columns.iter().map(|column| escaped(&column.name_str())));
                    while let Some(row) = result.next().await? {
                        say(lines, "row", row.unwrap().into_iter().zip(&*columns).map(|(value, of)| shown(value, of)));
                    }
                }
                None => {
                    done(lines, result.affected_rows(), result.last_insert_id().unwrap_or(0));
                    result.next().await?;
                }
            }
            if result.is_empty() {
                // An error in place of another result is told here.
                return Ok(result.drop_result().await?);
            }
        }
    }

    fn value(parameter: Parameter) -> Value {
        match parameter {
            Parameter::Integer(number) => Value::Int(number),
            Parameter::Double(number) => Value::Double(number),
            Parameter::Text(text) => Value::Bytes(text.into_bytes()),
            Parameter::Bytes(bytes) => Value::Bytes(bytes),
            Parameter::Null => Value::NULL,
        }
    }

    impl Link for Conn {
        async fn connect(target: &Target<'_>) -> Result<Conn, Failure> {
            let mut options = OptsBuilder::default()
                .ip_or_hostname(target.host)
                .tcp_port(target.port)
                .user(Some(target.user))
                .pass(Some(target.password))
                .db_name(Some(target.database))
                .prefer_socket(false)
                .client_found_rows(target.asks("found"));
            if target.asks("tls") {
                options = options.ssl_opts(SslOpts::default().with_danger_accept_invalid_certs(true));
            }
            if target.asks("compress") {
                options = options.compression(Compression::default());
            }
            if target.asks("local") {
                options = options.local_infile_handler(Some(|name: &[u8]| {
                    let path = String::from_utf8_lossy(name).into_owned();
                    Box::pin(async move {
                        let data = futures_util::stream::iter([std::fs::read(path).map(bytes::Bytes::from)]);
                        Ok(Box::pin(data) as InfileData)
                    }) as futures_util::future::BoxFuture<'static, _>
                }));
            }
            Ok(Conn::new(options).await?)
        }

        async fn query(&mut self, sql: String, lines: &mut Lines) -> Result<(), Failure> {
            answer::<TextProtocol>(self.query_iter(sql).await?, lines).await
        }

        async fn execute(&mut self, sql: String, parameters: Vec<Parameter>, lines: &mut Lines) -> Result<(), Failure> {
            let values: Vec<Value> = parameters.into_iter().map(value).collect();
            answer::<BinaryProtocol>(self.exec_iter(sql, values).await?, lines).await
        }

        async fn blob(&mut self, sql: String, sent: Vec<u8>) -> Result<Vec<u8>, Failure> {
            let got: Option<Vec<u8>> = self.exec_first(sql, (sent,)).await?;
            got.ok_or_else(|| Failure::Other("no row".to_owned()))
        }

        async fn stream(&mut self, sql: String, rows_max: usize) -> Result<usize, Failure> {
            let mut rows = self.query_stream::<Row, _>(sql).await?;
            let mut count = 0;
            while count < rows_max && rows.try_next().await?.is_some() {
                count += 1;
            }
            Ok(count)
        }

        async fn ping(&mut self) -> Result<(), Failure> {
            Ok(Queryable::ping(self).await?)
        }

        async fn reset(&mut self) -> Result<(), Failure> {
            Conn::reset(self).await?.then_some(()).ok_or(Failure::Absent("no reset"))
        }

        async fn close(self) -> Result<(), Failure> {
            Ok(self.disconnect().await?)
        }
    }
}

mod with_sqlx {
    use super::*;
    use sqlx::mysql::types::MySqlTime;
    use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlDatabaseError, MySqlRow, MySqlSslMode};
    use sqlx::types::chrono::{NaiveDate, NaiveDateTime};
    use sqlx::{AssertSqlSafe, Column as _, ConnectOptions as _, Either, Executor as _, MySqlConnection, Row as _};
    use sqlx::{TypeInfo as _, ValueRef as _};

    impl From<sqlx::Error> for Failure {
        fn from(error: sqlx::Error) -> Failure {
            let of_server = error.as_database_error().and_then(|e| e.try_downcast_ref::<MySqlDatabaseError>());
            match of_server {
                Some(of_server) => Failure::Server {
                    code: of_server.number(),
                    state: of_server.code().unwrap_or("-").to_owned(),
                    message: of_server.message().to_owned(),
                },
                None => Failure::Other(error.to_string()),
            }
        }
    }

    fn shown(row: &MySqlRow, at: usize) -> Result<String, sqlx::Error> {
        if row.try_get_raw(at)?.is_null() {
            return Ok("\\N".to_owned());
        }
        Ok(match row.column(at).type_info().name() {
            "BOOLEAN" | "TINYINT" | "SMALLINT" | "INT" | "MEDIUMINT" | "BIGINT" => {
                row.try_get_unchecked::<i64, _>(at)?.to_string()
            }
            name if name.ends_with("UNSIGNED") || name == "YEAR" => row.try_get_unchecked::<u64, _>(at)?.to_string(),
            "FLOAT" => format!("{:?}", row.try_get::<f32, _>(at)?),
            "DOUBLE" => format!("{:?}", row.try_get::<f64, _>(at)?),
            "DATE" => row.try_get::<NaiveDate, _>(at)?.to_string(),
            "DATETIME" | "TIMESTAMP" => row.try_get_unchecked::<NaiveDateTime, _>(at)?.format("%F %T%.f").to_string(),
            "TIME" => {
                let time = row.try_get::<MySqlTime, _>(at)?;
                // `is_negative` of version 0.9.0 says the opposite.
                let sign = if time.is_positive() { "" } else { "-" };
                let micro = time.microseconds();
                let fraction = if micro == 0 { String::new() } else { format!(".{micro:06}") };
                format!("{sign}{:02}:{:02}:{:02}{fraction}", time.hours(), time.minutes(), time.seconds())
            }
            // A decimal's digits come as text, whatever type the program wants of them.
            "DECIMAL" | "JSON" | "SET" => escaped(row.try_get_unchecked::<&str, _>(at)?),
            _ => match row.try_get::<&str, _>(at) {
                Ok(text) => escaped(text),
                Err(_) => hex(row.try_get_unchecked::<&[u8], _>(at)?),
            },
        })
    }

    /// A result that has no row does not tell its columns.
    async fn answer(
        results: impl futures_util::Stream<Item = Result<Either<sqlx::mysql::MySqlQueryResult, MySqlRow>, sqlx::Error>>,
        lines: &mut Lines,
    ) -> Result<(), Failure> {
        let mut results = std::pin::pin!(results);
        let mut in_rows = false;
        while let Some(one) = results.try_next().await? {
            match one {
                Either::Left(_) if in_rows => in_rows = false,
                Either::Left(result) => done(lines, result.rows_affected(), result.last_insert_id()),
                Either::Right(row) => {
                    if !in_rows {
                        say(lines, "columns", row.columns().iter().map(|column| escaped(column.name())));
                    }
                    in_rows = true;
                    let values = (0..row.len()).map(|at| shown(&row, at)).collect::<Result<Vec<_>, _>>()?;
                    say(lines, "row", values);
                }
            }
        }
        Ok(())
    }

    impl Link for MySqlConnection {
        async fn connect(target: &Target<'_>) -> Result<MySqlConnection, Failure> {
            if target.asks("compress") {
                return Err(Failure::Absent("no compression"));
            }
            if target.asks("local") {
                return Err(Failure::Absent("no LOAD DATA LOCAL"));
            }
            let mode = if target.asks("tls") { MySqlSslMode::Required } else { MySqlSslMode::Disabled };
            let options = MySqlConnectOptions::new()
                .host(target.host)
                .port(target.port)
                .username(target.user)
                .password(target.password)
                .database(target.database)
                .ssl_mode(mode);
            Ok(options.connect().await?)
        }

        async fn query(&mut self, sql: String, lines: &mut Lines) -> Result<(), Failure> {
            answer(self.fetch_many(sqlx::raw_sql(AssertSqlSafe(sql))), lines).await
        }

        async fn execute(&mut self, sql: String, parameters: Vec<Parameter>, lines: &mut Lines) -> Result<(), Failure> {
            let mut query = sqlx::query::<sqlx::MySql>(AssertSqlSafe(sql));
            for parameter in parameters {
                query = match parameter {
                    Parameter::Integer(number) => query.bind(number),
                    Parameter::Double(number) => query.bind(number),
                    Parameter::Text(text) => query.bind(text),
                    Parameter::Bytes(bytes) => query.bind(bytes),
                    Parameter::Null => query.bind(None::<i64>),
                };
            }
            answer(self.fetch_many(query), lines).await
        }

        async fn blob(&mut self, sql: String, sent: Vec<u8>) -> Result<Vec<u8>, Failure> {
            let query =
                sqlx::query_scalar_with::<_, Vec<u8>, MySqlArguments>(AssertSqlSafe(sql), MySqlArguments::default());
            Ok(query.bind(sent).fetch_one(&mut *self).await?)
        }

        async fn stream(&mut self, sql: String, rows_max: usize) -> Result<usize, Failure> {
            let mut rows = self.fetch(sqlx::raw_sql(AssertSqlSafe(sql)));
            let mut count = 0;
            while count < rows_max && rows.try_next().await?.is_some() {
                count += 1;
            }
            Ok(count)
        }

        async fn ping(&mut self) -> Result<(), Failure> {
            Ok(sqlx::Connection::ping(self).await?)
        }

        async fn reset(&mut self) -> Result<(), Failure> {
            Err(Failure::Absent("no reset"))
        }

        async fn close(self) -> Result<(), Failure> {
            Ok(sqlx::Connection::close(self).await?)
        }
    }
}

async fn run<L: Link>(line: &str, links: &mut HashMap<String, L>, lines: &mut Lines) -> Result<(), Failure> {
    let fields: Vec<&str> = line.split('\t').collect();
    let (operation, name, fields) = (fields[0], fields[1], &fields[2..]);
    if operation == "connect" {
        let &[host, port, user, password, database, words] = fields else { panic!("{line}") };
        let (port, words) = (port.parse().expect("a port"), words.split(' ').collect());
        let link = L::connect(&Target { host, port, user, password, database, words }).await?;
        links.insert(name.to_owned(), link);
        say(lines, "ok", []);
        return Ok(());
    }
    if operation == "close" {
        let link = links.remove(name).ok_or_else(|| Failure::Other("no such connection".to_owned()))?;
        link.close().await?;
        say(lines, "ok", []);
        return Ok(());
    }
    let link = links.get_mut(name).ok_or_else(|| Failure::Other("no such connection".to_owned()))?;
    match operation {
        "query" => link.query(unescaped(fields[0]), lines).await?,
        "execute" => {
            let parameters = fields[1..].iter().map(|field| parameter(field)).collect();
            link.execute(unescaped(fields[0]), parameters, lines).await?;
        }
        "blob" => {
            let length: usize = fields[1].parse().expect("a length");
            let sent: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let got = link.blob(unescaped(fields[0]), sent.clone()).await?;
            let found = if got == sent { got.len().to_string() } else { format!("{} other bytes", got.len()) };
            say(lines, "blob", [found]);
        }
        "stream" => {
            let count = link.stream(unescaped(fields[0]), usize::MAX).await?;
            say(lines, "count", [count.to_string()]);
        }
        "abandon" => {
            link.stream(unescaped(fields[0]), 10).await?;
            say(lines, "ok", []);
        }
        "ping" => {
            link.ping().await?;
            say(lines, "ok", []);
        }
        "reset" => {
            link.reset().await?;
            say(lines, "ok", []);
        }
        _ => return Err(Failure::Absent("no such operation")),
    }
    Ok(())
}

async fn serve<L: Link>() {
    let mut links = HashMap::<String, L>::new();
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a line of text");
        let mut lines = Lines::new();
        match run(&line, &mut links, &mut lines).await {
            Ok(()) => {}
            Err(Failure::Absent(what)) => say(&mut lines, "absent", [what.to_owned()]),
            Err(Failure::Server { code, state, message }) => {
                say(&mut lines, "error", [code.to_string(), state, escaped(&message)]);
            }
            Err(Failure::Other(text)) => say(&mut lines, "error", ["0".to_owned(), "-".to_owned(), escaped(&text)]),
        }
        lines.push("end".to_owned());
        let mut output = std::io::stdout().lock();
        output.write_all((lines.join("\n") + "\n").as_bytes()).expect("the test reads");
        output.flush().expect("the test reads");
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("mysql_async") => serve::<mysql_async::Conn>().await,
        Some("sqlx") => serve::<sqlx::MySqlConnection>().await,
        other => panic!("no such library: {other:?}"),
    }
}
