//! The server that is asked: one started for the test, or a running one.

use crate::client::Client;
use crate::harness::{Launch, Server};
use mysql_async::OptsBuilder;
use std::net::SocketAddr;

pub struct Target {
    address: SocketAddr,
    /// The lists of known differences are those of Drumlin.
    pub is_drumlin: bool,
    started: Option<(Server, tempfile::TempDir)>,
}

impl Target {
    pub async fn start() -> Target {
        if let Ok(address) = std::env::var("DRUMLIN_SQL_SERVER") {
            let mut target = Target { address: address.parse().expect("host:port"), is_drumlin: false, started: None };
            let mut client = Client::connect(&target, "root", "", "").await.expect("DRUMLIN_SQL_SERVER answers");
            let version = client.run("SELECT VERSION()").await.text();
            target.is_drumlin = version.contains("Drumlin");
            return target;
        }
        let directory = tempfile::tempdir().unwrap();
        let server = Launch::new(directory.path()).start();
        Target { address: server.mysql(), is_drumlin: true, started: Some((server, directory)) }
    }

    pub fn options(&self) -> OptsBuilder {
        OptsBuilder::default()
            .ip_or_hostname(self.address.ip().to_string())
            .tcp_port(self.address.port())
            .prefer_socket(false)
            .max_allowed_packet(Some(1 << 30))
            .wait_timeout(Some(28_800))
    }

    /// Ends the server if it was started here: it must still be well.
    pub fn stop(self) {
        if let Some((server, _directory)) = self.started {
            server.stop();
        }
    }
}
