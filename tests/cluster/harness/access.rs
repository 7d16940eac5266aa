//! Other ways to an API server than the administrator's own: as a `ServiceAccount`, and through a door that can be shut.

use std::fs;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use super::cluster::Cluster;
use super::request::Write;
use super::unique;

impl Cluster {
    /// A kubeconfig for a new `ServiceAccount` in `default` that has no rights of its own, and the account's name.
    pub(crate) fn account(&self) -> (PathBuf, String) {
        let name = format!("account-{}", unique());
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "default"}});
        let by = Write::by("chartgate-tests");
        self.objects("v1", "namespaces/default/serviceaccounts").create(&account, by).accepted();
        (self.kubeconfig_of("default", &name, None), name)
    }

    /// A kubeconfig for a `ServiceAccount`, with a token as the kubelet asks for one and mounts it into a pod. It leads
    /// to the API server, or to the door with this address.
    pub(crate) fn kubeconfig_of(&self, namespace: &str, account: &str, door: Option<SocketAddr>) -> PathBuf {
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let tokens = self.objects("v1", &format!("namespaces/{namespace}/serviceaccounts/{account}/token"));
        let by = Write::by("chartgate-tests");
        let token = tokens.create(&request, by).accepted()["status"]["token"].clone();
        self.adapted_kubeconfig(|config| {
            config["users"][0]["user"]["token"] = token;
            config["contexts"][0]["context"]["namespace"] = json!(namespace);
            if let Some(door) = door {
                config["clusters"][0]["cluster"]["server"] = json!(format!("https://{door}"));
            }
        })
    }

    /// A kubeconfig for the administrator that leads through `door`.
    pub(crate) fn kubeconfig_through(&self, door: &Door) -> PathBuf {
        let server = format!("https://{}", door.address());
        self.adapted_kubeconfig(|config| config["clusters"][0]["cluster"]["server"] = json!(server))
    }

    /// A door to the API server. It is shut.
    pub(crate) fn door(&self) -> Door {
        let config = self.kubeconfig_json();
        let server = config["clusters"][0]["cluster"]["server"].as_str().expect("it names its server");
        let server = server.trim_start_matches("https://").parse().expect("it is an address on loopback");
        let free = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = free.local_addr().expect("it is bound");
        Door { server, address, open: None }
    }

    fn kubeconfig_json(&self) -> Value {
        let text = fs::read_to_string(self.kubeconfig()).expect("it was written with the server");
        serde_json::from_str(&text).expect("ours is JSON")
    }

    /// Stays beside the administrator's until the server goes.
    fn adapted_kubeconfig(&self, adapt: impl FnOnce(&mut Value)) -> PathBuf {
        let mut config = self.kubeconfig_json();
        adapt(&mut config);
        let path = self.kubeconfig().with_file_name(format!("kubeconfig-{}", unique()));
        fs::write(&path, config.to_string()).expect("the process directory can be written");
        path
    }
}

/// A port of its own that leads to an API server while it is open.
pub(crate) struct Door {
    server: SocketAddr,
    address: SocketAddr,
    open: Option<Open>,
}

struct Open {
    shut: Arc<AtomicBool>,
    passing: Arc<Mutex<Vec<TcpStream>>>,
}

impl Door {
    /// Where it is, open or not.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn open(&mut self) {
        let listener = TcpListener::bind(self.address).expect("nobody else took the port");
        let (shut, passing) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        self.open = Some(Open { shut: Arc::clone(&shut), passing: Arc::clone(&passing) });
        let server = self.server;
        thread::spawn(move || {
            for stream in listener.incoming() {
                if shut.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(from), Ok(to)) = (stream, TcpStream::connect(server)) else { continue };
                for (from, to) in [(&from, &to), (&to, &from)] {
                    let (mut from, mut to) = (copy_of(from), copy_of(to));
                    thread::spawn(move || {
                        drop(io::copy(&mut from, &mut to));
                        drop(to.shutdown(Shutdown::Both));
                    });
                }
                passing.lock().expect("nobody panics with it").extend([from, to]);
            }
        });
    }

    /// Cuts every connection and takes no more, as a server that goes does.
    pub(crate) fn shut(&mut self) {
        let Some(Open { shut, passing }) = self.open.take() else { return };
        shut.store(true, Ordering::SeqCst);
        // Wakes the listener, so that it goes.
        drop(TcpStream::connect(self.address));
        for stream in passing.lock().expect("nobody panics with it").drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.shut();
    }
}

fn copy_of(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a socket can be copied")
}
