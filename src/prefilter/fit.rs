//! Whether the condition in the cluster is the one that the configuration needs.

use thiserror::Error;

use super::{Cluster, NAME, Prefilter};
use crate::policy::{Flux, Settings};

/// The condition in the cluster is none that was written for this configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "the matchCondition {NAME} was not written for this configuration, so that releases which it finds fault with may \
     never be seen; `chartgate config prefilter` prints the right one"
)]
pub struct Mismatch;

/// Compares the `matchConditions` of a webhook in the cluster, as name and expression, with what is needed.
///
/// None at all is no mismatch: then every release is seen. Nor is one that is right about any Flux where it could be
/// right about one. What a user adds under other names is the user's choice.
pub fn fits<'c>(
    live: impl IntoIterator<Item = (&'c str, &'c str)>,
    settings: &Settings,
    flux: Flux,
) -> Result<(), Mismatch> {
    let Some((_, live)) = live.into_iter().find(|(name, _)| *name == NAME) else { return Ok(()) };
    let right = [Cluster::AnyFlux, Cluster::Flux(flux)];
    let right = right.map(|cluster| essence(&Prefilter::of(settings, cluster).to_string()));
    if right.contains(&essence(live)) { Ok(()) } else { Err(Mismatch) }
}

/// An expression without its comments and its layout.
fn essence(expression: &str) -> String {
    let lines = expression.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::CrossNamespace;

    fn live(settings: &Settings, cluster: Cluster) -> [(&'static str, String); 1] {
        [(NAME, Prefilter::of(settings, cluster).to_string())]
    }

    fn fit(live: &[(&'static str, String)], settings: &Settings, flux: &str) -> Result<(), Mismatch> {
        let live = live.iter().map(|(name, expression)| (*name, expression.as_str()));
        fits(live, settings, flux.parse().unwrap())
    }

    #[test]
    fn the_condition_of_the_configuration_fits_for_any_flux_and_for_its_own() {
        let settings = Settings::default();
        assert_eq!(fit(&live(&settings, Cluster::AnyFlux), &settings, "2.6"), Ok(()));
        assert_eq!(fit(&live(&settings, Cluster::Flux("2.6".parse().unwrap())), &settings, "2.6"), Ok(()));
    }

    #[test]
    fn a_condition_for_another_flux_or_another_configuration_does_not_fit() {
        let settings = Settings::default();
        assert_eq!(fit(&live(&settings, Cluster::Flux(Flux::NEWEST)), &settings, "2.6"), Err(Mismatch));
        let mut strict = settings.clone();
        strict.chart_ref.cross_namespace = CrossNamespace::Deny;
        assert_eq!(fit(&live(&settings, Cluster::AnyFlux), &strict, "2.9"), Err(Mismatch));
        let mut other = settings.clone();
        other.annotations =
            [("example.org/version".to_owned(), settings.annotations["fluxcd.io/version"])].into();
        assert_eq!(fit(&live(&settings, Cluster::AnyFlux), &other, "2.9"), Err(Mismatch));
    }

    #[test]
    fn no_condition_and_those_of_others_fit() {
        assert_eq!(fit(&[], &Settings::default(), "2.9"), Ok(()));
        assert_eq!(fit(&[("mine", "false".to_owned())], &Settings::default(), "2.9"), Ok(()));
    }

    #[test]
    fn layout_and_comments_do_not_count_but_words_do() {
        let settings = Settings::default();
        let [(name, text)] = live(&settings, Cluster::AnyFlux);
        let flat = [(name, essence(&text))];
        assert_eq!(fit(&flat, &settings, "2.9"), Ok(()));
        assert_eq!(fit(&[(name, text.replace("100", "1000"))], &settings, "2.9"), Err(Mismatch));
    }
}
