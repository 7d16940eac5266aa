//! Programs that tests run and that are written in Go: built from their modules, once, and kept outside the checkout.
//!
//! The modules are pinned under `tests/cluster/tools/`. A folder of the cache is named after everything that decides
//! what is in it, filled under a lock and renamed into place when complete, so that test runs beside each other never
//! see half a build, and a fresh clone builds nothing.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use sha2::{Digest as _, Sha256};

/// What is said where nothing can be built.
pub(crate) const NO_GO: &str = "no Go toolchain to build the programs with that the tests run";

/// A module under `tests/cluster/tools/` whose `tool` directives name the programs to build.
pub(crate) struct GoTools {
    pub(crate) folder: &'static str,
    /// The required module whose version is said while building.
    pub(crate) module: &'static str,
    /// What is built and how long that takes cold, for the line that is printed meanwhile.
    pub(crate) what: &'static str,
    pub(crate) minutes: &'static str,
    /// Go linker flags; `{version}` is replaced by the version of `module`.
    pub(crate) ldflags: &'static str,
}

/// kustomize, and a program that builds many folders with the library that it is made of.
pub(crate) const KUSTOMIZE: GoTools = GoTools {
    folder: "kustomize",
    module: "sigs.k8s.io/kustomize/kustomize/v5",
    what: "kustomize",
    minutes: "1",
    ldflags: "-s -w",
};

/// Where these tests have to run, something missing is a failure.
pub(crate) fn insist(missing: &str) {
    assert!(std::env::var_os("CHARTGATE_REQUIRE_CLUSTER").is_none(), "{missing}");
}

/// The `go` command in a folder.
pub(crate) fn go(dir: &Path) -> Command {
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
    pub(crate) fn provide(&self) -> Result<PathBuf, String> {
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
        let own = own_sources(&source);
        let key = [&go_mod, &go_sum, &toolchain.stdout, ldflags.as_bytes()]
            .into_iter()
            .chain(own.iter().map(Vec::as_slice))
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

/// The Go files in the folders beside a `go.mod`: the programs that are ours.
fn own_sources(source: &Path) -> Vec<Vec<u8>> {
    let entries = |folder: &Path| {
        let entries = fs::read_dir(folder).expect("the folder is committed");
        let mut paths: Vec<_> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
        paths.sort();
        paths
    };
    let folders = entries(source).into_iter().filter(|path| path.is_dir());
    let files = folders.flat_map(|folder| entries(&folder));
    files.map(|file| fs::read(file).expect("it is committed")).collect()
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
pub(crate) fn announce(line: &str) {
    use std::io::Write as _;
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).expect("stderr is open");
}
