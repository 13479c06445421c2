//! TLS of client connections: a certificate that was given, or a self-signed one made at the first start and kept in the data
//! directory; and certificates of clients, which are asked for where there is an authority that signs them.

use super::certificate::{self, Names};
use crate::account::TlsRule;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ProtocolVersion, RootCertStore, ServerConfig, ServerConnection};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{file}: {source}")]
    File { file: String, source: std::io::Error },
    /// Delete both files to have new ones made.
    #[error(
        "{file} is not a usable certificate or key ({reason}); delete server-cert.pem and server-key.pem to have new ones made"
    )]
    UnusableOwn { file: String, reason: String },
    #[error("{file} is not a usable certificate or key: {reason}")]
    Unusable { file: String, reason: String },
    #[error("{file} is not a usable list of revoked certificates: {reason}")]
    UnusableList { file: String, reason: String },
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

/// Files in PEM that were given; without certificate and key, those of the data directory are shown.
#[derive(Debug, Clone, Default)]
pub struct TlsFiles {
    /// What is shown to clients, and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Whose signature makes a client's certificate good. None: clients are asked for none.
    pub authorities: Option<PathBuf>,
    /// Lists of certificates that are good no longer: a file, and a directory of such files. Where there is one, every authority
    /// needs a list in force.
    pub revoked: Option<PathBuf>,
    pub revoked_directory: Option<PathBuf>,
}

impl TlsFiles {
    /// The system variables that tell of them.
    pub fn variables(&self) -> [(&'static str, Option<&Path>); 5] {
        let pair = self.certificate.as_ref();
        [
            ("ssl_ca", self.authorities.as_deref()),
            ("ssl_cert", pair.map(|(certificate, _)| certificate.as_path())),
            ("ssl_key", pair.map(|(_, key)| key.as_path())),
            ("ssl_crl", self.revoked.as_deref()),
            ("ssl_crlpath", self.revoked_directory.as_deref()),
        ]
    }
}

/// Loads what was given. Without a certificate: `server-cert.pem` and `server-key.pem` of `directory`, made there if missing.
pub fn server_config(directory: &Path, files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let (certificate_path, key_path, unusable): (_, _, fn(&Path, String) -> TlsError) = match &files.certificate {
        Some((certificate, key)) => (certificate.clone(), key.clone(), unusable_given),
        None => (directory.join("server-cert.pem"), directory.join("server-key.pem"), unusable_own),
    };
    if files.certificate.is_none() && !certificate_path.exists() && !key_path.exists() {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_string(), "127.0.0.1".to_string()])?;
        write_private(&key_path, made.signing_key.serialize_pem().as_bytes())?;
        write_private(&certificate_path, made.cert.pem().as_bytes())?;
    }
    let certificates =
        read_certificates(&certificate_path)?.map_err(|error| unusable(&certificate_path, error.to_string()))?;
    let key =
        PrivateKeyDer::from_pem_slice(&read(&key_path)?).map_err(|error| unusable(&key_path, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = match &files.authorities {
        None => builder.with_no_client_auth(),
        Some(path) => builder.with_client_cert_verifier(verifier(path, revocations(files)?, provider)?),
    };
    let config =
        builder.with_single_cert(certificates, key).map_err(|error| unusable(&certificate_path, error.to_string()))?;
    Ok(Arc::new(config))
}

/// Asks every client for a certificate. One that shows none goes on without; one that shows a bad one does not.
fn verifier(
    path: &Path,
    revocations: Vec<CertificateRevocationListDer<'static>>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(path)?.map_err(|error| unusable_given(path, error.to_string()))? {
        roots.add(certificate).map_err(|error| unusable_given(path, error.to_string()))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .with_crls(revocations)
        .enforce_revocation_expiration()
        .build()
        .map_err(|error| unusable_given(path, error.to_string()))
}

/// All lists that were given.
fn revocations(files: &TlsFiles) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let mut paths: Vec<PathBuf> = files.revoked.iter().cloned().collect();
    if let Some(directory) = &files.revoked_directory {
        let failed = |source| TlsError::File { file: directory.display().to_string(), source };
        for entry in std::fs::read_dir(directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_file() {
                paths.push(path);
            }
        }
    }
    let mut lists = Vec::new();
    for path in paths {
        let unusable = |reason: String| TlsError::UnusableList { file: path.display().to_string(), reason };
        let before = lists.len();
        for list in CertificateRevocationListDer::pem_slice_iter(&read(&path)?) {
            lists.push(list.map_err(|error| unusable(error.to_string()))?);
        }
        if lists.len() == before {
            return Err(unusable(pem::Error::NoItemsFound.to_string()));
        }
    }
    Ok(lists)
}

/// What is known of a connection under TLS.
#[derive(Debug, Clone)]
pub struct Secured {
    /// By OpenSSL's names, which are those that MySQL shows.
    pub version: &'static str,
    pub cipher: String,
    /// Of the client's certificate, which was verified.
    pub client: Option<Names>,
    has_certificate: bool,
}

impl Secured {
    /// After the handshake.
    pub fn of(connection: &ServerConnection) -> Secured {
        let version = match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "unknown",
        };
        let cipher = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
        let shown = connection.peer_certificates().and_then(|chain| chain.first());
        Secured {
            version,
            cipher: cipher.map(cipher_name).unwrap_or_default(),
            client: shown.and_then(|certificate| certificate::names(certificate)),
            has_certificate: shown.is_some(),
        }
    }

    /// Whether an account with this rule may be used.
    pub fn satisfies(&self, rule: &TlsRule) -> bool {
        match rule {
            TlsRule::None | TlsRule::Any => true,
            TlsRule::X509 => self.has_certificate,
            TlsRule::Specified { subject, issuer, cipher } => {
                let fits = |wanted: &String, name: fn(&Names) -> &String| {
                    wanted.is_empty() || self.client.as_ref().is_some_and(|names| name(names) == wanted)
                };
                (cipher.is_empty() || *cipher == self.cipher)
                    && fits(subject, |names| &names.subject)
                    && fits(issuer, |names| &names.issuer)
            }
        }
    }
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

fn read_certificates(path: &Path) -> Result<Result<Vec<CertificateDer<'static>>, pem::Error>, TlsError> {
    let bytes = read(path)?;
    let certificates = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    Ok(certificates.and_then(|all| if all.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(all) }))
}

fn unusable_own(path: &Path, reason: String) -> TlsError {
    TlsError::UnusableOwn { file: path.display().to_string(), reason }
}

fn unusable_given(path: &Path, reason: String) -> TlsError {
    TlsError::Unusable { file: path.display().to_string(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_once_and_loaded_again() {
        let directory = tempfile::tempdir().unwrap();
        let files = TlsFiles::default();
        server_config(directory.path(), &files).unwrap();
        let first = std::fs::read(directory.path().join("server-cert.pem")).unwrap();
        server_config(directory.path(), &files).unwrap();
        assert_eq!(first, std::fs::read(directory.path().join("server-cert.pem")).unwrap());
        std::fs::write(directory.path().join("server-key.pem"), "nonsense").unwrap();
        assert!(matches!(server_config(directory.path(), &files), Err(TlsError::UnusableOwn { .. })));
    }

    #[test]
    fn given_files_have_to_be_usable() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        server_config(directory.path(), &TlsFiles::default()).unwrap();
        let given = |certificate: &str, key: &str, authorities: &str| TlsFiles {
            certificate: Some((path(certificate), path(key))),
            authorities: Some(path(authorities)),
            ..TlsFiles::default()
        };
        let empty = tempfile::tempdir().unwrap();
        let tried = |files: &TlsFiles| server_config(empty.path(), files);
        assert!(tried(&given("server-cert.pem", "server-key.pem", "server-cert.pem")).is_ok());
        // Nothing was made beside what was given.
        assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0);
        assert!(matches!(
            tried(&given("server-cert.pem", "missing.pem", "server-cert.pem")),
            Err(TlsError::File { .. })
        ));
        for wrong in [
            given("server-key.pem", "server-key.pem", "server-cert.pem"),
            given("server-cert.pem", "server-cert.pem", "server-cert.pem"),
            given("server-cert.pem", "server-key.pem", "server-key.pem"),
        ] {
            assert!(matches!(tried(&wrong), Err(TlsError::Unusable { .. })), "{wrong:?}");
        }
    }

    #[test]
    fn rules_ask_for_what_they_name() {
        let names = Names { subject: "/CN=ann".to_owned(), issuer: "/CN=ca".to_owned() };
        let bare = Secured { version: "TLSv1.3", cipher: "AES".to_owned(), client: None, has_certificate: false };
        let shown = Secured { client: Some(names), has_certificate: true, ..bare.clone() };
        let unreadable = Secured { has_certificate: true, ..bare.clone() };
        let rule = |subject: &str, issuer: &str, cipher: &str| TlsRule::Specified {
            subject: subject.to_owned(),
            issuer: issuer.to_owned(),
            cipher: cipher.to_owned(),
        };
        for (rule, of_bare, of_shown, of_unreadable) in [
            (TlsRule::None, true, true, true),
            (TlsRule::Any, true, true, true),
            (TlsRule::X509, false, true, true),
            (rule("/CN=ann", "", ""), false, true, false),
            (rule("/CN=ann", "/CN=ca", "AES"), false, true, false),
            (rule("/CN=ann", "/CN=other", ""), false, false, false),
            (rule("/CN=ANN", "", ""), false, false, false),
            (rule("", "/CN=ca", ""), false, true, false),
            (rule("", "", "AES"), true, true, true),
            (rule("", "", "DES"), false, false, false),
        ] {
            let found = [&bare, &shown, &unreadable].map(|secured| secured.satisfies(&rule));
            assert_eq!(found, [of_bare, of_shown, of_unreadable], "{rule:?}");
        }
    }
}
