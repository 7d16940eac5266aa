//! `chartgate serve`: the admission webhook.

mod announce;
mod bind;
mod certificate;
mod client_ca;
mod events;
mod facts;
mod installation;
mod namespaces;
mod prefilter;
mod running;
mod scanner;
mod settings;

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, value_parser};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::{runtime, spawn};

use self::announce::Announcement;
use self::bind::{Address, bind};
use self::certificate::{Certificate, Source};
use self::client_ca::{ClientAuth, ClientCa};
use self::events::EventsSetting;
use self::installation::Installation;
use self::namespaces::Namespaces;
use self::prefilter::Prefilter;
use self::running::{Running, Signals};
use self::scanner::Scanner;
use self::settings::InForce;
use super::log::LogArgs;
use crate::admission::{self, Answer, BadReview, Endpoint};
use crate::certs::{CertError, server_config};
use crate::cluster::events::Writer;
use crate::cluster::facts::Store;
use crate::cluster::watch::Anew;
use crate::cluster::{Access, Connection, ConnectionError};
use crate::config::ConfigError;
use crate::config::reload::Reloader as ConfigReloader;
use crate::policy::Flux;
use crate::telemetry::{LogError, Metrics, Traces};
use crate::webhook::namespaces::routes;
use crate::webhook::observe::{self, Check};
use crate::webhook::{Audience, Judge, Limits, Server, Stage, router};

/// Probes and scrapers are few; whoever else comes must not take what the webhook needs.
const MAX_OBSERVE_CONNECTIONS: usize = 64;

/// How long the end of the runtime waits for a file system that hangs.
const RUNTIME_END: Duration = Duration::from_millis(100);

/// Serve the admission webhook.
///
/// Without flags it makes a certificate under certs/, listens on 127.0.0.1:8443, and prints a curl line to try.
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "\
Signals:
  SIGTERM  not ready at once; serve for --shutdown-delay; accept no more; finish what is under way; exit 0
  SIGINT   the same without the delay
  A second signal ends the process at once, with exit code 143 (SIGTERM) or 130 (SIGINT).

Exit codes:
  0  ended by a signal, everything answered
  1  a part of the server failed
  2  bad usage, or it could not start")]
pub struct ServeArgs {
    /// The configuration file (chartgate.yaml); `chartgate config check` tries one.
    ///
    /// It is read again when it changes. Where it cannot be used then, the settings of before stay in force.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The Flux minor whose schemas apply, such as 2.6.
    #[arg(long, value_name = "2.x", default_value_t)]
    flux: Flux,

    /// The address of the webhook; `:8443` means all addresses, and port 0 any free port.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    listen: Address,

    /// The address of probes and metrics, in plain HTTP.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    observe: Address,

    /// The directory with tls.crt and tls.key, or `self` for a Secret that all replicas share.
    ///
    /// In a directory, both are made where neither is there. What is there is never overwritten, unless chartgate
    /// made it itself and it is about to expire. Changed files are served from the next connection on.
    ///
    /// With `self`, which needs an API server (see --cluster), chartgate makes the Secret chartgate-tls in its own
    /// namespace, renews it, and writes the CA into the caBundle of the two webhook configurations that are called
    /// chartgate. A directory of that name is written ./self.
    #[arg(long, value_name = "DIR|self", default_value = "certs")]
    certs: Source,

    /// The CA of client certificates: a PEM file, or `cluster`.
    ///
    /// Without it, anybody who reaches the webhook's port can have a review judged. With it, a caller has to present a
    /// client certificate that this CA signed; probes and metrics stay open. An API server presents none unless its
    /// --admission-control-config-file says so (docs/install.md). `cluster` reads the client CA of the cluster from the
    /// ConfigMap kube-system/extension-apiserver-authentication. Both are read again when they change.
    #[arg(long, value_name = "FILE|cluster")]
    client_ca: Option<ClientCa>,

    /// A common name that a client certificate may have; may be repeated [default: any]
    #[arg(long, value_name = "NAME", requires = "client_ca")]
    client_name: Vec<String>,

    /// Whether an API server is asked: in a pod its own, by kubeconfig only where required.
    #[arg(long, value_name = "ACCESS", value_enum, default_value_t)]
    cluster: Access,

    /// Whether a denial or a repair is said in an Event on the HelmRelease, where there is a cluster.
    #[arg(long, value_name = "EVENTS", value_enum, default_value_t)]
    events: EventsSetting,

    /// How many seconds to go on serving after SIGTERM, while the cluster learns to send nothing more.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    shutdown_delay: u16,

    /// How often what the cluster's watches have shown is compared with what the API server holds, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, hide = true, value_parser = value_parser!(u16).range(1..))]
    reread: u16,

    #[command(flatten)]
    log: LogArgs,
}

/// Why the server did not start, or did not go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address} (--{flag}): {hint}")]
    Listen {
        /// `listen` or `observe`.
        flag: &'static str,
        /// The address as it was given.
        address: String,
        /// What to do.
        hint: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// There is no certificate to serve.
    #[error(transparent)]
    Certificate(#[from] CertError),
    /// The configuration cannot be used.
    #[error("--config")]
    Config(#[from] ConfigError),
    /// There is no API server to ask.
    #[error("--cluster")]
    Cluster(#[from] ConnectionError),
    /// A certificate in a Secret needs an API server.
    #[error(
        "--certs=self keeps the certificate in a Secret, and there is no API server to ask: run in a pod, or add \
         --cluster=required to use a kubeconfig (a directory of that name is written ./self)"
    )]
    NoCluster,
    /// The client CA is unusable.
    #[error("--client-ca")]
    ClientCa(#[source] CertError),
    /// `--client-ca=cluster` needs an API server.
    #[error(
        "--client-ca=cluster reads the client CA of the cluster, and there is no API server to ask: run in a pod, or add \
         --cluster=required to use a kubeconfig (a file of that name is written ./cluster)"
    )]
    NoClusterForClients,
    /// There is no log.
    #[error("--log-level (or RUST_LOG)")]
    Log(#[from] LogError),
    /// The operating system refuses threads or signals.
    #[error("the system does not let the server start")]
    System(#[from] io::Error),
}

/// Serves until a signal ends the process.
pub fn run(args: ServeArgs) -> Result<ExitCode, ServeError> {
    let metrics = Arc::new(Metrics::new());
    // Dropped last: it writes out what is left.
    let _log = args.log.start(&metrics)?;
    // One thread judges some 50,000 reviews a second, a large one in a tenth of a millisecond. Each further thread costs
    // memory, and on a node with many cores there would be many: docs/performance.md has the figures.
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    // A collector that cannot be used is no reason not to serve.
    let traces = Traces::from_environment(runtime.handle()).unwrap_or_else(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "there are no traces");
        None
    });
    let ended = runtime.block_on(async {
        let ended = serve(args, metrics, traces.clone()).await;
        if let Some(traces) = traces {
            traces.close().await;
        }
        ended
    });
    runtime.shutdown_timeout(RUNTIME_END);
    ended
}

/// Judges with the settings and facts of the moment.
struct Current {
    in_force: Arc<InForce>,
    facts: Arc<Store>,
}

impl Judge for Current {
    fn judge<'a>(&self, body: &'a [u8], endpoint: Endpoint) -> Result<Answer<'a>, BadReview> {
        admission::review(body, endpoint, &self.in_force.settings.load(), &self.facts.read())
    }
}

async fn serve(
    args: ServeArgs,
    metrics: Arc<Metrics>,
    traces: Option<Traces>,
) -> Result<ExitCode, ServeError> {
    let ServeArgs {
        config,
        flux,
        listen,
        observe,
        certs,
        client_ca,
        client_name,
        cluster,
        events,
        shutdown_delay,
        reread,
        log: _,
    } = args;
    let anew = Anew::every(Duration::from_secs(reread.into()));
    let (in_force, config) = InForce::open(config, &metrics)?;
    let signals = Signals::listen()?;
    let connection = Connection::open(cluster).await?;
    if let Some(Connection { namespace, .. }) = &connection {
        tracing::info!(namespace, "asking the API server");
    }
    let (events, writer) = events.open(connection.as_ref(), &metrics).unzip();
    let audience = Audience { metrics, events, traces };
    // Before the certificate: who cannot listen shall not write files either.
    let webhook = bind("listen", listen).await?;
    let observe = bind("observe", observe).await?;
    let address = webhook.local_addr()?;

    let (certificate, told) = Certificate::open(
        certs,
        address.ip(),
        connection.as_ref(),
        in_force.certificates(),
        (&audience.metrics, &anew),
    )?;
    let clients = client_ca
        .map(|source| ClientAuth::open(source, client_name, connection.as_ref(), &audience.metrics))
        .transpose()?;
    let announcement =
        Announcement { webhook: address, observe: observe.local_addr()?, certificate: &told }.to_string();
    let facts = if connection.is_some() { Store::new(flux) } else { Store::alone(flux) };
    let judge = Current { in_force, facts: Arc::new(facts) };
    let cluster = connection.map(|connection| (connection, anew));
    let running =
        start(judge, (webhook, observe), (certificate, clients), (config, cluster), (audience, writer));
    // Nobody may be reading; the server serves all the same.
    let _ = writeln!(io::stdout(), "{announcement}");
    Ok(running.until(signals, Duration::from_secs(shutdown_delay.into())).await)
}

/// Starts every part of the server.
fn start(
    judge: Current,
    (webhook, observe): (TcpListener, TcpListener),
    (certificate, clients): (Certificate, Option<ClientAuth>),
    (config, cluster): (Option<ConfigReloader>, Option<(Connection, Anew)>),
    (audience, writer): (Audience, Option<Writer>),
) -> Running {
    let limits = Limits::default();
    let metrics = &Arc::clone(&audience.metrics);
    if let Some(pair) = certificate.presented.pair() {
        metrics.serves_certificate_until(pair.not_after());
    }

    let (stage, stages) = watch::channel(Stage::Serving);
    let tls = Arc::new(server_config(
        Arc::clone(&certificate.presented),
        clients.as_ref().map(|auth| Arc::clone(&auth.clients)),
    ));
    let (in_force, store) = (Arc::clone(&judge.in_force), Arc::clone(&judge.facts));
    let client = cluster.as_ref().map(|(connection, _)| connection.client.clone());
    let warn = Namespaces::new(Arc::clone(&in_force), Arc::clone(&store), client);
    let routes = router(judge, audience).merge(routes(warn, Arc::clone(metrics)));
    let webhook = Server::webhook(webhook, routes, tls, Arc::clone(metrics), limits, stages.clone());
    let webhook = webhook.noting_distrust(&certificate.distrust);
    let webhook = spawn(webhook.run());

    let (observe_stage, observe_stages) = watch::channel(Stage::Serving);
    let mut keepers = JoinSet::new();
    let mut ready = vec![Check::listener(webhook.abort_handle())];
    // A kubeconfig may name any namespace, unless the certificate is for it.
    let knows_where = certificate.is_shared() || env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    let installed_in = cluster.as_ref().filter(|_| knows_where).map(|(cluster, _)| cluster.namespace.clone());
    let presented = Arc::clone(&certificate.presented);
    ready.extend(certificate.keep(&mut keepers, metrics, stages.clone()));
    ready.extend(clients.map(|auth| auth.keep(&mut keepers, stages.clone())));
    ready.push(Check::serving(stages.clone()));
    let prefilter =
        Prefilter::new(Arc::clone(&in_force), Arc::clone(&store), config.as_ref().map(ConfigReloader::path));
    let scanned_by = Arc::clone(&in_force);
    if let Some(reloader) = config {
        ready.push(in_force.detail(&reloader));
        keepers.spawn(settings::keep_current(reloader, in_force, Arc::clone(metrics), stages.clone()));
    }
    if let Some((connection, anew)) = cluster {
        ready.extend(facts::details(&store));
        ready.extend(prefilter.keep(&mut keepers, metrics, stages.clone()));
        let installation = Installation::new(Arc::clone(&store), installed_in, presented);
        ready.extend(installation.keep(&mut keepers, metrics, stages.clone()));
        let scanner = Scanner::new(scanned_by, Arc::clone(&store), connection.clone(), Arc::clone(metrics));
        ready.push(scanner.keep(&mut keepers, stages.clone()));
        keepers.spawn(facts::keep_current((connection, anew), store, Arc::clone(metrics), stages));
    }
    let limits = Limits { connections: MAX_OBSERVE_CONNECTIONS, ..limits };
    let observe = Server::plain(observe, observe::router(Arc::clone(metrics), ready), limits, observe_stages);
    let observe = spawn(observe.run());

    // It ends with the webhook, which is the only one to tell it anything.
    if let Some(writer) = writer {
        keepers.spawn(writer.run());
    }
    Running { stage, webhook, observe_stage, observe, keepers }
}
