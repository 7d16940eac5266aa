//! Where the server's certificate comes from.

use std::convert::Infallible;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::ServeError;
use crate::certs::directory::{Directory, Origin};
use crate::certs::pair::Names;
use crate::certs::reload::Reloader;
use crate::certs::shared::Lifetimes;
use crate::certs::{CertError, Presented};
use crate::cluster::Connection;
use crate::cluster::watch::Anew;
use crate::telemetry::Metrics;
use crate::webhook::Stage;
use crate::webhook::distrust::Distrust;
use crate::webhook::observe::Check;
use crate::webhook::reload::keep_certificate_current;
use crate::webhook::self_managed::SelfManaged;

/// The Service and the namespace of our manifests: whom a certificate that we make speaks for.
const SERVICE: (&str, &str) = ("chartgate", "chartgate-system");

/// What stands behind `--certs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A Secret that all replicas share.
    SelfManaged,
    /// The files of a directory.
    Directory(PathBuf),
}

/// The certificate, and who keeps it.
pub(super) struct Certificate {
    pub(super) presented: Arc<Presented>,
    keeper: Keeper,
    /// Records callers that refuse the certificate.
    pub(super) distrust: Arc<Distrust>,
}

enum Keeper {
    Files(Reloader),
    Secret(Box<SelfManaged>),
}

/// What to tell the user about the certificate.
#[derive(Debug)]
pub(super) enum Told {
    /// The authority to trust, where there is a file of it, and whom the certificate speaks for.
    Files { authority: Option<PathBuf>, names: Names },
    /// The namespace and the name of the Secret.
    Secret(String),
}

// === impl Source ===

impl FromStr for Source {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text == "self" { Self::SelfManaged } else { Self::Directory(text.into()) })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SelfManaged => f.write_str("self"),
            Self::Directory(path) => path.display().fmt(f),
        }
    }
}

// === impl Certificate ===

impl Certificate {
    /// Opens the source for a server that listens on `address`.
    pub(super) fn open(
        source: Source,
        address: IpAddr,
        connection: Option<&Connection>,
        lifetimes: Lifetimes,
        (metrics, anew): (&Arc<Metrics>, &Anew),
    ) -> Result<(Self, Told), ServeError> {
        match source {
            Source::Directory(path) => Ok(Self::of_files(path, address)?),
            Source::SelfManaged => {
                let connection = connection.ok_or(ServeError::NoCluster)?;
                let presented = Arc::new(Presented::default());
                let distrust = Arc::new(Distrust::default());
                let hints = (Arc::clone(&distrust), anew.clone());
                let secret = SelfManaged::new(
                    connection,
                    lifetimes,
                    Arc::clone(&presented),
                    Arc::clone(metrics),
                    hints,
                );
                let told = Told::Secret(secret.place());
                Ok((Self { presented, keeper: Keeper::Secret(Box::new(secret)), distrust }, told))
            }
        }
    }

    fn of_files(path: PathBuf, address: IpAddr) -> Result<(Self, Told), CertError> {
        let directory = Directory::new(path);
        let (service, namespace) = SERVICE;
        let names = Names::of_service(service, namespace).and_address(address);
        let (pair, origin) = directory.open(&names, OffsetDateTime::now_utc())?;
        if origin == Origin::Made {
            tracing::info!(directory = %directory.path().display(), "made a certificate authority and a certificate");
        }
        let authority = Some(directory.authority()).filter(|file| file.exists());
        let told = Told::Files { authority, names: pair.names().clone() };
        let presented = Arc::new(Presented::new(pair));
        let reloader = Reloader::new(directory, names, Arc::clone(&presented));
        Ok((Self { presented, keeper: Keeper::Files(reloader), distrust: Arc::default() }, told))
    }

    /// Whether it is in a Secret, for the Service of the namespace that this process runs in.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self.keeper, Keeper::Secret(_))
    }

    /// Keeps it until the process drains; the checks say whether it can be relied on.
    pub(super) fn keep(
        self,
        keepers: &mut JoinSet<()>,
        metrics: &Arc<Metrics>,
        stages: watch::Receiver<Stage>,
    ) -> Vec<Check> {
        let Self { presented, keeper, distrust: _ } = self;
        let mut checks = vec![Check::certificate(Arc::clone(&presented))];
        match keeper {
            Keeper::Files(reloader) => {
                keepers.spawn(keep_certificate_current(reloader, presented, Arc::clone(metrics), stages));
            }
            Keeper::Secret(secret) => {
                let status = secret.status();
                let task = keepers.spawn(secret.keep(stages));
                checks.push(Check::ca_bundle(status, task));
            }
        }
        checks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_called_self_is_written_with_a_dot() {
        assert_eq!("self".parse(), Ok(Source::SelfManaged));
        assert_eq!("./self".parse(), Ok(Source::Directory("./self".into())));
        assert_eq!("certs".parse(), Ok(Source::Directory("certs".into())));
    }
}
