//! An audit as one HTML file, to be looked at: an overview, a table with filters, and each release with all that is told of
//! it. It holds its script, its style and the JSON document, and asks no network for anything.
//!
//! What objects say is hostile until it is text. Three things keep it so, each alone enough: the document is JSON without a
//! `<` in a block that no browser runs; the script makes nodes of texts and never markup; and the page's own policy lets
//! nothing run but that script, known by its hash, and no text become markup (trusted types).

use std::collections::BTreeMap;
use std::io::{self, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::json::{Context, document};
use crate::audit::{Audit, Outcome, Phase};
use crate::policy::Level;
use crate::report::rule::rules;
use crate::report::visible::{escaped, script_json};

/// The page, with a name in braces for each part that is filled in.
const PAGE: &str = include_str!("page/page.html");

const STYLE: &str = include_str!("page/page.css");

/// In one function, so that nothing of it takes the place of a name that the browser knows.
const SCRIPT: &str = concat!(
    "(() => {\n",
    include_str!("page/text.js"),
    include_str!("page/model.js"),
    include_str!("page/state.js"),
    include_str!("page/overview.js"),
    include_str!("page/table.js"),
    include_str!("page/diff.js"),
    include_str!("page/detail.js"),
    include_str!("page/main.js"),
    "})();\n",
);

/// What the ids of the document mean, so that the page says it in the same words as everybody else.
#[derive(Serialize)]
struct Words {
    phases: BTreeMap<&'static str, &'static str>,
    outcomes: BTreeMap<&'static str, &'static str>,
    rules: BTreeMap<&'static str, &'static str>,
}

/// Tells an audit as a page.
pub fn write(audit: &Audit, context: &Context<'_>, out: &mut dyn Write) -> io::Result<()> {
    let title = match context.cluster {
        "" => "chartgate audit".to_owned(),
        cluster => format!("chartgate audit of {cluster}"),
    };
    let parts = [
        ("{{policy}}", policy()),
        ("{{title}}", escaped(&title)),
        ("{{style}}", STYLE.to_owned()),
        ("{{title}}", escaped(&title)),
        ("{{summary}}", summary(audit, context)),
        ("{{words}}", script_json(&serde_json::to_string(&Words::all())?)),
        ("{{audit}}", script_json(&serde_json::to_string(&document(audit, context))?)),
        ("{{script}}", SCRIPT.to_owned()),
    ];
    let mut rest = PAGE;
    for (name, text) in parts {
        let (before, after) = rest.split_once(name).expect("the page names its parts in this order");
        out.write_all(before.as_bytes())?;
        out.write_all(text.as_bytes())?;
        rest = after;
    }
    out.write_all(rest.as_bytes())
}

/// What the page may do: run its one script, use its one style, show the icon that it holds.
fn policy() -> String {
    let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data:; base-uri 'none'; form-action \
         'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        hash(SCRIPT),
        hash(STYLE),
    )
}

/// What there is to say without a script.
fn summary(audit: &Audit, context: &Context<'_>) -> String {
    let mut lines = vec![format!("Taken at {}: {} HelmReleases.", context.taken_at, audit.releases.len())];
    let count = |phase: Phase| audit.releases.iter().filter(|release| release.phase == phase).count();
    lines.extend(
        Phase::ALL.map(|phase| format!("Phase {}: {} ({})", phase.as_str(), count(phase), phase.meaning())),
    );
    let count = |outcome| audit.releases.iter().filter(|release| release.outcome() == outcome).count();
    lines.extend(
        Outcome::ALL
            .map(|outcome| format!("If chartgate enforced, {}: {}", outcome.as_str(), count(outcome))),
    );
    lines.push(format!(
        "Findings: {} errors, {} warnings, {} notes",
        audit.count(Level::Error),
        audit.count(Level::Warning),
        audit.count(Level::Note)
    ));
    lines.extend(audit.missing.iter().map(|missing| format!("Not known: {missing}")));
    let items: Vec<_> = lines.iter().map(|line| format!("<li>{}</li>", escaped(line))).collect();
    format!("<ul>\n{}\n</ul>", items.join("\n"))
}

const fn meaning(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Allowed => "Passes as it is",
        Outcome::Warned => "Passes with a warning",
        Outcome::Patched => "Passes, and chartgate puts it right",
        Outcome::Denied => "chartgate denies it",
        Outcome::Refused => "The API server refuses it, with chartgate or without",
        Outcome::Skipped => "Not judged: exempt, or being deleted",
    }
}

// === impl Words ===

impl Words {
    fn all() -> Self {
        Self {
            phases: Phase::ALL.map(|phase| (phase.as_str(), phase.meaning())).into(),
            outcomes: Outcome::ALL.map(|outcome| (outcome.as_str(), meaning(outcome))).into(),
            rules: rules().map(|rule| (rule.id, rule.summary)).collect(),
        }
    }
}
