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

const CONTROL_PLANE: GoTools = GoTools {
    folder: "apiserver",
    module: "k8s.io/kubernetes",
    what: "kube-apiserver, kubectl and etcd",
    minutes: "4",
    // Without it the server calls itself v0.0.0-master, and kubectl warns about the skew.
    ldflags: "-s -w -X k8s.io/component-base/version.gitVersion={version}",
};

const KUSTOMIZE_CONTROLLER: GoTools = GoTools {
    folder: "kustomize-controller",
    module: "github.com/fluxcd/kustomize-controller",
    what: "kustomize-controller",
    minutes: "3",
    ldflags: "-s -w",
};

/// The control plane, or why there is none: from `KUBEBUILDER_ASSETS` if that is set, else from the cache.
pub(crate) fn control_plane() -> Result<ControlPlane, String> {
    static FOUND: OnceLock<Result<ControlPlane, String>> = OnceLock::new();
    FOUND
        .get_or_init(|| match std::env::var_os("KUBEBUILDER_ASSETS") {
            Some(assets) => in_assets(Path::new(&assets)),
            None => CONTROL_PLANE.provide().map(|bin| ControlPlane {
                kube_apiserver: bin.join("kube-apiserver"),
                // The package is called so; `tool` names programs after their package.
                etcd: bin.join("server"),
                kubectl: bin.join("kubectl"),
            }),
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
