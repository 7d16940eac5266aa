//! What is printed once the server listens: where it is, and how to try it.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::certificate::Told;
use crate::certs::pair::Names;

/// A review that is denied: the release has both a chart and a chartRef.
pub(super) const EXAMPLE: &str = concat!(
    r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"try-me","#,
    r#""kind":{"group":"helm.toolkit.fluxcd.io","version":"v2","kind":"HelmRelease"},"#,
    r#""resource":{"group":"helm.toolkit.fluxcd.io","version":"v2","resource":"helmreleases"},"#,
    r#""namespace":"default","name":"podinfo","operation":"CREATE","userInfo":{"username":"you"},"#,
    r#""object":{"apiVersion":"helm.toolkit.fluxcd.io/v2","kind":"HelmRelease","#,
    r#""metadata":{"namespace":"default","name":"podinfo"},"spec":{"interval":"10m","#,
    r#""chart":{"spec":{"chart":"podinfo","sourceRef":{"kind":"HelmRepository","name":"podinfo"}}},"#,
    r#""chartRef":{"kind":"OCIRepository","name":"podinfo"}}}}}"#
);

/// The lines for the terminal, as its `Display`.
#[derive(Debug)]
pub(super) struct Announcement<'a> {
    /// Where the webhook listens.
    pub(super) webhook: SocketAddr,
    /// Where probes and metrics are.
    pub(super) observe: SocketAddr,
    /// Where the certificate is.
    pub(super) certificate: &'a Told,
}

impl fmt::Display for Announcement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { webhook, observe, certificate } = self;
        writeln!(f, "chartgate {} listens on https://{webhook}", env!("CARGO_PKG_VERSION"))?;
        writeln!(f, "probes and metrics: http://{observe} (/livez, /readyz, /metrics)")?;
        let (authority, names) = match certificate {
            Told::Files { authority, names } => (authority, names),
            Told::Secret(place) => return write!(f, "certificate: Secret {place}, shared by all replicas"),
        };
        writeln!(f, "try it with a HelmRelease that sets both chart and chartRef:")?;
        write!(f, "curl")?;
        if let Some(authority) = authority {
            write!(f, " --cacert {}", quoted(&authority.to_string_lossy()))?;
        }
        write!(f, "{} -H 'Content-Type: application/json'", Route { to: *webhook, names })?;
        write!(f, " --data '{EXAMPLE}'")
    }
}

/// The part of the curl line that names the server so that its certificate fits.
struct Route<'a> {
    to: SocketAddr,
    names: &'a Names,
}

impl fmt::Display for Route<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Names { dns, addresses } = self.names;
        let to = SocketAddr::new(reachable(self.to.ip()), self.to.port());
        // A wildcard is no host that one could ask.
        let name = dns.iter().find(|name| !name.contains('*'));
        match name {
            Some(name) if !addresses.contains(&to.ip()) => {
                write!(f, " --connect-to ::{to} https://{name}:{}/mutate", to.port())
            }
            _ => write!(f, " https://{to}/mutate"),
        }
    }
}

/// "All addresses" is one to listen on, not one to call.
fn reachable(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        // Takes IPv4 too, and some machines have no other loopback.
        IpAddr::V6(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        address => address,
    }
}

/// `text` as one word of a shell.
fn quoted(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', r"'\''")).into()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn curl(webhook: &str, authority: Option<&str>, names: &Names) -> String {
        let announcement = Announcement {
            webhook: webhook.parse().unwrap(),
            observe: "127.0.0.1:8080".parse().unwrap(),
            certificate: &Told::Files { authority: authority.map(PathBuf::from), names: names.clone() },
        };
        let text = announcement.to_string();
        text.lines().last().unwrap().replace(EXAMPLE, "REVIEW")
    }

    #[test]
    fn says_where_it_is_and_how_to_try_it() {
        let names = Names::of_service("chartgate", "chartgate-system");
        let announcement = Announcement {
            webhook: "127.0.0.1:8443".parse().unwrap(),
            observe: "127.0.0.1:8080".parse().unwrap(),
            certificate: &Told::Files { authority: Some("certs/ca.crt".into()), names },
        };
        insta::assert_snapshot!(announcement.to_string().replace(EXAMPLE, "REVIEW").replace(env!("CARGO_PKG_VERSION"), "VERSION"), @r"
        chartgate VERSION listens on https://127.0.0.1:8443
        probes and metrics: http://127.0.0.1:8080 (/livez, /readyz, /metrics)
        try it with a HelmRelease that sets both chart and chartRef:
        curl --cacert certs/ca.crt https://127.0.0.1:8443/mutate -H 'Content-Type: application/json' --data 'REVIEW'
        ");
    }

    #[test]
    fn a_certificate_in_a_secret_is_named() {
        let announcement = Announcement {
            webhook: "127.0.0.1:8443".parse().unwrap(),
            observe: "127.0.0.1:8080".parse().unwrap(),
            certificate: &Told::Secret("chartgate-system/chartgate-tls".into()),
        };
        let last = "certificate: Secret chartgate-system/chartgate-tls, shared by all replicas";
        assert_eq!(announcement.to_string().lines().last(), Some(last));
    }

    #[test]
    fn a_server_on_all_addresses_is_called_on_the_loopback() {
        let names = Names::of_service("chartgate", "chartgate-system");
        for webhook in ["0.0.0.0:8443", "[::]:8443"] {
            let line = curl(webhook, Some("certs/ca.crt"), &names);
            assert!(line.contains(" https://127.0.0.1:8443/mutate "), "{line}");
        }
    }

    #[test]
    fn a_certificate_for_names_only_is_called_by_its_name() {
        let dns = vec!["*.example.org".to_owned(), "webhook.example.org".to_owned()];
        let names = Names { dns, addresses: Vec::new() };
        assert_eq!(
            curl("127.0.0.1:8443", None, &names),
            "curl --connect-to ::127.0.0.1:8443 https://webhook.example.org:8443/mutate -H 'Content-Type: \
             application/json' --data 'REVIEW'"
        );
    }

    #[test]
    fn a_directory_with_any_name_is_one_word_of_the_shell() {
        assert_eq!(quoted("certs/ca.crt"), "certs/ca.crt");
        assert_eq!(quoted("my certs/ca.crt"), "'my certs/ca.crt'");
        assert_eq!(quoted("it's/ca.crt"), r"'it'\''s/ca.crt'");
    }

    #[test]
    fn the_example_survives_single_quotes() {
        assert!(!EXAMPLE.contains('\''));
        serde_json::from_str::<serde_json::Value>(EXAMPLE).unwrap();
    }
}
