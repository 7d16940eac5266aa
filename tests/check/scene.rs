//! A repository of its own for each test.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use tempfile::TempDir;

/// A repository.
pub(crate) struct Scene {
    folder: TempDir,
    kubeconfig: Option<PathBuf>,
}

/// What the command said.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Scene {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let scene = Self { folder: tempfile::tempdir().expect("a temporary directory"), kubeconfig: None };
        for (path, text) in files {
            scene.write(path, text);
        }
        scene
    }

    /// From here on, with the cluster of a kubeconfig at hand.
    pub(crate) fn beside(&mut self, kubeconfig: impl Into<PathBuf>) {
        self.kubeconfig = Some(kubeconfig.into());
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().expect("it is in the folder")).expect("the folder can be made");
        fs::write(path, text).expect("the file can be written");
    }

    /// Runs `chartgate check` in the repository.
    pub(crate) fn check(&self, arguments: &[&str]) -> Said {
        self.check_of(arguments, "")
    }

    /// The same with a standard input.
    pub(crate) fn check_of(&self, arguments: &[&str], stdin: &str) -> Said {
        self.run(arguments, stdin, &[])
    }

    /// The same with variables of the environment.
    pub(crate) fn check_in(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Said {
        self.run(arguments, "", environment)
    }

    fn run(&self, arguments: &[&str], stdin: &str, environment: &[(&str, &str)]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chartgate"));
        command.arg("check").args(arguments).env_clear().current_dir(self.path()).write_stdin(stdin);
        command.envs(environment.iter().copied());
        if let Some(kubeconfig) = &self.kubeconfig {
            command.env("KUBECONFIG", kubeconfig);
        }
        let output = command.output().expect("it starts");
        let text = |bytes| String::from_utf8(bytes).expect("we write UTF-8");
        let code = output.status.code().expect("it was not killed");
        Said { code, out: text(output.stdout), err: text(output.stderr) }
    }

    /// One line for each finding.
    pub(crate) fn lines(&self, arguments: &[&str]) -> Vec<String> {
        let arguments: Vec<_> = ["--quiet"].iter().chain(arguments).copied().collect();
        self.check(&arguments).out.lines().map(str::to_owned).collect()
    }
}

/// A HelmRelease in order but for what is given below `spec`.
pub(crate) fn release(spec: &str) -> String {
    format!(
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata:\n  name: podinfo\n  namespace: apps\n\
         spec:\n  interval: 10m\n{spec}"
    )
}

/// A Flux Kustomization of the folder `apps`, with more below `spec`.
pub(crate) fn flux(more: &str) -> String {
    format!(
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: apps, namespace: flux-system}}\n\
         spec:\n  path: ./apps\n  sourceRef: {{kind: GitRepository, name: flux-system}}\n{more}"
    )
}

/// `spec.chart`, whole.
pub(crate) const CHART: &str = "  chart:\n    spec:\n      chart: podinfo\n      sourceRef:\n        kind: HelmRepository\n        name: podinfo\n";

/// `spec.chartRef`.
pub(crate) const CHART_REF: &str = "  chartRef:\n    kind: OCIRepository\n    name: podinfo\n";

/// The source of [`CHART_REF`].
pub(crate) const SOURCE: &str = "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata:\n  name: podinfo\n  \
    namespace: apps\nspec:\n  interval: 10m\n  url: oci://example.com/podinfo\n  ref: {tag: 6.5.4}\n  \
    layerSelector: {operation: copy}\n";
