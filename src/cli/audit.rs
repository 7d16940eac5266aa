//! `chartgate audit`: what a cluster holds already.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use thiserror::Error;
use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;

use super::output::{Failing, When, settings};
use super::progress::Progress;
use super::reports::{KeepError, Kept, NO_KIND, keep};
use super::runner::harmless;
use crate::audit::since::{Earlier, EarlierError, Since};
use crate::audit::{Audit, Auditor, Detail};
use crate::cluster::facts::Fact;
use crate::cluster::once::{SnapshotError, snapshot};
use crate::cluster::pages::{Effort, Selection};
use crate::cluster::{ApiError, Connection, ConnectionError};
use crate::config::ConfigError;
use crate::policy::{Settings, is_label};
use crate::report::audit::html;
use crate::report::audit::json::{self, Context};
use crate::report::audit::text::{self, View};
use crate::report::audit::{NoFiles, report};
use crate::report::junit::{self, JunitOptions};
use crate::report::sarif;
use crate::report::{Grade, printable};
use crate::scan::scan;

/// Judge every HelmRelease of a cluster, as its next apply will be judged.
///
/// A webhook judges no object that is stored already. This reads them all, in pages, with the cluster's own CRD, sources and
/// managedFields, and changes none of them.
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "\
Exit codes:
  0  nothing at or above --fail-on
  1  findings
  2  bad usage, a cluster that cannot be read, a report that cannot be written (--write-reports; the findings are printed
     all the same), or no HelmRelease at all (unless --allow-empty)

The account needs to list helmreleases and customresourcedefinitions, and should list namespaces and the sources; docs/audit.md
has more.")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct AuditArgs {
    /// The kubeconfig's context.
    ///
    /// Without it, in a pod its own cluster, elsewhere the current context.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,

    /// Only this namespace.
    #[arg(long, short, value_name = "NAMESPACE", value_parser = dns_label)]
    namespace: Option<String>,

    /// Only releases with these labels.
    #[arg(long, short = 'l', value_name = "SELECTOR", default_value = "", hide_default_value = true)]
    selector: String,

    /// The configuration file.
    ///
    /// Without it, chartgate.yaml in the current folder or above it, up to the top of the git repository.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Tell what would become of the next applies, in place of the findings.
    ///
    /// The modes of namespaces are left out of account: what is told is what enforcing would do there.
    #[arg(long, value_enum, value_name = "MODE", help_heading = "What is told")]
    what_if: Option<WhatIf>,

    /// Tell how far each release is on its way to spec.chartRef, what is in its way, and the next step.
    #[arg(long, conflicts_with = "what_if", help_heading = "What is told")]
    readiness: bool,

    /// Tell what changed since an earlier audit, by its JSON report.
    #[arg(long, value_name = "FILE", help_heading = "What is told")]
    since: Option<PathBuf>,

    /// Write a report into each namespace that has a HelmRelease, as the scanner of `serve` does.
    ///
    /// One of openreports.io, or of wgpolicyk8s.io where only that is installed. Ours in namespaces
    /// without a HelmRelease are deleted, so it is always about the whole cluster.
    #[arg(long, conflicts_with_all = ["namespace", "selector"], help_heading = "Output")]
    write_reports: bool,

    /// How it is told. All but text tell everything.
    #[arg(long, value_enum, default_value_t, help_heading = "Output")]
    format: Format,

    /// In text, the rows and no summary.
    #[arg(long, short, help_heading = "Output")]
    quiet: bool,

    /// In text, notes, too, with reasons, what to do, and exact patches.
    #[arg(long, short, conflicts_with = "quiet", help_heading = "Output")]
    verbose: bool,

    /// When text is coloured.
    #[arg(long, value_enum, default_value_t, value_name = "WHEN", help_heading = "Output")]
    color: When,

    #[command(flatten)]
    failing: Failing,
}

/// How an audit is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// Tables for people.
    #[default]
    Text,
    /// For programs, and for --since; docs/audit.md describes it.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// JUnit XML, for CI.
    Junit,
    /// One page that needs no network.
    Html,
}

/// What is asked for by `--what-if`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WhatIf {
    /// Fixes are patched in; errors that remain are denied.
    Enforce,
}

/// The audit could not be made.
#[derive(Debug, Error)]
pub enum AuditError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The earlier report cannot be read.
    #[error("cannot read the earlier report {}", .path.display())]
    UnreadableReport {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The earlier report cannot be compared with.
    #[error("{} {source}", .path.display())]
    Report {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: EarlierError,
    },
    /// There is no cluster to ask.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The cluster cannot be judged by.
    #[error(transparent)]
    Cluster(#[from] SnapshotError),
    /// The releases cannot be read.
    #[error("cannot list the HelmReleases: {}", .0.told())]
    List(ApiError),
    /// The reports in the cluster cannot be kept.
    #[error(transparent)]
    Reports(#[from] KeepError),
    /// Some namespaces refused their report.
    #[error("{0} reports could not be written; what was found is printed all the same")]
    Unwritten(usize),
    /// The report cannot be written.
    #[error("cannot write to the standard output")]
    Output(#[from] io::Error),
}

/// Reads, judges, and tells.
pub(super) fn run(args: &AuditArgs, out: &mut impl Write) -> Result<ExitCode, AuditError> {
    let settings = settings(args.config.as_deref(), Some(Path::new(".")))?;
    let earlier = args.since.as_deref().map(earlier).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (audit, kept) = runtime.block_on(audit(args, &settings))?;
    {
        let mut err = harmless(io::stderr().lock());
        for missing in &audit.missing {
            writeln!(err, "warning: not known of the cluster: {}", printable(missing))?;
        }
    }
    let kept = kept.transpose();
    if let Ok(Some(kept)) = &kept {
        writeln!(harmless(io::stderr()), "{}", printable(&kept.to_string()))?;
    }
    let since = earlier.map(|earlier| earlier.compare(&audit));
    tell(args, &audit, since.as_ref(), out)?;
    args.failing.tell(audit.releases.len(), audit.worst().map(Grade::from))?;
    // Findings are printed whether or not the reports were written.
    if let Some(unwritten) = kept?.and_then(Outcome::unwritten) {
        return Err(AuditError::Unwritten(unwritten));
    }
    Ok(args.failing.exit_code(false, audit.releases.len(), audit.worst().map(Grade::from)))
}

/// The audit, and what became of the reports where they are asked for.
async fn audit(
    args: &AuditArgs,
    settings: &Settings,
) -> Result<(Audit, Option<Result<Outcome, KeepError>>), AuditError> {
    let connection = Connection::of_context(args.context.as_deref()).await?;
    let client = connection.client.clone();
    let snapshot = Box::pin(snapshot(connection)).await?;
    let told = |(fact, why): &(Fact, String)| format!("{}: {why}", fact.as_str());
    let missing = snapshot.missing.iter().map(told).collect();
    let selection = Selection {
        namespace: args.namespace.clone(),
        labels: args.selector.clone(),
        ..Selection::default()
    };
    let progress = Progress::new("HelmReleases");
    let mut effort = Effort::default();
    let told = |count| progress.reached(count);
    let auditor = Auditor::new(settings, snapshot.facts, Detail::Everything);
    let auditor = scan(&client, &selection, auditor, &mut effort, &told).await;
    let audit = auditor.map_err(AuditError::List)?.into_audit(missing);
    drop(progress);
    if !args.write_reports {
        return Ok((audit, None));
    }
    let kept = keep(&client, &audit, &|| true, &|_| {}).await;
    Ok((audit, Some(kept.map(Outcome))))
}

/// The outcome of writing the reports, where the cluster accepts any.
struct Outcome(Option<Kept>);

// === impl Outcome ===

impl Outcome {
    /// Number of namespaces whose report could not be brought up to date.
    fn unwritten(self) -> Option<usize> {
        self.0.map(|kept| kept.refused().len()).filter(|refused| *refused > 0)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(kept) => kept.fmt(f),
            None => f.write_str(NO_KIND),
        }
    }
}

fn tell(args: &AuditArgs, audit: &Audit, since: Option<&Since>, out: &mut impl Write) -> io::Result<()> {
    let now = UtcDateTime::now();
    let taken_at = now.truncate_to_second().format(&Rfc3339).expect("years of four digits have a form");
    let context =
        Context { taken_at: &taken_at, cluster: args.context.as_deref().unwrap_or_default(), since };
    match args.format {
        Format::Text => {
            let view = match (args.what_if, args.readiness) {
                (Some(WhatIf::Enforce), _) => View::Enforced,
                (None, true) => View::Readiness,
                (None, false) => View::Findings,
            };
            let options =
                text::Options { view, colour: args.color.colour(), verbose: args.verbose, quiet: args.quiet };
            let mut out = harmless(out);
            text::write(audit, since, &options, &mut out)?;
            out.flush()
        }
        Format::Json => json::write(audit, &context, out),
        Format::Sarif => sarif::write(&report(audit), &NoFiles, out),
        Format::Junit => {
            let options = JunitOptions { timestamp: now, fail_on: args.failing.grade() };
            junit::write(&report(audit), &NoFiles, &options, out)
        }
        Format::Html => html::write(audit, &context, out),
    }
}

fn earlier(path: &Path) -> Result<Earlier, AuditError> {
    let text = fs::read_to_string(path)
        .map_err(|source| AuditError::UnreadableReport { path: path.to_owned(), source })?;
    Earlier::read(&text).map_err(|source| AuditError::Report { path: path.to_owned(), source })
}

/// The name of a namespace (RFC 1123 label).
fn dns_label(name: &str) -> Result<String, String> {
    if is_label(name) { Ok(name.to_owned()) } else { Err("is no name of a namespace".to_owned()) }
}
