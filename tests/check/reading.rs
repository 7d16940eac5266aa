//! Whatever a repository holds is read, passed over for a reason, or refused with a place.

use super::scene::{CHART, CHART_REF, Scene, release};

#[test]
fn what_cannot_be_read_is_an_error_with_its_place() {
    let scene = Scene::new(&[("good.yaml", &release(CHART_REF))]);
    scene.write("conflict.yaml", release("<<<<<<< HEAD\n  suspend: true\n=======\n>>>>>>> main\n"));
    scene.write("tab.yaml", release("\tsuspend: true\n"));
    scene.write("twice.yaml", release("  suspend: true\n  suspend: false\n"));
    scene.write("latin.yaml", b"kind: HelmRelease # \xe4\n");
    scene.write("binary.yaml", b"HelmRelease\0\0");
    assert_eq!(
        scene.lines(&[]),
        [
            "binary.yaml:1:1: error[unreadable]: the file is a binary file",
            "conflict.yaml:8:1: error[unreadable]: a conflict that git left open",
            "latin.yaml:1:1: error[unreadable]: the file is no UTF-8 from byte 20 on; save it as UTF-8",
            "tab.yaml:8:1: error[unreadable]: a tab in the indentation; YAML takes spaces",
            "twice.yaml:9:3: error[build-fails]: the key \"suspend\" is there already, on line 8",
        ]
    );
    assert_eq!(scene.check(&[]).code, 2);
}

#[test]
fn reads_windows_files_lists_json_and_several_documents() {
    let both = release(&format!("{CHART}{CHART_REF}"));
    let json = r#"{"apiVersion":"helm.toolkit.fluxcd.io/v2","kind":"HelmRelease","metadata":{"name":"a"},"spec":{"interval":"1m"}}"#;
    let item = both.replace('\n', "\n    ").trim_end().to_owned();
    let scene = Scene::new(&[
        ("windows.yaml", &format!("\u{feff}{}", both.replace('\n', "\r\n"))),
        ("list.yml", &format!("apiVersion: v1\nkind: List\nitems:\n  - {item}\n")),
        ("object.json", json),
        ("documents.yaml", &format!("---\n# nothing\n---\n{}---\n{both}", release(CHART))),
    ]);
    let lines = scene.lines(&[]);
    let places: Vec<_> =
        lines.iter().map(|line| line.split(": ").take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        places,
        [
            "documents.yaml:25:3 error[chart-and-chart-ref]",
            "list.yml:11:7 error[chart-and-chart-ref]",
            "object.json:1:88 error[no-chart-source]",
            "windows.yaml:8:3 error[chart-and-chart-ref]",
        ],
        "{lines:?}"
    );
}

#[test]
fn helm_templates_and_encrypted_documents_are_not_cried_about() {
    let scene = Scene::new(&[
        ("chart/Chart.yaml", "apiVersion: v2\nname: x\n"),
        (
            "chart/templates/release.yaml",
            &release("{{- if .Values.x }}\n  chartRef: {{ .Values.ref }}\n{{- end }}\n"),
        ),
        ("chart/templates/kustomization.yaml", "resources:\n{{- range .Values.x }}\n- {{ . }}\n{{- end }}\n"),
        (
            "secret.yaml",
            "apiVersion: v1\nkind: Secret\ndata: {a: 'ENC[AES256_GCM,data:x]'}\nsops: {mac: x}\n",
        ),
        ("good.yaml", &release(CHART_REF)),
    ]);
    assert_eq!(scene.lines(&[]), [] as [&str; 0]);
}

#[test]
fn a_helm_release_of_another_group_is_none_of_flux() {
    let of = |group: &str| release(CHART).replace("helm.toolkit.fluxcd.io", group);
    let scene = Scene::new(&[
        ("good.yaml", &release(CHART)),
        ("other.yaml", &of("helmrelease.helm.toolkit.fluxcd.io")),
        ("operator.yaml", &of("helm.fluxcd.io").replace("/v2", "/v1")),
        ("patch.yaml", "kind: HelmRelease\nmetadata: {name: a}\n"),
    ]);
    assert_eq!(
        scene.lines(&[]),
        [
            "operator.yaml:1:13: warning[other-helm-release]: a HelmRelease of the Helm Operator (helm.fluxcd.io), and none of Flux 2",
            "other.yaml:1:13: warning[other-helm-release]: no HelmRelease of Flux: its API group is helm.toolkit.fluxcd.io, not \
             \"helmrelease.helm.toolkit.fluxcd.io\"",
        ]
    );
}

#[test]
fn the_standard_input_is_a_file_like_others() {
    let scene = Scene::new(&[]);
    let said = scene.check_of(&["-", "--quiet"], &release(""));
    assert_eq!(said.code, 1);
    assert!(said.out.starts_with("<stdin>:6:1: error[no-chart-source]: "), "{}", said.out);
}

#[test]
fn seeing_no_release_at_all_is_said() {
    let scene = Scene::new(&[("service.yaml", "kind: Service\n")]);
    let said = scene.check(&[]);
    assert_eq!(
        (said.code, &*said.err),
        (2, "error: there is no HelmRelease to judge here; --allow-empty makes that fine\n")
    );
}

#[test]
fn a_part_that_nothing_completes_and_a_template_are_told_as_such_and_not_counted_as_judged() {
    let part = release(CHART_REF).replace("  interval: 10m\n", "");
    let scene = Scene::new(&[
        ("part.yaml", &part),
        ("template.yaml", &release("  timeout: {{ timeout }}\n  chart: [\n")),
    ]);
    let said = scene.check(&["--verbose"]);
    // Nothing was judged, so nobody may take it for fine.
    assert_eq!(said.code, 2, "{}", said.out);
    for told in [
        "note[not-judged]: a part of a HelmRelease: it has no spec.interval, and nothing here completes it",
        "note[not-judged]: a template, which is no YAML before it is filled in: ",
        "0 HelmReleases judged; 2 places not judged",
    ] {
        assert!(said.out.contains(told), "{told}: {}", said.out);
    }
    scene.write("kustomization.yaml", "resources: [whole.yaml]\npatches: [{path: part.yaml}]\n");
    scene.write("whole.yaml", release(""));
    assert!(scene.check(&["--verbose"]).out.contains("1 HelmRelease judged; 1 place not judged"));
}

#[test]
fn a_flux_instance_alone_in_its_file_leads_on() {
    let instance = "apiVersion: fluxcd.controlplane.io/v1\nkind: FluxInstance\nmetadata: {name: flux, namespace: flux-system}\n\
        spec:\n  distribution: {version: 2.x}\n  sync: {kind: GitRepository, url: https://example.com/x, ref: main, path: clusters/a}\n";
    let both = release(&format!("{CHART}{CHART_REF}"));
    let scene = Scene::new(&[("flux.yaml", instance), ("clusters/a/release.yaml", &both)]);
    let said = scene.check(&[]).out;
    assert!(said.contains("= rendered: by Kustomization flux-system/flux-system"), "{said}");
}

/// The runner of GitHub Actions reads commands out of what is printed.
#[test]
fn nothing_in_a_file_becomes_a_command_of_a_runner() {
    let text = release(&format!("{CHART}{CHART_REF}").replace("chartRef:", "chartRef: # ##[error]a"));
    let scene = Scene::new(&[("a.yaml", &text.replace("name: ", "name: \"::stop-commands::x\" #"))]);
    let is_harmless =
        |text: &str| !text.contains("##[") && !text.lines().any(|line| line.trim_start().starts_with("::"));
    for arguments in [&[][..], &["--verbose"], &["--quiet"], &["--diff"], &["::error::"]] {
        let said = scene.check_in(arguments, &[("GITHUB_ACTIONS", "true"), ("COLUMNS", "40")]);
        assert!(is_harmless(&said.out) && is_harmless(&said.err), "{arguments:?}: {}{}", said.out, said.err);
    }
    let plain = scene.check(&[]);
    assert!(plain.out.contains("##[error]a") && !plain.out.contains('⟦'), "elsewhere it is as it is written");
}

/// Opening a pipe waits for a writer, and a device may never end.
#[cfg(unix)]
#[test]
fn a_link_to_nothing_is_told_by_the_path_that_the_user_knows() {
    let scene = Scene::new(&[("good.yaml", &release(CHART_REF))]);
    for link in ["link.yaml", "link", "folder"] {
        std::os::unix::fs::symlink("nothing", scene.path().join(link)).expect("it is new");
    }
    assert_eq!(
        scene.lines(&[]),
        ["link.yaml:1:1: error[unreadable]: the file is a link to what is not there"]
    );
}

#[test]
fn a_pipe_or_a_device_is_not_waited_for() {
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    let scene = Scene::new(&[("good.yaml", &release(CHART_REF))]);
    let made = Command::new("mkfifo").arg(scene.path().join("pipe.yaml")).status().expect("there is mkfifo");
    assert!(made.success());
    let _listener = UnixListener::bind(scene.path().join("socket.yaml")).expect("a socket can be made");
    assert_eq!(
        scene.lines(&[]),
        [
            "pipe.yaml:1:1: error[unreadable]: the file is no regular file",
            "socket.yaml:1:1: error[unreadable]: the file is no regular file",
        ]
    );
    let endless = scene.check(&["/dev/zero"]);
    assert_eq!(endless.code, 2);
    assert!(
        endless.out.contains("the file has more than 67108864 bytes, which no manifest has"),
        "{}",
        endless.out
    );
}

/// Runs git in a repository, unaware of the settings of this machine.
fn git(scene: &Scene, arguments: &[&str]) {
    let mut git = std::process::Command::new("git");
    git.args(arguments).current_dir(scene.path());
    git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    assert!(git.output().expect("git is installed").status.success(), "git {arguments:?}");
}

#[test]
fn a_tracked_file_is_read_whatever_git_ignores() {
    let faulty = &release(&format!("{CHART}{CHART_REF}"));
    let scene = Scene::new(&[
        (".gitignore", "apps/\n*.local.yaml\n"),
        ("apps/tracked.yaml", faulty),
        ("apps/untracked.yaml", faulty),
        ("a.local.yaml", faulty),
        ("b.local.yaml", faulty),
        ("gone.local.yaml", faulty),
        ("notes.txt", ""),
    ]);
    git(&scene, &["init", "-q"]);
    git(&scene, &["add", "-f", "apps/tracked.yaml", "a.local.yaml", "gone.local.yaml", "notes.txt"]);
    std::fs::remove_file(scene.path().join("gone.local.yaml")).unwrap();
    let files = |arguments: &[&str]| {
        let lines = scene.lines(arguments).into_iter();
        lines.map(|line| line.split(':').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(files(&[]), ["a.local.yaml", "apps/tracked.yaml"]);
    // A folder that is given is not ignored.
    assert_eq!(files(&["apps"]), ["apps/tracked.yaml", "apps/untracked.yaml"]);
    git(&scene, &["rm", "-q", "--cached", "apps/tracked.yaml"]);
    assert_eq!(files(&[]), ["a.local.yaml"]);
    // Hidden ones are still for Flux alone, and what an artifact leaves out counts for nothing.
    scene.write(".hidden.local.yaml", faulty);
    scene.write(".sourceignore", "a.local.yaml\n");
    git(&scene, &["add", "-f", ".hidden.local.yaml"]);
    assert_eq!(files(&["--allow-empty"]), [] as [&str; 0]);
}
