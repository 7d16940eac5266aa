//! The certificate that the server presents: read from files, made where there is none, replaced while serving.
//!
//! - [`clients`] verifies the certificates of callers, where that is asked for.
//! - [`directory`] knows the three files, `ca.crt`, `tls.crt` and `tls.key`, and never overwrites a user's.
//! - [`generate`] makes an authority and a server certificate.
//! - [`pair`] turns PEM text into a certificate with its key, or says what is wrong with it.
//! - [`reload`] notices changed files and swaps the certificate under the open listener.
//! - [`shared`] decides what becomes of a set that several servers share, and when each of them takes it up.

pub mod clients;
pub mod directory;
mod files;
pub mod generate;
pub mod pair;
pub mod reload;
pub mod shared;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use thiserror::Error;

pub use clients::{ClientFailure, Clients};
pub use pair::ServingPair;

/// Why a certificate cannot be served, or could not be made.
///
/// The text names the file and says what to do about it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CertError {
    /// A file is there but cannot be read.
    #[error("cannot read {}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of a new pair cannot be written.
    #[error(
        "cannot write {}: let --certs name a directory that can be written, or one that holds tls.crt and tls.key",
        .file.display()
    )]
    Unwritable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// One of certificate and key is there without the other.
    #[error(
        "{} is there, but {} is not: put it there, or remove the first and a new pair is made",
        .present.display(), .missing.display()
    )]
    HalfPresent {
        /// The file that is there.
        present: PathBuf,
        /// The file that is not.
        missing: PathBuf,
    },
    /// An authority that we did not make is there without a pair.
    #[error(
        "{} is there without tls.crt and tls.key, and chartgate did not make it: put the pair that it signed beside \
         it, or remove it and a new set is made",
        .file.display()
    )]
    ForeignAuthority {
        /// The authority's certificate.
        file: PathBuf,
    },
    /// Certificate and key were there and have been taken away while serving.
    #[error("tls.crt and tls.key are gone from {}: put a pair there", .directory.display())]
    Gone {
        /// The directory.
        directory: PathBuf,
    },
    /// The file is not PEM text.
    #[error("{} is not valid PEM: {reason}", .file.display())]
    MalformedPem {
        /// The file.
        file: PathBuf,
        /// What is wrong with the text.
        reason: String,
    },
    /// The certificate file holds no certificate.
    #[error("{} holds no PEM certificate", .file.display())]
    NoCertificate {
        /// The file.
        file: PathBuf,
    },
    /// The PEM block does not hold an X.509 certificate.
    #[error("{} holds a certificate that cannot be read: {reason}", .file.display())]
    MalformedCertificate {
        /// The file.
        file: PathBuf,
        /// What the parser said.
        reason: String,
    },
    /// The key file holds no private key.
    #[error("{} holds no PEM private key (an encrypted one cannot be used)", .file.display())]
    NoKey {
        /// The file.
        file: PathBuf,
    },
    /// The key is of a kind that cannot sign a handshake.
    #[error("{} holds a private key that cannot be used", .file.display())]
    UnusableKey {
        /// The file.
        file: PathBuf,
        /// What the TLS library said.
        source: rustls::Error,
    },
    /// The key is not the one that the certificate names.
    #[error(
        "{} is not the key of the first certificate in {}: replace both by one pair, the server's own certificate first",
        .key.display(), .certificate.display()
    )]
    KeyMismatch {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// The certificate's time is over.
    #[error("the certificate in {} expired on {on}: put a valid pair in its place", .file.display())]
    Expired {
        /// The certificate file.
        file: PathBuf,
        /// The last moment at which it was valid, in UTC.
        on: String,
    },
    /// The certificate's time has not come.
    #[error("the certificate in {} is not valid before {from}: put a valid pair in its place, or set the clock", .file.display())]
    NotYetValid {
        /// The certificate file.
        file: PathBuf,
        /// The first moment at which it is valid, in UTC.
        from: String,
    },
    /// No pair could be made.
    #[error("cannot make a certificate")]
    Generation(#[from] rcgen::Error),
}

/// The cryptography that every TLS part of the program uses.
///
/// `main` installs it for the libraries that ask for the process's default; our own parts are handed it.
pub fn provider() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

/// The pair that new handshakes get. It is replaced while serving; established connections keep theirs.
#[derive(Debug, Default)]
pub struct Presented {
    current: ArcSwapOption<ServingPair>,
}

impl Presented {
    /// Presents `pair` until another one replaces it.
    pub fn new(pair: ServingPair) -> Self {
        Self { current: ArcSwapOption::from_pointee(pair) }
    }

    /// Presents `pair` from the next handshake on.
    pub fn replace(&self, pair: impl Into<Arc<ServingPair>>) {
        self.current.store(Some(pair.into()));
    }

    /// The pair that the next handshake gets; without one it fails.
    pub fn pair(&self) -> Option<Arc<ServingPair>> {
        self.current.load_full()
    }
}

impl ResolvesServerCert for Presented {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current.load().as_deref().map(ServingPair::certified_key)
    }
}

/// TLS as the API server needs it: 1.3 and 1.2, HTTP/2 and HTTP/1.1.
///
/// The API server never resumes a session, so no ticket is made and none is remembered: that is work at every
/// handshake, and memory, without benefit. With `clients`, only callers with a certificate that they accept are served.
pub fn server_config(presented: Arc<Presented>, clients: Option<Arc<Clients>>) -> ServerConfig {
    let builder = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("the provider has cipher suites for TLS 1.2 and 1.3");
    let builder = match clients {
        Some(clients) => builder.with_client_cert_verifier(clients),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(presented);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config
}

/// What the tests of this module share.
#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use rcgen::{CertificateParams, KeyPair};
    use time::OffsetDateTime;
    use time::macros::datetime;

    use super::directory::Directory;

    /// "Now" in the tests.
    pub(super) const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

    /// A pair that somebody else made for one name, as PEM text: certificate, key. Valid for ten days around `NOW`.
    pub(super) fn users_pair() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["webhook.example.org".to_owned()]).unwrap();
        params.not_before = NOW - time::Duration::days(5);
        params.not_after = NOW + time::Duration::days(5);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    /// An empty directory that goes away with the returned handle, and its `Directory`.
    pub(super) fn empty_directory() -> (tempfile::TempDir, Directory) {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::new(place.path());
        (place, directory)
    }

    pub(super) fn put(directory: &Directory, (certificate, key): &(String, String)) {
        fs::write(directory.certificate(), certificate).unwrap();
        fs::write(directory.key(), key).unwrap();
    }

    /// An error's text and its causes', with the temporary directory's name masked.
    pub(super) fn told(error: &dyn std::error::Error, place: &Path) -> String {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text.replace(&place.display().to_string(), "DIR")
    }
}
