//! `chartgate.yaml`: what is chosen about the judgement, about our own certificates and about scanning, read from a file.
//!
//! - [`reload`] notices that the file has changed.

mod period;
pub mod reload;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_saphyr::{DefaultMessageFormatter, Error as YamlError, MessageFormatter as _};

use self::period::Period;
use crate::certs::shared::{Lifetimes, LifetimesError};
use crate::policy::{
    AnnotationValue, ChartRefSettings, Heal, Mode, OldEntries, RuleSettings, Settings, find_rule, is_label,
    rules,
};

/// How alike a word must be to one that is known to be suggested in its place (1 is the same).
const ALIKE: f64 = 0.7;

/// The shortest time between the starts of two scans: `0s` would be one without a pause, and is no way to say "never".
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no YAML, or has a key or a value that does not exist.
    #[error("{}{}: {message}", .path.display(), place(*.at))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line and column, each from 1, where they are known.
        at: Option<(u64, u64)>,
        /// What is wrong.
        message: String,
    },
    /// It speaks of a rule that does not exist.
    #[error("{}: rules: there is no rule {rule:?}{}", .path.display(), suggestion(rule))]
    UnknownRule {
        /// The file.
        path: PathBuf,
        /// The id that it gives.
        rule: String,
    },
    /// The address of the documentation is not a URL, or a rule could not be added to it.
    #[error("{}: docs: {address:?} is no address of a page, such as https://example.org/rules (at most {MAX_ADDRESS} characters, no #)", .path.display())]
    Docs {
        /// The file.
        path: PathBuf,
        /// The configured value.
        address: String,
    },
    /// Its lifetimes do not go together.
    #[error("{}: certificates: {source}", .path.display())]
    Lifetimes {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: LifetimesError,
    },
    /// It names a namespace that cannot exist.
    #[error("{}: ownRelease: namespaces: {name:?} cannot be the name of a namespace", .path.display())]
    Namespace {
        /// The file.
        path: PathBuf,
        /// The configured name.
        name: String,
    },
    /// It asks for scans without a pause.
    #[error("{}: audit: interval must be at least {} s", .path.display(), SHORTEST_INTERVAL.as_secs())]
    Interval {
        /// The file.
        path: PathBuf,
    },
}

/// The longest address of the documentation: a denial names it once for each rule.
const MAX_ADDRESS: usize = 200;

/// Everything that the file can say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configuration {
    /// What is chosen about the judgement.
    pub settings: Settings,
    /// How long certificates live that chartgate makes for a cluster.
    pub certificates: Lifetimes,
    /// Whether, and how, what a cluster holds is scanned.
    pub audit: Audit,
}

/// What is chosen about scanning a cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Audit {
    /// From the start of one scan to that of the next; without it, there is none.
    pub interval: Option<Duration>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct File {
    mode: Option<Mode>,
    rules: BTreeMap<String, RuleSettings>,
    annotations: Option<BTreeMap<String, AnnotationValue>>,
    chart_ref: ChartRefSettings,
    heal: Heal,
    managed_fields: OldEntries,
    exemptions: bool,
    own_release: OwnRelease,
    #[serde(skip_serializing_if = "Option::is_none")]
    docs: Option<String>,
    certificates: Certificates,
    audit: AuditSection,
}

/// The release that installs chartgate.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct OwnRelease {
    namespaces: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Certificates {
    ca_lifetime: Option<Period>,
    leaf_lifetime: Option<Period>,
    renew_before: Option<Period>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct AuditSection {
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<Period>,
}

/// Reads a configuration file; what it leaves out is as the defaults have it.
pub fn read(path: &Path) -> Result<Configuration, ConfigError> {
    parse(&text_of(path)?, path)
}

/// A configuration as a file that says everything, and leads to the same.
pub fn write(configuration: &Configuration) -> String {
    let Configuration { settings, certificates, audit: Audit { interval } } = configuration.clone();
    let Settings { mode, rules, annotations, chart_ref, heal, managed_fields, exemptions, installers, docs } =
        settings;
    let (mode, annotations) = (Some(mode), Some(annotations));
    let certificates = Certificates {
        ca_lifetime: Some(Period(certificates.authority())),
        leaf_lifetime: Some(Period(certificates.leaf())),
        renew_before: Some(Period(certificates.renew_before())),
    };
    let audit = AuditSection { interval: interval.map(Period) };
    let own_release = OwnRelease { namespaces: Some(installers) };
    let file = File {
        mode,
        rules,
        annotations,
        chart_ref,
        heal,
        managed_fields,
        exemptions,
        own_release,
        docs,
        certificates,
        audit,
    };
    serde_saphyr::to_string(&file).expect("a configuration holds nothing that YAML cannot")
}

fn text_of(path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })
}

fn parse(text: &str, path: &Path) -> Result<Configuration, ConfigError> {
    let File {
        mode,
        rules,
        annotations,
        chart_ref,
        heal,
        managed_fields,
        exemptions,
        own_release,
        docs,
        certificates,
        audit,
    } = serde_saphyr::from_str::<Option<File>>(text)
        .map_err(|error| invalid(&error, path))?
        .unwrap_or_default();
    if let Some(rule) = rules.keys().find(|id| find_rule(id).is_none()) {
        return Err(ConfigError::UnknownRule { path: path.to_owned(), rule: rule.clone() });
    }
    if let Some(address) = docs.as_ref().filter(|address| !is_address(address)) {
        return Err(ConfigError::Docs { path: path.to_owned(), address: address.clone() });
    }
    let default = Settings::default();
    let settings = Settings {
        mode: mode.unwrap_or(default.mode),
        rules,
        annotations: annotations.unwrap_or(default.annotations),
        chart_ref,
        heal,
        managed_fields,
        exemptions,
        installers: own_release.namespaces.unwrap_or(default.installers),
        docs,
    };
    if let Some(name) = settings.installers.iter().find(|name| !is_label(name)) {
        return Err(ConfigError::Namespace { path: path.to_owned(), name: name.clone() });
    }
    let Certificates { ca_lifetime, leaf_lifetime, renew_before } = certificates;
    let [ca, leaf, before] =
        [ca_lifetime, leaf_lifetime, renew_before].map(|given| given.map(|Period(span)| span));
    let certificates = Lifetimes::new(ca, leaf, before)
        .map_err(|source| ConfigError::Lifetimes { path: path.to_owned(), source })?;
    let interval = audit.interval.map(|Period(span)| span);
    if interval.is_some_and(|interval| interval < SHORTEST_INTERVAL) {
        return Err(ConfigError::Interval { path: path.to_owned() });
    }
    Ok(Configuration { settings, certificates, audit: Audit { interval } })
}

/// Whether a text is the address of a web page to which the anchor of a rule can be added.
fn is_address(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"#\"'`\\<>".contains(&byte);
    text.len() <= MAX_ADDRESS && rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_plain))
}

/// An error on one line: where, what, and what was probably meant.
fn invalid(error: &YamlError, path: &Path) -> ConfigError {
    let error = error.without_snippet();
    let at = error.location().map(|at| (at.line(), at.column()));
    let message = match error {
        YamlError::SerdeUnknownField { field, expected, .. } => {
            let likely = likely(field, expected.iter().copied());
            format!("there is no key {field:?}{likely} (there are {})", expected.join(", "))
        }
        YamlError::SerdeUnknownVariant { variant, expected, .. } => {
            format!("{variant:?} is none of {}", expected.join(", "))
        }
        error => DefaultMessageFormatter.format_message(error).into_owned(),
    };
    ConfigError::Invalid { path: path.to_owned(), at, message }
}

/// `:3:7`, after the name of a file.
fn place(at: Option<(u64, u64)>) -> String {
    at.map(|(line, column)| format!(":{line}:{column}")).unwrap_or_default()
}

/// The rule whose id is most like a word that is none, as the end of a sentence.
fn suggestion(given: &str) -> String {
    likely(given, rules().iter().map(|rule| rule.id))
}

/// What is most like a word that is none of those there are, as the end of a sentence.
pub fn likely<'a>(given: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    let alike = candidates.map(|candidate| (strsim::jaro_winkler(candidate, given), candidate));
    let best =
        alike.max_by(|one, other| one.0.total_cmp(&other.0)).filter(|(likeness, _)| *likeness >= ALIKE);
    best.map(|(_, candidate)| format!("; did you mean {candidate:?}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{CrossNamespace, Level};

    fn all_of(text: &str) -> Result<Configuration, String> {
        parse(text, Path::new("chartgate.yaml")).map_err(|error| error.to_string())
    }

    fn of(text: &str) -> Result<Settings, String> {
        all_of(text).map(|configuration| configuration.settings)
    }

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(of(""), Ok(Settings::default()));
        assert_eq!(of("# nothing\n"), Ok(Settings::default()));
    }

    #[test]
    fn reads_every_key() {
        let settings = of("mode: warn\nrules: {version-annotation: {mode: audit, level: error}}\n\
             annotations: {example.org/version: api-version}\n\
             chartRef: {fillNamespace: false, crossNamespace: deny}\nheal: never\nmanagedFields: migrate\nexemptions: true\n\
             ownRelease: {namespaces: [flux]}\ndocs: https://example.org/rules.md\n")
        .unwrap();
        let rule = RuleSettings { mode: Some(Mode::Audit), level: Some(Level::Error) };
        let expected = Settings {
            mode: Mode::Warn,
            rules: [("version-annotation".to_owned(), rule)].into(),
            annotations: [("example.org/version".to_owned(), AnnotationValue::ApiVersion)].into(),
            chart_ref: ChartRefSettings { fill_namespace: false, cross_namespace: CrossNamespace::Deny },
            heal: Heal::Never,
            managed_fields: OldEntries::Migrate,
            exemptions: true,
            installers: vec!["flux".to_owned()],
            docs: Some("https://example.org/rules.md".to_owned()),
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn the_documentation_has_an_address_that_a_rule_can_be_added_to() {
        assert!(of("docs: http://wiki.example.org/chartgate?page=rules\n").is_ok());
        for wrong in ["rules.md", "https://", "https://a b", "https://a/#b", "file:///a", "https://a\\nb"] {
            let refused = of(&format!("docs: \"{wrong}\"\n")).unwrap_err();
            assert!(refused.contains("docs: ") && refused.contains("is no address of a page"), "{refused}");
        }
        assert!(of(&format!("docs: https://{}\n", "a".repeat(MAX_ADDRESS))).is_err());
    }

    #[test]
    fn what_is_written_says_the_same() {
        let text = "docs: https://example.org/rules\nmode: warn\nrules: {version-annotation: {mode: audit, level: error}}\nheal: never\nmanagedFields: migrate\n\
             certificates: {leafLifetime: 36h}\naudit: {interval: 90m}\n";
        let configuration = all_of(text).unwrap();
        assert_eq!(all_of(&write(&configuration)), Ok(configuration));
    }

    #[test]
    fn names_file_and_likely_rule_for_one_that_does_not_exist() {
        assert_eq!(
            of("rules: {chart-ref-kinds: {mode: warn}}\n"),
            Err("chartgate.yaml: rules: there is no rule \"chart-ref-kinds\"; did you mean \"chart-ref-kind\"?".to_owned())
        );
    }

    #[test]
    fn a_namespace_that_cannot_be_one_is_an_error() {
        let error = "chartgate.yaml: ownRelease: namespaces: \"Flux\" cannot be the name of a namespace";
        assert_eq!(of("ownRelease: {namespaces: [Flux]}\n"), Err(error.to_owned()));
        assert_eq!(of("ownRelease: {namespaces: []}\n").unwrap().installers, [""; 0]);
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_its_place_and_the_likely_key() {
        assert_eq!(
            of("heal: never\nmodes: warn\n"),
            Err("chartgate.yaml:2:1: there is no key \"modes\"; did you mean \"mode\"? (there are mode, rules, \
                 annotations, chartRef, heal, managedFields, exemptions, ownRelease, docs, certificates, audit)"
                .to_owned())
        );
    }

    #[test]
    fn an_unknown_value_is_an_error_that_names_its_place_and_the_values_there_are() {
        assert_eq!(
            of("rules:\n  chart-ref-kind:\n    mode: warm\n"),
            Err("chartgate.yaml:3:11: \"warm\" is none of off, audit, warn, enforce".to_owned())
        );
    }

    #[test]
    fn what_is_no_yaml_is_an_error_on_one_line() {
        let error = of("heal: never\nmode: 'warn\n").unwrap_err();
        assert!(error.starts_with("chartgate.yaml:2:") && error.lines().count() == 1, "{error}");
    }

    #[test]
    fn reads_how_long_certificates_live() {
        let text = "certificates: {caLifetime: 1y, leafLifetime: 30d, renewBefore: 240h}\n";
        let day = Duration::from_hours(24);
        let expected = Lifetimes::new(Some(365 * day), Some(30 * day), Some(10 * day)).unwrap();
        assert_eq!(all_of(text).unwrap().certificates, expected);
    }

    #[test]
    fn lifetimes_that_make_no_sense_are_errors_that_name_the_key() {
        for (text, error) in [
            (
                "certificates: {leafLifetime: 5w}\n",
                "chartgate.yaml:1:30: \"5w\" is no span of time: write a number with s, m, h, d or y, such as 90d",
            ),
            (
                "certificates: {leafLifetime: 20s, renewBefore: 30s}\n",
                "chartgate.yaml: certificates: renewBefore must be shorter than leafLifetime",
            ),
            (
                "certificates: {leafLifetimes: 20s}\n",
                "chartgate.yaml:1:16: there is no key \"leafLifetimes\"; did you mean \"leafLifetime\"? (there are \
                 caLifetime, leafLifetime, renewBefore)",
            ),
        ] {
            assert_eq!(all_of(text), Err(error.to_owned()));
        }
    }

    #[test]
    fn scans_where_an_interval_is_given_and_else_not() {
        let interval = |text: &str| all_of(text).map(|configuration| configuration.audit.interval);
        assert_eq!(interval("audit: {interval: 1h}\n"), Ok(Some(Duration::from_hours(1))));
        for text in ["", "audit: {}\n"] {
            assert_eq!(interval(text), Ok(None), "{text}");
        }
        let error = "chartgate.yaml: audit: interval must be at least 1 s";
        assert_eq!(interval("audit: {interval: 0s}\n"), Err(error.to_owned()));
        let error = "chartgate.yaml:1:9: there is no key \"intervall\"; did you mean \"interval\"? (there are interval)";
        assert_eq!(interval("audit: {intervall: 1h}\n"), Err(error.to_owned()));
    }
}
