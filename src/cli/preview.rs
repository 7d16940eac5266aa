//! `chartgate preview`: what the webhook would say and change.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use serde_json::Value;

use crate::{
    admission::{BadReview, Facts},
    config::{self, ConfigError},
    policy::Flux,
    preflight::{self, Preview, Verdict},
};

/// Show what the webhook would make of a HelmRelease: verdict, exact patch, resulting YAML.
///
/// Takes a HelmRelease, which is judged as if it were created, or a captured AdmissionReview.
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "\
Exit codes:
  0  it would be allowed
  1  it would be denied
  2  bad usage, or input that cannot be read")]
pub struct PreviewArgs {
    /// The file, YAML or JSON; `-` is the standard input.
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,

    /// The configuration file (chartgate.yaml).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The Flux minor whose schemas apply, such as 2.6.
    #[arg(long, value_name = "2.x", default_value_t)]
    flux: Flux,
}

/// The input cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// It cannot be read.
    #[error("cannot read {name}")]
    Unreadable {
        /// The file, or the standard input.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// It is neither YAML nor JSON.
    #[error("{name}: {message}")]
    Yaml {
        /// The file, or the standard input.
        name: String,
        /// What is wrong, with line and column.
        message: String,
    },
    /// It is something else.
    #[error("{name}: document {document} is no HelmRelease and no AdmissionReview; its kind is {kind:?}")]
    OtherKind {
        /// The file, or the standard input.
        name: String,
        /// Which document of the file, from 1.
        document: usize,
        /// The kind that it has.
        kind: String,
    },
    /// There is nothing in it.
    #[error("{name} holds no document; give a HelmRelease or an AdmissionReview")]
    Empty {
        /// The file, or the standard input.
        name: String,
    },
    /// It is an AdmissionReview that cannot be answered.
    #[error("{name}")]
    Review {
        /// The file, or the standard input.
        name: String,
        /// What is wrong with it.
        source: BadReview,
    },
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The answer cannot be written.
    #[error("cannot write to the standard output")]
    Output(#[from] io::Error),
}

/// Judges every document of the input and prints what comes of it.
pub fn run(args: PreviewArgs, out: &mut impl Write) -> Result<ExitCode, PreviewError> {
    let PreviewArgs { file, config, flux } = args;
    let settings = config.as_deref().map(config::read).transpose()?.unwrap_or_default().settings;
    let (name, text) = read(&file)?;
    let documents =
        preflight::documents(&text).map_err(|message| PreviewError::Yaml { name: name.clone(), message })?;
    if documents.is_empty() {
        return Err(PreviewError::Empty { name });
    }
    let mut denied = false;
    for (index, document) in documents.iter().enumerate() {
        if !matches!(document["kind"].as_str(), Some("HelmRelease" | "AdmissionReview")) {
            let kind = document["kind"].as_str().unwrap_or_default().to_owned();
            return Err(PreviewError::OtherKind { name, document: index + 1, kind });
        }
        let preview = preflight::preview(document, &settings, Facts { flux })
            .map_err(|source| PreviewError::Review { name: name.clone(), source })?;
        denied |= matches!(preview.verdict, Verdict::Denied { .. });
        print(&preview, out)?;
    }
    Ok(ExitCode::from(u8::from(denied)))
}

fn read(file: &Path) -> Result<(String, String), PreviewError> {
    if file == Path::new("-") {
        let name = "the standard input".to_owned();
        let mut text = String::new();
        match io::stdin().read_to_string(&mut text) {
            Ok(_) => Ok((name, text)),
            Err(source) => Err(PreviewError::Unreadable { name, source }),
        }
    } else {
        let name = file.display().to_string();
        match fs::read_to_string(file) {
            Ok(text) => Ok((name, text)),
            Err(source) => Err(PreviewError::Unreadable { name, source }),
        }
    }
}

fn print(preview: &Preview, out: &mut impl Write) -> Result<(), PreviewError> {
    for warning in &preview.warnings {
        writeln!(out, "Warning: {warning}")?;
    }
    match &preview.verdict {
        Verdict::Denied { message } => writeln!(out, "denied:\n{message}")?,
        Verdict::Allowed => writeln!(out, "allowed, no patch")?,
        Verdict::Patched { patch, result } => {
            let pretty = |value: &Value| serde_json::to_string_pretty(value).expect("a value is JSON");
            writeln!(out, "allowed, with this patch:\n{}\n\nwhich makes it:\n---", pretty(patch))?;
            write!(out, "{}", serde_saphyr::to_string(result).unwrap_or_else(|_| pretty(result)))?;
        }
    }
    Ok(())
}
