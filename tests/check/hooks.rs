//! The hooks for pre-commit, run by pre-commit itself.
//!
//! That is a Python package (`pip install pre-commit`). Where it is missing, these tests say `skipped: …`;
//! `CHARTGATE_REQUIRE_PRE_COMMIT=1` makes that a failure. What is built from source takes minutes, and is not tried here.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::scene::{CHART, CHART_REF, Scene, release};

/// A repository that checks itself by one of our hooks, taken from a repository that holds nothing else.
struct Hooked {
    scene: Scene,
    /// The hooks, and where pre-commit keeps what it has fetched.
    around: tempfile::TempDir,
}

impl Hooked {
    /// None, said aloud, where there is no pre-commit.
    fn new(hook: &str) -> Option<Self> {
        if Command::new("pre-commit").arg("--version").output().is_err() {
            let missing = "no pre-commit: it is a Python package of that name";
            assert!(env::var_os("CHARTGATE_REQUIRE_PRE_COMMIT").is_none(), "{missing}");
            eprintln!("skipped: {missing}");
            return None;
        }
        let around = tempfile::tempdir().expect("a temporary directory");
        let hooks = around.path().join("chartgate");
        fs::create_dir(&hooks).expect("it can be made");
        fs::copy(in_checkout(".pre-commit-hooks.yaml"), hooks.join(".pre-commit-hooks.yaml"))
            .expect("it is there");
        let it = Self { scene: Scene::new(&[]), around };
        it.git(&hooks, &["init", "--quiet"]);
        it.git(&hooks, &["add", "."]);
        it.git(&hooks, &["commit", "--quiet", "--message=hooks"]);
        let revision = it.git(&hooks, &["rev-parse", "HEAD"]);
        it.git(it.scene.path(), &["init", "--quiet"]);
        it.scene.write(
            ".pre-commit-config.yaml",
            format!(
                "repos:\n  - repo: {}\n    rev: {revision}\n    hooks: [{{id: {hook}, args: [--quiet]}}]\n",
                hooks.display()
            ),
        );
        Some(it)
    }

    /// What a commit of everything would be told, and whether it would pass.
    fn commit(&self) -> (bool, String) {
        self.git(self.scene.path(), &["add", "--all"]);
        let output = self.command("pre-commit", self.scene.path()).arg("run").output().expect("it starts");
        let said = String::from_utf8(output.stdout).expect("it says text");
        (output.status.success(), said + &String::from_utf8_lossy(&output.stderr))
    }

    fn git(&self, folder: &Path, arguments: &[&str]) -> String {
        let output = self.command("git", folder).args(arguments).output().expect("git starts");
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("git says text").trim().to_owned()
    }

    /// A program that finds our binary, and neither the hooks nor the name of the user.
    fn command(&self, program: &str, folder: &Path) -> Command {
        let ours = Path::new(env!("CARGO_BIN_EXE_chartgate")).parent().expect("it is in a folder").to_owned();
        let path: OsString = env::join_paths(
            [ours].into_iter().chain(env::split_paths(&env::var_os("PATH").unwrap_or_default())),
        )
        .expect("no folder has a colon");
        let mut command = Command::new(program);
        command.current_dir(folder).env("PATH", path).env("PRE_COMMIT_HOME", self.around.path().join("home"));
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        for of in ["AUTHOR", "COMMITTER"] {
            command
                .env(format!("GIT_{of}_NAME"), "somebody")
                .env(format!("GIT_{of}_EMAIL"), "somebody@example.org");
        }
        // A hook of the repository that these tests run in would set them.
        command.env_remove("GIT_DIR").env_remove("GIT_INDEX_FILE").env_remove("GIT_WORK_TREE");
        command
    }
}

fn in_checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn a_commit_is_stopped_by_what_the_whole_tree_comes_to() {
    let Some(hooked) = Hooked::new("chartgate-check-system") else { return };
    hooked.scene.write("base/kustomization.yaml", "resources: [release.yaml]\n");
    hooked.scene.write("base/release.yaml", release(CHART_REF));
    let (passed, said) = hooked.commit();
    assert!(passed && said.contains("Passed"), "{said}");
    hooked.git(hooked.scene.path(), &["commit", "--quiet", "--no-verify", "--message=base"]);

    // The fault is in what two files come to, and only one of them changes.
    hooked.scene.write("prod/kustomization.yaml", "resources: [../base]\npatches: [{path: pin.yaml}]\n");
    hooked.scene.write("prod/pin.yaml", release("  chart:\n    spec:\n      version: 6.5.4\n"));
    let (passed, said) = hooked.commit();
    assert!(!passed && said.contains("Failed"), "{said}");
    assert!(said.contains("prod/pin.yaml:10:16: error[partial-chart]: "), "{said}");
}

#[test]
fn a_commit_without_a_manifest_is_not_held_up() {
    let Some(hooked) = Hooked::new("chartgate-check-system") else { return };
    hooked.scene.write("release.yaml", release(&format!("{CHART}{CHART_REF}")));
    hooked.git(hooked.scene.path(), &["add", "--all"]);
    hooked.git(hooked.scene.path(), &["commit", "--quiet", "--no-verify", "--message=before"]);
    hooked.scene.write("README.md", "# Clusters\n");
    let (passed, said) = hooked.commit();
    assert!(passed && said.contains("Skipped"), "{said}");
    for manifest in ["a.yaml", "a.yml", "a/b.json", "Kustomization", "a/Kustomization"] {
        hooked.scene.write(manifest, "{}");
        let (passed, said) = hooked.commit();
        assert!(!passed && said.contains("chart-and-chart-ref"), "{manifest}: {said}");
        hooked.git(hooked.scene.path(), &["rm", "--force", "--quiet", manifest]);
    }
}

#[test]
fn both_hooks_are_known_to_pre_commit_and_differ_in_how_they_are_installed_alone() {
    let text = fs::read_to_string(in_checkout(".pre-commit-hooks.yaml")).expect("it is there");
    let hooks: Vec<serde_json::Value> = serde_saphyr::from_str(&text).expect("it is YAML");
    let [source, system] = &hooks[..] else { panic!("there are two: {hooks:?}") };
    assert_eq!((source["id"].as_str(), source["language"].as_str()), (Some("chartgate-check"), Some("rust")));
    assert_eq!(
        (system["id"].as_str(), system["language"].as_str()),
        (Some("chartgate-check-system"), Some("system"))
    );
    for key in ["name", "entry", "files", "pass_filenames"] {
        assert!(!source[key].is_null() && source[key] == system[key], "{key}");
    }
}
