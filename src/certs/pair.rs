//! A certificate chain with its key, checked so far that a handshake can only fail for the client's reasons.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error as TlsError, InconsistentKeys};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};

use super::{CertError, generate, provider};

/// A certificate chain and the key of its first certificate.
pub struct ServingPair {
    key: Arc<CertifiedKey>,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
    names: Names,
    made_here: bool,
}

/// Whom a certificate speaks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// DNS names, in the order of the certificate; `*.example.org` stands as it is.
    pub dns: Vec<String>,
    /// IP addresses, in the order of the certificate.
    pub addresses: Vec<IpAddr>,
}

// === impl ServingPair ===

impl ServingPair {
    /// Reads a PEM chain and its PEM key. The two paths are only what errors name.
    ///
    /// Says whether the two belong together, but not whether they are valid now: see [`Self::check_time`].
    pub fn from_pem(chain: (&Path, &[u8]), key: (&Path, &[u8])) -> Result<Self, CertError> {
        let (chain_file, chain) = chain;
        let (key_file, key) = key;
        let chain = read_chain(chain_file, chain)?;
        let key = read_key(key_file, key)?;
        let facts = Facts::read(chain_file, &chain[0])?;
        let key = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            TlsError::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                CertError::KeyMismatch { certificate: chain_file.into(), key: key_file.into() }
            }
            source => CertError::UnusableKey { file: key_file.into(), source },
        })?;
        let Facts { not_before, not_after, names, made_here } = facts;
        Ok(Self { key: Arc::new(key), not_before, not_after, names, made_here })
    }

    /// Refuses a pair whose time is over or has not come; `file` is what the error names.
    pub fn check_time(&self, file: &Path, now: OffsetDateTime) -> Result<(), CertError> {
        if now > self.not_after {
            return Err(CertError::Expired { file: file.into(), on: in_utc(self.not_after) });
        }
        if now < self.not_before {
            return Err(CertError::NotYetValid { file: file.into(), from: in_utc(self.not_before) });
        }
        Ok(())
    }

    /// Why a client whose clock shows `now` does not accept the certificate, if its time is why.
    pub fn untimely_at(&self, now: OffsetDateTime) -> Option<String> {
        if now > self.not_after {
            return Some(format!("it has expired on {}", in_utc(self.not_after)));
        }
        (now < self.not_before)
            .then(|| format!("it is not valid before {}, by this machine's clock", in_utc(self.not_before)))
    }

    /// Whether a client whose clock shows `now` may accept the certificate.
    pub fn is_valid_at(&self, now: OffsetDateTime) -> bool {
        self.untimely_at(now).is_none()
    }

    /// The last moment at which the certificate is valid.
    pub fn not_after(&self) -> OffsetDateTime {
        self.not_after
    }

    /// The first moment at which the certificate is valid.
    pub(super) fn not_before(&self) -> OffsetDateTime {
        self.not_before
    }

    /// The server's own certificate.
    pub(super) fn certificate(&self) -> &CertificateDer<'static> {
        &self.key.cert[0]
    }

    /// Whom the certificate speaks for.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Whether a client would be shown the same certificates.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.key.cert == other.key.cert
    }

    /// Whether [`generate`] made the certificate, so that it may be made again.
    pub fn made_here(&self) -> bool {
        self.made_here
    }

    /// What a handshake presents.
    pub(super) fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }
}

/// Without the key: this ends up in logs.
impl fmt::Debug for ServingPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key: _, not_before, not_after, names, made_here } = self;
        f.debug_struct("ServingPair")
            .field("not_before", not_before)
            .field("not_after", not_after)
            .field("names", names)
            .field("made_here", made_here)
            .finish_non_exhaustive()
    }
}

/// What the program wants to know of a certificate.
struct Facts {
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
    names: Names,
    made_here: bool,
}

impl Facts {
    fn read(file: &Path, certificate: &CertificateDer<'_>) -> Result<Self, CertError> {
        let malformed = |reason: String| CertError::MalformedCertificate { file: file.to_path_buf(), reason };
        let (_, certificate) =
            X509Certificate::from_der(certificate).map_err(|error| malformed(error.to_string()))?;
        let names = certificate.subject_alternative_name().map_err(|error| malformed(error.to_string()))?;
        Ok(Self {
            not_before: certificate.validity().not_before.to_datetime(),
            not_after: certificate.validity().not_after.to_datetime(),
            names: names.map(|names| Names::read(&names.value.general_names)).unwrap_or_default(),
            made_here: is_ours(certificate.issuer()),
        })
    }
}

// === impl Names ===

impl Names {
    fn read(general: &[GeneralName<'_>]) -> Self {
        let mut names = Self::default();
        for name in general {
            match name {
                GeneralName::DNSName(name) => names.dns.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => names.addresses.extend(address(bytes)),
                _ => {}
            }
        }
        names
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(v4.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

fn read_chain(file: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertError> {
    let chain = CertificateDer::pem_slice_iter(text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| malformed_pem(file, &error))?;
    if chain.is_empty() {
        return Err(CertError::NoCertificate { file: file.into() });
    }
    Ok(chain)
}

fn read_key(file: &Path, text: &[u8]) -> Result<PrivateKeyDer<'static>, CertError> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound => CertError::NoKey { file: file.into() },
        error => malformed_pem(file, &error),
    })
}

/// The library prints lines as lists of numbers, and a line of a key file belongs in no message.
fn malformed_pem(file: &Path, error: &pem::Error) -> CertError {
    let reason = match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            format!("the line \"-----END {}-----\" is missing", String::from_utf8_lossy(end_marker))
        }
        pem::Error::IllegalSectionStart { .. } => {
            "a line that starts with -----BEGIN does not end in -----".into()
        }
        error => error.to_string(),
    };
    CertError::MalformedPem { file: file.into(), reason }
}

/// Whether the first certificate of a PEM text names an authority that [`generate`] made.
pub(super) fn is_our_authority(text: &[u8]) -> bool {
    CertificateDer::from_pem_slice(text).is_ok_and(|certificate| {
        X509Certificate::from_der(&certificate).is_ok_and(|(_, certificate)| is_ours(certificate.subject()))
    })
}

pub(super) fn is_ours(authority: &X509Name<'_>) -> bool {
    authority
        .iter_organization()
        .any(|organization| organization.as_str().is_ok_and(|name| name == generate::ORGANIZATION))
}

pub(super) fn in_utc(moment: OffsetDateTime) -> String {
    moment.format(&Rfc3339).unwrap_or_else(|_| moment.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certs::tests::{NOW, told, users_pair};

    fn read(certificate: &str, key: &str) -> Result<ServingPair, CertError> {
        let at = Path::new("DIR");
        ServingPair::from_pem(
            (&at.join("tls.crt"), certificate.as_bytes()),
            (&at.join("tls.key"), key.as_bytes()),
        )
    }

    #[test]
    fn knows_whom_a_certificate_speaks_for_and_until_when() {
        let names = Names::of_service("chartgate", "chartgate-system").and_address([10, 0, 0, 7].into());
        let made = generate::make(&names, NOW).unwrap();
        let pair = read(&made.certificate, &made.key).unwrap();
        assert_eq!(*pair.names(), names);
        assert_eq!(pair.not_after(), NOW + generate::LIFETIME);
        assert!(pair.made_here());
    }

    #[test]
    fn takes_a_users_certificate_for_a_users() {
        let (certificate, key) = users_pair();
        assert!(!read(&certificate, &key).unwrap().made_here());
    }

    #[test]
    fn a_file_without_a_certificate_is_named() {
        let (_, key) = users_pair();
        let error = read("nothing here\n", &key).unwrap_err();
        assert!(matches!(error, CertError::NoCertificate { .. }));
        assert_eq!(told(&error, Path::new("DIR")), "DIR/tls.crt holds no PEM certificate");
    }

    #[test]
    fn a_truncated_certificate_is_named() {
        let (certificate, key) = users_pair();
        let error = read(&certificate[..certificate.len() / 2], &key).unwrap_err();
        assert!(matches!(error, CertError::MalformedPem { .. }));
        assert_eq!(
            told(&error, Path::new("DIR")),
            "DIR/tls.crt is not valid PEM: the line \"-----END CERTIFICATE-----\" is missing"
        );
    }

    #[test]
    fn a_block_that_is_no_certificate_is_named() {
        let (_, key) = users_pair();
        let error = read("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &key).unwrap_err();
        assert!(matches!(error, CertError::MalformedCertificate { .. }));
        assert!(
            error.to_string().starts_with("DIR/tls.crt holds a certificate that cannot be read: "),
            "{error}"
        );
    }

    #[test]
    fn a_file_without_a_key_is_named() {
        let (certificate, _) = users_pair();
        let error = read(&certificate, &certificate).unwrap_err();
        assert!(matches!(error, CertError::NoKey { .. }));
        assert_eq!(
            told(&error, Path::new("DIR")),
            "DIR/tls.key holds no PEM private key (an encrypted one cannot be used)"
        );
    }

    #[test]
    fn a_key_that_cannot_sign_is_named() {
        let (certificate, _) = users_pair();
        let error =
            read(&certificate, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap_err();
        assert!(matches!(error, CertError::UnusableKey { .. }));
        assert!(
            told(&error, Path::new("DIR"))
                .starts_with("DIR/tls.key holds a private key that cannot be used: ")
        );
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let (certificate, _) = users_pair();
        let (_, key) = users_pair();
        let error = read(&certificate, &key).unwrap_err();
        assert!(matches!(error, CertError::KeyMismatch { .. }));
        assert_eq!(
            told(&error, Path::new("DIR")),
            "DIR/tls.key is not the key of the first certificate in DIR/tls.crt: replace both by one pair, the \
             server's own certificate first"
        );
    }

    #[test]
    fn an_expired_certificate_is_refused_from_the_next_second_on() {
        let (certificate, key) = users_pair();
        let pair = read(&certificate, &key).unwrap();
        let file = Path::new("DIR/tls.crt");
        assert!(pair.check_time(file, pair.not_after()).is_ok());
        let error = pair.check_time(file, pair.not_after() + time::Duration::SECOND).unwrap_err();
        assert!(matches!(error, CertError::Expired { .. }));
        assert_eq!(
            error.to_string(),
            "the certificate in DIR/tls.crt expired on 2026-11-27T12:00:00Z: put a valid pair in its place"
        );
    }

    #[test]
    fn a_certificate_of_the_future_is_refused_until_its_time_comes() {
        let (certificate, key) = users_pair();
        let pair = read(&certificate, &key).unwrap();
        let from = NOW - time::Duration::days(5);
        let file = Path::new("DIR/tls.crt");
        assert!(pair.check_time(file, from).is_ok());
        let error = pair.check_time(file, from - time::Duration::SECOND).unwrap_err();
        assert!(matches!(error, CertError::NotYetValid { .. }));
        assert_eq!(
            error.to_string(),
            "the certificate in DIR/tls.crt is not valid before 2026-11-17T12:00:00Z: put a valid pair in its place, \
             or set the clock"
        );
    }

    #[test]
    fn a_pair_in_a_log_shows_no_key() {
        let (certificate, key) = users_pair();
        let shown = format!("{:?}", read(&certificate, &key).unwrap());
        assert!(shown.contains("webhook.example.org") && !shown.contains("key"), "{shown}");
    }
}
