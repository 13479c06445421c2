//! The command line, nothing else.

mod cluster;
mod demo;
mod doctor;
mod failure;
mod front_end;
mod http;
mod lifecycle;
mod log_archive;
mod machine;
mod node;
mod page_server;
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
    /// One node of a cluster: what a service manager runs
    Node {
        #[command(subcommand)]
        command: NodeCommand,
    },
    /// A cluster of real processes on this machine, for trying and testing
    Cluster {
        #[command(subcommand)]
        command: ClusterCommand,
    },
    /// Say whether a server, or every node of a cluster on this machine, is ready
    Status(StatusArguments),
    /// Verify everything on a store and list what nobody needs; changes nothing, also beside a running server
    #[command(after_help = doctor::AFTER_HELP)]
    Doctor(doctor::Settings),
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

#[derive(Subcommand)]
enum NodeCommand {
    /// Run one role in this process until it is told to stop
    #[command(after_help = NODE_AFTER_HELP)]
    Start(NodeArguments),
    /// Make the log of a new cluster in the directory of its first wal node, once, before that node starts
    Init(InitArguments),
    /// Get the certificate of a new node from a cluster, for a token
    #[command(after_help = JOIN_AFTER_HELP)]
    Join(JoinArguments),
}

#[derive(Subcommand)]
enum ClusterCommand {
    /// Start the cluster of a directory, or make one there; returns when every node is ready
    #[command(after_help = CLUSTER_AFTER_HELP)]
    Up(UpArguments),
    /// Stop every node of the cluster that runs
    Down(DirectoryArguments),
    /// Replace the authority and every certificate, while the cluster serves; again after it was cut short
    Rotate(DirectoryArguments),
    /// Make a token for which a new node, on another machine, gets its certificate
    #[command(after_help = TOKEN_AFTER_HELP)]
    Token(TokenArguments),
    /// Let nodes with tokens in, until it is told to stop
    Admit(AdmitArguments),
    /// What runs, who leads the log, who owns the tablets
    Status(ClusterStatusArguments),
}

const NODE_AFTER_HELP: &str = "\
When it serves, one line goes to stdout:
  ready role=wal name=wal-1 listen=10.0.0.1:7000 http=10.0.0.1:7001 version=...
A wal node serves when the log has taken it in. One that starts with an empty directory joins as a new member, in place
of the one that listened at its address before. Stopped by SIGTERM, the leader of the log hands over first.

A new cluster: give every node a certificate (as `drumlin cluster up` or `drumlin node join` does), run `drumlin node init` for the first wal
node, then start all nodes in any order.

Environment and exit codes: see `drumlin start --help`";

const TOKEN_AFTER_HELP: &str = "\
The token goes to stdout, alone; hand it over as you would a password. What is kept of it is DIR/tokens/ID.json: without
that file the token is void. Here, where the authority's key is:
  drumlin cluster admit --dir DIR --listen 10.0.0.1:7100
on the new machine, before `drumlin node start`:
  drumlin node join --from 10.0.0.1:7100 --certificates CERTIFICATES --token-file FILE";

const JOIN_AFTER_HELP: &str = "\
Environment:
  DRUMLIN_JOIN_TOKEN      the token, where no --token-file is named

Exit codes: see `drumlin start --help`";

const CLUSTER_AFTER_HELP: &str = "\
DIR/cluster.json lists the nodes: name, role, pid, listen, http, log, and start, the command that restarts exactly that
node. Every node may be ended in any way and restarted by its command, or all that do not run by `cluster up` again.
MySQL clients connect to the listen address of any compute.

Environment: see `drumlin start --help`; it is passed on to the nodes";

#[derive(clap::Args)]
struct NodeArguments {
    /// What this node does
    #[arg(long)]
    role: node::Role,
    /// Its name, for people
    #[arg(long)]
    name: String,
    /// Addresses of wal nodes, separated by commas; some are enough, they know the others
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',', required = true)]
    join: Vec<SocketAddr>,
    /// Where its log, cache or keys are kept; created if missing
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Directory with this node's certificate and key, and the authority's certificate
    #[arg(long, value_name = "DIR")]
    certificates: PathBuf,
    /// Address of this node: of the MySQL port for a compute, else where the other nodes reach it
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Address of /healthz, /readyz and /metrics
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    http: SocketAddr,
    /// Where the data lives; the same for all page servers, which cannot do without, and for wal nodes, which archive the
    /// log there
    #[arg(long, value_name = "URL", default_value = "", hide_default_value = true)]
    store: String,
    /// Address of a wal node that is gone, whose place this one takes
    #[arg(long, value_name = "ADDRESS")]
    replaces: Option<SocketAddr>,
    #[command(flatten)]
    front_end: front_end::Settings,
    #[command(flatten)]
    page_server: page_server::Settings,
    #[command(flatten)]
    log_archive: log_archive::Settings,
}

#[derive(clap::Args)]
struct InitArguments {
    /// Directory of the first wal node, which holds no log yet
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Where the other nodes will reach it
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where the data lives; the log goes on behind what is there
    #[arg(long, value_name = "URL")]
    store: String,
    #[command(flatten)]
    log_recovery: log_archive::RecoverySettings,
}

#[derive(clap::Args)]
struct JoinArguments {
    /// Where `drumlin cluster admit` of the cluster listens
    #[arg(long, value_name = "ADDRESS")]
    from: SocketAddr,
    /// Directory for this node's certificate and key, and the authority's certificate; created if missing
    #[arg(long, value_name = "DIR")]
    certificates: PathBuf,
    /// File with the token (-: standard input)
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

#[derive(clap::Args)]
struct TokenArguments {
    /// Directory of the cluster, which holds its authority
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// What the new node may do
    #[arg(long)]
    role: node::Role,
    /// The token is void after so long
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = page_server::parse_time)]
    lifetime: std::time::Duration,
    /// How many nodes may use it
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    uses: u32,
}

#[derive(clap::Args)]
struct AdmitArguments {
    /// Directory of the cluster, which holds its authority
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Where new nodes reach it (UDP)
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Address of /healthz, /readyz and /metrics
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    http: SocketAddr,
}

#[derive(clap::Args)]
struct UpArguments {
    /// Directory of the cluster; created if missing
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Wal nodes of a new cluster
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    wal: u16,
    /// Page servers of a new cluster
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    pageservers: u16,
    /// Computes of a new cluster
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    compute: u16,
    /// Where the data of a new cluster lives: file://DIR or s3://BUCKET[/PREFIX] [default: file://DIR/objects]
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// First port of a new cluster; two for each node follow (0: any free ones)
    #[arg(long, value_name = "PORT", default_value_t = 33100)]
    base_port: u16,
    #[command(flatten)]
    log_archive: log_archive::Settings,
    #[command(flatten)]
    log_recovery: log_archive::RecoverySettings,
}

#[derive(clap::Args)]
struct DirectoryArguments {
    /// Directory of the cluster
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

#[derive(clap::Args)]
struct ClusterStatusArguments {
    /// Directory of the cluster
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct StatusArguments {
    /// HTTP address of the server
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    http: SocketAddr,
    /// Directory of a cluster on this machine, instead
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// For programs
    #[arg(long)]
    json: bool,
}

impl From<NodeArguments> for node::Settings {
    fn from(arguments: NodeArguments) -> node::Settings {
        node::Settings {
            role: arguments.role,
            name: arguments.name,
            data_dir: arguments.data_dir,
            certificates: arguments.certificates,
            join: arguments.join,
            replaces: arguments.replaces,
            listen: arguments.listen,
            http: arguments.http,
            store: arguments.store,
            page_server: arguments.page_server,
            log_archive: arguments.log_archive,
            front_end: arguments.front_end,
            root_password: root_password(),
        }
    }
}

fn root_password() -> String {
    std::env::var("DRUMLIN_ROOT_PASSWORD").unwrap_or_default()
}

async fn run_node(command: NodeCommand) -> Result<(), failure::Failure> {
    match command {
        NodeCommand::Start(arguments) => node::run(arguments.into()).await,
        NodeCommand::Init(InitArguments { data_dir, listen, store, log_recovery }) => {
            node::init(&data_dir, listen, &store, log_recovery).await
        }
        NodeCommand::Join(arguments) => {
            node::join(arguments.from, &arguments.certificates, arguments.token_file.as_deref()).await
        }
    }
}

async fn run_cluster(command: ClusterCommand) -> Result<(), failure::Failure> {
    match command {
        ClusterCommand::Up(arguments) => {
            let size =
                cluster::Size { wal: arguments.wal, pageservers: arguments.pageservers, compute: arguments.compute };
            arguments.log_archive.check()?;
            let design = cluster::Design {
                size,
                store: arguments.store,
                base_port: arguments.base_port,
                log_archive: arguments.log_archive,
            };
            cluster::up(&arguments.dir, design, arguments.log_recovery).await
        }
        ClusterCommand::Down(arguments) => cluster::down(&arguments.dir).await,
        ClusterCommand::Rotate(arguments) => cluster::rotate(&arguments.dir).await,
        ClusterCommand::Token(TokenArguments { dir, role, lifetime, uses }) => {
            cluster::token(&dir, &cluster::Terms { role: role.into(), lifetime, uses })
        }
        ClusterCommand::Admit(AdmitArguments { dir, listen, http }) => cluster::admit(&dir, listen, http).await,
        ClusterCommand::Status(arguments) => cluster::status_of_cluster(&arguments.dir, arguments.json).await,
    }
}

async fn run_status(arguments: StatusArguments) -> Result<(), failure::Failure> {
    match arguments.dir {
        Some(dir) => cluster::status_of_cluster(&dir, arguments.json).await,
        None => cluster::status_of_server(arguments.http, arguments.json).await,
    }
}

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
    #[command(flatten)]
    front_end: front_end::Settings,
    #[command(flatten)]
    page_server: page_server::Settings,
    #[command(flatten)]
    log_archive: log_archive::Settings,
    #[command(flatten)]
    log_recovery: log_archive::RecoverySettings,
}

/// Of worker threads: what the longest chain of operators that the parser lets through takes, in a debug build too. Only
/// what is used becomes memory.
const STACK_BYTES: usize = 64 << 20;

/// How long the end of the process waits for threads that are in the middle of something.
const THREADS_END_WITHIN: std::time::Duration = std::time::Duration::from_secs(3);

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
        Command::Node { command } => runtime.block_on(run_node(command)),
        Command::Cluster { command } => runtime.block_on(run_cluster(command)),
        Command::Status(arguments) => runtime.block_on(run_status(arguments)),
        Command::Doctor(settings) => runtime.block_on(doctor::run(settings)),
        Command::Demo { example } => runtime.block_on(demo::run(example)),
    };
    // Background threads that still hold a file or a connection have nothing left to lose; but while a thread runs, the
    // end of the process takes its memory from under it.
    runtime.shutdown_timeout(THREADS_END_WITHIN);
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
            page_server: arguments.page_server,
            log_archive: arguments.log_archive,
            log_recovery: arguments.log_recovery,
            front_end: arguments.front_end,
            root_password: root_password(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }
}
