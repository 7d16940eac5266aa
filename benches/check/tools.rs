//! Other tools, with the same files. Each is given less to do than it does by default.

#[path = "../../tests/support/go_tools.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod go_tools;

use std::path::Path;

use anyhow::{Context, Result, anyhow};

use crate::run::Program;
use go_tools::GoTools;

const KUBECONFORM: GoTools = GoTools {
    folder: "kubeconform",
    module: "github.com/yannh/kubeconform",
    what: "kubeconform",
    minutes: "1",
    ldflags: "-s -w",
};

/// Those that can be built here.
pub(crate) fn all(corpus: &Path) -> Result<Vec<Program>> {
    let bin = KUBECONFORM.provide().map_err(|missing| anyhow!(missing)).context("--alone leaves it out")?;
    let program = bin.join("kubeconform");
    let program = program.to_str().context("the cache has a path that is text")?;
    // Without any schema it only reads, and needs no network.
    let arguments =
        ["-ignore-missing-schemas", "-schema-location", "/nonexistent/{{.ResourceKind}}.json", "-n", "2"];
    Ok(vec![Program::new("kubeconform, without schemas", program, &arguments, corpus)])
}
