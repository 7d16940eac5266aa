use super::*;
use crate::policy::{AnnotationValue, ChartRefSettings, rules};

#[test]
fn every_rule_is_spoken_of() {
    let prefilter = Prefilter::of(&Settings::default(), Cluster::AnyFlux);
    let spoken: BTreeSet<_> = prefilter.clauses().flat_map(|clause| clause.rules).copied().collect();
    let excepted = NEVER_ALONE.iter().map(|(rule, _)| *rule);
    let spoken: BTreeSet<_> = spoken.into_iter().chain(excepted).collect();
    assert_eq!(spoken, rules().iter().map(|rule| rule.id).collect());
}

#[test]
fn follows_the_configuration() {
    let chart_ref = ChartRefSettings { fill_namespace: false, cross_namespace: CrossNamespace::Deny };
    let annotations = ["a'b", "example.org/version"].map(|key| (key.to_owned(), AnnotationValue::ApiVersion));
    let settings = Settings { chart_ref, annotations: annotations.into(), ..Settings::default() };
    let text = Prefilter::of(&settings, Cluster::AnyFlux).to_string();
    for part in [
        r"object.?metadata.?annotations[?'a\'b'].orValue('') != 'v2'",
        "object.?metadata.?annotations[?'example.org/version'].orValue('') != 'v2'",
        "has(object.spec.chartRef.namespace) && object.spec.chartRef.namespace != request.namespace ||",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(!text.contains("fluxcd.io/version"), "{text}");
}

#[test]
fn asks_where_the_minors_of_flux_differ() {
    let allows = |cluster| {
        let text = Prefilter::of(&Settings::default(), cluster).to_string();
        ["ExternalArtifact", "OCIRepository' && object.spec.chartRef.apiVersion in"]
            .map(|part| text.contains(part))
    };
    assert_eq!(allows(Cluster::AnyFlux), [false, false]);
    assert_eq!(allows(Cluster::Flux("2.6".parse().unwrap())), [false, true]);
    assert_eq!(allows(Cluster::Flux(Flux::NEWEST)), [true, true]);
}
