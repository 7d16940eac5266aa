//! Phrases that more than one format says.

use std::fmt::Write as _;

use super::place::Places;
use super::visible::visible;
use super::{Diagnostic, Grade, Report, Summary};

/// Where a finding is: `path:line:column`, the live object, or nothing.
pub(super) fn whereabouts(diagnostic: &Diagnostic, places: &mut Places<'_>) -> String {
    if let Some(location) = diagnostic.location {
        let place = places.of(location);
        let at = format!("{}:{}", visible(place.path), place.start);
        return if commands(&at) { format!("./{at}") } else { at };
    }
    diagnostic.object.as_ref().map(|object| visible(&object.to_string())).unwrap_or_default()
}

/// Whether a line of text would be a command to the runner of GitHub Actions, which reads every log.
pub(super) fn commands(line: &str) -> bool {
    line.trim_start().starts_with("::")
}

/// What everything comes to, in one line.
pub(super) fn summary(report: &Report) -> String {
    let Summary { files, releases, unreached, not_judged, ignored } = report.summary;
    let mut found: Vec<_> = [Grade::Error, Grade::Warning, Grade::Note]
        .into_iter()
        .map(|grade| (report.count(grade), grade.as_str()))
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| counted(count, name))
        .collect();
    if found.is_empty() {
        found.push("no findings".to_owned());
    }
    let mut said = found.join(", ");
    if files > 0 {
        let _ = write!(said, " in {}", counted(files, "file"));
    }
    let _ = write!(said, "; {} judged", counted(releases, "HelmRelease"));
    if unreached > 0 {
        let _ = write!(said, ", {unreached} of them reached by no kustomization");
    }
    if not_judged > 0 {
        let _ = write!(said, "; {} not judged", counted(not_judged, "place"));
    }
    if ignored > 0 {
        let _ = write!(said, "; ignored: {ignored}");
    }
    if report.fixable() > 0 {
        let _ = write!(said, "; fixable with --fix: {}", report.fixable());
    }
    said
}

/// `1 file`, `2 files`
pub fn counted(count: usize, name: &str) -> String {
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_says_what_there_is_and_no_more() {
        let mut report = Report::default();
        assert_eq!(summary(&report), "no findings; 0 HelmReleases judged");
        report.summary = Summary { files: 1, releases: 1, ..Summary::default() };
        assert_eq!(summary(&report), "no findings in 1 file; 1 HelmRelease judged");
        report.summary = Summary { files: 468, releases: 69, unreached: 3, not_judged: 1, ignored: 4 };
        assert_eq!(
            summary(&report),
            "no findings in 468 files; 69 HelmReleases judged, 3 of them reached by no kustomization; \
             1 place not judged; ignored: 4"
        );
    }
}
