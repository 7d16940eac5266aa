//! Reports an `OCIRepository` whose url holds a tag.

use super::{Example, Rule, release};
use crate::policy::{
    Case, Findings, Level,
    finding::quoted,
    source::{self, Fault, Minors, OciRepository},
};

pub(super) static RULE: Rule = Rule {
    id: "source-url-has-tag",
    level: Level::Error,
    policy: false,
    summary: "The url of an OCIRepository names a repository, without tag or digest.",
    why: "source-controller refuses such a url (reason URLInvalid), so that the release never gets its chart.",
    help: "remove the tag from spec.url and set it as spec.ref.tag.",
    bad: Example::of(release!("  chartRef:\n    kind: OCIRepository\n    name: podinfo\n    namespace: apps\n")).from(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata:\n  name: podinfo\n  namespace: apps\n\
         spec:\n  interval: 10m\n  url: oci://ghcr.io/stefanprodan/charts/podinfo:6.9.0\n  ref:\n    tag: 6.9.0\n  \
         layerSelector:\n    operation: copy\n",
    ),
    good: Example::of(release!("  chartRef:\n    kind: OCIRepository\n    name: podinfo\n    namespace: apps\n")).from(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata:\n  name: podinfo\n  namespace: apps\n\
         spec:\n  interval: 10m\n  url: oci://registry.example.org:5000/charts/podinfo\n  ref:\n    tag: 6.9.0\n  \
         layerSelector:\n    operation: copy\n",
    ),
    fixed: None,
    check,
};

fn check(case: &Case<'_>, findings: &mut Findings<'_>) {
    source::report(case, findings, fault);
}

/// source-controller 1.9.6 answers `URLInvalid`. A colon before the first slash is that of a port.
pub(super) fn fault(source: &OciRepository, _: Minors) -> Option<Fault> {
    let (_, path) = source.url.text()?.strip_prefix("oci://")?.split_once('/')?;
    let at = path.find([':', '@'])?;
    // Beside a digest, a tag decides nothing.
    let (what, field, value) = match path[at..].split_once('@') {
        Some((_, digest)) => ("a digest", "spec.ref.digest", digest),
        None => ("a tag", "spec.ref.tag", &path[at + 1..]),
    };
    Some(Fault {
        at: "/spec/url",
        level: RULE.level,
        what: format!("has {what} in its url: {}", quoted(&path[at..])),
        why: RULE.why.into(),
        help: format!("remove {} from spec.url and set {field} to {}.", quoted(&path[at..]), quoted(value))
            .into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::source::Stated;

    #[test]
    fn a_port_is_no_tag() {
        for (url, has_tag) in [
            ("oci://registry.example.org/charts/shop:1.4.2", true),
            ("oci://registry.example.org:5000/charts/shop:1.4.2", true),
            ("oci://registry.example.org/charts/shop@sha256:0123", true),
            ("oci://registry.example.org/shop:1.4.2@sha256:0123", true),
            ("oci://registry.example.org:5000/charts/shop", false),
            ("oci://registry.example.org:5000", false),
            ("oci://localhost/shop", false),
            ("https://registry.example.org/shop:1", false),
        ] {
            let source = OciRepository { url: Stated::Text(url.into()), ..OciRepository::default() };
            assert_eq!(fault(&source, None).is_some(), has_tag, "{url}");
        }
    }
}
