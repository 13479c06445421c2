//! Flags of the MySQL front end, the same wherever a compute runs.

use crate::{machine, page_server};
use common::env::threads;
use compute::TlsFiles;
use ipnet::IpNet;
use std::path::PathBuf;

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "MySQL front end")]
#[group(id = "front_end")]
pub struct Settings {
    /// Accept an empty root password from other hosts too
    #[arg(long)]
    pub insecure: bool,
    /// The directory whose files LOAD DATA without LOCAL may read; none by default
    #[arg(long, value_name = "DIR")]
    pub secure_file_priv: Option<PathBuf>,
    /// Certificates (PEM) of the authorities whose signature makes a client's certificate good: clients are asked for theirs,
    /// and accounts that REQUIRE X509, a SUBJECT or an ISSUER can log in
    #[arg(long, value_name = "FILE")]
    pub ssl_ca: Option<PathBuf>,
    /// Certificates of clients that are good no longer (PEM, a revocation list in force of every authority); read at the start
    #[arg(long, value_name = "FILE", requires = "ssl_ca")]
    pub ssl_crl: Option<PathBuf>,
    /// A directory of such files
    #[arg(long, value_name = "DIR", requires = "ssl_ca")]
    pub ssl_crlpath: Option<PathBuf>,
    /// The certificate (PEM, with those between it and its authority) that clients see; by default one is made
    #[arg(long, value_name = "FILE", requires = "ssl_key")]
    pub ssl_cert: Option<PathBuf>,
    /// The private key (PEM) of --ssl-cert
    #[arg(long, value_name = "FILE", requires = "ssl_cert")]
    pub ssl_key: Option<PathBuf>,
    /// Networks of balancers whose PROXY protocol headers (1 and 2) say who the client is, for example 10.0.0.0/24
    #[arg(long, value_name = "NETWORKS", value_delimiter = ',')]
    pub proxy_from: Vec<IpNet>,
    /// Write a line of JSON for each connection and each statement to this file: who, from where, what, and what came of it
    #[arg(long, value_name = "FILE")]
    pub audit_log: Option<PathBuf>,
    /// Memory for what open transactions have written, all together; beyond it their rows go to files in the data directory
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = page_server::parse_size)]
    pub transaction_memory: u64,
    /// Memory for what one query holds: one that needs more, and has no files to go to, ends with error 1041
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = page_server::parse_size)]
    pub query_memory: u64,
    /// The same for all queries together; by default half of the machine's memory, or of what the service's control group may use
    #[arg(long, value_name = "SIZE", value_parser = page_server::parse_size)]
    pub total_query_memory: Option<u64>,
    /// What analytic queries and scans have of processors that others want too: low, a tenth; or idle, nothing, so that transactions
    /// go on at once, and reports wait where every processor is busy all the time (Linux)
    #[arg(long, value_name = "SHARE", default_value = "low")]
    pub analytics_priority: Share,
    /// What a transaction, or a load into an empty table, writes goes to the store ahead of its commit when it is more
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = page_server::parse_size)]
    pub bulk_size: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Share {
    Low,
    Idle,
}

impl Settings {
    /// Before threads for analytic queries and scans start.
    pub fn set_priorities(&self) {
        threads::let_long_work_idle(self.analytics_priority == Share::Idle);
    }

    pub fn total_query_memory_bytes(&self) -> usize {
        let bytes = self.total_query_memory.unwrap_or_else(|| machine::memory_bytes() / 2);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    pub fn tls_files(&self) -> TlsFiles {
        let certificate = self.ssl_cert.clone().zip(self.ssl_key.clone());
        TlsFiles {
            certificate,
            authorities: self.ssl_ca.clone(),
            revoked: self.ssl_crl.clone(),
            revoked_directory: self.ssl_crlpath.clone(),
        }
    }
}
