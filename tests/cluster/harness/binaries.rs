//! The servers the tests run against: built from their Go modules, once, and kept outside the checkout.
//!
//! The modules are pinned under `tests/cluster/tools/`. A folder of the cache is named after everything that decides
//! what is in it, filled under a lock and renamed into place when complete, so that test runs beside each other never
//! see half a build, and a fresh clone builds nothing.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Instant;

use sha2::{Digest as _, Sha256};

/// What a Kubernetes control plane needs, plus the client of the same release.
#[derive(Clone, Debug)]
pub(crate) struct ControlPlane {
    pub(crate) kube_apiserver: PathBuf,
    pub(crate) etcd: PathBuf,
    pub(crate) kubectl: PathBuf,
}

/// A module under `tests/cluster/tools/` whose `tool` directives name the programs to build.
struct GoTools {
    folder: &'static str,
    /// The required module whose version is said while building.
    module: &'static str,
    /// What is built and how long that takes cold, for the line that is printed meanwhile.
    what: &'static str,
    minutes: &'static str,
    /// Go linker flags; `{version}` is replaced by the version of `module`.
    ldflags: &'static str,
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

/// Where the cluster tests have to run, something missing is a failure.
fn insist(missing: &str) {
    assert!(std::env::var_os("CHARTGATE_REQUIRE_CLUSTER").is_none(), "{missing}");
}

const NO_GO: &str =
    "no Go toolchain to build the API server with, and KUBEBUILDER_ASSETS names no folder that holds one";

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

fn go(dir: &Path) -> Command {
    let mut go = Command::new("go");
    go.current_dir(dir).env("CGO_ENABLED", "0").env_remove("GOOS").env_remove("GOARCH");
    go
}

/// Where built programs are kept between test runs and between checkouts.
fn cache() -> PathBuf {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    named("CHARTGATE_TEST_CACHE")
        .or_else(|| named("XDG_CACHE_HOME").map(|dir| dir.join("chartgate-tests")))
        .or_else(|| named("HOME").map(|dir| dir.join(".cache/chartgate-tests")))
        .unwrap_or_else(|| std::env::temp_dir().join("chartgate-tests"))
}

// === impl GoTools ===

impl GoTools {
    /// The folder with the built programs, which is built now if this is the first time.
    fn provide(&self) -> Result<PathBuf, String> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/tools").join(self.folder);
        // Asked inside the module, since its go.mod may select another toolchain.
        let toolchain = go(&source).arg("version").output().map_err(|_| NO_GO.to_owned())?;
        if !toolchain.status.success() {
            return Err(format!("go version: {}", String::from_utf8_lossy(&toolchain.stderr).trim()));
        }
        let read = |name: &str| fs::read(source.join(name)).expect("go.mod and go.sum are committed");
        let (go_mod, go_sum) = (read("go.mod"), read("go.sum"));
        let version = required_version(&String::from_utf8_lossy(&go_mod), self.module);
        let ldflags = self.ldflags.replace("{version}", &version);
        let key = [&go_mod, &go_sum, &toolchain.stdout, ldflags.as_bytes()]
            .into_iter()
            .fold(Sha256::new(), |hash, part| hash.chain_update(Sha256::digest(part)))
            .finalize();
        let key = &format!("{key:x}")[..16];

        let cache = cache();
        fs::create_dir_all(&cache).expect("the cache folder can be made");
        let programs = cache.join(format!("{}-{version}-{key}", self.folder));
        let lock = File::create(programs.with_added_extension("lock")).expect("the cache can be written");
        lock.lock().expect("the file system of the cache has locks");
        if !programs.is_dir() {
            self.build(&source, &version, &ldflags, &programs);
        }
        Ok(programs)
    }

    fn build(&self, source: &Path, version: &str, ldflags: &str, programs: &Path) {
        let Self { what, minutes, .. } = self;
        announce(&format!("building {what} {version} from the Go module, once, about {minutes} minutes ..."));
        let start = Instant::now();
        let unfinished = programs.with_added_extension("unfinished");
        drop(fs::remove_dir_all(&unfinished));
        fs::create_dir(&unfinished).expect("the cache can be written");
        let built = go(source)
            .args(["build", "-mod=readonly", "-ldflags", ldflags, "-o"])
            .arg(&unfinished)
            .arg("tool")
            .output()
            .expect("go answered a moment ago");
        assert!(built.status.success(), "go build: {}", String::from_utf8_lossy(&built.stderr));
        fs::rename(&unfinished, programs).expect("both are in the same folder");
        announce(&format!("built {what} in {} s", start.elapsed().as_secs()));
    }
}

/// The version that a `go.mod` requires of a module.
fn required_version(go_mod: &str, module: &str) -> String {
    go_mod
        .lines()
        .filter_map(|line| line.trim().strip_prefix(module)?.strip_prefix(' '))
        .find(|rest| rest.starts_with('v'))
        .and_then(|rest| rest.split_whitespace().next())
        .expect("the module is required in go.mod")
        .to_owned()
}

/// Says on stderr what a test is waiting for; libtest would hide what a print macro says.
fn announce(line: &str) {
    use std::io::Write as _;
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).expect("stderr is open");
}
