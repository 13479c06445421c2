//! The command line, nothing else.

mod demo;
mod failure;
mod http;
mod start;

use clap::{Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Drumlin: a MySQL-compatible SQL database whose data lives on object storage.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, after_help = AFTER_HELP)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
First steps:
  drumlin start                                     in one terminal
  mariadb --host 127.0.0.1 --user root              in another (or mysql, or any MySQL driver)
  drumlin demo auction                              loads a marketplace to query";

#[derive(Subcommand)]
enum Command {
    /// Run a whole database in this process: log, page server, MySQL front end
    #[command(after_help = START_AFTER_HELP)]
    Start(StartArguments),
    /// Load an example into a running server
    Demo {
        #[command(subcommand)]
        example: demo::Example,
    },
}

const START_AFTER_HELP: &str = "\
When it serves, one line goes to stdout:
  ready mysql=127.0.0.1:3306 http=127.0.0.1:8080 store=file:///... version=...
Logs go to stderr. SIGTERM or ctrl-c stops it cleanly; after any other end the next start recovers.

Environment:
  DRUMLIN_ROOT_PASSWORD   password of the account root (default: empty, accepted from loopback only)
  DRUMLIN_LOG             what is logged, for example: info or warn,wal=debug
  AWS_ACCESS_KEY_ID, AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL, ...
                          for s3:// stores, as the AWS command line understands them

Exit codes:
  0  stopped as asked
  1  failed while running
  2  command line or settings are wrong
  3  something here is in the way: port or directory in use, directory not writable, store not usable
  4  a file on disk or an object in the store is damaged";

#[derive(clap::Args)]
struct StartArguments {
    /// Where the log and the cache are kept; created if missing
    #[arg(long, value_name = "DIR", default_value = "./drumlin-data")]
    data_dir: PathBuf,
    /// Address of the MySQL port (port 0: any free one)
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3306")]
    listen: SocketAddr,
    /// Where the data lives: file://DIR, s3://BUCKET[/PREFIX] or memory:// [default: file://DATA_DIR/objects]
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Address of /healthz, /readyz and /metrics (port 0: any free one)
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    http: SocketAddr,
    /// Memory for blocks read from the store, for example 512M or 8G
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = parse_size)]
    cache_memory: u64,
    /// Disk space for blocks read from the store; 0 for none
    #[arg(long, value_name = "SIZE", default_value = "4G", value_parser = parse_size)]
    cache_disk: u64,
    /// Accept an empty root password from other hosts too
    #[arg(long)]
    insecure: bool,
}

/// Of worker threads: what the longest chain of operators that the parser lets through takes, in a debug build too. Only
/// what is used becomes memory.
const STACK_BYTES: usize = 64 << 20;

fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    common::telemetry::init_logs();
    let runtime = match tokio::runtime::Builder::new_multi_thread().thread_stack_size(STACK_BYTES).enable_all().build()
    {
        Ok(runtime) => runtime,
        Err(error) => return failure::Failure::running(format!("cannot start threads: {error}")).report(),
    };
    let outcome = match command_line.command {
        Command::Start(arguments) => runtime.block_on(start::run(arguments.into())),
        Command::Demo { example } => runtime.block_on(demo::run(example)),
    };
    // Background threads that still hold a file or a connection have nothing left to lose.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

impl From<StartArguments> for start::Settings {
    fn from(arguments: StartArguments) -> start::Settings {
        start::Settings {
            data_dir: arguments.data_dir,
            listen: arguments.listen,
            store: arguments.store.unwrap_or_default(),
            http: arguments.http,
            cache_memory_bytes: arguments.cache_memory,
            cache_disk_bytes: arguments.cache_disk,
            insecure: arguments.insecure,
            root_password: std::env::var("DRUMLIN_ROOT_PASSWORD").unwrap_or_default(),
        }
    }
}

/// Bytes, or a number with K, M, G or T (powers of 1024).
fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let (number, shift) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 10),
        Some((at, 'm' | 'M')) => (&text[..at], 20),
        Some((at, 'g' | 'G')) => (&text[..at], 30),
        Some((at, 't' | 'T')) => (&text[..at], 40),
        _ => (text, 0),
    };
    let number: u64 = number.parse().map_err(|_| "expected bytes, or a number with K, M, G or T".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn sizes_have_units() {
        for (text, expected) in
            [("0", 0), ("17", 17), ("3k", 3 << 10), ("256M", 256 << 20), ("8G", 8 << 30), ("1T", 1 << 40)]
        {
            assert_eq!(parse_size(text), Ok(expected), "{text}");
        }
        for text in ["", "G", "1.5G", "-1", "16777217T", "10 GB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }
}
