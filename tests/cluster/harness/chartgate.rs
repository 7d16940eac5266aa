//! chartgate as users run it: the real binary, called by the real API server.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::cluster::Cluster;
use super::namespace::Namespace;
use super::process::Process;
use super::wait::eventually;
use super::webhooks::{Conditions, Endpoint, Registration};

/// It starts in milliseconds; the machine may be busy compiling.
const START: Duration = Duration::from_mins(1);

/// How chartgate is started and registered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options<'a> {
    /// `Fail`, so that a test sees when chartgate was not asked, or `Ignore` as shipped for `/mutate`.
    pub(crate) failure_policy: &'a str,
    /// The text of `chartgate.yaml`.
    pub(crate) config: Option<&'a str>,
    /// The kubeconfig by which it asks the API server for facts; without one it asks none.
    pub(crate) kubeconfig: Option<&'a Path>,
    /// More arguments of `chartgate serve`, such as `&["--flux", "2.6"]`.
    pub(crate) arguments: &'a [&'a str],
}

/// A running `chartgate serve`, registered at a cluster.
pub(crate) struct Chartgate<'a> {
    // Before the process, so that the API server stops calling it first.
    registration: Registration<'a>,
    process: Process,
    url: String,
    observe: String,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self::with_arguments(&[])
    }
}

// === impl Options ===

impl<'a> Options<'a> {
    /// The default with arguments of `chartgate serve`.
    pub(crate) const fn with_arguments(arguments: &'a [&'a str]) -> Self {
        Self { failure_policy: "Fail", config: None, kubeconfig: None, arguments }
    }
}

// === impl Chartgate ===

impl<'a> Chartgate<'a> {
    /// Starts the binary and returns when the API server asks it.
    pub(crate) fn start(cluster: &'a Cluster, options: Options<'_>) -> Self {
        let Options { failure_policy, config, kubeconfig, arguments } = options;
        let dir = Process::directory("chartgate");
        let mut serve = Command::new(env!("CARGO_BIN_EXE_chartgate"));
        serve
            .args(["serve", "--listen=127.0.0.1:0", "--observe=127.0.0.1:0", "--certs=certs"])
            .args(arguments);
        if let Some(kubeconfig) = kubeconfig {
            serve.arg("--cluster=required").env("KUBECONFIG", kubeconfig);
        }
        if let Some(config) = config {
            fs::write(dir.join("chartgate.yaml"), config).expect("the process directory can be written");
            serve.args(["--config", "chartgate.yaml"]);
        }
        let process = Process::start("chartgate", dir, &serve);
        let (url, observe) = eventually("chartgate prints its two addresses", START, || {
            assert!(process.exit_status().is_none(), "{}", process.post_mortem());
            let log = process.log();
            let address = |scheme| loopback_address(&log, scheme);
            address("https").zip(address("http")).ok_or_else(|| process.post_mortem())
        });
        let authority = fs::read_to_string(process.dir().join("certs/ca.crt"))
            .expect("the authority is written before the address is printed");
        let conditions = Conditions::All;
        let endpoint = Endpoint { url: url.clone(), authority: &authority, failure_policy, conditions };
        Self { registration: Registration::new(cluster, &endpoint), process, url, observe }
    }

    /// A new namespace whose releases chartgate is asked about.
    pub(crate) fn namespace(&self, purpose: &str) -> Namespace<'a> {
        self.registration.namespace(purpose, &[])
    }

    /// The same with a name that is shown to people; only for a server of one's own.
    pub(crate) fn fixed_namespace(&self, name: &str) -> Namespace<'a> {
        self.registration.fixed_namespace(name)
    }

    /// The same with more labels, such as `("chartgate.dev/mode", "warn")`.
    pub(crate) fn labelled_namespace(&self, purpose: &str, labels: &[(&str, &str)]) -> Namespace<'a> {
        self.registration.namespace(purpose, labels)
    }

    /// `https://127.0.0.1:port`, where reviews are answered.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The text at a path of the plain port for probes and metrics, for example `/metrics`.
    pub(crate) fn observe(&self, path: &str) -> String {
        let address = self.observe.trim_start_matches("http://");
        let mut answer = String::new();
        TcpStream::connect(address)
            .and_then(|mut stream| {
                // Version 1.0 is never answered in chunks, and the connection ends with the answer.
                write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
                stream.read_to_string(&mut answer)
            })
            .expect("chartgate answers on its observe port");
        answer
            .split_once("\r\n\r\n")
            .map(|(_, body)| body.to_owned())
            .expect("an answer has a head and a body")
    }

    /// What the names of its webhooks start with.
    pub(crate) fn instance(&self) -> &str {
        self.registration.name()
    }

    /// The process, for its log, its directory and signals.
    pub(crate) fn process(&self) -> &Process {
        &self.process
    }
}

/// The first `scheme://127.x.y.z:port` in a text.
pub(super) fn loopback_address(text: &str, scheme: &str) -> Option<String> {
    let start = text.find(&format!("{scheme}://127."))?;
    let scheme_ends = start + scheme.len() + "://".len();
    let is_address = |letter: char| letter.is_ascii_digit() || letter == '.' || letter == ':';
    let length = text[scheme_ends..].find(|letter| !is_address(letter))?;
    Some(text[start..scheme_ends + length].to_owned())
}
