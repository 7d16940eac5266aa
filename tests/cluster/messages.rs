//! What chartgate says, as kubectl shows it: `docs/messages.md`.
//!
//! Each scene of `messages/scenes.rs` is typed into a shell, with the real kubectl, an API server and chartgate behind
//! it. The page is what that terminal shows, but for times. `UPDATE_GOLDEN=1` writes it.

mod scenes;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use chartgate::policy::{self, Level, MAX_WARNING};
use serde_json::{Value, json};

use self::scenes::{APPLIED_AT_V2BETA1, CHART, CHART_REF, Ending, SCENES, Scene};
use crate::harness::{Chartgate, Cluster, Namespace, Options, eventually};

/// The minors that the scenes need, in the order of upgrades.
const FLUX: [&str; 4] = ["2.6", "2.7", "2.9", "2.10"];

const PAGE: &str = "docs/messages.md";

const SOON: Duration = Duration::from_secs(20);

/// In place of every time: nothing else differs from run to run.
const SOME_TIME: &str = "2026-01-01T00:00:00Z";

#[test]
fn the_page_of_messages_is_what_kubectl_shows() {
    let Some(cluster) = Cluster::start(FLUX[0]) else { return };
    let mut shown = BTreeMap::new();
    for flux in FLUX {
        if flux != FLUX[0] {
            cluster.upgrade_crds(flux);
        }
        for setting in settings_of(flux) {
            let config = (!setting.is_empty()).then_some(setting);
            let arguments = ["--flux", flux];
            let options = Options { config, ..Options::with_arguments(&arguments) };
            let chartgate = Chartgate::start(&cluster, options);
            let namespace = chartgate.fixed_namespace(&namespace_of(flux, setting));
            for (index, scene) in SCENES.iter().enumerate() {
                if (scene.flux, scene.setting) == (flux, setting) {
                    shown.insert(index, play(scene, &cluster, &namespace));
                }
            }
        }
    }
    let page = page(&shown);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&file, &page).expect("the checkout can be written");
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == page,
        "{PAGE} is not what kubectl shows now; UPDATE_GOLDEN=1 writes it:\n{}",
        first_difference(&committed, &page)
    );
}

#[test]
fn every_rule_has_scenes_for_all_that_it_can_do() {
    for rule in shown_rules() {
        let of_rule = |ending| SCENES.iter().any(|scene| scene.rule == rule.id && scene.ending == ending);
        // /mutate fixes every finding of it, so that nothing is left to deny.
        let is_always_fixed = rule.id == "null-field";
        if rule.level == Level::Error && !is_always_fixed {
            assert!(of_rule(Ending::Denied), "{PAGE} shows no denial by {}", rule.id);
        } else {
            assert!(of_rule(Ending::Warned), "{PAGE} shows no warning by {}", rule.id);
        }
        // What is patched with a word is shown, too; what is patched in silence is seen in the mode warn.
        let heard = rule.fixed.is_none() || of_rule(Ending::Warned);
        assert!(heard, "{PAGE} does not show what {} says when it patches", rule.id);
    }
    let ids: Vec<_> = policy::rules().iter().map(|rule| rule.id).collect();
    for scene in SCENES {
        assert!(ids.contains(&scene.rule), "{} is no rule", scene.rule);
        assert!(FLUX.contains(&scene.flux), "the test does not install Flux {}", scene.flux);
    }
}

/// The scenes are played without a watch on the cluster, so what is said about other objects is shown in `facts.rs`.
fn shown_rules() -> impl Iterator<Item = &'static policy::Rule> {
    let has_scene = |rule: &policy::Rule| SCENES.iter().any(|scene| scene.rule == rule.id);
    let needs_no_source = |rule: &policy::Rule| rule.bad.sources.is_none() && rule.bad.source.is_none();
    policy::rules().iter().copied().filter(move |rule| needs_no_source(rule) || has_scene(rule))
}

/// The configurations of all scenes of a minor.
fn settings_of(flux: &str) -> Vec<&'static str> {
    let mut settings: Vec<_> =
        SCENES.iter().filter(|scene| scene.flux == flux).map(|scene| scene.setting).collect();
    settings.sort_unstable();
    settings.dedup();
    settings
}

/// A namespace keeps the chartgate that it was made for, so each has its own; the page mostly shows `apps`.
fn namespace_of(flux: &str, setting: &str) -> String {
    let mut name = "apps".to_owned();
    if flux != "2.9" {
        write!(name, "-{}", flux.replace('.', "-")).expect("a string takes all");
    }
    let mut letters =
        setting.split(|letter: char| !letter.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    if let Some(last) = letters.next_back() {
        write!(name, "-{last}").expect("a string takes all");
    }
    name
}

/// Types a scene into a shell and returns its section.
fn play(scene: &Scene, cluster: &Cluster, namespace: &Namespace<'_>) -> String {
    let dir = tempfile::tempdir().expect("the temporary directory can be written");
    let config = dir.path().join("kubeconfig");
    fs::write(&config, kubeconfig_in(cluster, namespace.name())).expect("it was just made");
    for (name, content) in [
        ("chart.yaml", CHART),
        ("chartref.yaml", CHART_REF),
        ("chart-v2beta1.yaml", APPLIED_AT_V2BETA1),
        ("release.yaml", scene.manifest),
    ] {
        fs::write(dir.path().join(name), content).expect("it was just made");
    }
    let mut section = format!("### {}\n\n", scene.title);
    if let Some(setting) = conditions(scene) {
        section.extend([format!("{setting}\n\n")]);
    }
    if !scene.manifest.is_empty() {
        section.extend([format!("```yaml\n{}```\n\n", scene.manifest)]);
    }
    section += "```console\n";
    let (mut said, mut succeeded) = (String::new(), true);
    for line in scene.typed {
        assert!(succeeded, "{}: {said}", scene.title);
        until_cached(cluster, namespace);
        (said, succeeded) = shell(cluster, dir.path(), line);
        section.extend([format!("$ {line}\n{said}")]);
    }
    section += "```\n";
    if let Some(command) = advised(&said) {
        let (answer, helped) = shell(cluster, dir.path(), command);
        assert!(helped, "{}: {command}: {answer}", scene.title);
        until_cached(cluster, namespace);
        let again = scene.typed.last().expect("a scene types something");
        let (answer, helped) = shell(cluster, dir.path(), again);
        assert!(helped, "{}: in spite of {command}: {answer}", scene.title);
    }
    namespace.releases("v2").delete("podinfo");
    check(scene, &said, succeeded);
    section
}

/// Waits until the API server's watch caches have the release as it is. Right after a write, an apply is first tried with the object of the
/// cache, which may be the one of before, and the warnings of that attempt are kept.
fn until_cached(cluster: &Cluster, namespace: &Namespace<'_>) {
    let version = |api: &str, query: &str| {
        let path = format!(
            "/apis/helm.toolkit.fluxcd.io/{api}/namespaces/{}/helmreleases/podinfo{query}",
            namespace.name()
        );
        let output = cluster
            .kubectl()
            .args(["get", "--raw", &path])
            .output()
            .expect("kubectl was built with the server");
        let object: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        object["metadata"]["resourceVersion"].as_str().map(str::to_owned)
    };
    // Each version that is served has a cache of its own.
    for api in ["v2beta1", "v2beta2", "v2"] {
        eventually("the cache has the release as it is", SOON, || {
            let (stored, cached) = (version(api, ""), version(api, "?resourceVersion=0"));
            if stored == cached { Ok(()) } else { Err(format!("{api}: {stored:?}, {cached:?} in the cache")) }
        });
    }
}

/// Holds a scene to what it says that it shows.
#[track_caller]
fn check(scene: &Scene, said: &str, succeeded: bool) {
    let Scene { rule, title, ending, .. } = scene;
    let warning = format!("Warning: [{rule}] ");
    match ending {
        Ending::Denied => assert!(!succeeded && said.contains(&format!("[{rule}] ")), "{title}: {said}"),
        Ending::Warned => assert!(said.contains(&warning), "{title}: {said}"),
        Ending::Silent => assert!(succeeded && !said.contains("Warning: "), "{title}: {said}"),
    }
    for line in said.lines() {
        let Some(warning) = line.strip_prefix("Warning: [") else { continue };
        assert!(warning.chars().count() < MAX_WARNING, "{title}: {line}");
        assert!(!warning.contains('…'), "{title}: cut: {line}");
    }
}

/// The command that a denial says to type. Whoever pastes it must get on.
fn advised(said: &str) -> Option<&str> {
    said.lines().find_map(|line| line.find("kubectl patch").map(|start| &line[start..]))
}

/// What a terminal shows of one command line, and whether it succeeded.
fn shell(cluster: &Cluster, dir: &Path, line: &str) -> (String, bool) {
    let kubectl = cluster.kubectl();
    let folder = |program: &Path| program.parent().expect("a program is in a folder").display().to_string();
    let programs =
        [folder(Path::new(kubectl.get_program())), folder(Path::new(env!("CARGO_BIN_EXE_chartgate")))];
    let output = Command::new("sh")
        .args(["-c", &format!("exec 2>&1\n{line}")])
        .current_dir(dir)
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", programs.join(":")))
        .env("KUBECONFIG", dir.join("kubeconfig"))
        // kubectl keeps a discovery cache under its home, which must not outlive a change of the CRDs.
        .env("HOME", dir)
        .env("NO_COLOR", "1")
        .output()
        .expect("there is a shell");
    let said = without_times(&String::from_utf8_lossy(&output.stdout));
    (without_instances(&said), output.status.success())
}

/// The administrator's kubeconfig, with a current namespace.
fn kubeconfig_in(cluster: &Cluster, namespace: &str) -> String {
    let text = fs::read_to_string(cluster.kubeconfig()).expect("the cluster wrote it");
    let mut config: Value = serde_saphyr::from_str(&text).expect("the cluster wrote YAML");
    config["contexts"][0]["context"]["namespace"] = json!(namespace);
    config.to_string()
}

/// Replaces every RFC 3339 time in whole seconds.
fn without_times(text: &str) -> String {
    let is_time = |bytes: &[u8]| {
        bytes
            .iter()
            .zip(SOME_TIME.bytes())
            .all(|(byte, like)| if like.is_ascii_digit() { byte.is_ascii_digit() } else { *byte == like })
    };
    let mut masked = text.to_owned();
    for start in 0..=text.len().saturating_sub(SOME_TIME.len()) {
        let range = start..start + SOME_TIME.len();
        if text.as_bytes().get(range.clone()).is_some_and(is_time) {
            masked.replace_range(range, SOME_TIME);
        }
    }
    masked
}

/// The webhooks under the names that they are shipped with.
fn without_instances(text: &str) -> String {
    let mut parts = text.split("webhook \"test-");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |said, part| {
        let (_, rest) = part.split_once('.').expect("the name of an instance ends in ours");
        said + "webhook \"" + rest
    })
}

fn conditions(scene: &Scene) -> Option<String> {
    let flux = (scene.flux != "2.9").then(|| format!("Flux {}", scene.flux));
    let setting = (!scene.setting.is_empty()).then(|| format!("`{}` in chartgate.yaml", scene.setting));
    let both: Vec<_> = flux.into_iter().chain(setting).collect();
    (!both.is_empty()).then(|| format!("With {}:", both.join(" and ")))
}

fn page(shown: &BTreeMap<usize, String>) -> String {
    let mut page = scenes::INTRODUCTION.to_owned();
    for (name, content) in
        [("chart.yaml", CHART), ("chartref.yaml", CHART_REF), ("chart-v2beta1.yaml", APPLIED_AT_V2BETA1)]
    {
        page.extend([format!("\n`{name}`:\n\n```yaml\n{content}```\n")]);
    }
    for rule in shown_rules() {
        page.extend([format!("\n## {}\n\n{}\n", rule.id, rule.summary)]);
        for (index, section) in shown {
            if SCENES[*index].rule == rule.id {
                page.extend([format!("\n{section}")]);
            }
        }
    }
    page
}

fn first_difference(committed: &str, page: &str) -> String {
    let mut lines = page.lines().zip(committed.lines().chain(std::iter::repeat("")));
    let differing = lines.find(|(now, before)| now != before);
    differing.map_or_else(String::new, |(now, before)| format!("now:  {now}\npage: {before}"))
}
