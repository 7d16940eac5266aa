//! Comments, baselines and configuration: what keeps a finding quiet.

use super::scene::{CHART, CHART_REF, Scene, release};

fn both() -> String {
    release(&format!("{CHART}{CHART_REF}"))
}

#[test]
fn a_comment_above_the_finding_or_behind_it_keeps_it_quiet() {
    let comment = "chartgate: ignore[chart-and-chart-ref] removed by the cluster's own patch";
    for text in [
        both().replace("  chart:\n", &format!("  # {comment}\n  chart:\n")),
        both().replace("  chart:\n", &format!("  chart: # {comment}\n")),
    ] {
        let scene = Scene::new(&[("release.yaml", &text)]);
        let said = scene.check(&[]);
        assert_eq!(said.code, 0, "{}", said.out);
        assert!(said.out.contains("ignored: 1"), "{}", said.out);
    }
}

#[test]
fn a_comment_that_is_of_no_use_is_told() {
    for (comment, told) in [
        ("ignore[partial-chart] x", "there is no finding of partial-chart for the comment to ignore"),
        (
            "ignore[chart-and-chartref] x",
            "the comment names a rule \"chart-and-chartref\", which there is not; `chartgate rules` lists them",
        ),
        ("ignore x", "the comment names no rule: write `# chartgate: ignore[RULE] reason`"),
        ("ignore[chart-and-chart-ref]", "the comment gives no reason: write it behind the bracket"),
    ] {
        let text = both().replace("  chart:\n", &format!("  # chartgate: {comment}\n  chart:\n"));
        let lines = Scene::new(&[("release.yaml", &text)]).lines(&[]);
        let expected = format!("release.yaml:8:3: warning[unused-ignore]: {told}");
        assert!(lines.contains(&expected), "{lines:?}");
    }
}

#[test]
fn a_baseline_keeps_what_it_knows_quiet_even_when_lines_move_and_tells_what_is_new() {
    let scene = Scene::new(&[("release.yaml", &both())]);
    let said = scene.check(&["--write-baseline", "baseline.json"]);
    assert_eq!((said.code, &*said.err), (0, "1 finding written to baseline.json\n"));
    scene.write("release.yaml", format!("# a line\n{}", both()));
    let said = scene.check(&["--baseline", "baseline.json"]);
    assert_eq!(said.code, 0, "{}", said.out);
    assert!(said.out.contains("ignored: 1"), "{}", said.out);
    scene.write("other.yaml", both().replace("podinfo\n  namespace", "other\n  namespace"));
    let said = scene.check(&["--quiet", "--baseline", "baseline.json"]);
    assert_eq!(said.code, 1);
    assert!(said.out.starts_with("other.yaml:"), "{}", said.out);
}

#[test]
fn the_configuration_above_the_path_holds_and_a_rule_that_warns_never_fails() {
    let scene = Scene::new(&[
        (".git/HEAD", ""),
        ("chartgate.yaml", "rules: {chart-and-chart-ref: {mode: warn}}\n"),
        ("apps/release.yaml", &both()),
    ]);
    let said = scene.check(&["apps", "--quiet"]);
    assert_eq!(said.code, 0, "{}", said.out);
    assert!(said.out.contains(": warning[chart-and-chart-ref]: "), "{}", said.out);
    scene.write("chartgate.yaml", "rules: {chart-and-chart-ref: {mode: off}}\n");
    assert_eq!(scene.lines(&["apps"]), [] as [&str; 0]);
    scene.write("chartgate.yaml", "rule: {}\n");
    let said = scene.check(&["apps"]);
    assert_eq!(said.code, 2);
    assert!(
        said.err.contains("chartgate.yaml:1:1: there is no key \"rule\"; did you mean \"rules\"?"),
        "{}",
        said.err
    );
}
