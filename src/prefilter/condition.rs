//! The whole condition of a webhook: what is never judged there, and the prefilter.
//!
//! It is one expression, because the API server evaluates every condition of a webhook, also where another one is false
//! already; each costs it about 2 µs for itself. Inside of one, `&&` ends with the first part that is false. So what is
//! false for the usual apply, and cheap, comes first.

use std::fmt;

use super::Prefilter;
use super::clause::{list, quoted};
use crate::policy::Settings;

/// The name of the condition where every release is to be seen that is judged at all.
pub const OBSERVED: &str = "to-be-judged";

/// A webhook that HelmReleases are sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Webhook {
    /// `/mutate`.
    Mutate,
    /// `/validate`.
    Validate,
}

/// What /validate need not see. /mutate has to: what it fills in may be missing in a spec that is the same, and before
/// validation the generation does not say yet whether it is. The API server sets it at the first write, and leaves it out only
/// where it is 0, so that one which is nowhere is unchanged, too.
const CHANGED: &str = "\
// What is stored may be annotated, labelled and finalised, whatever we think of its spec. The API server counts the
// generation on before it asks us, wherever anything but metadata and status differs; to compare the specs here once
// more would cost it 10 µs for each KB. (It compares in the version of the request, so a bump of apiVersion alone is no
// change here: the schema judges that one.)
(oldObject == null || object.metadata.?generation != oldObject.metadata.?generation)";

/// The namespace that the manifests install chartgate into, fixed as in all of them.
const INSTALLED_IN: &str = "chartgate-system";

/// The requests that neither webhook may block. `installers` are the namespaces in which a release may install chartgate.
fn passed(installers: &[String]) -> String {
    let deletion = "\
!(has(object.metadata) && type(object.metadata) == map && (
  // Flux removes its finalizer with an UPDATE; answering it late, or not, would only keep the release longer.
  has(object.metadata.deletionTimestamp) && type(object.metadata.deletionTimestamp) == string";
    if installers.is_empty() {
        return format!("{deletion}\n))");
    }
    let installers = list(installers.iter().map(String::as_str));
    let installed_in = quoted(INSTALLED_IN);
    format!(
        "\
{deletion} ||
  // The release that installs chartgate must apply while chartgate is away. In a namespace that is not listed here, one of
  // that name is judged as any other.
  has(object.metadata.name) && object.metadata.name == 'chartgate' && request.namespace in {installers} &&
  (has(object.spec) && type(object.spec) == map && has(object.spec.targetNamespace) ? object.spec.targetNamespace :
    request.namespace) == {installed_in}
))"
    )
}

// === impl Webhook ===

impl Webhook {
    /// Both, in the order in which they are called.
    pub const ALL: [Self; 2] = [Self::Mutate, Self::Validate];

    /// `mutate` or `validate`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mutate => "mutate",
            Self::Validate => "validate",
        }
    }

    /// The condition with a prefilter.
    pub fn condition(self, prefilter: &Prefilter) -> String {
        self.joined(Some(prefilter.to_string()), &prefilter.installers)
    }

    /// The condition without one: whatever is judged at all is seen.
    pub fn observing(self, settings: &Settings) -> String {
        self.joined(None, &settings.installers)
    }

    fn joined(self, prefilter: Option<String>, installers: &[String]) -> String {
        let changed = match self {
            Self::Mutate => None,
            Self::Validate => Some(CHANGED.to_owned()),
        };
        let parts = changed.into_iter().chain(prefilter).chain([passed(installers)]);
        parts.collect::<Vec<_>>().join(" &&\n")
    }
}

impl fmt::Display for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
