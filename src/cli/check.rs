//! `chartgate check`: repositories, before they are committed.

use std::fs;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::Value;
use thiserror::Error;
use time::UtcDateTime;

use super::output::{Failing, When, settings, width};
use super::progress::Progress;
use super::runner::harmless;
use crate::cluster::facts::Fact;
use crate::cluster::once::{SnapshotError, snapshot};
use crate::cluster::{Access, Connection, ConnectionError, schemas_of};
use crate::config::ConfigError;
use crate::policy::{Facts, Flux};
use crate::preflight::baseline::{Baseline, BaselineError};
use crate::preflight::collect::{NoSuchPath, collect};
use crate::preflight::fix::{self, WriteError};
use crate::preflight::{Checked, Criteria, check};
use crate::report::junit::JunitOptions;
use crate::report::text::TextOptions;
use crate::report::{Excerpts as _, Grade, counted, github, json, junit, sarif, text};
use crate::structural::Catalog;

/// Check the HelmReleases of a repository, as clusters will see them.
///
/// Kustomizations, overlays, patches and Flux Kustomizations are rendered first. A finding names the file and line that put the offending
/// field there, and the way by which it is rendered. Files that git ignores are skipped; hidden
/// files count where a kustomization names them or Flux lists them.
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "\
Exit codes:
  0  nothing at or above --fail-on
  1  findings
  2  bad usage, input that cannot be read or parsed, or no HelmRelease at all (unless --allow-empty)

A comment `# chartgate: ignore[RULE] reason` on the line above a finding, or behind it, keeps quiet about it.")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct CheckArgs {
    /// Files and folders; `-` is the standard input.
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,

    /// The configuration file.
    ///
    /// Without it, chartgate.yaml in the folder of the first PATH or above it, up to the top of the git repository.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    schemas: Schemas,

    /// How the findings are told.
    #[arg(long, value_enum, default_value_t, help_heading = "Output")]
    format: Format,

    /// In text, one line for each finding and no summary.
    #[arg(long, short, help_heading = "Output")]
    quiet: bool,

    /// Tell notes, too.
    ///
    /// They say what could not be rendered and why, and which HelmRepository nothing refers to any more. In JSON they are always told.
    #[arg(long, short, conflicts_with = "quiet", help_heading = "Output")]
    verbose: bool,

    /// When text is coloured.
    #[arg(long, value_enum, default_value_t, value_name = "WHEN", help_heading = "Output")]
    color: When,

    #[command(flatten)]
    failing: Failing,

    /// Leave out the findings that this file knows.
    #[arg(long, value_name = "FILE", help_heading = "What fails")]
    baseline: Option<PathBuf>,

    /// Write the findings of now to a baseline file, and tell none of them.
    #[arg(long, value_name = "FILE", conflicts_with = "baseline", help_heading = "What fails")]
    write_baseline: Option<PathBuf>,

    /// Change the files: put right whatever takes no decision.
    ///
    /// Comments, order and layout stay. What is left is told afterwards.
    #[arg(long, help_heading = "Fixing")]
    fix: bool,

    /// Show what --fix would change, as a patch, in place of the findings.
    ///
    /// With --fix it shows what was changed, and then what is left.
    #[arg(long, help_heading = "Fixing")]
    diff: bool,
}

/// Whose schemas apply.
#[derive(Clone, Debug, Args)]
#[group(multiple = false)]
#[command(next_help_heading = "Schemas")]
struct Schemas {
    /// Those of a Flux minor, such as 2.6.
    ///
    /// Without any of these options, those of the newest that is known.
    #[arg(long, value_name = "2.x")]
    flux: Option<Flux>,

    /// Those of a CRD of HelmRelease in a file.
    ///
    /// Such as `kubectl get crd helmreleases.helm.toolkit.fluxcd.io -o yaml` prints it.
    #[arg(long, value_name = "FILE")]
    crd: Option<PathBuf>,

    /// Those of the kubeconfig's current cluster.
    ///
    /// Its sources count, too.
    #[arg(long)]
    cluster: bool,
}

/// How findings are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs; docs/report.md describes it.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// JUnit XML, for CI.
    Junit,
    /// GitHub workflow commands: annotations at the changed lines.
    Github,
}

/// The check could not be made.
#[derive(Debug, Error)]
pub enum CheckError {
    /// A path that was given cannot be looked at.
    #[error(transparent)]
    Path(#[from] NoSuchPath),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The baseline cannot be used.
    #[error(transparent)]
    Baseline(#[from] BaselineError),
    /// The file with the CRD cannot be read.
    #[error("cannot read the CRD {}", .path.display())]
    UnreadableCrd {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds no CRD of HelmRelease.
    #[error("{}: {message}", .path.display())]
    NoCrd {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// There is no cluster to ask.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The cluster cannot be judged by.
    #[error(transparent)]
    Cluster(#[from] SnapshotError),
    /// The standard input cannot be put right.
    #[error("--fix changes files, and the standard input is none; --diff shows what it would change")]
    FixOfStdin,
    /// A file could not be put right.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The report cannot be written.
    #[error("cannot write to the standard output")]
    Output(#[from] io::Error),
}

/// Checks, tells, and where that is asked for puts right.
pub(super) fn run(args: &CheckArgs, out: &mut impl Write) -> Result<ExitCode, CheckError> {
    if args.fix && args.paths.iter().any(|path| path == Path::new("-")) {
        return Err(CheckError::FixOfStdin);
    }
    let settings = settings(args.config.as_deref(), args.paths.first())?;
    let (facts, catalog) = judged_by(&args.schemas)?;
    let baseline = args.baseline.as_deref().map(Baseline::read).transpose()?;
    // The texts die with the process: to free them one by one takes longer than to tell what was found.
    let collected = ManuallyDrop::new({
        let progress = Progress::new("files");
        collect(&args.paths, &|_| progress.one_more())?
    });
    // One line for each finding has no room for fixes.
    let fixes = args.fix || args.diff || !(args.quiet && args.format == Format::Text);
    let criteria = Criteria {
        settings: &settings,
        facts: &facts,
        catalog: &catalog,
        baseline: baseline.as_ref(),
        fixes,
    };
    let checked = check(&collected, criteria);
    if let Some(path) = &args.write_baseline {
        let baseline = Baseline::of(checked.fingerprints.iter().cloned());
        baseline.write(path)?;
        writeln!(io::stderr(), "{} written to {}", counted(baseline.len(), "finding"), path.display())?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.fix || args.diff {
        let plan = checked.plan();
        put_right(args, &checked, &plan, out)?;
        if args.fix {
            // What is left is told by the files as they are now.
            let collected = collect(&args.paths, &|_| {})?;
            let checked = check(&collected, criteria);
            return tell(args, checked, out);
        }
        return Ok(args.failing.exit_code(
            checked.is_partial,
            checked.report.summary.releases,
            checked.worst(),
        ));
    }
    tell(args, checked, out)
}

/// Changes the files, shows the changes, or both.
fn put_right(
    args: &CheckArgs,
    checked: &Checked<'_>,
    plan: &fix::Plan,
    out: &mut impl Write,
) -> Result<(), CheckError> {
    let mut out = harmless(out);
    for rewrite in &plan.files {
        let (path, old) = (checked.files.path(rewrite.file), checked.files.text(rewrite.file));
        if args.diff {
            out.write_all(fix::unified(path, old, &rewrite.edits).as_bytes())?;
        }
        if args.fix {
            fix::write(Path::new(path), old, &rewrite.text)?;
        }
    }
    out.flush()?;
    let mut err = harmless(io::stderr().lock());
    for refused in &plan.refused {
        writeln!(err, "not fixed: {}", refused.reason)?;
    }
    for unfixed in checked.unfixed() {
        writeln!(err, "not fixed: {unfixed}")?;
    }
    if args.fix {
        let edits: usize = plan.files.iter().map(|rewrite| rewrite.edits.len()).sum();
        writeln!(err, "{} in {}", counted(edits, "change"), counted(plan.files.len(), "file"))?;
    }
    Ok(())
}

fn tell(args: &CheckArgs, mut checked: Checked<'_>, out: &mut impl Write) -> Result<ExitCode, CheckError> {
    let (is_partial, worst) = (checked.is_partial, checked.worst());
    if !(args.verbose || args.format == Format::Json) {
        checked.report.diagnostics.retain(|diagnostic| diagnostic.grade > Grade::Note);
    }
    let Checked { report, files, .. } = &checked;
    match args.format {
        Format::Text => {
            let colour = args.color.colour();
            let mut out = harmless(out);
            text::write(report, files, &TextOptions { colour, width: width(), quiet: args.quiet }, &mut out)?;
            out.flush()?;
        }
        Format::Json => json::write(report, files, out)?,
        Format::Sarif => sarif::write(report, files, out)?,
        Format::Junit => {
            let options = JunitOptions { timestamp: UtcDateTime::now(), fail_on: args.failing.grade() };
            junit::write(report, files, &options, out)?;
        }
        Format::Github => github::write(report, files, out)?,
    }
    args.failing.tell(report.summary.releases, worst)?;
    let code = args.failing.exit_code(is_partial, report.summary.releases, worst);
    // They die with the process, too.
    std::mem::forget(checked);
    Ok(code)
}

/// The facts and schemas that objects are judged by.
fn judged_by(schemas: &Schemas) -> Result<(Facts, Catalog), CheckError> {
    let Schemas { flux, crd, cluster } = schemas;
    if let Some(path) = crd {
        return of_crd(path);
    }
    if *cluster {
        return of_cluster();
    }
    let flux = flux.unwrap_or_default();
    Ok((Facts::of(flux), Catalog::of_flux(flux)))
}

fn of_crd(path: &Path) -> Result<(Facts, Catalog), CheckError> {
    let text = fs::read_to_string(path)
        .map_err(|source| CheckError::UnreadableCrd { path: path.to_owned(), source })?;
    let wrong = |message| CheckError::NoCrd { path: path.to_owned(), message };
    let documents: Vec<Value> = crate::preflight::documents(&text).map_err(wrong)?;
    let is_ours = |document: &&Value| {
        document["kind"] == "CustomResourceDefinition" && document["spec"]["names"]["kind"] == "HelmRelease"
    };
    let crd = documents.iter().find(is_ours);
    let schemas = crd.map(schemas_of).filter(|schemas| !schemas.is_empty());
    let schemas =
        schemas.ok_or_else(|| wrong("holds no CRD of HelmRelease that serves a version".to_owned()))?;
    let facts = Facts { helm_release: Some(schemas), ..Facts::default() };
    let crds = documents.iter().filter(|document| document["kind"] == "CustomResourceDefinition");
    let catalog = Catalog::of_crds(crds, closest(&facts));
    Ok((facts, catalog))
}

/// The Flux whose schemas apply to the kinds of which no CRD is at hand: the newest that serves the same HelmReleases.
fn closest(facts: &Facts) -> Flux {
    facts.serving("").minors().map_or_else(Flux::default, |(_, last)| last)
}

fn of_cluster() -> Result<(Facts, Catalog), CheckError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let connection = Connection::open(Access::Required).await?.expect("it is required");
        let snapshot = Box::pin(snapshot(connection)).await?;
        let mut err = harmless(io::stderr().lock());
        // Namespaces say how a webhook is to act, and nothing about what is right.
        for (fact, why) in snapshot.missing.iter().filter(|(fact, _)| *fact != Fact::Namespaces) {
            writeln!(err, "warning: not known of the cluster: {}: {why}", fact.as_str())?;
        }
        let catalog = Catalog::of_crds(&snapshot.crds, closest(&snapshot.facts));
        Ok((snapshot.facts, catalog))
    })
}
