//! An audit as text for people: tables as kubectl prints them.

mod table;

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::Value;

use crate::audit::since::Since;
use crate::audit::{Audit, Change, Finding, Outcome, Phase, Release, Source};
use crate::policy::Level;
use crate::report::Grade;
use crate::report::counted;
use crate::report::paint::{Colour, Paint, Style};
use crate::report::visible::{visible, visible_lines};
use table::Table;

/// The column of releases whose `spec.chart` makes an OCIRepository.
const INLINE: &str = "INLINE";

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum View {
    /// What the rules found.
    #[default]
    Findings,
    /// What the next apply of each release comes to, if chartgate enforces.
    Enforced,
    /// How far each release is on its way to `spec.chartRef`, and what is in its way.
    Readiness,
}

/// How it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// What is told.
    pub view: View,
    /// Whether it is coloured.
    pub colour: Colour,
    /// Whether notes are told, too, and why and what to do with each finding.
    pub verbose: bool,
    /// Whether the rows are told and no summary.
    pub quiet: bool,
}

/// Tells an audit as text.
pub fn write(audit: &Audit, since: Option<&Since>, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let told = Told { audit, options: *options, paint: Paint::new(options.colour) };
    match options.view {
        View::Findings => told.findings(out)?,
        View::Enforced => told.enforced(out)?,
        View::Readiness => told.readiness(out)?,
    }
    if let Some(since) = since {
        told.since(since, out)?;
    }
    if options.quiet { Ok(()) } else { told.summary(out) }
}

struct Told<'a> {
    audit: &'a Audit,
    options: Options,
    paint: Paint,
}

// === impl Told ===

impl Told<'_> {
    fn findings(&self, out: &mut dyn Write) -> io::Result<()> {
        let least = if self.options.verbose { Level::Note } else { Level::Warning };
        let mut table = Table::new(&["NAMESPACE", "NAME", "LEVEL", "RULE", "FOUND"]);
        let found: Vec<_> = self.audit.findings().filter(|(_, finding)| finding.level >= least).collect();
        for (release, finding) in &found {
            table.row([
                &*release.namespace,
                &*release.name,
                grade(finding).as_str(),
                finding.rule,
                &*finding.what,
            ]);
        }
        let paint = |column: usize, row: usize, cell: &str| match column {
            2 => self.paint.paint(Style::of(grade(found[row].1)), cell),
            _ => cell.to_owned(),
        };
        let below = |row: usize| {
            let Finding { why, help, .. } = found[row].1;
            if self.options.verbose {
                vec![format!("why: {why}"), format!("fix: {help}")]
            } else {
                Vec::new()
            }
        };
        table.write(self.paint, &paint, &below, out)?;
        self.by_namespace(out)
    }

    fn by_namespace(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.options.quiet {
            return Ok(());
        }
        let mut namespaces: BTreeMap<&str, Vec<&Release>> = BTreeMap::new();
        for release in &self.audit.releases {
            namespaces.entry(&release.namespace).or_default().push(release);
        }
        let mut table = Table::new(&[
            "NAMESPACE",
            "RELEASES",
            "CHART",
            "CHARTREF",
            INLINE,
            "BROKEN",
            "ERRORS",
            "WARNINGS",
        ]);
        for (namespace, releases) in namespaces {
            let of =
                |is: &dyn Fn(&Release) -> bool| count(releases.iter().filter(|release| is(release)).count());
            let at = |level| {
                let findings = releases.iter().flat_map(|release| &release.findings);
                count(findings.filter(|finding| finding.level == level).count())
            };
            table.row([
                namespace,
                &count(releases.len()),
                &of(&|release| release.source == Source::Chart),
                &of(&|release| release.source == Source::ChartRef),
                &of(&|release| release.source == Source::Inline),
                &of(&|release| release.phase == Phase::Broken),
                &at(Level::Error),
                &at(Level::Warning),
            ]);
        }
        // Only Flux 2.10 has them.
        table.drop_zeros(INLINE);
        if !table.is_empty() && self.audit.worst() >= Some(Level::Warning) {
            writeln!(out)?;
        }
        table.plain(self.paint, out)
    }

    fn enforced(&self, out: &mut dyn Write) -> io::Result<()> {
        let told: Vec<_> = self.audit.releases.iter().filter(|release| is_changed(release)).collect();
        let mut table = Table::new(&["NAMESPACE", "NAME", "NEXT APPLY", "NEXT CHANGE", "RULES"]);
        for release in &told {
            table.row([
                &*release.namespace,
                &*release.name,
                release.outcome().as_str(),
                next_change(release),
                &rules(release).join(","),
            ]);
        }
        let paint = |column: usize, row: usize, cell: &str| match (column, told[row].outcome()) {
            (2, Outcome::Denied | Outcome::Refused) => self.paint.paint(Style::of(Grade::Error), cell),
            (2, Outcome::Patched) => self.paint.paint(Style::of(Grade::Warning), cell),
            (3, _) if ["denied", "refused"].contains(&next_change(told[row])) => {
                self.paint.paint(Style::of(Grade::Error), cell)
            }
            _ => cell.to_owned(),
        };
        let below = |row: usize| {
            let Some(next) = &told[row].next else { return Vec::new() };
            let mut lines: Vec<String> = visible_lines(&next.message).collect();
            lines.extend(next.changes.iter().flat_map(difference));
            if let Some(patch) = next.patch.as_ref().filter(|_| self.options.verbose) {
                lines.push(format!("patch: {}", visible(&patch.to_string())));
            }
            lines
        };
        table.write(self.paint, &paint, &below, out)?;
        if self.options.quiet {
            return Ok(());
        }
        let mut counts: BTreeMap<(&str, &str), [usize; 4]> = BTreeMap::new();
        for release in &told {
            for rule in rules(release) {
                let counted = counts.entry((&release.namespace, rule)).or_default();
                let denies = release.findings.iter().any(|finding| finding.denies && finding.rule == rule);
                let decides = release.next.as_ref().is_some_and(|next| next.rules.contains(&rule));
                for (index, is) in [
                    decides && release.outcome() == Outcome::Refused,
                    decides && release.outcome() == Outcome::Denied,
                    decides && release.outcome() == Outcome::Patched,
                    denies,
                ]
                .into_iter()
                .enumerate()
                {
                    counted[index] += usize::from(is);
                }
            }
        }
        let mut table =
            Table::new(&["NAMESPACE", "RULE", "REFUSED", "DENIED", "PATCHED", "DENIED WHEN CHANGED"]);
        for ((namespace, rule), counted) in counts {
            let [refused, denied, patched, changed] = counted.map(count);
            table.row([namespace, rule, &refused, &denied, &patched, &changed]);
        }
        if !table.is_empty() {
            writeln!(out)?;
        }
        table.plain(self.paint, out)
    }

    fn readiness(&self, out: &mut dyn Write) -> io::Result<()> {
        let releases = &self.audit.releases;
        let mut table = Table::new(&["NAMESPACE", "NAME", "PHASE", "VERSION", "APPLIED BY", "IN THE WAY"]);
        for release in releases {
            let in_the_way: Vec<_> = release.blockers.iter().map(|blocker| &*blocker.what).collect();
            let broken = release.findings.iter().find(|finding| finding.denies).map(|finding| &*finding.what);
            let in_the_way = match release.phase {
                Phase::Broken => broken.unwrap_or_default().to_owned(),
                _ => in_the_way.join("; "),
            };
            table.row([
                &*release.namespace,
                &*release.name,
                release.phase.as_str(),
                &*release.version,
                release.applier.as_ref().map_or("", |applier| &applier.manager),
                &in_the_way,
            ]);
        }
        let plain = |_: usize, _: usize, cell: &str| cell.to_owned();
        let below = |row: usize| {
            // The step of those that are ready is the same for all, and told with their phase.
            let step = releases[row].next_step().filter(|_| releases[row].phase != Phase::Ready);
            step.map(|step| format!("next: {step}")).into_iter().collect()
        };
        table.write(self.paint, &plain, &below, out)?;
        if self.options.quiet {
            return Ok(());
        }
        let mut table = Table::new(&["PHASE", "RELEASES", "MEANING"]);
        for phase in Phase::ALL {
            let releases = releases.iter().filter(|release| release.phase == phase).count();
            table.row([phase.as_str(), &count(releases), phase.meaning()]);
        }
        writeln!(out)?;
        table.plain(self.paint, out)
    }

    fn since(&self, since: &Since, out: &mut dyn Write) -> io::Result<()> {
        let Since { taken_at, new, gone, moved, appeared, solved } = since;
        let said = if since.is_empty() { "nothing changed" } else { "what changed" };
        writeln!(
            out,
            "\n{}",
            self.paint.paint(Style::Strong, &format!("{said} since {}", visible(taken_at)))
        )?;
        let line = |out: &mut dyn Write, sign: &str, text: &str| writeln!(out, "  {sign} {}", visible(text));
        for (release, told) in appeared {
            line(out, "+", &format!("{release}: {} {}", told.rule, told.field))?;
        }
        for (release, told) in solved {
            line(out, "-", &format!("{release}: {} {}", told.rule, told.field))?;
        }
        for moved in moved {
            line(out, ">", &format!("{}: from phase {} to {}", moved.release, moved.from, moved.to))?;
        }
        for release in new {
            line(out, "+", &format!("{release}: new"))?;
        }
        for release in gone {
            line(out, "-", &format!("{release}: gone"))?;
        }
        Ok(())
    }

    fn summary(&self, out: &mut dyn Write) -> io::Result<()> {
        let releases = &self.audit.releases;
        let of = |source| releases.iter().filter(|release| release.source == source).count();
        let outcome = |outcome| releases.iter().filter(|release| release.outcome() == outcome).count();
        let said = match self.options.view {
            View::Findings => format!(
                "{}, {}; ",
                counted(self.audit.count(Level::Error), "error"),
                counted(self.audit.count(Level::Warning), "warning")
            ),
            View::Enforced => format!(
                "if chartgate enforces, of the next applies {} refused by the API server, {} denied, {} patched; ",
                outcome(Outcome::Refused),
                outcome(Outcome::Denied),
                outcome(Outcome::Patched)
            ),
            View::Readiness => String::new(),
        };
        let inline = match of(Source::Inline) {
            0 => String::new(),
            inline => format!("{inline} with an inline OCIRepository, "),
        };
        let line = format!(
            "{said}{} judged: {} with a chartRef, {inline}{} with a chart, {} with neither or both",
            counted(releases.len(), "HelmRelease"),
            of(Source::ChartRef),
            of(Source::Chart),
            of(Source::None) + of(Source::Both),
        );
        writeln!(out, "\n{}", self.paint.paint(Style::Strong, &line))
    }
}

fn grade(finding: &Finding) -> Grade {
    Grade::from(finding.level)
}

/// Whether enforcing makes a difference to the release.
fn is_changed(release: &Release) -> bool {
    matches!(release.outcome(), Outcome::Refused | Outcome::Denied | Outcome::Patched)
        || next_change(release) == "denied"
}

/// What becomes of a change of the release's spec that leaves all that was found as it is.
fn next_change(release: &Release) -> &'static str {
    let decided = matches!(release.outcome(), Outcome::Skipped | Outcome::Refused);
    let denies = !decided && release.findings.iter().any(|finding| finding.denies);
    if denies { Outcome::Denied.as_str() } else { release.outcome().as_str() }
}

/// The rules that decide about the next apply or the next change, each once, in the order of the rules.
fn rules(release: &Release) -> Vec<&'static str> {
    let mut rules = release.next.as_ref().map(|next| next.rules.clone()).unwrap_or_default();
    let denying = release.findings.iter().filter(|finding| finding.denies).map(|finding| finding.rule);
    rules.extend(denying);
    rules.sort_unstable();
    rules.dedup();
    rules
}

/// A change as lines of a diff.
fn difference(change: &Change) -> Vec<String> {
    let Change { field, before, after } = change;
    let line =
        |sign: &str, value: &Value| format!("{sign} {}: {}", visible(field), visible(&value.to_string()));
    let mut lines = Vec::new();
    lines.extend(before.as_ref().map(|value| line("-", value)));
    lines.extend(after.as_ref().map(|value| line("+", value)));
    lines
}

fn count(number: usize) -> String {
    number.to_string()
}
