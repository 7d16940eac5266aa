//! Verifies the client certificates that callers of the webhook have to present, where a client CA is configured.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{CertError, provider};

/// The error text while no authority is loaded.
const NO_AUTHORITY: &str = "no client CA is loaded";

/// Verifies callers by authorities that are replaced while serving. Without any, every caller is refused.
#[derive(Debug)]
pub struct Clients {
    verifier: ArcSwapOption<Verifier>,
    /// The common names that are accepted; empty for all.
    names: Vec<String>,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
struct Verifier(Arc<dyn ClientCertVerifier>);

/// The reason for which a caller is refused because of its certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientFailure {
    /// It presents no certificate.
    Missing,
    /// No client CA that is loaded signed it, or it is not for clients.
    Untrusted,
    /// It is expired, or not valid yet.
    Expired,
    /// Its common name is not one of those that are accepted.
    Name,
    /// No client CA is loaded.
    NoAuthority,
}

// === impl Clients ===

impl Clients {
    /// Accepts the common names of `names`, or all where there are none, once an authority is loaded.
    pub fn new(names: Vec<String>) -> Arc<Self> {
        let algorithms = provider().signature_verification_algorithms;
        Arc::new(Self { verifier: ArcSwapOption::empty(), names, algorithms })
    }

    /// Trusts the certificates of `pem`, which came from `file`, and no others from the next handshake on. Returns how many.
    pub fn trust(&self, file: &Path, pem: &[u8]) -> Result<usize, CertError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate
                .map_err(|error| CertError::MalformedPem { file: file.into(), reason: error.to_string() })?;
            let malformed = |error: Error| CertError::MalformedCertificate {
                file: file.into(),
                reason: error.to_string(),
            };
            roots.add(certificate).map_err(malformed)?;
        }
        if roots.is_empty() {
            return Err(CertError::NoCertificate { file: file.into() });
        }
        let count = roots.len();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(provider()))
            .build()
            .expect("there are roots, and no revocation lists that could be malformed");
        self.verifier.store(Some(Arc::new(Verifier(verifier))));
        Ok(count)
    }

    /// Whether an authority is loaded.
    pub fn is_loaded(&self) -> bool {
        self.verifier.load().is_some()
    }

    fn accepts_name_of(&self, certificate: &CertificateDer<'_>) -> Result<bool, Error> {
        if self.names.is_empty() {
            return Ok(true);
        }
        let (_, certificate) = X509Certificate::from_der(certificate)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let mut names = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        Ok(names.any(|name| self.names.iter().any(|accepted| accepted == name)))
    }
}

impl ClientCertVerifier for Clients {
    /// None: a client whose certificate another CA signed sends it all the same, and is refused as untrusted. With hints,
    /// Go's client sends none, and it would look as if it had none.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verifier = self.verifier.load();
        let Some(Verifier(inner)) = verifier.as_deref() else {
            return Err(Error::General(NO_AUTHORITY.into()));
        };
        let proof = inner.verify_client_cert(end_entity, intermediates, now)?;
        if self.accepts_name_of(end_entity)? {
            Ok(proof)
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

// === impl ClientFailure ===

impl ClientFailure {
    /// Every reason, in the order of the declaration.
    pub const ALL: [Self; 5] = [Self::Missing, Self::Untrusted, Self::Expired, Self::Name, Self::NoAuthority];

    /// Returns the reason of a failed handshake, if the caller's certificate caused it.
    pub fn of(error: &Error) -> Option<Self> {
        Some(match error {
            Error::NoCertificatesPresented => Self::Missing,
            Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure) => Self::Name,
            Error::InvalidCertificate(
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. },
            ) => Self::Expired,
            Error::InvalidCertificate(_) => Self::Untrusted,
            Error::General(text) if text == NO_AUTHORITY => Self::NoAuthority,
            _ => return None,
        })
    }

    /// The name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Untrusted => "untrusted",
            Self::Expired => "expired",
            Self::Name => "name",
            Self::NoAuthority => "no_ca",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    };

    use super::*;
    use crate::certs::tests::NOW;

    struct Authority(CertifiedIssuer<'static, KeyPair>);

    impl Authority {
        fn new() -> Self {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
        }

        fn client(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> CertificateDer<'static> {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            params.extended_key_usages = vec![usage];
            params.not_before = NOW - time::Duration::DAY;
            params.not_after = NOW + time::Duration::DAY;
            params.signed_by(&KeyPair::generate().unwrap(), &self.0).unwrap().der().clone()
        }
    }

    const FILE: &str = "ca.crt";

    /// Returns the reason for which `clients` refuse a certificate, `days` from now.
    fn refusal(clients: &Clients, certificate: &CertificateDer<'_>, days: u64) -> Option<ClientFailure> {
        let now = u64::try_from(NOW.unix_timestamp()).unwrap() + days * 24 * 60 * 60;
        let verified = clients.verify_client_cert(
            certificate,
            &[],
            UnixTime::since_unix_epoch(Duration::from_secs(now)),
        );
        verified.err().map(|error| ClientFailure::of(&error).unwrap())
    }

    #[test]
    fn accepts_what_its_authority_signed_for_clients_and_nothing_else() {
        let (ours, other) = (Authority::new(), Authority::new());
        let certificate = ours.client("kube-apiserver", ExtendedKeyUsagePurpose::ClientAuth);
        let clients = Clients::new(Vec::new());
        assert_eq!(refusal(&clients, &certificate, 0), Some(ClientFailure::NoAuthority));
        assert!(!clients.is_loaded());
        assert_eq!(clients.trust(FILE.as_ref(), ours.0.pem().as_bytes()).unwrap(), 1);
        assert_eq!(refusal(&clients, &certificate, 0), None);
        assert_eq!(refusal(&clients, &certificate, 2), Some(ClientFailure::Expired));
        let server = ours.client("kube-apiserver", ExtendedKeyUsagePurpose::ServerAuth);
        assert_eq!(refusal(&clients, &server, 0), Some(ClientFailure::Untrusted));
        let others = other.client("kube-apiserver", ExtendedKeyUsagePurpose::ClientAuth);
        assert_eq!(refusal(&clients, &others, 0), Some(ClientFailure::Untrusted));
        // Replaced, like a client CA that is rotated.
        clients.trust(FILE.as_ref(), other.0.pem().as_bytes()).unwrap();
        assert_eq!(refusal(&clients, &others, 0), None);
        assert_eq!(refusal(&clients, &certificate, 0), Some(ClientFailure::Untrusted));
    }

    #[test]
    fn accepts_the_names_that_are_named() {
        let ours = Authority::new();
        let clients = Clients::new(vec!["kube-apiserver".into(), "other".into()]);
        clients.trust(FILE.as_ref(), ours.0.pem().as_bytes()).unwrap();
        let of = |name| refusal(&clients, &ours.client(name, ExtendedKeyUsagePurpose::ClientAuth), 0);
        assert_eq!(of("kube-apiserver"), None);
        assert_eq!(of("system:node:worker"), Some(ClientFailure::Name));
    }

    #[test]
    fn what_holds_no_authority_changes_nothing() {
        let ours = Authority::new();
        let clients = Clients::new(Vec::new());
        clients.trust(FILE.as_ref(), ours.0.pem().as_bytes()).unwrap();
        for (text, expected) in [
            ("", "ca.crt holds no PEM certificate"),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                "ca.crt holds a certificate that cannot be read: ",
            ),
        ] {
            let error = clients.trust(FILE.as_ref(), text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        let certificate = ours.client("kube-apiserver", ExtendedKeyUsagePurpose::ClientAuth);
        assert_eq!(refusal(&clients, &certificate, 0), None);
    }
}
