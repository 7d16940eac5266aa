//! `chartgate config`: what a configuration file says, and what follows from it outside of the process that serves.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::CommandError;
use crate::config;
use crate::policy::Flux;
use crate::prefilter::{self, Cluster, Prefilter, Webhook};

/// What is done with a configuration.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum ConfigCommand {
    /// Check a configuration file, and print what it puts in force, defaults included.
    #[command(after_long_help = "\
Exit codes:
  0  it can be used
  2  it cannot be read, or has an error; the line says where and what was probably meant")]
    Check {
        /// The configuration file.
        #[arg(value_name = "FILE", default_value = "chartgate.yaml")]
        file: PathBuf,
    },
    Prefilter(PrefilterArgs),
}

/// Print the matchCondition that leaves out releases in which no rule finds anything.
///
/// The shipped manifests carry those of the default configuration, for any Flux. Another one is needed where annotations
/// or chartRef are configured otherwise: with one that was not written for it, releases are left out that should be seen.
#[derive(Debug, Clone, Args)]
pub(super) struct PrefilterArgs {
    /// The webhook that it is for: /validate need not see an unchanged spec, /mutate has to.
    #[arg(long, value_enum)]
    webhook: WebhookArg,

    /// The configuration file (chartgate.yaml).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The Flux minor, such as 2.10, where more releases can be left out than with any.
    #[arg(long, value_name = "2.x")]
    flux: Option<Flux>,

    /// How it is printed.
    #[arg(long, value_enum, default_value_t)]
    format: PrefilterFormat,
}

/// A webhook that HelmReleases are sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum WebhookArg {
    /// That of the `MutatingWebhookConfiguration`.
    Mutate,
    /// That of the `ValidatingWebhookConfiguration`.
    Validate,
}

/// How a prefilter is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum PrefilterFormat {
    /// The CEL expression.
    #[default]
    Cel,
    /// A JSON patch of the webhook's configuration, for the `patches` of a kustomization.
    Patch,
}

// === impl WebhookArg ===

impl From<WebhookArg> for Webhook {
    fn from(given: WebhookArg) -> Self {
        match given {
            WebhookArg::Mutate => Self::Mutate,
            WebhookArg::Validate => Self::Validate,
        }
    }
}

/// Runs one of the commands.
pub(super) fn run(command: ConfigCommand, out: &mut impl Write) -> Result<(), CommandError> {
    match command {
        ConfigCommand::Check { file } => Ok(check(&file, &config::write(&config::read(&file)?), out)?),
        ConfigCommand::Prefilter(PrefilterArgs { webhook, config, flux, format }) => {
            let settings = config.as_deref().map(config::read).transpose()?.unwrap_or_default().settings;
            let cluster = flux.map_or(Cluster::AnyFlux, Cluster::Flux);
            Ok(write(out, webhook.into(), &Prefilter::of(&settings, cluster), format)?)
        }
    }
}

/// Prints what is in force, as a file that could be used as well.
fn check(file: &Path, in_force: &str, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "# {} can be used. In force with it:", file.display())?;
    out.write_all(in_force.as_bytes())
}

fn write(
    out: &mut impl Write,
    webhook: Webhook,
    prefilter: &Prefilter,
    format: PrefilterFormat,
) -> io::Result<()> {
    let expression = webhook.condition(prefilter);
    match format {
        PrefilterFormat::Cel => writeln!(out, "{expression}"),
        PrefilterFormat::Patch => {
            let at = "/webhooks/0/matchConditions/0";
            let patch = json!([
                // Stops the build where the patch is meant for the other configuration.
                {"op": "test", "path": "/webhooks/0/name", "value": format!("{webhook}.chartgate.dev")},
                {"op": "test", "path": format!("{at}/name"), "value": prefilter::NAME},
                {"op": "replace", "path": format!("{at}/expression"), "value": expression},
            ]);
            writeln!(out, "{patch:#}")
        }
    }
}
