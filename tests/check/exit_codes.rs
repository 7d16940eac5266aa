//! The exit codes, as a table.

use super::scene::{CHART, CHART_REF, SOURCE, Scene, release};

#[test]
fn each_exit_code_means_what_the_help_says() {
    let good = release(CHART_REF);
    let bad = release(&format!("{CHART}{CHART_REF}"));
    let warned = release(CHART_REF).replace("v2\nkind", "v2beta2\nkind");
    for (text, arguments, code) in [
        (&*good, &[][..], 0),
        (&good, &["--fail-on=warning"], 0),
        (&bad, &[], 1),
        (&bad, &["--fail-on=never"], 0),
        (&bad, &["--quiet", "--format=json"], 1),
        (&warned, &["--flux=2.7"], 0),
        (&warned, &["--flux=2.7", "--fail-on=warning"], 1),
        (&warned, &["--flux=2.9"], 1),
        ("a: [", &[], 2),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: web}\n", &[], 2),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: web}\n", &["--allow-empty"], 0),
        // kustomize asks for a name.
        ("kind: Service\n", &["--allow-empty"], 1),
        (&good, &["no-such-file"], 2),
        (&good, &["--flux=1.0"], 2),
        (&good, &["--flux=2.6", "--crd=x"], 2),
        (&good, &["--config=no-such-file"], 2),
        (&good, &["--baseline=no-such-file"], 2),
        (&good, &["--crd=release.yaml"], 2),
        (&good, &["--fix", "-"], 2),
    ] {
        let scene = Scene::new(&[
            ("release.yaml", text),
            ("source.yaml", SOURCE),
            ("kustomization.yaml", "resources: [release.yaml, source.yaml]\n"),
        ]);
        let said = scene.check(arguments);
        assert_eq!(said.code, code, "{arguments:?} of\n{text}\n{}{}", said.out, said.err);
        // What goes wrong is one line that begins with `error`; clap shows the usage below it.
        let is_told = said.err.starts_with("error: ") || said.out.contains("error[unreadable]");
        assert_eq!(is_told, code == 2, "{arguments:?}: {}{}", said.out, said.err);
    }
}

#[test]
fn errors_name_the_file_or_flag_and_what_to_do() {
    let scene = Scene::new(&[("a.yaml", &release(CHART_REF)), ("b.json", "{}")]);
    for (arguments, said) in [
        (&["no-such"][..], "error: cannot read no-such: No such file or directory (os error 2)\n"),
        (&["--crd", "a.yaml"], "error: a.yaml: holds no CRD of HelmRelease that serves a version\n"),
        (
            &["--baseline", "b.json"],
            "error: b.json: is no baseline of chartgate; write it anew with --write-baseline: missing field `version` at \
             line 1 column 2\n",
        ),
        (
            &["--fix", "-"],
            "error: --fix changes files, and the standard input is none; --diff shows what it would change\n",
        ),
    ] {
        assert_eq!(scene.check(arguments).err, said);
    }
}
