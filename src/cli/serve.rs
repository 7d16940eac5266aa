//! `chartgate serve`: the admission webhook.

mod announce;
mod bind;
mod events;
mod running;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use thiserror::Error;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::{runtime, spawn};

use self::announce::Announcement;
use self::bind::{Address, bind};
use self::events::EventsSetting;
use self::running::{Running, Signals};
use super::log::LogArgs;
use crate::admission::{self, Answer, BadReview, Endpoint, Facts, Settings};
use crate::certs::directory::{Directory, Origin};
use crate::certs::pair::Names;
use crate::certs::reload::Reloader;
use crate::certs::{CertError, Presented, server_config};
use crate::cluster::events::Writer;
use crate::cluster::{Access, Connection, ConnectionError};
use crate::config::{self, ConfigError};
use crate::policy::Flux;
use crate::telemetry::{LogError, Metrics, Traces};
use crate::webhook::observe::{self, Check};
use crate::webhook::reload::keep_certificate_current;
use crate::webhook::{Audience, Judge, Limits, Server, Stage, router};

/// The Service and the namespace of our manifests: whom a certificate that we make speaks for.
const SERVICE: (&str, &str) = ("chartgate", "chartgate-system");

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
    /// The configuration file (chartgate.yaml).
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

    /// The directory with tls.crt and tls.key; both are made where neither is there.
    ///
    /// What is there is never overwritten, unless chartgate made it itself and it is about to expire. Changed files
    /// are served from the next connection on.
    #[arg(long, value_name = "DIR", default_value = "certs")]
    certs: PathBuf,

    /// Whether the API server is asked for facts: in a pod its own, by kubeconfig only where required.
    #[arg(long, value_name = "ACCESS", value_enum, default_value_t)]
    cluster: Access,

    /// Whether a denial or a repair is said in an Event on the HelmRelease, where there is a cluster.
    #[arg(long, value_name = "EVENTS", value_enum, default_value_t)]
    events: EventsSetting,

    /// How many seconds to go on serving after SIGTERM, while the cluster learns to send nothing more.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    shutdown_delay: u16,

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
    let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
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

/// Judges with what was given at the start.
struct Given {
    settings: Settings,
    facts: Facts,
}

impl Judge for Given {
    fn judge<'a>(&self, body: &'a [u8], endpoint: Endpoint) -> Result<Answer<'a>, BadReview> {
        admission::review(body, endpoint, &self.settings, &self.facts)
    }
}

async fn serve(
    args: ServeArgs,
    metrics: Arc<Metrics>,
    traces: Option<Traces>,
) -> Result<ExitCode, ServeError> {
    let ServeArgs { config, flux, listen, observe, certs, cluster, events, shutdown_delay, log: _ } = args;
    let settings = config.as_deref().map(config::read).transpose()?.unwrap_or_default();
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

    let directory = Directory::new(certs);
    let (service, namespace) = SERVICE;
    let names = Names::of_service(service, namespace).and_address(address.ip());
    let (pair, origin) = directory.open(&names, OffsetDateTime::now_utc())?;
    if origin == Origin::Made {
        tracing::info!(directory = %directory.path().display(), "made a certificate authority and a certificate");
    }
    let announcement = Announcement {
        webhook: address,
        observe: observe.local_addr()?,
        authority: Some(directory.authority()).filter(|file| file.exists()),
        names: pair.names(),
    }
    .to_string();

    let judge = Given { settings, facts: Facts { flux } };
    let presented = Arc::new(Presented::new(pair));
    let reloader = Reloader::new(directory, names, Arc::clone(&presented));
    let running = start(judge, (webhook, observe), (presented, reloader), (audience, writer));
    // Nobody may be reading; the server serves all the same.
    let _ = writeln!(io::stdout(), "{announcement}");
    Ok(running.until(signals, Duration::from_secs(shutdown_delay.into())).await)
}

/// Starts every part of the server.
fn start(
    judge: impl Judge,
    (webhook, observe): (TcpListener, TcpListener),
    (presented, reloader): (Arc<Presented>, Reloader),
    (audience, writer): (Audience, Option<Writer>),
) -> Running {
    let limits = Limits::default();
    let metrics = &Arc::clone(&audience.metrics);
    metrics.serves_certificate_until(presented.pair().not_after());

    let (stage, stages) = watch::channel(Stage::Serving);
    let tls = Arc::new(server_config(Arc::clone(&presented)));
    let routes = router(judge, audience);
    let webhook = Server::webhook(webhook, routes, tls, Arc::clone(metrics), limits, stages.clone());
    let webhook = spawn(webhook.run());

    let (observe_stage, observe_stages) = watch::channel(Stage::Serving);
    let ready = vec![
        Check::listener(webhook.abort_handle()),
        Check::certificate(Arc::clone(&presented)),
        Check::serving(stages.clone()),
    ];
    let limits = Limits { connections: MAX_OBSERVE_CONNECTIONS, ..limits };
    let observe = Server::plain(observe, observe::router(Arc::clone(metrics), ready), limits, observe_stages);
    let observe = spawn(observe.run());

    let reload = spawn(keep_certificate_current(reloader, presented, Arc::clone(metrics), stages));
    // It ends with the webhook, which is the only one to tell it anything.
    let events = writer.map(|writer| spawn(writer.run()));
    Running { stage, webhook, observe_stage, observe, reload, events }
}
