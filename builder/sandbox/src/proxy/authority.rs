//! The certificate authority of one build. What build commands fetch over TLS is read and recorded on its way: the proxy
//! shows them a certificate of this authority, and checks the origin's own against those that the machine trusts.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// An authority that lives as long as a build. Its key never leaves this process.
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
    /// The key of all certificates that it gives out.
    key: KeyPair,
    shown: Mutex<BTreeMap<String, Arc<ServerConfig>>>,
    pub(super) client: Arc<ClientConfig>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes one. `trusted` are the certificates of the authorities that the machine trusts, in PEM; what is no
    /// certificate among them is passed over, as other programs do. Fails when none is left.
    pub fn new(trusted: &[u8]) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(CertificateDer::pem_slice_iter(trusted).flatten());
        if added == 0 {
            return Err(io::Error::other("no certificate authority is trusted on this machine"));
        }
        let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let own = KeyPair::generate().map_err(io::Error::other)?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "lapstrake: one build");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&own).map_err(io::Error::other)?.pem();
        Ok(Self {
            certificate,
            issuer: Issuer::new(params, own),
            key: KeyPair::generate().map_err(io::Error::other)?,
            shown: Mutex::default(),
            client: Arc::new(client),
        })
    }

    /// The authority's own certificate, in PEM, for commands to trust.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// How the proxy speaks TLS in the place of a host.
    pub(super) fn in_place_of(&self, host: &str) -> io::Result<Arc<ServerConfig>> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = shown.get(host) {
            return Ok(Arc::clone(config));
        }
        let mut params = CertificateParams::new(vec![host.to_owned()]).map_err(io::Error::other)?;
        params.distinguished_name.push(DnType::CommonName, "lapstrake proxy");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&self.key, &self.issuer).map_err(io::Error::other)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .map_err(io::Error::other)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let config = Arc::new(config);
        shown.insert(host.to_owned(), Arc::clone(&config));
        Ok(config)
    }
}
