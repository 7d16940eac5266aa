//! A report in which everything is that a format may stumble over.

use chartgate::report::{
    Diagnostic, Edit, Excerpts, Grade, Judged, Location, Object, Related, Report, SuggestedFix, Summary,
};
use chartgate::yaml::Span;

/// Files in memory.
#[derive(Debug, Default)]
pub(crate) struct Files(pub(crate) Vec<(String, String)>);

impl Excerpts for Files {
    fn path(&self, file: u32) -> &str {
        &self.0[file as usize].0
    }

    fn text(&self, file: u32) -> &str {
        &self.0[file as usize].1
    }
}

impl Files {
    fn add(&mut self, path: &str, text: impl Into<String>) -> u32 {
        self.0.push((path.to_owned(), text.into()));
        u32::try_from(self.0.len() - 1).unwrap()
    }

    /// Where a text stands first in a file.
    pub(crate) fn at(&self, file: u32, needle: &str) -> Span {
        let text = &self.0[file as usize].1;
        let start = text.find(needle).unwrap_or_else(|| panic!("{needle:?} is not in {text:?}"));
        let number = |offset: usize| u32::try_from(offset).unwrap();
        Span::new(file, number(start), number(start + needle.len()))
    }
}

/// A finding with no more than every finding has.
pub(crate) fn finding(rule: &'static str, grade: Grade, what: &str) -> Diagnostic {
    Diagnostic { fingerprint: format!("{rule}-0123456789abcdef"), ..Diagnostic::new(rule, grade, what) }
}

pub(crate) fn release(namespace: &str, name: &str) -> Object {
    Object {
        api_version: "helm.toolkit.fluxcd.io/v2".to_owned(),
        kind: "HelmRelease".to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

fn related(span: Span, what: &str) -> Related {
    Related { location: Location { span }, what: what.to_owned() }
}

fn edit(span: Span, text: &str) -> Edit {
    Edit { span, text: text.to_owned() }
}

/// What people write, and what nobody should.
pub(crate) fn rich() -> (Report, Files) {
    let mut files = Files::default();
    let diagnostics =
        [pinned(&mut files), foreign(&mut files), hostile(&mut files), odd(&mut files)].concat();
    let judged = [
        (0, release("apps", "podinfo")),
        (1, release("apps", "podinfo")),
        (1, release("apps", "podinfo-canary")),
        (3, release("apps", HOSTILE_NAME)),
    ];
    let judged = judged
        .map(|(file, object)| Judged { object, location: Some(Location { span: Span::new(file, 0, 0) }) });
    let summary = Summary { files: 468, releases: 69, unreached: 3, not_judged: 1, ignored: 2 };
    (Report { diagnostics, judged: judged.into(), summary }, files)
}

/// An overlay that pins a version, in a base with a byte-order mark and Windows line ends.
fn pinned(files: &mut Files) -> Vec<Diagnostic> {
    let patch = files.add(
        "apps/podinfo/patch.yaml",
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata:\n  name: podinfo\nspec:\n  chart:\n    spec:\n      version: 6.5.4\n",
    );
    let base = files.add(
        "./base/podinfo.yaml",
        "\u{feff}apiVersion: helm.toolkit.fluxcd.io/v2beta1\r\nkind: HelmRelease\r\nmetadata:\r\n  name: podinfo\r\n  namespace: apps\r\nspec:\r\n  chartRef:\r\n    kind: OciRepository\r\n    name: podinfo\r\n",
    );
    let ways = (0..13).map(|index| {
        vec![format!("clusters/prod-{index}/apps.yaml").into(), "apps/podinfo/kustomization.yaml".into()]
    });
    let partial = Diagnostic {
        why: "the API server refuses a spec.chart without chart and sourceRef, also beside spec.chartRef.".into(),
        help: "remove spec.chart from the overlay; the version is now spec.ref.tag or spec.ref.semver of the OCIRepository podinfo, in the namespace apps.".into(),
        object: Some(release("apps", "podinfo")),
        field: "spec.chart.spec.version".to_owned(),
        location: Some(files.at(patch, "version: 6.5.4").into()),
        related: vec![
            related(files.at(base, "chartRef"), "spec.chartRef is set here"),
            related(files.at(base, "namespace: apps"), "the namespace is set here"),
            related(files.at(patch, "kind: HelmRelease"), "the patch is for this kind"),
        ],
        ways: ways.collect(),
        ..finding("partial-chart", Grade::Error, "spec.chart.spec.version is set beside spec.chartRef")
    };
    let deprecated = Diagnostic {
        why: "Flux 2.8 does not serve v2beta1 any more.".into(),
        help: "set apiVersion to helm.toolkit.fluxcd.io/v2.".into(),
        object: Some(release("apps", "podinfo")),
        field: "apiVersion".to_owned(),
        location: Some(files.at(base, "helm.toolkit.fluxcd.io/v2beta1").into()),
        ways: vec![vec!["apps/podinfo/kustomization.yaml".into()]],
        fix: Some(SuggestedFix {
            what: "sets apiVersion and the kind of the source, and says so in the patch".to_owned(),
            edits: vec![
                edit(files.at(base, "v2beta1"), "v2"),
                edit(files.at(base, "OciRepository"), "OCIRepository"),
                edit(Span::new(patch, 0, 0), "# moved to v2\n"),
            ],
            fields: vec!["/apiVersion".to_owned()],
        }),
        ..finding("deprecated-api-version", Grade::Warning, "helm.toolkit.fluxcd.io/v2beta1 is deprecated")
    };
    vec![partial, deprecated]
}

/// Wide characters, a combining one, an emoji and a tab before the place, and a path of such.
fn foreign(files: &mut Files) -> Vec<Diagnostic> {
    let file = files.add(
        "clusters/zürich/日本 #1, 100%.yaml",
        "spec: {\"日本語\": \"e\u{301}👩‍💻\",\tchartRef: {kind: OCIRepo, name: \"x\"}} # 終わり\n",
    );
    vec![Diagnostic {
        location: Some(files.at(file, "OCIRepo").into()),
        related: vec![related(files.at(file, "\"x\""), "その名前")],
        ..finding(
            "chart-ref-kind",
            Grade::Error,
            "spec.chartRef.kind: \"OCIRepo\" is not a kind, see [this](https://example.test)",
        )
    }]
}

/// A name that means to be markup, a command to the terminal and a command to the runner.
const HOSTILE_NAME: &str = "<script>alert(\"x\")</script>\u{1b}[31m&]]>\u{9b}2J\u{202e}\r\n::error::owned";

fn hostile(files: &mut Files) -> Vec<Diagnostic> {
    let file = files.add(
        "apps/evil.yaml",
        "kind: HelmRelease\nmetadata:\n  name: \"\\e[31m\"\nspec:\n  interval: 10m\n  values:\n    a: \u{9b}2J\u{202e}1\n    b: 2\n    c: 3\n    d: 4\n    e: 5\n  suspend: true\n\n# the end\n",
    );
    let spec = files.at(file, "interval");
    let end = files.at(file, "# the end").start();
    vec![Diagnostic {
        why: format!("of {HOSTILE_NAME}").into(),
        help: "set spec.chart or spec.chartRef.".into(),
        object: Some(release("apps", HOSTILE_NAME)),
        field: "spec".to_owned(),
        location: Some(Span::new(spec.file(), spec.start(), end).into()),
        related: vec![related(files.at(file, "\"\\e[31m\""), HOSTILE_NAME)],
        ways: vec![vec![HOSTILE_NAME.into()]],
        ..finding("no-chart-source", Grade::Error, &format!("{HOSTILE_NAME} has no source"))
    }]
}

/// A long line, a file without text, a live object, and nothing at all.
fn odd(files: &mut Files) -> Vec<Diagnostic> {
    let long = files.add(
        "apps/long.json",
        format!(
            "{{\"values\": \"{}\", \"kind\": \"HelmReleases\", \"more\": \"{}\"}}",
            "a".repeat(300),
            "b".repeat(300)
        ),
    );
    let empty = files.add("apps/\u{1b}[2Jbinary.yaml", "");
    vec![
        Diagnostic {
            location: Some(files.at(long, "\"HelmReleases\"").into()),
            ..finding(
                "not-judged",
                Grade::Note,
                "there is no kind HelmReleases, so this cannot be told from a typing error",
            )
        },
        Diagnostic {
            location: Some(Span::new(empty, 7, 9).into()),
            ..finding("unreadable", Grade::Error, "the file is not UTF-8 from byte 7 on")
        },
        Diagnostic {
            object: Some(release("live", "podinfo")),
            help: "flux migrate\nkubectl get helmreleases".into(),
            ..finding("managed-fields-version", Grade::Warning, "kustomize-controller applied v2beta1")
        },
        finding("unused-ignore", Grade::Warning, "nothing is known of this one"),
    ]
}

/// What the documentation shows: a base that has moved, and an overlay that has not.
pub(crate) fn example() -> (Report, Files) {
    let mut files = Files::default();
    let mut diagnostics = pinned(&mut files);
    for file in &mut files.0 {
        file.0 = file.0.trim_start_matches("./").to_owned();
        file.1 = file.1.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    }
    let (patch, base) = (0, 1);
    let [partial, deprecated] = diagnostics.as_mut_slice() else { unreachable!("there are two") };
    partial.related = vec![related(files.at(base, "chartRef"), "spec.chartRef is set here")];
    partial.location = Some(files.at(patch, "version: 6.5.4").into());
    partial.ways.truncate(2);
    deprecated.location = Some(files.at(base, "helm.toolkit.fluxcd.io/v2beta1").into());
    deprecated.fix = Some(SuggestedFix {
        what: "sets apiVersion to helm.toolkit.fluxcd.io/v2".to_owned(),
        edits: vec![edit(files.at(base, "v2beta1"), "v2")],
        fields: vec!["/apiVersion".to_owned()],
    });
    let summary = Summary { files: 14, releases: 2, ..Summary::default() };
    (Report { diagnostics, summary, ..Report::default() }, files)
}
