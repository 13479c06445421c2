//! Who belongs to a cluster: an authority made once, and a certificate for each node that it signed.
//!
//! Both sides of every connection show a certificate of the same authority. Certificates do not expire: a node leaves
//! the cluster by the cluster map, and a stolen key is answered by a new authority.
//!
//! The node also keeps the two keys with which QUIC tells old clients, after a restart, that their connection is gone
//! (`transport.key`): without them a restarted node stays silent to them until they time out.

use super::RpcError;
use crate::env::Random;
use crate::id::NodeId;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

/// The name that every node's certificate carries, and that clients ask for.
pub(super) const CLUSTER_NAME: &str = "node.drumlin.internal";
/// What is spoken over the connection. A change of the frames or messages that an older node cannot read takes a new one.
const PROTOCOL: &[u8] = b"drumlin/1";
const AUTHORITY_CERTIFICATE: &str = "ca.pem";
const NODE_CERTIFICATE: &str = "node.pem";
const NODE_KEY: &str = "node-key.pem";
const TRANSPORT_KEY: &str = "transport.key";
const RESET_KEY_BYTES: usize = 32;
const TRANSPORT_KEY_BYTES: usize = RESET_KEY_BYTES + 8;

/// Signs the certificates of nodes. Its directory holds the cluster's most precious secret.
pub struct ClusterAuthority {
    /// The certificate.
    pem: String,
    key: KeyPair,
}

impl ClusterAuthority {
    /// Reads the authority kept in `directory`, or makes one there.
    pub fn load_or_create(directory: &Path) -> Result<ClusterAuthority, RpcError> {
        let (certificate_path, key_path) = (directory.join(AUTHORITY_CERTIFICATE), directory.join("ca-key.pem"));
        let read_text = |path: &Path| std::fs::read_to_string(path).map_err(|error| broken(path, &error));
        if certificate_path.exists() {
            let pem = read_text(&certificate_path)?;
            read_certificate(&certificate_path)?;
            let key = KeyPair::from_pem(&read_text(&key_path)?).map_err(|error| broken(&key_path, &error))?;
            return Ok(ClusterAuthority { pem, key });
        }
        std::fs::create_dir_all(directory).map_err(|error| broken(directory, &error))?;
        let key = KeyPair::generate().map_err(|error| broken(&key_path, &error))?;
        let certificate = authority_params()
            .and_then(|params| params.self_signed(&key))
            .map_err(|error| broken(&certificate_path, &error))?;
        // The certificate comes last: where it is, the key is too.
        write_new(&key_path, key.serialize_pem().as_bytes())?;
        let pem = certificate.pem();
        write_new(&certificate_path, pem.as_bytes())?;
        Ok(ClusterAuthority { pem, key })
    }

    fn sign(&self, node: NodeId, node_key: &KeyPair) -> Result<rcgen::Certificate, rcgen::Error> {
        let mut params = CertificateParams::new(vec![CLUSTER_NAME.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, format!("drumlin node {node}"));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.signed_by(node_key, &Issuer::new(authority_params()?, &self.key))
    }
}

fn authority_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "drumlin cluster authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// What a node shows to its peers, whom it believes, and its transport keys. Its directory holds a copy of the
/// authority's certificate, not its key: a node cannot make others.
pub struct Identity {
    authority: CertificateDer<'static>,
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
    pub(super) reset_key: [u8; RESET_KEY_BYTES],
    pub(super) connection_id_key: u64,
}

impl Identity {
    /// Reads the node's identity kept in `directory`, or makes one there, signed by `authority`.
    pub fn load_or_create(
        directory: &Path,
        authority: &ClusterAuthority,
        node: NodeId,
        random: &Random,
    ) -> Result<Identity, RpcError> {
        let (certificate_path, key_path) = (directory.join(NODE_CERTIFICATE), directory.join(NODE_KEY));
        let transport_path = directory.join(TRANSPORT_KEY);
        if !certificate_path.exists() {
            std::fs::create_dir_all(directory).map_err(|error| broken(directory, &error))?;
            let key = KeyPair::generate().map_err(|error| broken(&key_path, &error))?;
            let certificate = authority.sign(node, &key).map_err(|error| broken(&certificate_path, &error))?;
            let mut transport_key = [0; TRANSPORT_KEY_BYTES];
            random.fill(&mut transport_key);
            write_new(&transport_path, &transport_key)?;
            write_new(&key_path, key.serialize_pem().as_bytes())?;
            write_new(&directory.join(AUTHORITY_CERTIFICATE), authority.pem.as_bytes())?;
            write_new(&certificate_path, certificate.pem().as_bytes())?;
        }
        Identity::load(directory)
    }

    /// Reads the identity that was made in `directory`.
    pub fn load(directory: &Path) -> Result<Identity, RpcError> {
        let (key_path, transport_path) = (directory.join(NODE_KEY), directory.join(TRANSPORT_KEY));
        let transport_key = std::fs::read(&transport_path).map_err(|error| broken(&transport_path, &error))?;
        let transport_key: [u8; TRANSPORT_KEY_BYTES] =
            transport_key.try_into().map_err(|_| broken(&transport_path, &"it has the wrong length"))?;
        let (reset_key, connection_id_key) = transport_key.split_at(RESET_KEY_BYTES);
        Ok(Identity {
            authority: read_certificate(&directory.join(AUTHORITY_CERTIFICATE))?,
            certificate: read_certificate(&directory.join(NODE_CERTIFICATE))?,
            key: PrivatePkcs8KeyDer::from_pem_file(&key_path).map_err(|error| broken(&key_path, &error))?,
            reset_key: reset_key.try_into().expect("32 of 40 bytes"),
            connection_id_key: u64::from_le_bytes(connection_id_key.try_into().expect("8 of 40 bytes")),
        })
    }

    pub(super) fn server_config(&self) -> Result<rustls::ServerConfig, RpcError> {
        let verifier = WebPkiClientVerifier::builder_with_provider(self.roots()?, provider())
            .build()
            .map_err(|error| RpcError::Tls(error.to_string()))?;
        let mut config = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(tls_error)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![self.certificate.clone()], self.private_key())
            .map_err(tls_error)?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(config)
    }

    pub(super) fn client_config(&self) -> Result<rustls::ClientConfig, RpcError> {
        let mut config = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(tls_error)?
            .with_root_certificates(self.roots()?)
            .with_client_auth_cert(vec![self.certificate.clone()], self.private_key())
            .map_err(tls_error)?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(config)
    }

    fn roots(&self) -> Result<Arc<RootCertStore>, RpcError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone()).map_err(tls_error)?;
        Ok(Arc::new(roots))
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.clone_key())
    }

    /// An identity whose own certificate is of another authority than the one it believes.
    #[cfg(test)]
    pub(super) fn believing(mut self, other: &ClusterAuthority) -> Identity {
        self.authority = CertificateDer::from_pem_slice(other.pem.as_bytes()).expect("a certificate");
        self
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn tls_error(error: rustls::Error) -> RpcError {
    RpcError::Tls(error.to_string())
}

fn broken(path: &Path, reason: &dyn std::fmt::Display) -> RpcError {
    RpcError::Identity { path: path.display().to_string(), reason: reason.to_string() }
}

fn read_certificate(path: &Path) -> Result<CertificateDer<'static>, RpcError> {
    CertificateDer::from_pem_file(path).map_err(|error| broken(path, &error))
}

/// Readable by its owner alone, and either there whole or not at all.
fn write_new(path: &Path, content: &[u8]) -> Result<(), RpcError> {
    let staged = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&staged)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&staged, path)?;
        path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    };
    write().map_err(|error| broken(path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn identity_is_made_once_and_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let (ca, node) = (directory.path().join("ca"), directory.path().join("node"));
        let make = || {
            let authority = ClusterAuthority::load_or_create(&ca).unwrap();
            Identity::load_or_create(&node, &authority, NodeId(1), &Random::system()).unwrap()
        };
        let (first, second) = (make(), make());
        assert_eq!(first.certificate, second.certificate);
        assert_eq!((first.reset_key, first.connection_id_key), (second.reset_key, second.connection_id_key));
        second.server_config().unwrap();
        second.client_config().unwrap();
        for secret in [ca.join("ca-key.pem"), node.join("node-key.pem"), node.join("transport.key")] {
            assert_eq!(std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600, "{secret:?}");
        }
    }

    #[test]
    fn damaged_files_are_named() {
        for file in ["node.pem", "node-key.pem", "transport.key"] {
            let directory = tempfile::tempdir().unwrap();
            let authority = ClusterAuthority::load_or_create(directory.path()).unwrap();
            let load = || Identity::load_or_create(directory.path(), &authority, NodeId(1), &Random::system());
            load().unwrap();
            std::fs::write(directory.path().join(file), b"garbage").unwrap();
            let error = load().err().unwrap().to_string();
            assert!(error.contains(file), "{error}");
        }
    }
}
