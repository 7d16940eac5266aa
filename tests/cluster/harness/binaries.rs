//! The servers the tests run against: built from their Go modules, once, and kept outside the checkout.
//!
//! How is in `tests/support/go_tools.rs`.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::go_tools::{GoTools, NO_GO, go, insist};

/// What a Kubernetes control plane needs, plus the client of the same release.
#[derive(Clone, Debug)]
pub(crate) struct ControlPlane {
    pub(crate) kube_apiserver: PathBuf,
    pub(crate) etcd: PathBuf,
    pub(crate) kubectl: PathBuf,
}

/// A Kubernetes release that tests run against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kubernetes {
    /// 1.35: the default release of every test.
    Usual,
    /// 1.37: the newest one, for tests about what differs between releases.
    Newest,
}

/// The controller that pulls artifacts, and the registry that it pulls them from.
#[derive(Clone, Debug)]
pub(crate) struct SourceControllerPrograms {
    pub(crate) source_controller: PathBuf,
    pub(crate) oci_registry: PathBuf,
}

const KUSTOMIZE_CONTROLLER: GoTools = GoTools {
    folder: "kustomize-controller",
    module: "github.com/fluxcd/kustomize-controller",
    what: "kustomize-controller",
    minutes: "3",
    ldflags: "-s -w",
};

const SOURCE_CONTROLLER: GoTools = GoTools {
    folder: "source-controller",
    module: "github.com/fluxcd/source-controller",
    what: "source-controller and an OCI registry",
    minutes: "4",
    ldflags: "-s -w",
};

/// The control plane of a release, or why there is none: built once and cached. `KUBEBUILDER_ASSETS` replaces the usual
/// one if it is set.
pub(crate) fn control_plane(kubernetes: Kubernetes) -> Result<ControlPlane, String> {
    static FOUND: [OnceLock<Result<ControlPlane, String>>; 2] = [OnceLock::new(), OnceLock::new()];
    FOUND[kubernetes as usize]
        .get_or_init(|| {
            match std::env::var_os("KUBEBUILDER_ASSETS").filter(|_| kubernetes == Kubernetes::Usual) {
                Some(assets) => in_assets(Path::new(&assets)),
                None => kubernetes.tools().provide().map(|bin| ControlPlane {
                    kube_apiserver: bin.join("kube-apiserver"),
                    // The package has this name; `tool` names programs after their package.
                    etcd: bin.join("server"),
                    kubectl: bin.join("kubectl"),
                }),
            }
        })
        .clone()
        .inspect_err(|missing| insist(missing))
}

/// The kustomize-controller, or why there is none.
pub(crate) fn kustomize_controller() -> Result<PathBuf, String> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    FOUND
        .get_or_init(|| KUSTOMIZE_CONTROLLER.provide().map(|bin| bin.join("kustomize-controller")))
        .clone()
        .inspect_err(|missing| insist(missing))
}

/// The source-controller and its registry, or why there are none.
pub(crate) fn source_controller() -> Result<SourceControllerPrograms, String> {
    static FOUND: OnceLock<Result<SourceControllerPrograms, String>> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            SOURCE_CONTROLLER.provide().map(|bin| SourceControllerPrograms {
                source_controller: bin.join("source-controller"),
                oci_registry: bin.join("oci-registry"),
            })
        })
        .clone()
        .inspect_err(|missing| insist(missing))
}

/// The unpacked source of a Go module, by `path@version`; `sum` is its `h1:` hash, so that what is served under a
/// version cannot change under the tests.
pub(crate) fn module_source(module: &str, sum: &str) -> Result<PathBuf, String> {
    let output = go(&std::env::temp_dir())
        .args(["mod", "download", "-json", module])
        .output()
        .map_err(|_| NO_GO.to_owned())
        .inspect_err(|missing| insist(missing))?;
    let answer: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    match (answer["Dir"].as_str(), answer["Sum"].as_str()) {
        (Some(dir), Some(found)) if found == sum => Ok(dir.into()),
        (_, found) => panic!("go mod download {module}: sum {found:?}, pinned is {sum}; {}", answer["Error"]),
    }
}

fn in_assets(assets: &Path) -> Result<ControlPlane, String> {
    let program = |name: &str| {
        let path = assets.join(name);
        if path.is_file() { Ok(path) } else { Err(format!("KUBEBUILDER_ASSETS: no {}", path.display())) }
    };
    Ok(ControlPlane {
        kube_apiserver: program("kube-apiserver")?,
        etcd: program("etcd")?,
        kubectl: program("kubectl")?,
    })
}

// === impl Kubernetes ===

impl Kubernetes {
    /// Both, the usual one first.
    pub(crate) const ALL: [Self; 2] = [Self::Usual, Self::Newest];

    const fn tools(self) -> GoTools {
        let (folder, minutes) = match self {
            Self::Usual => ("apiserver", "4"),
            Self::Newest => ("apiserver-next", "6"),
        };
        GoTools {
            folder,
            module: "k8s.io/kubernetes",
            what: "kube-apiserver, kubectl and etcd",
            minutes,
            // Without it the server calls itself v0.0.0-master, and kubectl warns about the skew.
            ldflags: "-s -w -X k8s.io/component-base/version.gitVersion={version}",
        }
    }
}
