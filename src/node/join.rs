//! `drumlin node join`: this machine gets the certificate of a new node for a token.

use crate::failure::Failure;
use common::env::Random;
use common::rpc::{JoinError, JoinToken, join as ask};
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;

pub const TOKEN_VARIABLE: &str = "DRUMLIN_JOIN_TOKEN";

/// The token comes from a file (`-`: standard input) or the environment: a command line is there for everybody to read.
pub async fn join(from: SocketAddr, certificates: &Path, token_file: Option<&Path>) -> Result<(), Failure> {
    let token = match token_file {
        Some(path) if path.as_os_str() == "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        }
        Some(path) => std::fs::read_to_string(path),
        None => std::env::var(TOKEN_VARIABLE)
            .map_err(|_| std::io::Error::other(format!("no token: name its file, or put it into {TOKEN_VARIABLE}"))),
    };
    let token = token.map_err(|error| Failure::settings(format!("--token-file: {error}")))?;
    let token: JoinToken = token.parse().map_err(|error: common::rpc::NoToken| Failure::settings(error.to_string()))?;
    let (node, role) = ask(from, &token, certificates, &Random::system()).await.map_err(failure)?;
    println!("joined node={node} role={role} certificates={}", certificates.display());
    Ok(())
}

fn failure(error: JoinError) -> Failure {
    match &error {
        JoinError::Taken(_) | JoinError::Files(_) => Failure::in_the_way(format!("--certificates: {error}")),
        JoinError::Unreached { .. } | JoinError::Stranger { .. } => Failure::running(format!("--from: {error}")),
        JoinError::Refused { .. } => Failure::running(error.to_string()),
    }
}
