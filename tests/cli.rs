//! The small commands, as their user runs them.

use std::fs;

use assert_cmd::Command;
use chartgate::report;

fn chartgate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chartgate"));
    command.args(arguments).env_clear();
    command
}

fn output_of(arguments: &[&str]) -> String {
    let output = chartgate(arguments).assert().success().get_output().stdout.clone();
    String::from_utf8(output).expect("we write UTF-8")
}

#[test]
fn a_configuration_that_can_be_used_is_printed_with_its_defaults_and_can_be_used_again() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let file = place.path().join("chartgate.yaml");
    fs::write(&file, "mode: warn\nrules: {partial-chart: {mode: audit}}\n").expect("it can be written");
    let path = file.to_str().expect("a temporary path is text");
    let printed = output_of(&["config", "check", path]);
    let (head, rest) = printed.split_once('\n').expect("several lines");
    assert_eq!(head, format!("# {path} can be used. In force with it:"));
    assert_eq!(
        rest,
        "mode: warn\nrules:\n  partial-chart:\n    mode: audit\nannotations:\n  fluxcd.io/version: api-version\n\
         chartRef:\n  fillNamespace: true\n  crossNamespace: allow\nheal: leftovers\nmanagedFields: keep\nexemptions: false\n\
         ownRelease:\n  namespaces:\n  - flux-system\n  - chartgate-system\n\
         certificates:\n  caLifetime: 10y\n  leafLifetime: 90d\n  renewBefore: 30d\naudit: {}\n"
    );
    fs::write(&file, &printed).expect("it can be written");
    assert_eq!(output_of(&["config", "check", path]), printed);
}

#[test]
fn a_configuration_that_cannot_be_used_has_exit_code_2_and_its_default_name() {
    let place = tempfile::tempdir().expect("a temporary directory");
    fs::write(place.path().join("chartgate.yaml"), "heel: never\n").expect("it can be written");
    let mut check = chartgate(&["config", "check"]);
    check.current_dir(place.path()).assert().code(2).stdout("").stderr(
        "error: chartgate.yaml:1:1: there is no key \"heel\"; did you mean \"heal\"? (there are mode, rules, annotations, \
         chartRef, heal, managedFields, exemptions, ownRelease, docs, certificates, audit)\n",
    );
}

const BOTH: &str = "apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: podinfo, namespace: apps, annotations: {fluxcd.io/version: v2}}
spec:
  chart: {spec: {chart: podinfo, sourceRef: {kind: HelmRepository, name: podinfo}}}
  chartRef: {kind: OCIRepository, name: podinfo, namespace: apps}
";

#[test]
fn the_page_of_rules_is_up_to_date() {
    let page = output_of(&["rules", "--format", "markdown"]);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/rules.md");
    let written = fs::read_to_string(path).unwrap_or_default();
    assert!(written == page, "docs/rules.md is out of date; run `just generate`");
}

#[test]
fn explains_every_rule_that_it_lists() {
    let list = output_of(&["rules"]);
    let words = list.lines().filter_map(|line| line.split_whitespace().next());
    let listed: Vec<_> = words.filter(|word| *word != "About").collect();
    assert_eq!(listed, report::rules().map(|rule| rule.id).collect::<Vec<_>>());
    for rule in report::rules() {
        assert!(output_of(&["explain", rule.id]).starts_with(rule.id));
    }
    // The form of the last line of a denial by several rules.
    let [one, other] = ["chart-ref-kind", "chart-ref-name"];
    let both = format!("{}\n{}", output_of(&["explain", one]), output_of(&["explain", other]));
    assert_eq!(output_of(&["explain", one, other]), both);
}

#[test]
fn what_only_check_looks_for_is_listed_apart_and_said_so() {
    let said = "About reading and rendering: only `chartgate check` has these rules, and chartgate.yaml says nothing about them.\n";
    let list = output_of(&["rules"]);
    let (of_policy, of_check) = list.split_once(said).expect("the list says it");
    assert!(of_policy.contains("\npartial-chart ") && !of_policy.contains("\nunreadable "), "{list}");
    assert!(of_check.contains("\nunreadable ") && !of_check.contains("\npartial-chart "), "{list}");
    let explained = output_of(&["explain", "unreadable"]);
    assert!(explained.starts_with("unreadable (error)\n") && explained.ends_with(said), "{explained}");
    assert!(!output_of(&["explain", "partial-chart"]).contains(said));
    let json: serde_json::Value =
        serde_json::from_str(&output_of(&["rules", "--format", "json"])).expect("it is JSON");
    let rules = json["rules"].as_array().expect("it lists them");
    let of_check = |id: &str| rules.iter().find(|rule| rule["id"] == id).map(|rule| &rule["checkOnly"]);
    assert_eq!(of_check("unreadable"), Some(&true.into()));
    assert_eq!(of_check("partial-chart"), Some(&false.into()));
}

#[test]
fn an_unknown_rule_is_bad_usage_with_a_suggestion() {
    for (given, meant) in [("chart-ref-kin", "chart-ref-kind"), ("unreadabel", "unreadable")] {
        chartgate(&["explain", given]).assert().code(2).stderr(format!(
            "error: there is no rule {given:?}; did you mean {meant:?}?; `chartgate rules` lists them\n"
        ));
    }
}

#[test]
fn preview_denies_with_exit_code_1() {
    chartgate(&["preview"]).write_stdin(BOTH).assert().code(1).stdout(
        "denied:
[chart-and-chart-ref] spec.chart and spec.chartRef are both set.
  Why: helm-controller takes exactly one of them. Where the CRD lets both pass (v2beta1 on Flux 2.3 to 2.6), it stalls without a condition or an event.
  Fix: to use chartRef, remove spec.chart from the manifest and from every overlay and patch of it; to keep the chart, remove spec.chartRef.
chartgate: chartgate explain chart-and-chart-ref
",
    );
}

#[test]
fn preview_reads_json_and_says_allowed() {
    let fine = r#"{"apiVersion":"helm.toolkit.fluxcd.io/v2","kind":"HelmRelease","metadata":{"name":"a","namespace":"b",
        "annotations":{"fluxcd.io/version":"v2"}},"spec":{"chartRef":{"kind":"HelmChart","name":"a","namespace":"b"}}}"#;
    chartgate(&["preview", "-"]).write_stdin(fine).assert().code(0).stdout("allowed, no patch\n");
}

#[test]
fn preview_refuses_what_it_cannot_judge_with_exit_code_2() {
    for (input, error) in [
        ("", "error: the standard input holds no document; give a HelmRelease or an AdmissionReview\n"),
        (
            "kind: Pod\n",
            "error: the standard input: document 1 is no HelmRelease and no AdmissionReview; its kind is \"Pod\"\n",
        ),
    ] {
        chartgate(&["preview"]).write_stdin(input).assert().code(2).stderr(error);
    }
    let broken =
        chartgate(&["preview"]).write_stdin("kind: [\n").assert().code(2).get_output().stderr.clone();
    assert!(String::from_utf8_lossy(&broken).contains("line 1 column 7"));
}

#[test]
fn preview_reads_an_integer_that_no_float_holds_as_kubectl_does() {
    let release = format!(
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {{name: a, namespace: b}}\nspec:\n  interval: 5m\n  chartRef: \
         {{kind: OCIRepository, name: x, namespace: b}}\n  values: {{a: {}}}\n",
        "9".repeat(400)
    );
    chartgate(&["preview"]).write_stdin(release).assert().code(0);
}

#[test]
fn preview_judges_by_the_flux_that_it_is_told_of() {
    let old = BOTH.replace("/v2", "/v2beta2").replace("  chart: {", "  other: {");
    let old = old.replace("version: v2}", "version: v2beta2}");
    let unserved = "[deprecated-api-version] HelmRelease \"v2beta2\" is not served by Flux 2.10.";
    let said = chartgate(&["preview"]).write_stdin(old.clone()).assert().code(1).get_output().stdout.clone();
    assert!(String::from_utf8_lossy(&said).contains(unserved));
    chartgate(&["preview", "--flux", "2.7"]).write_stdin(old).assert().code(0).stdout(
        "Warning: [deprecated-api-version] HelmRelease v2beta2 is deprecated; Flux 2.8 drops it: set apiVersion to v2\n\
         allowed, no patch\n",
    );
}

#[test]
fn preview_judges_a_captured_review() {
    let review = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/reviews/apply-leftover-of-lens.json");
    let said = output_of(&["preview", review]);
    assert!(said.contains("[partial-chart] removed spec.chart.spec.interval, left by \"lens\""), "{said}");
}

#[test]
fn completions_are_made_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(output_of(&["completions", shell]).contains("chartgate"), "{shell}");
    }
}

/// The commands that the help of a command lists, `help` itself excepted.
fn commands_of(path: &[&str]) -> Vec<String> {
    let help = output_of(&[path, &["--help"]].concat());
    let Some((_, listed)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    let lines = listed.lines().take_while(|line| line.starts_with("  "));
    // What is indented further is the rest of a description.
    let names = lines.filter_map(|line| line[2..].split(' ').next().filter(|name| !name.is_empty()));
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn every_command_has_a_man_page_with_all_of_its_flags() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let folder = place.path().join("share/man1");
    chartgate(&["man"]).arg(&folder).assert().success().stdout("");
    let mut expected = vec!["chartgate.1".to_owned()];
    for command in commands_of(&[]) {
        expected.push(format!("chartgate-{command}.1"));
        let below = commands_of(&[&command]);
        expected.extend(below.iter().map(|it| format!("chartgate-{command}-{it}.1")));
    }
    let entries = fs::read_dir(&folder).expect("it was made").map(|entry| entry.expect("it can be read"));
    let mut made: Vec<_> =
        entries.map(|entry| entry.file_name().into_string().expect("it is text")).collect();
    expected.sort();
    made.sort();
    assert_eq!(made, expected);
    assert!(made.contains(&"chartgate-config-prefilter.1".to_owned()), "{made:?}");

    let help = output_of(&["check", "--help"]);
    let is_flag = |word: &&str| word.starts_with("--") && word.len() > 2;
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let flags: Vec<_> = lines.filter_map(|line| line.split_whitespace().find(is_flag)).collect();
    assert!(flags.len() >= 14 && flags.contains(&"--fail-on"), "{flags:?}");
    let page = fs::read_to_string(folder.join("chartgate-check.1")).expect("it is there");
    for flag in flags {
        let in_roff = format!("\\fB{}\\fR", flag.replace('-', "\\-"));
        let is_told = page.lines().any(|line| line.contains(&in_roff) && !line.starts_with("\\fBchartgate"));
        assert!(is_told, "{flag} is not in\n{page}");
    }
}

#[test]
fn the_man_page_is_printed_where_no_folder_is_named_and_a_folder_that_cannot_be_is_an_error() {
    let page = output_of(&["man"]);
    assert!(page.contains(".TH chartgate 1") && page.contains("chartgate\\-check(1)"), "{page}");
    chartgate(&["man", "/dev/null/x"])
        .assert()
        .code(2)
        .stderr("error: cannot write man pages to /dev/null/x: Not a directory (os error 20)\n");
}

#[test]
fn the_prefilter_follows_the_configuration() {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let file = dir.path().join("chartgate.yaml");
    fs::write(&file, "annotations: {example.org/version: api-version}\n").expect("it can be written");
    let file = file.to_str().expect("the path is text");
    let mutate = ["config", "prefilter", "--webhook=mutate", "--config", file];
    let printed = output_of(&mutate);
    assert!(
        printed.contains("annotations[?'example.org/version'].orValue('') != 'v2'")
            && !printed.contains("fluxcd.io/version")
    );
    let patch = output_of(&[&mutate[..], &["--format", "patch"]].concat());
    let patch: serde_json::Value = serde_json::from_str(&patch).expect("a JSON patch is JSON");
    assert_eq!(patch[0]["value"], "mutate.chartgate.dev");
    assert_eq!(patch[2]["value"], printed.trim_end());
    let validate = output_of(&["config", "prefilter", "--webhook=validate", "--config", file]);
    assert!(validate.contains("object.metadata.?generation") && validate.ends_with(&printed));
}

#[test]
fn a_prefilter_for_an_unknown_flux_or_a_missing_file_is_bad_usage() {
    chartgate(&["config", "prefilter", "--webhook=mutate", "--flux", "3.0"]).assert().code(2);
    // One for both would be wrong at one of them.
    chartgate(&["config", "prefilter"]).assert().code(2);
    chartgate(&["config", "prefilter", "--webhook=mutate", "--config", "missing.yaml"])
        .assert()
        .code(2)
        .stderr(
            "error: cannot read the configuration missing.yaml: No such file or directory (os error 2)\n",
        );
}

#[test]
fn a_reader_that_has_heard_enough_is_no_error() {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_chartgate"))
        .args(["rules", "--format", "markdown"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), &*String::from_utf8_lossy(&output.stderr)), (Some(0), ""));
}
