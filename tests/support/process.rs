//! The real program, started by a test, and a client that speaks TLS with it.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Longer than anything here takes; a test that waits so long fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again and again until there is an answer.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{what} does not happen"))
}

/// The program with nothing of this user's environment.
pub fn chartgate(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chartgate"));
    command.current_dir(directory).env_clear().stdin(Stdio::null());
    command
}

/// `chartgate serve` on free ports, ended with the test.
pub struct Process {
    pub child: Child,
    pub directory: PathBuf,
    pub webhook: SocketAddr,
    pub observe: SocketAddr,
    pub stdout: Vec<String>,
}

impl Process {
    /// Starts in `directory`, with the log in its file `log`.
    pub fn start(directory: &Path, args: &[&str]) -> Self {
        let mut command = chartgate(directory);
        command.stderr(File::create(directory.join("log")).unwrap());
        Self::spawn(directory, command, args)
    }

    pub fn spawn(directory: &Path, mut command: Command, args: &[&str]) -> Self {
        command.args(["serve", "--listen", "127.0.0.1:0", "--observe", "127.0.0.1:0"]).args(args);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let stdout: Vec<_> = lines.map(Result::unwrap).take(4).collect();
        let address = |line: usize, scheme: &str| {
            let after = stdout.get(line).and_then(|line| line.split(scheme).nth(1));
            let log = || fs::read_to_string(directory.join("log"));
            let after = after.unwrap_or_else(|| panic!("{stdout:?}: {:?}", log()));
            after.split_whitespace().next().unwrap().parse().unwrap()
        };
        let (webhook, observe) = (address(0, "https://"), address(1, "http://"));
        Self { child, directory: directory.into(), webhook, observe, stdout }
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    pub async fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("the end of the process", async || child.try_wait().unwrap()).await
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap()
    }

    /// A figure of the system about the process's memory, such as `VmRSS` now and `VmHWM` at its highest.
    pub fn memory_kib(&self, figure: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(':')).unwrap();
        line.trim_end_matches("kB").trim().parse().unwrap()
    }

    /// How many file descriptors the process has open.
    pub fn descriptors(&self) -> u64 {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count() as u64
    }

    /// Status and body of a path of the plain port.
    pub async fn observe(&self, path: &str) -> (u16, String) {
        let stream = TcpStream::connect(self.observe).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get(path).header("host", "observe").body(Body::empty()).unwrap();
        status_and_text(sender.send_request(request).await.unwrap()).await.unwrap()
    }

    /// The value of a metric, by its name and labels.
    pub async fn metric(&self, name: &str) -> Option<String> {
        let (_, text) = self.observe("/metrics").await;
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned))
    }

    /// A TLS connection that trusts the authority in `certs/ca.crt`.
    pub async fn tls(&self) -> TlsStream<TcpStream> {
        connect(self.webhook, &self.directory.join("certs/ca.crt"), rustls::ALL_VERSIONS, "http/1.1").await
    }

    pub async fn http1(&self) -> Http1 {
        http1_over(self.tls().await).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub async fn connect(
    to: SocketAddr,
    authority: &Path,
    versions: &[&'static SupportedProtocolVersion],
    alpn: &str,
) -> TlsStream<TcpStream> {
    try_connect(to, authority, versions, alpn).await.unwrap()
}

pub async fn try_connect(
    to: SocketAddr,
    authority: &Path,
    versions: &[&'static SupportedProtocolVersion],
    alpn: &str,
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(chartgate::certs::provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.into()];
    let name = ServerName::from(to.ip());
    let stream = TcpStream::connect(to).await?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// What a handshake was presented with, and which version of TLS it agreed on.
pub fn presented(stream: &TlsStream<TcpStream>) -> (CertificateDer<'static>, ProtocolVersion) {
    let session = stream.get_ref().1;
    (session.peer_certificates().unwrap()[0].clone(), session.protocol_version().unwrap())
}

/// An open HTTP/1.1 connection.
pub struct Http1(http1::SendRequest<Body>);

pub async fn http1_over(stream: TlsStream<TcpStream>) -> Http1 {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    Http1(sender)
}

impl Http1 {
    pub async fn ask(&mut self, request: Request<Body>) -> (u16, String) {
        self.try_ask(request).await.expect("the connection stays open")
    }

    /// The same where the test itself says what it means that the connection ends.
    pub async fn try_ask(&mut self, request: Request<Body>) -> hyper::Result<(u16, String)> {
        self.0.ready().await?;
        let response = self.0.send_request(request).await?;
        status_and_text(response).await
    }

    /// Whether the server has not asked to close it.
    pub async fn is_open(&mut self) -> bool {
        self.0.ready().await.is_ok()
    }

    pub async fn post(&mut self, body: impl Into<Body>) -> (u16, String) {
        self.ask(post("/mutate", body)).await
    }
}

pub async fn ask_http2(stream: TlsStream<TcpStream>, body: impl Into<Body>) -> (u16, String) {
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let response = sender.send_request(post("https://webhook/mutate", body)).await.unwrap();
    status_and_text(response).await.unwrap()
}

pub fn post(uri: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::post(uri).header("content-type", "application/json");
    let request = if uri.starts_with('/') { request.header("host", "webhook") } else { request };
    request.body(body.into()).unwrap()
}

async fn status_and_text(response: Response<Incoming>) -> hyper::Result<(u16, String)> {
    use http_body_util::BodyExt;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8(body.to_vec()).unwrap()))
}

/// An authority that is not ours.
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Puts the authority and a new pair that it signed into a directory, which is made.
    pub fn put(&self, directory: &Path) {
        self.put_with(directory, |_| {});
    }

    pub fn put_with(&self, directory: &Path, change: impl FnOnce(&mut CertificateParams)) {
        fs::create_dir_all(directory).unwrap();
        fs::write(directory.join("ca.crt"), &self.pem).unwrap();
        let (certificate, key) = self.pair_with(change);
        fs::write(directory.join("tls.crt"), certificate).unwrap();
        fs::write(directory.join("tls.key"), key).unwrap();
    }

    pub fn pair(&self) -> (String, String) {
        self.pair_with(|_| {})
    }

    /// The same with something changed, such as its time.
    pub fn pair_with(&self, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        change(&mut params);
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}
