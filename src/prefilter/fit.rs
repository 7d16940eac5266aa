//! Whether the condition in the cluster is the one that the configuration needs.

use super::{Cluster, NAME, Prefilter, Webhook};
use crate::policy::{Facts, Flux, Settings};

/// The expressions that are right in one webhook, for one configuration in one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    essences: Vec<String>,
}

/// How the `matchConditions` of a webhook in the cluster stand to what is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// There is no prefilter among them: every release is seen.
    Absent,
    /// It leaves out nothing in which a rule finds something.
    Fits,
    /// It was written for something else, so that it may leave out a release in which a rule finds something.
    Mismatch,
}

// === impl Right ===

impl Right {
    /// What is right with these settings, as long as these facts hold.
    ///
    /// One for any Flux always is. One for a single minor is where the cluster serves just what that minor serves: what
    /// it leaves out more than the other is judged by what is served, whatever Flux it comes from. Where the CRD cannot
    /// be read, the minor that we were told decides, as it does for a review.
    pub fn of(webhook: Webhook, settings: &Settings, facts: &Facts) -> Self {
        let clusters = [Cluster::AnyFlux].into_iter().chain(minors(facts).map(Cluster::Flux));
        Self {
            essences: clusters
                .map(|cluster| essence(&webhook.condition(&Prefilter::of(settings, cluster))))
                .collect(),
        }
    }

    /// Compares the `matchConditions` of that webhook in the cluster, as name and expression, with what is right.
    ///
    /// What a user adds under other names is the user's choice.
    pub fn compare<'c>(&self, live: impl IntoIterator<Item = (&'c str, &'c str)>) -> Fit {
        match live.into_iter().find(|(name, _)| *name == NAME) {
            None => Fit::Absent,
            Some((_, live)) if self.essences.contains(&essence(live)) => Fit::Fits,
            Some(_) => Fit::Mismatch,
        }
    }
}

/// The minors that serve what the cluster does, as far as that is known.
fn minors(facts: &Facts) -> impl Iterator<Item = Flux> {
    let serves_releases = |flux: Flux| match &facts.helm_release {
        Some(live) => flux.served() == live,
        None => flux == facts.flux,
    };
    // Of a kind that is not there, no version is right or wrong.
    let serves_sources = |flux: Flux| {
        let mut known = facts.source_versions.iter().flatten().filter(|(_, live)| !live.is_empty());
        known.all(|(kind, live)| flux.source_versions(kind).eq(live.iter().map(String::as_str)))
    };
    Flux::all().filter(move |flux| serves_releases(*flux) && serves_sources(*flux))
}

/// An expression without its comments and its layout.
fn essence(expression: &str) -> String {
    let lines = expression.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{CHART_REF_KINDS, CrossNamespace};
    use crate::prefilter::OBSERVED;

    fn flux(minor: &str) -> Flux {
        minor.parse().unwrap()
    }

    /// What is known of a cluster with all CRDs of a minor.
    fn live(minor: &str) -> Facts {
        let flux = flux(minor);
        let kinds = CHART_REF_KINDS.iter().copied().chain(["HelmRepository"]);
        let versions = |kind| flux.source_versions(kind).map(str::to_owned).collect();
        Facts {
            helm_release: Some(flux.served().to_vec()),
            source_versions: Some(kinds.map(|kind| (kind, versions(kind))).collect()),
            ..Facts::default()
        }
    }

    fn written_for(settings: &Settings, cluster: Cluster) -> Vec<(&'static str, String)> {
        let condition = Webhook::Mutate.condition(&Prefilter::of(settings, cluster));
        vec![("mine", "true".to_owned()), (NAME, condition)]
    }

    fn fit(live: &[(&'static str, String)], settings: &Settings, facts: &Facts) -> Fit {
        Right::of(Webhook::Mutate, settings, facts)
            .compare(live.iter().map(|(name, text)| (*name, text.as_str())))
    }

    #[test]
    fn one_for_any_flux_fits_whatever_is_served() {
        let settings = Settings::default();
        let any = written_for(&settings, Cluster::AnyFlux);
        let mut unheard_of = live("2.9");
        unheard_of.helm_release.as_mut().unwrap()[0].chart_ref_kinds = ["Chart".into()].to_vec().into();
        for facts in [Facts::default(), live("2.2"), live("2.4"), live("2.9"), unheard_of] {
            assert_eq!(fit(&any, &settings, &facts), Fit::Fits);
        }
    }

    #[test]
    fn one_for_a_minor_fits_where_that_is_served_and_nowhere_else() {
        let settings = Settings::default();
        let fits = |minor: &str, facts: &Facts| {
            fit(&written_for(&settings, Cluster::Flux(flux(minor))), &settings, facts) == Fit::Fits
        };
        for minor in Flux::all().map(|flux| flux.to_string()) {
            assert!(fits(&minor, &live(&minor)), "{minor}");
        }
        assert!(!fits("2.9", &live("2.6")), "ExternalArtifact is not served");
        assert!(!fits("2.6", &live("2.9")), "v1beta2 of OCIRepository is not served any more");
        assert!(fits("2.8", &live("2.9")), "they serve the same");
        // The versions of HelmRelease are the same, those of its sources are not.
        assert!(!fits("2.6", &live("2.5")), "v1 of OCIRepository is not served yet");
    }

    #[test]
    fn the_sources_decide_only_where_they_are_known_and_there() {
        let settings = Settings::default();
        let of_2_6 = written_for(&settings, Cluster::Flux(flux("2.6")));
        let mut facts = live("2.4");
        for unknown in [Some([].into()), None, Some([("OCIRepository", Vec::new())].into())] {
            facts.source_versions = unknown;
            assert_eq!(fit(&of_2_6, &settings, &facts), Fit::Fits, "{:?}", facts.source_versions);
        }
    }

    #[test]
    fn the_served_releases_decide_alone_where_nothing_else_is_known() {
        let settings = Settings::default();
        let of_2_6 = written_for(&settings, Cluster::Flux(flux("2.6")));
        for (minor, expected) in [("2.6", Fit::Fits), ("2.7", Fit::Mismatch), ("2.9", Fit::Mismatch)] {
            let facts = Facts { source_versions: Some([].into()), ..live(minor) };
            assert_eq!(fit(&of_2_6, &settings, &facts), expected, "{minor}");
        }
    }

    #[test]
    fn without_the_crd_the_minor_that_was_told_decides() {
        let settings = Settings::default();
        let of_2_6 = written_for(&settings, Cluster::Flux(flux("2.6")));
        assert_eq!(fit(&of_2_6, &settings, &Facts::of(flux("2.6"))), Fit::Fits);
        assert_eq!(fit(&of_2_6, &settings, &Facts::default()), Fit::Mismatch);
    }

    #[test]
    fn one_for_another_configuration_does_not_fit() {
        let settings = Settings::default();
        let default = written_for(&settings, Cluster::AnyFlux);
        let mut strict = settings.clone();
        strict.chart_ref.cross_namespace = CrossNamespace::Deny;
        assert_eq!(fit(&default, &strict, &live("2.9")), Fit::Mismatch);
        let elsewhere = Settings { installers: vec!["flux".to_owned()], ..settings.clone() };
        assert_eq!(fit(&default, &elsewhere, &live("2.9")), Fit::Mismatch);
        let mut other = settings.clone();
        other.annotations =
            [("example.org/version".to_owned(), settings.annotations["fluxcd.io/version"])].into();
        assert_eq!(fit(&default, &other, &live("2.9")), Fit::Mismatch);
    }

    #[test]
    fn one_for_the_other_webhook_does_not_fit() {
        let settings = Settings::default();
        let prefilter = Prefilter::of(&settings, Cluster::AnyFlux);
        for (right, live, expected) in [
            (Webhook::Validate, Webhook::Validate, Fit::Fits),
            // Seen at /mutate, it would leave out what is to be filled in.
            (Webhook::Mutate, Webhook::Validate, Fit::Mismatch),
            // Seen at /validate, it would have an unchanged spec wait for us.
            (Webhook::Validate, Webhook::Mutate, Fit::Mismatch),
        ] {
            let right = Right::of(right, &settings, &Facts::default());
            assert_eq!(right.compare([(NAME, &*live.condition(&prefilter))]), expected, "{live}");
        }
    }

    #[test]
    fn the_one_without_a_prefilter_counts_as_none() {
        for webhook in Webhook::ALL {
            let right = Right::of(webhook, &Settings::default(), &Facts::default());
            assert_eq!(right.compare([(OBSERVED, &*webhook.observing(&Settings::default()))]), Fit::Absent);
        }
    }

    #[test]
    fn without_one_every_release_is_seen_whatever_else_there_is() {
        let settings = Settings::default();
        assert_eq!(fit(&[], &settings, &live("2.9")), Fit::Absent);
        assert_eq!(fit(&[("mine", "false".to_owned())], &settings, &live("2.9")), Fit::Absent);
    }

    #[test]
    fn layout_and_comments_do_not_count_but_words_do() {
        let settings = Settings::default();
        let (name, text) = written_for(&settings, Cluster::AnyFlux).remove(1);
        let flat = [(name, essence(&text))];
        assert_eq!(fit(&flat, &settings, &live("2.9")), Fit::Fits);
        assert_eq!(fit(&[(name, text.replace("253", "2530"))], &settings, &live("2.9")), Fit::Mismatch);
    }
}
