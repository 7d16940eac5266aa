//! A Service without kube-proxy: a forwarder that listens on its `ClusterIP`, which lies on the loopback interface.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use super::RUNTIME;

/// One port of a Service. Its connections end with it.
pub(crate) struct Service {
    address: SocketAddr,
    endpoints: Endpoints,
    forwarder: AbortHandle,
}

/// Where new connections go, in turn. Connections that are open stay where they are, as with kube-proxy.
#[derive(Clone, Default)]
pub(crate) struct Endpoints {
    shared: Arc<Mutex<Ready>>,
}

#[derive(Default)]
struct Ready {
    addresses: BTreeMap<SocketAddr, ()>,
    turn: usize,
}

// === impl Service ===

impl Service {
    /// Listens where the API server calls a Service as it allotted it.
    pub(crate) fn listen(service: &Value, port: &str) -> Self {
        let at = Self::address_of(service, port);
        let listener = RUNTIME.block_on(TcpListener::bind(at)).unwrap_or_else(|error| {
            assert!(
                error.kind() != ErrorKind::PermissionDenied,
                "a test listens on {at}, the address of a Service: run as root, or allow it to everybody by \
                 `sysctl -w net.ipv4.ip_unprivileged_port_start={}`",
                at.port()
            );
            panic!("{at}: {error}");
        });
        let endpoints = Endpoints::default();
        let forwarder = RUNTIME.spawn(forward(listener, endpoints.clone())).abort_handle();
        Self { address: at, endpoints, forwarder }
    }

    /// Where the API server calls a port of a Service.
    pub(crate) fn address_of(service: &Value, port: &str) -> SocketAddr {
        let address: IpAddr = service["spec"]["clusterIP"]
            .as_str()
            .and_then(|address| address.parse().ok())
            .expect("the API server allots an address");
        let ports = service["spec"]["ports"].as_array().expect("a Service has ports");
        let port = ports.iter().find(|found| found["name"] == port).expect("the Service has this port");
        let port = port["port"].as_u64().and_then(|port| port.try_into().ok()).expect("a port is a number");
        SocketAddr::new(address, port)
    }

    /// Where the API server calls it.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where replicas enter themselves when they are ready.
    pub(crate) fn endpoints(&self) -> Endpoints {
        self.endpoints.clone()
    }

    /// How many replicas new connections can go to.
    pub(crate) fn ready(&self) -> usize {
        self.endpoints.shared.lock().unwrap_or_else(PoisonError::into_inner).addresses.len()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.forwarder.abort();
    }
}

async fn forward(listener: TcpListener, endpoints: Endpoints) {
    // Dropped with this task, and every connection with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((mut client, _)) = accepted else { continue };
                // Closed at once where there is no endpoint: kube-proxy refuses the connection.
                let Some(to) = endpoints.next() else { continue };
                connections.spawn(async move {
                    if let Ok(mut replica) = TcpStream::connect(to).await {
                        // TLS handshakes are small packets, and must not wait for each other.
                        drop((client.set_nodelay(true), replica.set_nodelay(true)));
                        drop(copy_bidirectional(&mut client, &mut replica).await);
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

// === impl Endpoints ===

impl Endpoints {
    pub(crate) fn add(&self, address: SocketAddr) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).addresses.insert(address, ());
    }

    pub(crate) fn remove(&self, address: SocketAddr) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).addresses.remove(&address);
    }

    fn next(&self) -> Option<SocketAddr> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.turn += 1;
        let turn = shared.turn.checked_rem(shared.addresses.len())?;
        shared.addresses.keys().nth(turn).copied()
    }
}
