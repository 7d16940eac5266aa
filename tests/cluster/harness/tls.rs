//! Throw-away certificates for servers on the loopback address, and what a client of one sees.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// A handshake takes a millisecond; the machine may be busy compiling.
const HANDSHAKE: Duration = Duration::from_mins(1);

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
        let names = names.iter().map(ToString::to_string).collect::<Vec<_>>();
        Self::signed(&CertificateParams::new(names).expect("the names above are valid"))
    }

    /// Makes a new authority and has it sign a certificate for a client with this common name.
    pub(crate) fn of_client(name: &str) -> Self {
        let mut leaf = CertificateParams::default();
        leaf.distinguished_name.push(DnType::CommonName, name);
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        Self::signed(&leaf)
    }

    fn signed(leaf: &CertificateParams) -> Self {
        let mut authority = CertificateParams::default();
        authority.distinguished_name.push(DnType::CommonName, "chartgate test authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority =
            CertifiedIssuer::self_signed(authority, new_key()).expect("the parameters above are complete");
        let key = new_key();
        let certificate = leaf.signed_by(&key, &authority).expect("the parameters are complete");
        Self { authority: authority.pem(), certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

/// A new ECDSA P-256 key.
pub(crate) fn new_key() -> KeyPair {
    KeyPair::generate().expect("the random source works")
}

/// Does what the API server does when it connects to our Service, and returns the certificate that it is shown.
pub(crate) fn handshake(address: SocketAddr, ca_bundle: &str) -> Result<CertificateDer<'static>, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(
        CertificateDer::pem_slice_iter(ca_bundle.as_bytes()).map_while(Result::ok),
    );
    let config = ClientConfig::builder_with_provider(Arc::new(chartgate::certs::provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has cipher suites")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("chartgate.chartgate-system.svc").expect("it is a name");
    let mut session = ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())?;
    let mut stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(HANDSHAKE)).expect("it is not zero");
    while session.is_handshaking() {
        session.complete_io(&mut stream).map_err(|error| error.to_string())?;
    }
    Ok(session.peer_certificates().expect("the handshake is done")[0].clone().into_owned())
}
