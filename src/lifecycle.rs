//! What every serving process does around its roles: signals, health over HTTP, the `ready` line, a clean stop.

use crate::failure::Failure;
use crate::http::{Http, Readiness};
use common::env::{Store, StoreError, object_store};
use std::net::SocketAddr;
use std::path::Path;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

/// Roles that run in this process.
pub trait Roles {
    /// What stands between `ready` and the version; `http`: where health is asked for.
    fn ready_line(&self, http: SocketAddr) -> String;
    async fn shutdown(self);
}

/// Starts the roles, serves until SIGTERM or ctrl-c, and stops them.
pub async fn serve<R: Roles>(
    http: SocketAddr,
    starting: impl AsyncFnOnce() -> Result<R, Failure>,
) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let listener = bind(http, "--http").await?;
    let readiness = Readiness::default();
    let http = Http::start(listener, readiness.clone()).map_err(|error| Failure::running(error.to_string()))?;
    let roles = tokio::select! {
        roles = starting() => roles?,
        () = signals.next() => {
            info!("stopped while starting");
            return Ok(());
        }
    };
    readiness.set(true);
    println!("ready {} version={}", roles.ready_line(http.local_addr()), env!("CARGO_PKG_VERSION"));
    signals.next().await;
    info!("stopping; a second signal stops at once");
    readiness.set(false);
    tokio::select! {
        () = roles.shutdown() => {}
        () = signals.next() => {
            return Err(Failure::running("stopped at once by a second signal; the next start recovers"));
        }
    }
    http.shutdown().await;
    info!("stopped");
    Ok(())
}

/// The port, or what is in its way.
pub async fn bind(address: SocketAddr, flag: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => Failure::in_the_way(format!(
            "{flag} {address}: the port is in use by another process; stop that process, or choose another port with \
             {flag} {}:PORT (port 0 takes any free one)",
            address.ip()
        )),
        _ => Failure::in_the_way(format!("{flag} {address}: {error}; choose another address with {flag}")),
    })
}

/// Opens the store that `--store` names; empty: below the data directory.
pub async fn open_store(url: &str, data_dir: &Path) -> Result<Store, Failure> {
    object_store::open(url, data_dir).await.map_err(|error| match &error {
        StoreError::BadUrl { .. } => Failure::settings(format!("--store: {error}")),
        StoreError::Unusable { .. } => Failure::in_the_way(format!("--store: {error}")),
    })
}

/// SIGTERM and ctrl-c.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Signals, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::running(format!("cannot listen for signals: {error}")));
        Ok(Signals { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
