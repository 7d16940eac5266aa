//! The addresses that the server listens on.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use tokio::net::TcpListener;

use super::ServeError;

/// An address to listen on, as it stands behind a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// This one.
    One(SocketAddr),
    /// This port of every address of the machine.
    All(u16),
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = text.strip_prefix(':').and_then(|port| port.parse().ok()).map(Self::All);
        all.or_else(|| text.parse().ok().map(Self::One))
            .ok_or("write IP:PORT, such as 127.0.0.1:8443 or [::1]:8443, or :PORT for all addresses")
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(address) => write!(f, "{address}"),
            Self::All(port) => write!(f, ":{port}"),
        }
    }
}

/// Listens on `address`, which came with `flag`.
pub(super) async fn bind(flag: &'static str, address: Address) -> Result<TcpListener, ServeError> {
    let listener = match address {
        Address::One(address) => TcpListener::bind(address).await,
        // The IPv6 one takes IPv4 too. Where IPv6 is switched off, there is only the other.
        Address::All(port) => match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await
            }
            bound => bound,
        },
    };
    listener.map_err(|source| ServeError::Listen {
        flag,
        address: address.to_string(),
        hint: hint(source.kind()),
        source,
    })
}

fn hint(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::AddrInUse => {
            "something listens there already; stop it, or choose another port (0 takes a free one)"
        }
        io::ErrorKind::PermissionDenied => "a port below 1024 may need a privilege; choose a higher one",
        io::ErrorKind::AddrNotAvailable => "this machine has no such address; :PORT takes all that it has",
        _ => "choose another address",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_an_ip_with_a_port_or_a_port_of_all() {
        let one = |text: &str| Ok(Address::One(text.parse().unwrap()));
        assert_eq!("127.0.0.1:8443".parse(), one("127.0.0.1:8443"));
        assert_eq!("[::1]:0".parse(), one("[::1]:0"));
        assert_eq!(":8443".parse(), Ok(Address::All(8443)));
    }

    #[test]
    fn anything_else_is_told_how_to_write_it() {
        for text in ["8443", "localhost:8443", ":", ":99999", "127.0.0.1", ""] {
            assert_eq!(
                text.parse::<Address>(),
                Err("write IP:PORT, such as 127.0.0.1:8443 or [::1]:8443, or :PORT for all addresses"),
                "{text:?}"
            );
        }
    }
}
