//! What can happen to an API server and its etcd: a crash with a new start, and a history that is thrown away.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::PoisonError;
use std::time::Duration;

use serde_json::{Value, json};

use super::cluster::{Cluster, api_server, client_socket, is_up};
use super::process::Process;
use super::wait::eventually;

/// After SIGKILL it takes the kernel some milliseconds; the machine may be busy.
const GONE: Duration = Duration::from_mins(1);

/// etcd answers in a millisecond; the machine may be busy.
const ETCD: Duration = Duration::from_mins(1);

// === impl Cluster ===

impl Cluster {
    /// Kills the API server, as when its node fails, and starts it anew with the same address, files and etcd. Returns
    /// when it is ready.
    pub(crate) fn restart_api_server(&self) {
        let mut restarted = self.restarted.lock().unwrap_or_else(PoisonError::into_inner);
        let running = restarted.as_ref().unwrap_or(&self.api_server);
        running.signal("KILL");
        eventually("the API server is gone", GONE, || {
            running.exit_status().ok_or_else(|| "it runs".to_owned())
        });
        let files = self.api_server.dir();
        let command = api_server(&self.programs, files, &client_socket(&self.etcd), self.port());
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
        let exchange = || -> std::io::Result<String> {
            let mut stream = UnixStream::connect(client_socket(&self.etcd))?;
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
