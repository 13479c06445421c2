//! A node's certificates are looked at while it runs: what its directory holds is what new connections use.

use super::{Identity, RpcClient, RpcError, ServerEnd};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tracing::{info, warn};

const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Where a node's identity is used.
pub struct Ends {
    pub client: RpcClient,
    /// None for a node that nobody calls.
    pub server: Option<ServerEnd>,
}

/// Follows the identity in `directory` for ever. `loaded` is told of each, the first included, once it is in use.
pub async fn follow_identity(directory: PathBuf, ends: Ends, mut loaded: impl FnMut(&Identity)) {
    let mut in_use = String::new();
    let mut told = None;
    loop {
        match take(&directory, &ends, &in_use) {
            Ok(None) => told = None,
            Ok(Some(identity)) => {
                if !in_use.is_empty() {
                    info!(fingerprint = identity.fingerprint(), "certificates renewed");
                }
                in_use = identity.fingerprint();
                told = None;
                loaded(&identity);
            }
            // Somebody is just writing there, or has written something wrong: what is in use stays.
            Err(error) => {
                let error = error.to_string();
                if told.as_ref() != Some(&error) {
                    warn!(error, "certificates stay as they are");
                }
                told = Some(error);
            }
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// The identity that is there, if it is not the one in use; in use now.
fn take(directory: &Path, ends: &Ends, in_use: &str) -> Result<Option<Identity>, RpcError> {
    let identity = Identity::load(directory)?;
    if identity.fingerprint() == in_use {
        return Ok(None);
    }
    ends.client.renew(&identity)?;
    if let Some(server) = &ends.server {
        server.renew(&identity)?;
    }
    Ok(Some(identity))
}
