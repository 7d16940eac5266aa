//! Authorities as others see them: certificates in a bundle, and what they vouch for.

use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::certs::pair::{ServingPair, is_ours};
use crate::certs::provider;

/// The certificate of an authority.
#[derive(Clone, Debug)]
pub(super) struct Authority {
    der: CertificateDer<'static>,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
    public_key: Vec<u8>,
    is_ours: bool,
}

// === impl Authority ===

impl Authority {
    /// The authorities in a PEM text, in its order. `None` where a part of it cannot be read.
    pub(super) fn all_in(text: &[u8]) -> Option<Vec<Self>> {
        CertificateDer::pem_slice_iter(text).map(|der| Self::read(der.ok()?)).collect()
    }

    /// The same for a text that others write: what cannot be read is passed over.
    pub(super) fn readable_in(text: &[u8]) -> Vec<Self> {
        CertificateDer::pem_slice_iter(text).map_while(Result::ok).filter_map(Self::read).collect()
    }

    fn read(der: CertificateDer<'static>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der.as_ref()).ok()?;
        let not_before = certificate.validity().not_before.to_datetime();
        let not_after = certificate.validity().not_after.to_datetime();
        let public_key = certificate.public_key().raw.to_vec();
        let is_ours = is_ours(certificate.subject()) && certificate.is_ca();
        Some(Self { der, not_before, not_after, public_key, is_ours })
    }

    /// Whether we made it.
    pub(super) fn is_ours(&self) -> bool {
        self.is_ours
    }

    pub(super) fn not_before(&self) -> OffsetDateTime {
        self.not_before
    }

    pub(super) fn not_after(&self) -> OffsetDateTime {
        self.not_after
    }

    pub(super) fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    pub(super) fn is_valid_at(&self, now: OffsetDateTime) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }

    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.der == other.der
    }

    /// Whether it signed the pair, and the pair speaks for `name`: what a client asks, but for the time.
    pub(super) fn vouches_for(&self, pair: &ServingPair, name: &ServerName<'_>) -> bool {
        let mut roots = RootCertStore::empty();
        // What cannot be a root vouches for nothing.
        if roots.add(self.der.clone()).is_err() {
            return false;
        }
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(provider())).build();
        let at = u64::try_from(pair.not_before().unix_timestamp()).unwrap_or(0);
        let at = UnixTime::since_unix_epoch(Duration::from_secs(at));
        verifier
            .is_ok_and(|verifier| verifier.verify_server_cert(pair.certificate(), &[], name, &[], at).is_ok())
    }

    /// As PEM, always the same for the same certificate.
    pub(super) fn to_pem(&self) -> String {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(&self.der);
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        for line in text.as_bytes().chunks(64) {
            pem.push_str(str::from_utf8(line).expect("base64 is ASCII"));
            pem.push('\n');
        }
        pem + "-----END CERTIFICATE-----\n"
    }
}
