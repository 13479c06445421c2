//! TLS of client connections: a key and a self-signed certificate made at the first start and kept in the data directory.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ProtocolVersion, ServerConfig, ServerConnection};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{file}: {source}")]
    File { file: String, source: std::io::Error },
    /// Delete both files to have new ones made.
    #[error(
        "{file} is not a usable certificate or key ({reason}); delete server-cert.pem and server-key.pem to have new ones made"
    )]
    Unusable { file: String, reason: String },
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

/// Loads `server-cert.pem` and `server-key.pem` of `directory`, made there if missing.
pub fn server_config(directory: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let certificate_path = directory.join("server-cert.pem");
    let key_path = directory.join("server-key.pem");
    if !certificate_path.exists() && !key_path.exists() {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_string(), "127.0.0.1".to_string()])?;
        write_private(&key_path, made.signing_key.serialize_pem().as_bytes())?;
        write_private(&certificate_path, made.cert.pem().as_bytes())?;
    }
    let certificates = read(&certificate_path)?;
    let certificates = CertificateDer::pem_slice_iter(&certificates)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(&certificate_path, error))?;
    let key = PrivateKeyDer::from_pem_slice(&read(&key_path)?).map_err(|error| unusable(&key_path, error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(|error| unusable(&certificate_path, error))?;
    Ok(Arc::new(config))
}

/// Version and cipher of a connection after its handshake, by OpenSSL's names, which are those that MySQL shows.
pub fn describe(connection: &ServerConnection) -> (&'static str, String) {
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "unknown",
    };
    let cipher = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    (version, cipher.map(cipher_name).unwrap_or_default())
}

/// From the name in the standard: `TLS13_AES_256_GCM_SHA384`, `TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256`.
fn cipher_name(standard: &str) -> String {
    if let Some(rest) = standard.strip_prefix("TLS13_") {
        return format!("TLS_{rest}");
    }
    let name = standard.trim_start_matches("TLS_").replace("_WITH_", "-").replace('_', "-");
    name.replace("AES-", "AES").replace("POLY1305-SHA256", "POLY1305")
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::File { file: path.display().to_string(), source })
}

/// Writes a file that only its owner can read.
fn write_private(path: &Path, bytes: &[u8]) -> Result<(), TlsError> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .map_err(|source| TlsError::File { file: path.display().to_string(), source })
}

fn unusable(path: &Path, error: impl std::fmt::Display) -> TlsError {
    TlsError::Unusable { file: path.display().to_string(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_once_and_loaded_again() {
        let directory = tempfile::tempdir().unwrap();
        server_config(directory.path()).unwrap();
        let first = std::fs::read(directory.path().join("server-cert.pem")).unwrap();
        server_config(directory.path()).unwrap();
        assert_eq!(first, std::fs::read(directory.path().join("server-cert.pem")).unwrap());
        std::fs::write(directory.path().join("server-key.pem"), "nonsense").unwrap();
        assert!(matches!(server_config(directory.path()), Err(TlsError::Unusable { .. })));
    }
}
