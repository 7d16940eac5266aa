//! An authority and a server certificate, for those who bring none.
//!
//! For files, [`make`] drops the authority's key when it has signed once: nobody can steal what was never written. So
//! a new server certificate always comes with a new authority, and whoever trusts the old one has to be told. That
//! suits a server on a laptop and a test. In a cluster [`super::shared`] keeps the key, beside the server's own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType,
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

/// The time in which a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: OffsetDateTime,
    pub(super) not_after: OffsetDateTime,
}

/// The key of an authority that signs more than once. It has no `Debug`: a key belongs in no log.
pub(super) struct Signer {
    key: KeyPair,
}

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

impl Validity {
    /// From about `now` on, for as long as asked.
    pub(super) fn of(lifetime: Duration, now: OffsetDateTime) -> Self {
        Self { not_before: now - CLOCK_SKEW, not_after: now + lifetime }
    }
}

impl Signer {
    /// A new key.
    pub(super) fn generate() -> Result<Self, CertError> {
        Ok(Self { key: new_key()? })
    }

    /// The key in a PEM text, if it is one that can sign.
    pub(super) fn from_pem(text: &str) -> Option<Self> {
        KeyPair::from_pem(text).ok().map(|key| Self { key })
    }

    /// The key as PEM (PKCS #8).
    pub(super) fn to_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// The public key, as a certificate holds it.
    pub(super) fn public_key(&self) -> Vec<u8> {
        self.key.subject_public_key_info()
    }

    /// The certificate of the authority with this key, as PEM.
    pub(super) fn authority(&self, validity: Validity) -> Result<String, CertError> {
        Ok(authority_params(&self.key, validity).self_signed(&self.key)?.pem())
    }

    /// A pair for `names`, as PEM: the certificate, then its key.
    pub(super) fn pair(&self, names: &Names, validity: Validity) -> Result<(String, String), CertError> {
        let key = new_key()?;
        // Name and print of an authority follow from its key, so its certificate is not needed. (Its time is not
        // part of what it signs.)
        let params = authority_params(&self.key, validity);
        let issuer = Issuer::from_params(&params, &self.key);
        let certificate = server_params(names, validity)?.signed_by(&key, &issuer)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }
}

/// Makes an authority and a pair for `names`, valid from about `now` on for [`LIFETIME`].
pub fn make(names: &Names, now: OffsetDateTime) -> Result<Made, CertError> {
    let (signer, validity) = (Signer::generate()?, Validity::of(LIFETIME, now));
    let authority = signer.authority(validity)?;
    let (certificate, key) = signer.pair(names, validity)?;
    Ok(Made { authority, certificate, key })
}

fn new_key() -> Result<KeyPair, CertError> {
    Ok(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)
}

fn authority_params(key: &KeyPair, validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    // Two authorities with one name confuse clients that look an issuer up by name, so the key is part of it.
    let print = params.key_identifier(key).first_chunk().map_or(0, |print| u32::from_be_bytes(*print));
    params.distinguished_name = named(&format!("chartgate CA {print:08x}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid_in(&mut params, validity);
    params
}

fn server_params(names: &Names, validity: Validity) -> Result<CertificateParams, CertError> {
    let Names { dns, addresses } = names;
    let mut params = CertificateParams::new(dns.clone())?;
    params.subject_alt_names.extend(addresses.iter().map(|address| SanType::IpAddress(*address)));
    params.distinguished_name = named("chartgate");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    valid_in(&mut params, validity);
    Ok(params)
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, ORGANIZATION);
    name.push(DnType::CommonName, common_name);
    name
}

fn valid_in(params: &mut CertificateParams, Validity { not_before, not_after }: Validity) {
    params.not_before = not_before;
    params.not_after = not_after;
}
