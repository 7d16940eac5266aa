//! An authority and a server certificate, for those who bring none.
//!
//! The authority's key signs once and is dropped: nobody can steal what was never written. So a new server
//! certificate always comes with a new authority, and whoever trusts the old one has to be told. That suits a
//! server on a laptop and a test; in a cluster the certificate comes from a Secret.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use time::{Duration, OffsetDateTime};

use super::CertError;
use super::pair::Names;

/// The organization in the authority's name, by which we know our own certificates again.
///
/// A certificate whose issuer has another organization is a user's, and is never replaced.
pub const ORGANIZATION: &str = "chartgate serve, made for itself";

/// How long a pair is valid. There is no one to renew it in between, and clients that limit the lifetime of a
/// server certificate allow 398 days at least.
pub const LIFETIME: Duration = Duration::days(365);

/// How far another machine's clock may be behind ours without refusing a pair that was made this minute.
const CLOCK_SKEW: Duration = Duration::hours(1);

/// A new authority, and a pair that it signed, as PEM text.
pub struct Made {
    /// The authority's certificate: what a client has to trust.
    pub authority: String,
    /// The server's certificate.
    pub certificate: String,
    /// The server's private key (PKCS #8).
    pub key: String,
}

impl Names {
    /// This machine, and the names by which a cluster knows the Service `name` of `namespace`.
    pub fn of_service(name: &str, namespace: &str) -> Self {
        let dns = [
            "localhost".to_owned(),
            name.to_owned(),
            format!("{name}.{namespace}"),
            format!("{name}.{namespace}.svc"),
            format!("{name}.{namespace}.svc.cluster.local"),
        ];
        Self { dns: dns.into(), addresses: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] }
    }

    /// The same names, and `address` too, unless it stands for all addresses.
    #[must_use]
    pub fn and_address(mut self, address: IpAddr) -> Self {
        if !address.is_unspecified() && !self.addresses.contains(&address) {
            self.addresses.push(address);
        }
        self
    }
}

/// Makes an authority and a pair for `names`, valid from about `now` on for [`LIFETIME`].
pub fn make(names: &Names, now: OffsetDateTime) -> Result<Made, CertError> {
    let authority_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let authority_params = authority_params(&authority_key, now);
    let authority = authority_params.self_signed(&authority_key)?;

    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let issuer = Issuer::new(authority_params, authority_key);
    let certificate = server_params(names, now)?.signed_by(&key, &issuer)?;
    Ok(Made { authority: authority.pem(), certificate: certificate.pem(), key: key.serialize_pem() })
}

fn authority_params(key: &KeyPair, now: OffsetDateTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    // Two authorities with one name confuse clients that look an issuer up by name, so the key is part of it.
    let print = params.key_identifier(key).first_chunk().map_or(0, |print| u32::from_be_bytes(*print));
    params.distinguished_name = named(&format!("chartgate CA {print:08x}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid_from(&mut params, now);
    params
}

fn server_params(names: &Names, now: OffsetDateTime) -> Result<CertificateParams, CertError> {
    let Names { dns, addresses } = names;
    let mut params = CertificateParams::new(dns.clone())?;
    params.subject_alt_names.extend(addresses.iter().map(|address| SanType::IpAddress(*address)));
    params.distinguished_name = named("chartgate");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    valid_from(&mut params, now);
    Ok(params)
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, ORGANIZATION);
    name.push(DnType::CommonName, common_name);
    name
}

fn valid_from(params: &mut CertificateParams, now: OffsetDateTime) {
    params.not_before = now - CLOCK_SKEW;
    params.not_after = now + LIFETIME;
}
