//! Throw-away certificates for servers on the loopback address.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};

/// A certificate and the authority that signed it, all as PEM.
pub(crate) struct Identity {
    /// What clients trust.
    pub(crate) authority: String,
    /// What the server shows.
    pub(crate) certificate: String,
    /// The server's secret.
    pub(crate) key: String,
}

// === impl Identity ===

impl Identity {
    /// Makes a new authority and has it sign one certificate for the loopback address.
    pub(crate) fn generate() -> Self {
        Self::for_names(&["127.0.0.1", "localhost"])
    }

    /// The same for other names.
    pub(crate) fn for_names(names: &[&str]) -> Self {
        let mut authority = CertificateParams::default();
        authority.distinguished_name.push(DnType::CommonName, "chartgate test authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority =
            CertifiedIssuer::self_signed(authority, new_key()).expect("the parameters above are complete");
        let key = new_key();
        let certificate = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>())
            .and_then(|leaf| leaf.signed_by(&key, &authority))
            .expect("the names above are valid");
        Self { authority: authority.pem(), certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

/// A new ECDSA P-256 key.
pub(crate) fn new_key() -> KeyPair {
    KeyPair::generate().expect("the random source works")
}
