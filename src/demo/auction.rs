//! `drumlin demo auction`: creates the database `auction`, fills it over the MySQL port, and says what to try next.

use super::{bidding, marketplace};
use crate::failure::Failure;
use indicatif::{ProgressBar, ProgressStyle};
use mysql_async::prelude::*;
use mysql_async::{Conn, Opts};
use std::time::Instant;

const SCHEMA: &str = include_str!("../../examples/auction/schema.sql");
/// Large enough to be quick, small enough to show progress.
const ROWS_PER_INSERT: usize = 500;

#[derive(clap::Args)]
pub struct Arguments {
    /// Server to load into
    #[arg(long, default_value = "mysql://root@127.0.0.1:3306/")]
    url: String,
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..))]
    users: u32,
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..))]
    items: u32,
    #[arg(long, default_value_t = 50_000)]
    bids: u32,
    /// After loading, let bidders compete for so long
    #[arg(long, value_name = "S", default_value_t = 0)]
    bid_seconds: u64,
    /// Drop the database first if it exists
    #[arg(long)]
    replace: bool,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let options = Opts::from_url(&arguments.url).map_err(|error| {
        Failure::settings(format!("--url {}: {error}; for example mysql://root@127.0.0.1:3306/", arguments.url))
    })?;
    let mut connection = Conn::new(options.clone()).await.map_err(|error| {
        Failure::in_the_way(format!("cannot connect to {}: {error}; start a server with: drumlin start", arguments.url))
    })?;
    let started = Instant::now();
    create(&mut connection, arguments.replace).await?;
    let sizes = marketplace::Sizes { users: arguments.users, items: arguments.items, bids: arguments.bids };
    let made = marketplace::generate(sizes);
    let mut rows = 0;
    for (table, columns, values) in [
        ("categories", "id, name", &made.categories),
        ("users", "id, name, email, country, rating, joined_at", &made.users),
        (
            "items",
            "id, seller_id, category_id, title, starting_cents, high_bid_cents, high_bidder_id, bid_count, status, ends_at",
            &made.items,
        ),
        ("bids", "item_id, user_id, amount_cents, placed_at", &made.bids),
        ("watchlist", "user_id, item_id, added_at", &made.watchlist),
    ] {
        load(&mut connection, table, columns, values).await?;
        rows += values.len();
    }
    println!("loaded {rows} rows in {:.1} s", started.elapsed().as_secs_f64());
    if arguments.bid_seconds > 0 {
        bidding::run(&options, sizes, arguments.bid_seconds).await?;
    }
    let _ = connection.disconnect().await;
    let host = format!(
        "--host {} --port {} --user {}",
        options.ip_or_hostname(),
        options.tcp_port(),
        options.user().unwrap_or("root")
    );
    println!(
        "\nTry next:\n  mariadb {host} auction\n  mariadb {host} --table auction < examples/auction/queries.sql\n\
         More in examples/auction/README.md."
    );
    Ok(())
}

/// Adds what was being done to an error of the server or the connection.
pub fn failed(doing: &str) -> impl FnOnce(mysql_async::Error) -> Failure {
    move |error| Failure::running(format!("{doing}: {error}"))
}

async fn create(connection: &mut Conn, replace: bool) -> Result<(), Failure> {
    if replace {
        connection.query_drop("DROP DATABASE IF EXISTS auction").await.map_err(failed("drop database auction"))?;
    }
    match connection.query_drop("CREATE DATABASE auction").await {
        Ok(()) => {}
        Err(mysql_async::Error::Server(error)) if error.code == 1007 => {
            return Err(Failure::in_the_way("the database auction exists already; add --replace to make it anew"));
        }
        Err(error) => return Err(failed("create database auction")(error)),
    }
    connection.query_drop("USE auction").await.map_err(failed("use auction"))?;
    for statement in statements(SCHEMA) {
        connection.query_drop(statement).await.map_err(failed("create tables"))?;
    }
    Ok(())
}

/// The statements of a file whose statements end with `;` at the end of a line.
fn statements(file: &str) -> impl Iterator<Item = &str> {
    file.split(";\n").map(str::trim).filter(|statement| !statement.is_empty())
}

async fn load(connection: &mut Conn, table: &str, columns: &str, values: &[String]) -> Result<(), Failure> {
    let bar = ProgressBar::new(values.len() as u64).with_message(table.to_owned());
    let style = ProgressStyle::with_template("{msg:10} {bar:40} {pos}/{len} {per_sec}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    for rows in values.chunks(ROWS_PER_INSERT) {
        let insert = format!("INSERT INTO {table} ({columns}) VALUES {}", rows.join(","));
        connection.query_drop(insert).await.map_err(failed(&format!("load {table}")))?;
        bar.inc(rows.len() as u64);
    }
    bar.finish();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_file_has_one_statement_per_table() {
        let creates: Vec<&str> = statements(SCHEMA).collect();
        assert_eq!(creates.len(), 5);
        assert!(creates.iter().all(|statement| statement.contains("CREATE TABLE")));
    }
}
