//! Who belongs to a cluster: an authority made once, and a certificate for each node that it signed.
//!
//! Both sides of every connection show a certificate of an authority that the other believes: one, and two while a new one
//! takes over (docs/decisions/0035-certificates-in-turn.md). Certificates do not expire: a node leaves the cluster by the
//! cluster map, and a stolen key is answered by a new authority.
//!
//! A certificate that was given for a token (`admission`) is for one role. It says so by a second name, and one for a compute,
//! whom nobody calls, is good for clients alone. Certificates that `drumlin cluster up` makes are for any role.
//!
//! The node also keeps the two keys with which QUIC tells old clients, after a restart, that their connection is gone
//! (`transport.key`): without them a restarted node stays silent to them until they time out.

use super::{JoinToken, NodeRole, RpcError};
use crate::env::Random;
use crate::id::NodeId;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm,
};
use rustls::RootCertStore;
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
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
const AUTHORITY_KEY: &str = "ca-key.pem";
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
    /// Reads the authority kept in `directory`.
    pub fn load(directory: &Path) -> Result<ClusterAuthority, RpcError> {
        let (certificate_path, key_path) = (directory.join(AUTHORITY_CERTIFICATE), directory.join(AUTHORITY_KEY));
        let read_text = |path: &Path| std::fs::read_to_string(path).map_err(|error| broken(path, &error));
        let pem = read_text(&certificate_path)?;
        read_certificates(&certificate_path)?;
        let key = KeyPair::from_pem(&read_text(&key_path)?).map_err(|error| broken(&key_path, &error))?;
        Ok(ClusterAuthority { pem, key })
    }

    /// Reads the authority kept in `directory`, or makes one there.
    pub fn load_or_create(directory: &Path) -> Result<ClusterAuthority, RpcError> {
        let (certificate_path, key_path) = (directory.join(AUTHORITY_CERTIFICATE), directory.join(AUTHORITY_KEY));
        if certificate_path.exists() {
            return ClusterAuthority::load(directory);
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

    /// Has the node of this directory believe these, and nobody else. What it shows stays as it is.
    pub fn believe(directory: &Path, authorities: &[&ClusterAuthority]) -> Result<(), RpcError> {
        let all: String = authorities.iter().map(|authority| authority.pem.as_str()).collect();
        write_new(&directory.join(AUTHORITY_CERTIFICATE), all.as_bytes())
    }

    /// Gives the node of this directory a new key, and a certificate for it. Whom it believes stays as it is.
    pub fn renew(&self, directory: &Path, node: NodeId) -> Result<(), RpcError> {
        let path = directory.join(NODE_CERTIFICATE);
        let key = KeyPair::generate().map_err(|error| broken(&path, &error))?;
        let certificate = self.sign(node, &key).map_err(|error| broken(&path, &error))?;
        // In one file, so that there is no moment in which one does not fit the other.
        write_new(&path, (certificate.pem() + &key.serialize_pem()).as_bytes())?;
        match std::fs::remove_file(directory.join(NODE_KEY)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(broken(&directory.join(NODE_KEY), &error)),
            _ => Ok(()),
        }
    }

    fn sign(&self, node: NodeId, node_key: &KeyPair) -> Result<rcgen::Certificate, rcgen::Error> {
        node_params(node, None)?.signed_by(node_key, &Issuer::new(authority_params()?, &self.key))
    }

    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// For a node of this role, whose public key is this point of P-256. PEM.
    pub(super) fn admit(&self, node: NodeId, role: NodeRole, public_key: &[u8]) -> Result<String, rcgen::Error> {
        let issuer = Issuer::new(authority_params()?, &self.key);
        Ok(node_params(node, Some(role))?.signed_by(&PublicKey(public_key), &issuer)?.pem())
    }

    /// For a server of this name that is no node: its certificate with the authority's behind it, and its key.
    pub(super) fn server_certificate(&self, name: &str) -> Result<(Vec<CertificateDer<'static>>, KeyPair), RpcError> {
        let failed = |error: &dyn std::fmt::Display| RpcError::Tls(error.to_string());
        let sign = || {
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::new(vec![name.to_owned()])?;
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            let certificate = params.signed_by(&key, &Issuer::new(authority_params()?, &self.key))?;
            Ok::<_, rcgen::Error>((certificate, key))
        };
        let (certificate, key) = sign().map_err(|error| failed(&error))?;
        let authority = CertificateDer::from_pem_slice(self.pem.as_bytes()).map_err(|error| failed(&error))?;
        Ok((vec![certificate.der().clone(), authority], key))
    }

    /// A token with which a node finds this authority, and nobody else.
    pub fn draw_token(&self, random: &Random) -> Result<JoinToken, RpcError> {
        let certificate = CertificateDer::from_pem_slice(self.pem.as_bytes());
        let certificate = certificate.map_err(|error| RpcError::Tls(error.to_string()))?;
        Ok(JoinToken::draw(&certificate, random))
    }
}

fn node_params(node: NodeId, role: Option<NodeRole>) -> Result<CertificateParams, rcgen::Error> {
    let names = [Some(CLUSTER_NAME.to_owned()), role.map(role_name)];
    let mut params = CertificateParams::new(names.into_iter().flatten().collect::<Vec<_>>())?;
    params.distinguished_name.push(DnType::CommonName, format!("drumlin node {node}"));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = match role {
        Some(NodeRole::Compute) => vec![ExtendedKeyUsagePurpose::ClientAuth],
        _ => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
    };
    Ok(params)
}

/// A key that somebody else has.
struct PublicKey<'k>(&'k [u8]);

impl PublicKeyData for PublicKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

fn role_name(role: NodeRole) -> String {
    format!("{role}.drumlin.internal")
}

/// The one role that a certificate is for; `None`: any.
pub(super) fn role_of(certificate: &CertificateDer<'_>) -> Option<NodeRole> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    let carries = |role: &NodeRole| {
        ServerName::try_from(role_name(*role)).is_ok_and(|name| verify_server_name(&parsed, &name).is_ok())
    };
    NodeRole::ALL.into_iter().find(carries)
}

pub(super) fn has_identity(directory: &Path) -> bool {
    directory.join(NODE_CERTIFICATE).exists()
}

/// Makes the directory, with what a node needs besides its certificate.
pub(super) fn prepare(directory: &Path, random: &Random) -> Result<(), RpcError> {
    std::fs::create_dir_all(directory).map_err(|error| broken(directory, &error))?;
    let mut transport_key = [0; TRANSPORT_KEY_BYTES];
    random.fill(&mut transport_key);
    write_new(&directory.join(TRANSPORT_KEY), &transport_key)
}

/// Puts a certificate that was given, with its key, into a directory that was prepared.
pub(super) fn receive(directory: &Path, authority: &str, certificate: &str, key: &KeyPair) -> Result<(), RpcError> {
    write_new(&directory.join(AUTHORITY_CERTIFICATE), authority.as_bytes())?;
    write_new(&directory.join(NODE_CERTIFICATE), (certificate.to_owned() + &key.serialize_pem()).as_bytes())
}

fn authority_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "drumlin cluster authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// What a node shows to its peers, whom it believes, and its transport keys. Its directory holds a copy of the
/// authorities' certificates, not their keys: a node cannot make others.
pub struct Identity {
    authorities: Vec<CertificateDer<'static>>,
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
        if !certificate_path.exists() {
            let key = KeyPair::generate().map_err(|error| broken(&key_path, &error))?;
            let certificate = authority.sign(node, &key).map_err(|error| broken(&certificate_path, &error))?;
            prepare(directory, random)?;
            write_new(&key_path, key.serialize_pem().as_bytes())?;
            write_new(&directory.join(AUTHORITY_CERTIFICATE), authority.pem.as_bytes())?;
            write_new(&certificate_path, certificate.pem().as_bytes())?;
        }
        Identity::load(directory)
    }

    /// Reads the identity that was made in `directory`.
    pub fn load(directory: &Path) -> Result<Identity, RpcError> {
        let (certificate_path, transport_path) = (directory.join(NODE_CERTIFICATE), directory.join(TRANSPORT_KEY));
        let transport_key = std::fs::read(&transport_path).map_err(|error| broken(&transport_path, &error))?;
        let transport_key: [u8; TRANSPORT_KEY_BYTES] =
            transport_key.try_into().map_err(|_| broken(&transport_path, &"it has the wrong length"))?;
        let (reset_key, connection_id_key) = transport_key.split_at(RESET_KEY_BYTES);
        let certificate = std::fs::read(&certificate_path).map_err(|error| broken(&certificate_path, &error))?;
        // A certificate that was renewed has its key behind it.
        let key = match PrivatePkcs8KeyDer::from_pem_slice(&certificate) {
            Ok(key) => key,
            Err(_) => {
                let key_path = directory.join(NODE_KEY);
                PrivatePkcs8KeyDer::from_pem_file(&key_path).map_err(|error| broken(&key_path, &error))?
            }
        };
        let certificate =
            CertificateDer::from_pem_slice(&certificate).map_err(|error| broken(&certificate_path, &error))?;
        Ok(Identity {
            authorities: read_certificates(&directory.join(AUTHORITY_CERTIFICATE))?,
            certificate,
            key,
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
        for authority in &self.authorities {
            roots.add(authority.clone()).map_err(tls_error)?;
        }
        Ok(Arc::new(roots))
    }

    /// The one role that it may have; `None`: any.
    pub fn role(&self) -> Option<NodeRole> {
        role_of(&self.certificate)
    }

    /// Stands for what it shows and whom it believes: another one after every change.
    pub fn fingerprint(&self) -> String {
        let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
        digest.update(&self.certificate);
        self.authorities.iter().for_each(|authority| digest.update(authority));
        digest.finish().as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.clone_key())
    }

    /// An identity whose own certificate is of another authority than the one it believes.
    #[cfg(test)]
    pub(super) fn believing(mut self, other: &ClusterAuthority) -> Identity {
        self.authorities = vec![CertificateDer::from_pem_slice(other.pem.as_bytes()).expect("a certificate")];
        self
    }
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

pub(super) fn tls_error(error: rustls::Error) -> RpcError {
    RpcError::Tls(error.to_string())
}

fn broken(path: &Path, reason: &dyn std::fmt::Display) -> RpcError {
    RpcError::Identity { path: path.display().to_string(), reason: reason.to_string() }
}

/// One at least.
fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, RpcError> {
    let all = CertificateDer::pem_file_iter(path).and_then(|found| found.collect::<Result<Vec<_>, _>>());
    let all = all.map_err(|error| broken(path, &error))?;
    if all.is_empty() { Err(broken(path, &"it holds no certificate")) } else { Ok(all) }
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
    fn a_renewed_identity_is_another_one_and_keeps_its_transport_keys() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let (old, new) = (
            ClusterAuthority::load_or_create(&path("old")).unwrap(),
            ClusterAuthority::load_or_create(&path("new")).unwrap(),
        );
        let node = path("node");
        let first = Identity::load_or_create(&node, &old, NodeId(1), &Random::system()).unwrap();
        ClusterAuthority::believe(&node, &[&old, &new]).unwrap();
        let believing = Identity::load(&node).unwrap();
        assert_eq!((believing.authorities.len(), &believing.certificate), (2, &first.certificate));
        new.renew(&node, NodeId(1)).unwrap();
        assert!(!node.join(NODE_KEY).exists());
        let renewed = Identity::load(&node).unwrap();
        assert_ne!(renewed.certificate, first.certificate);
        assert_eq!((renewed.reset_key, renewed.connection_id_key), (first.reset_key, first.connection_id_key));
        renewed.server_config().unwrap();
        renewed.client_config().unwrap();
        let fingerprints = [first, believing, renewed].map(|identity| identity.fingerprint());
        assert!(fingerprints[0] != fingerprints[1] && fingerprints[1] != fingerprints[2], "{fingerprints:?}");
        // Again, as after a rotation that was cut short.
        new.renew(&node, NodeId(1)).unwrap();
        Identity::load(&node).unwrap().server_config().unwrap();
        assert_eq!(std::fs::metadata(node.join(NODE_CERTIFICATE)).unwrap().permissions().mode() & 0o777, 0o600);
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
