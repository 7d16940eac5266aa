//! Simulates outages of an API server and its etcd: a crash with a new start, a history that is thrown away, and one that is
//! set back.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::PoisonError;
use std::time::Duration;

use serde_json::{Value, json};

use super::cluster::{Cluster, api_server, client_socket, is_up, start_etcd};
use super::process::Process;
use super::wait::eventually;

/// After SIGKILL it takes the kernel some milliseconds; the machine may be busy.
const GONE: Duration = Duration::from_mins(1);

/// etcd answers in a millisecond; the machine may be busy.
const ETCD: Duration = Duration::from_mins(1);

/// SIGKILL, and waits until it is gone.
fn kill(process: &Process) {
    process.signal("KILL");
    eventually("a killed process is gone", GONE, || {
        process.exit_status().ok_or_else(|| "it runs".to_owned())
    });
}

// === impl Cluster ===

impl Cluster {
    /// Kills the API server, as when its node fails, and starts it anew with the same address, files and etcd. Returns
    /// when it is ready.
    pub(crate) fn restart_api_server(&self) {
        self.without_api_server(|_| ());
    }

    /// Takes a snapshot of etcd for [`Self::restore`]: its data, copied while nothing runs.
    pub(crate) fn snapshot(&self) -> PathBuf {
        let snapshot = Process::directory("etcd-snapshot");
        self.without_api_server(|etcd| {
            kill(etcd);
            let copied = Command::new("cp").arg("-r").arg(etcd.dir().join("data")).arg(&snapshot).status();
            assert!(copied.expect("a POSIX system has cp").success(), "etcd's data are copied");
            *etcd = start_etcd(&self.programs, Some(&snapshot.join("data")));
        });
        snapshot
    }

    /// Sets etcd back to a snapshot, as Kubernetes documents it: with every API server stopped, and started again
    /// afterwards.
    pub(crate) fn restore(&self, snapshot: &std::path::Path) {
        self.without_api_server(|etcd| {
            kill(etcd);
            *etcd = start_etcd(&self.programs, Some(&snapshot.join("data")));
        });
    }

    fn without_api_server(&self, act: impl FnOnce(&mut Process)) {
        let mut restarted = self.restarted.lock().unwrap_or_else(PoisonError::into_inner);
        kill(restarted.as_ref().unwrap_or(&self.api_server));
        let mut etcd = self.etcd.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut etcd);
        let files = self.api_server.dir();
        let command = api_server(&self.programs, files, &client_socket(&etcd), self.port());
        let server = Process::start("kube-apiserver", Process::directory("kube-apiserver"), &command);
        assert!(is_up(&server, &self.client()), "the port of a server that went stays free for a moment");
        *restarted = Some(server);
    }

    /// Has etcd throw away what was before now, as it does by itself every five minutes in a real cluster. Returns the
    /// revision of now.
    pub(crate) fn compact(&self) -> u64 {
        let status = self.ask_etcd("/v3/maintenance/status", &json!({}));
        let revision = status["header"]["revision"].as_str().and_then(|text| text.parse().ok());
        let revision: u64 = revision.unwrap_or_else(|| panic!("no revision in {status}"));
        let answer = self.ask_etcd("/v3/kv/compaction", &json!({"revision": revision, "physical": true}));
        assert!(answer["header"].is_object(), "{answer}");
        revision
    }

    /// Asks etcd's HTTP gateway.
    fn ask_etcd(&self, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        let socket = client_socket(&self.etcd.lock().unwrap_or_else(PoisonError::into_inner));
        let exchange = || -> std::io::Result<String> {
            let mut stream = UnixStream::connect(&socket)?;
            stream.set_read_timeout(Some(ETCD))?;
            // Version 1.0 is never answered in chunks, and the connection ends with the answer.
            let length = body.len();
            write!(stream, "POST {path} HTTP/1.0\r\nHost: etcd\r\nContent-Length: {length}\r\n\r\n{body}")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer = exchange().unwrap_or_else(|error| panic!("etcd {path}: {error}"));
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
        body.and_then(|body| serde_json::from_str(body).ok())
            .unwrap_or_else(|| panic!("etcd {path}: {answer}"))
    }
}
