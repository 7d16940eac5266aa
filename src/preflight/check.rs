//! `chartgate check`: repositories, judged as clusters will see them.

mod builds;
mod contents;
mod fingerprint;
mod groups;
mod literal;
mod moved;
mod proof;
mod relations;
mod release;
mod schema;
mod sources;
mod unread;
mod values_from;

use std::collections::BTreeMap;

use foldhash::{HashMap, HashSet};
use rayon::prelude::*;

use super::baseline::Baseline;
use super::collect::Collected;
use super::files::Files;
use super::fix::{self, Fix};
use super::ignores::{self, Ignore};
use crate::policy::{Facts, Flux, Settings};
use crate::render::ends::{self, EndKind, Rendered, Use};
use crate::render::{Counts, Tree};
use crate::report::rule::{UNREADABLE, UNUSED_IGNORE};
use crate::report::{Diagnostic, Excerpts as _, Grade, Judged, Location, Report, Summary, find_rule};
use crate::structural::Catalog;
use crate::yaml::{Lines, Span};
use builds::Builds;
use relations::Relations;

/// How many files a thread takes at a time: few enough that none has much left when the others are done.
const MOST_AT_ONCE: usize = 64;

/// From so many bytes on a file is begun with, for the same reason: the manifests of Flux itself, which most repositories hold, have 400 KB.
const LONG: usize = 64 * 1024;

/// What a check is done by.
#[derive(Debug, Clone, Copy)]
pub struct Criteria<'c> {
    /// What is chosen.
    pub settings: &'c Settings,
    /// What is known of the cluster.
    pub facts: &'c Facts,
    /// The schemas that objects are validated by.
    pub catalog: &'c Catalog,
    /// What is known already, and not told again.
    pub baseline: Option<&'c Baseline>,
    /// Whether fixes are worked out. Each reads its file once more, so it takes more than all rules together.
    pub fixes: bool,
}

/// What a check comes to.
#[derive(Debug)]
pub struct Checked<'a> {
    /// What there is to tell.
    pub report: Report,
    /// The files that it is about.
    pub files: Files<'a>,
    /// Whether something could not be read, so that the report says less than it should.
    pub is_partial: bool,
    /// The fingerprints of all findings, also of those that the baseline knows.
    pub fingerprints: Vec<String>,
}

/// Renders what was collected and judges every HelmRelease that comes out.
pub fn check<'a>(collected: &'a Collected, criteria: Criteria<'_>) -> Checked<'a> {
    let files = Files::of(collected);
    let is_strict = criteria.facts.serving("").flux().is_some_and(Flux::refuses_unset_variables);
    let mut tree = Files::tree(collected).refusing_unset_variables(is_strict);
    read(&tree);
    let named = collected.complete(&tree);
    Files::complete(&mut tree, named);
    // Each has parts that only one thread can do; meanwhile another one does the next.
    let (rendered, (mut unread, mut comments)) = rayon::join(
        || ends::all(&tree, &collected.repositories),
        || (unread::all(collected, &tree), comments(&tree)),
    );
    let counts = |file: u32| {
        tree.files()[file as usize].stands_alone() || rendered.uses[file as usize] != Use::Unreached
    };
    comments.retain(|(file, _)| counts(*file));
    unread.extend(unread::named(collected, &tree, &rendered.uses));
    unread.settle(&rendered.uses);
    let relations = Relations::of(&rendered, collected.has_folders, criteria);
    let (mut found, ((of_sources, parts), (builds, judged))) = rayon::join(
        || release::judge_all(&rendered, &relations, criteria, &files),
        || {
            rayon::join(
                || {
                    let mut of_sources = relations.diagnostics(&rendered);
                    of_sources.extend(sources::versions(&rendered, criteria, &files));
                    let invalid = schema::of_sources(&rendered, criteria);
                    of_sources.extend(schema::diagnostics(invalid, criteria));
                    of_sources.extend(groups::others(&tree));
                    of_sources.extend(literal::notes(&rendered));
                    of_sources.extend(moved::values_files_lost(&rendered, criteria, &tree));
                    of_sources.extend(moved::chart_names(&rendered, criteria, &tree));
                    of_sources.extend(values_from::split(&rendered));
                    (of_sources, release::parts(&rendered))
                },
                || (builds::of(&rendered, &unread, &tree), judged(&rendered)),
            )
        },
    );
    let Builds { failures, not_rendered } = builds;
    let places = not_rendered.len() + unread.dangling.len() + unread.templates.len() + parts.len();
    let is_partial = unread.faults.iter().any(|fault| fault.rule == UNREADABLE);
    found.reserve_exact(unread.faults.len() + of_sources.len() + failures.len() + places);
    found.extend(unread.faults);
    found.extend(of_sources);
    // They are many, and made where they stay.
    found.par_extend(failures.into_par_iter().map(|failure| builds::failure(failure, &files)));
    found.par_extend(not_rendered.into_par_iter().map(builds::left_out));
    found.extend(unread.dangling.into_iter().chain(unread.templates).chain(parts));

    let mut ignored = keep_quiet(&mut found, comments, &tree);
    sort(&mut found, &files);
    fingerprint::give(&mut found, &files);
    let fingerprints = found.iter().map(|it| it.fingerprint.clone()).collect();
    if let Some(baseline) = criteria.baseline {
        let before = found.len();
        found.retain(|diagnostic| !baseline.knows(&diagnostic.fingerprint));
        ignored += before - found.len();
    }
    let (releases, unreached) = counted(&rendered);
    let files_that_count = collected
        .files()
        .zip(&rendered.uses)
        .filter(|(file, used)| !file.is_aside || **used != Use::Unreached);
    let summary =
        Summary { files: files_that_count.count(), releases, unreached, not_judged: places, ignored };
    let report = Report { diagnostics: found, judged, summary };
    // Both die with the process: to free them piece by piece takes a tenth of all the time.
    std::mem::forget((rendered, tree));
    Checked { report, files, is_partial, fingerprints }
}

impl Checked<'_> {
    /// The fixes of what was found, in the order of the findings.
    pub fn fixes(&self) -> Vec<Fix> {
        let fixes = self.report.diagnostics.iter().filter_map(|diagnostic| {
            let fix = diagnostic.fix.as_ref()?;
            let (edits, fields) = (fix.edits.clone(), fix.fields.clone());
            Some(Fix { name: name_of(diagnostic), edits, object: diagnostic.object.clone(), fields })
        });
        fixes.collect()
    }

    /// What `--fix` would make of the files: what is proven to build as before, and to change nothing but what is meant.
    pub fn plan(&self) -> fix::Plan {
        proof::proven(&self.fixes(), &self.files)
    }

    /// The findings whose fix is known and cannot be made here, each in one line with the reason.
    pub fn unfixed(&self) -> impl Iterator<Item = String> {
        self.report.diagnostics.iter().filter_map(|diagnostic| {
            let reason = diagnostic.unfixed.as_ref()?;
            Some(format!("{}: {reason}", name_of(diagnostic)))
        })
    }

    /// The worst that was found.
    pub fn worst(&self) -> Option<Grade> {
        self.report.diagnostics.iter().map(|diagnostic| diagnostic.grade).max()
    }
}

/// What a finding is called where its fix is refused.
fn name_of(diagnostic: &Diagnostic) -> String {
    match &diagnostic.object {
        Some(object) => format!("{} of {object}", diagnostic.rule),
        None => diagnostic.rule.to_owned(),
    }
}

/// Reads all files that count by themselves, which takes most of the time; later they are read already.
fn read(tree: &Tree<'_>) {
    let files = tree.files().iter().filter(|file| file.stands_alone());
    let (long, short): (Vec<_>, Vec<_>) = files.partition(|file| file.text.len() > LONG);
    let long = long.into_par_iter().with_max_len(1);
    long.chain(short.into_par_iter().with_max_len(MOST_AT_ONCE)).for_each(|file| _ = file.documents());
}

/// A finding of a rule about reading and rendering, in the rule's own words.
fn plain(rule: &'static str, grade: Grade) -> Diagnostic {
    let info = find_rule(rule).expect("the rules about reading are listed");
    Diagnostic { why: info.why.into(), help: info.help.into(), ..Diagnostic::new(rule, grade, String::new()) }
}

/// The comments that ask to keep quiet, for each file that has some. Those of files that nothing reads are of no use, and no fault.
fn comments<'a>(tree: &Tree<'a>) -> Vec<(u32, Vec<Ignore<'a>>)> {
    let files = tree.files().par_iter().filter(|file| file.counts != Counts::ByNames);
    let comments = files.map(|file| (file.id, ignores::of(file.text)));
    comments.filter(|(_, comments)| !comments.is_empty()).collect()
}

/// Takes out what a comment asks to keep quiet about, and says which comments are of no use. Returns how many it took out.
fn keep_quiet(found: &mut Vec<Diagnostic>, comments: Vec<(u32, Vec<Ignore<'_>>)>, tree: &Tree<'_>) -> usize {
    struct Comments<'a> {
        all: Vec<Ignore<'a>>,
        used: Vec<bool>,
        lines: Lines<'a>,
    }
    let by_file = comments.into_iter().map(|(file, all)| {
        let used = vec![false; all.len()];
        (file, Comments { all, used, lines: Lines::of(tree.files()[file as usize].text) })
    });
    let mut by_file: BTreeMap<u32, Comments<'_>> = by_file.collect();
    let before = found.len();
    found.retain(|diagnostic| {
        let Some(Location { span }) = diagnostic.location else { return true };
        let Some(Comments { all, used, lines }) = by_file.get_mut(&span.file()) else { return true };
        let line = lines.position(span.start() as usize).line;
        let comment = all.iter().position(|ignore| ignore.is_about(diagnostic.rule, line));
        comment.inspect(|comment| used[*comment] = true).is_none()
    });
    let quiet = before - found.len();
    for (file, Comments { all, used, .. }) in by_file {
        found.extend(all.iter().zip(used).filter_map(|(ignore, used)| useless(ignore, used, file)));
    }
    quiet
}

/// What is wrong with an ignore comment.
fn useless(ignore: &Ignore<'_>, used: bool, file: u32) -> Option<Diagnostic> {
    let unknown = ignore.rules.iter().find(|rule| find_rule(rule).is_none());
    let what = if let Some(rule) = unknown {
        format!("the comment names a rule {rule:?}, which there is not; `chartgate rules` lists them")
    } else if ignore.rules.is_empty() {
        "the comment names no rule: write `# chartgate: ignore[RULE] reason`".to_owned()
    } else if !used {
        format!("there is no finding of {} for the comment to ignore", ignore.rules.join(", "))
    } else if ignore.reason.is_empty() {
        "the comment gives no reason: write it behind the bracket".to_owned()
    } else {
        return None;
    };
    let span = Span::of(file, ignore.at.0..ignore.at.1);
    Some(Diagnostic { what, location: Some(Location { span }), ..plain(UNUSED_IGNORE, Grade::Warning) })
}

fn sort(found: &mut [Diagnostic], files: &Files<'_>) {
    // To compare two numbers is much faster than to look up two paths.
    let order: HashMap<u32, usize> = {
        let numbers: HashSet<u32> = found.iter().filter_map(|it| Some(it.location?.span.file())).collect();
        let mut paths: Vec<_> = numbers.into_iter().map(|file| (files.path(file), file)).collect();
        paths.sort_unstable();
        let same_path = paths.chunk_by(|(one, _), (other, _)| one == other).enumerate();
        same_path.flat_map(|(order, files)| files.iter().map(move |(_, file)| (*file, order))).collect()
    };
    let place = |it: &Diagnostic| {
        it.location.map(|Location { span }| (order[&span.file()], span.start(), span.end()))
    };
    let mut sorted: Vec<_> = found.iter().enumerate().map(|(index, it)| (place(it), index)).collect();
    // What is the same by all of these is one finding, so nothing is lost with the order that it had.
    sorted.par_sort_unstable_by(|(place, one), (other_place, other)| {
        let (one, other) = (&found[*one], &found[*other]);
        place
            .cmp(other_place)
            .then_with(|| other.grade.cmp(&one.grade))
            .then_with(|| one.rule.cmp(other.rule))
            .then_with(|| one.what.cmp(&other.what))
            .then_with(|| one.field.cmp(&other.field))
            .then_with(|| one.object.cmp(&other.object))
    });
    // Each goes to its place, along the circles in which they take each other's; they are large, and no second list of them is made.
    let mut from: Vec<usize> = sorted.into_iter().map(|(_, index)| index).collect();
    for start in 0..from.len() {
        let mut at = start;
        loop {
            let next = std::mem::replace(&mut from[at], at);
            if next == start {
                break;
            }
            found.swap(at, next);
            at = next;
        }
    }
}

/// How many HelmReleases were judged, once for each way in which they are rendered, and how many as no end reaches them.
fn counted(rendered: &Rendered<'_>) -> (usize, usize) {
    let count = |kind: fn(EndKind) -> bool| {
        let ends = rendered.ends.iter().filter(|end| kind(end.kind));
        ends.flat_map(release::whole).count()
    };
    (count(|_| true), count(|kind| kind == EndKind::File))
}

/// Each HelmRelease of each file once. Of several that a document became, the last one gives its name.
fn judged(rendered: &Rendered<'_>) -> Vec<Judged> {
    let releases = rendered.ends.iter().flat_map(release::whole);
    let judged: BTreeMap<_, _> = releases.map(|it| (it.node.at, &it.node)).collect();
    let judged: Vec<_> = judged.into_iter().collect();
    let judged = judged
        .par_iter()
        .map(|(span, node)| Judged { object: release::object_of(node), location: Some((*span).into()) });
    judged.collect()
}
