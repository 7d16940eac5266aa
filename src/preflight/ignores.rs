//! Comments that keep quiet about a finding: `# chartgate: ignore[rule-id] reason`.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::yaml::{self, Lines};

/// What such a comment starts with, behind the `#`.
const MARK: &str = "chartgate: ignore";

/// The same, prepared once for all files.
static FIND_MARK: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(MARK));

/// One comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ignore<'a> {
    /// The byte at which the comment starts, and the one after its end.
    pub(super) at: (usize, usize),
    /// The rules that it names.
    pub(super) rules: Vec<&'a str>,
    /// Why, in the words of who wrote it.
    pub(super) reason: &'a str,
    /// The line that it is about: its own, or the one below where nothing else is on its own.
    line: usize,
}

/// The comments of a file.
pub(super) fn of(text: &str) -> Vec<Ignore<'_>> {
    if FIND_MARK.find(text.as_bytes()).is_none() {
        return Vec::new();
    }
    let lines = Lines::of(text);
    yaml::comments(text).into_iter().filter_map(|(start, comment)| read(&lines, start, comment)).collect()
}

fn read<'a>(lines: &Lines<'a>, start: usize, comment: &'a str) -> Option<Ignore<'a>> {
    let rest = comment.trim_start().strip_prefix(MARK)?;
    let (rules, reason) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((rules, reason)) => (rules, reason),
        None => ("", rest),
    };
    let rules = rules.split(',').map(str::trim).filter(|rule| !rule.is_empty()).collect();
    let own = lines.position(start).line;
    let is_alone = |line: usize| lines.line(line).trim_start().starts_with('#');
    let line =
        if is_alone(own) { (own..=lines.count()).find(|line| !is_alone(*line)).unwrap_or(own) } else { own };
    Some(Ignore { at: (start, start + 1 + comment.len()), rules, reason: reason.trim(), line })
}

impl Ignore<'_> {
    /// Whether it is about a finding of a rule on a line.
    pub(super) fn is_about(&self, rule: &str, line: usize) -> bool {
        self.line == line && self.rules.contains(&rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_rules_and_reason_and_finds_the_line_that_it_is_about() {
        let text = "# chartgate: ignore[partial-chart, no-chart-source] filled in by CI\n# more\nspec:\n  \
                    a: 1 # chartgate: ignore[chart-ref-name] why not\n#chartgate: ignore it\n";
        let all = of(text);
        assert_eq!(all.len(), 3);
        assert_eq!(
            (&*all[0].rules, all[0].reason),
            (&["partial-chart", "no-chart-source"][..], "filled in by CI")
        );
        assert!(all[0].is_about("partial-chart", 3) && !all[0].is_about("partial-chart", 1));
        assert!(all[1].is_about("chart-ref-name", 4) && !all[1].is_about("chart-ref-kind", 4));
        assert_eq!((&*all[2].rules, all[2].reason), (&[][..], "it"));
        assert_eq!(&text[all[1].at.0..all[1].at.1], "# chartgate: ignore[chart-ref-name] why not");
    }

    #[test]
    fn what_only_looks_like_a_comment_is_none() {
        assert_eq!(of("a: '# chartgate: ignore[partial-chart]'\n"), []);
    }
}
