//! The patterns of `.sourceignore` files and of `spec.ignore`, as `github.com/fluxcd/pkg/sourceignore` 0.19 reads and matches them.

use super::glob::Glob;

/// A line of a `.sourceignore` or of `spec.ignore`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// The folder that it holds below, part by part.
    domain: Vec<Box<str>>,
    parts: Vec<Part>,
    /// Whether it begins with `!`.
    includes: bool,
    /// Whether it ends in `/`.
    is_for_folders: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Empty,
    /// `**`
    AnyFolders,
    /// `**` beside other characters, which matches nothing.
    Never,
    Name(Glob),
}

/// Reads patterns that hold below a folder.
pub fn patterns<'t>(text: &'t str, domain: &[&'t str]) -> impl Iterator<Item = Pattern> {
    // As Go's bufio.ScanLines splits them.
    let lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    let counts = |line: &&str| !line.starts_with('#') && !line.trim().is_empty();
    lines.filter(counts).map(|line| Pattern::parse(line, domain))
}

/// Finds the last pattern that matches a path: whether it leaves the path out, and its number.
pub fn last_match(patterns: &[Pattern], path: &[&str], is_folder: bool) -> Option<(bool, usize)> {
    let number = patterns.iter().rposition(|pattern| pattern.matches(path, is_folder))?;
    Some((!patterns[number].includes, number))
}

// === impl Pattern ===

impl Pattern {
    fn parse(line: &str, domain: &[&str]) -> Self {
        let (includes, mut text) = match line.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        if !text.ends_with("\\ ") {
            text = text.trim_end_matches(' ');
        }
        let (is_for_folders, text) = match text.strip_suffix('/') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let domain = domain.iter().map(|part| (*part).into()).collect();
        let parts = if text.contains('/') {
            text.split('/').map(Part::parse).collect()
        } else {
            // `**` alone is a name like any other.
            vec![Part::Name(Glob::parse(text))]
        };
        Self { domain, parts, includes, is_for_folders }
    }

    fn matches(&self, path: &[&str], is_folder: bool) -> bool {
        let is_below = path.len() > self.domain.len()
            && self.domain.iter().zip(path).all(|(domain, part)| **domain == **part);
        let Some(below) = path.get(self.domain.len()..).filter(|_| is_below) else { return false };
        match &self.parts[..] {
            [Part::Name(name)] => self.matches_name(name, below, is_folder),
            parts => self.matches_parts(parts, below, is_folder),
        }
    }

    /// A pattern without `/` is about each part of the path; the first that it matches decides.
    fn matches_name(&self, name: &Glob, path: &[&str], is_folder: bool) -> bool {
        let first = path.iter().position(|part| name.matches(part));
        first.is_some_and(|at| !self.is_for_folders || is_folder || at + 1 < path.len())
    }

    /// Follows `globMatch` step by step, because its handling of `**` follows no simpler rule.
    fn matches_parts(&self, parts: &[Part], mut path: &[&str], is_folder: bool) -> bool {
        let (mut matched, mut can_skip) = (false, false);
        for (at, part) in parts.iter().enumerate() {
            let name = match part {
                Part::Empty => {
                    can_skip = false;
                    continue;
                }
                Part::AnyFolders if at + 1 == parts.len() => break,
                Part::AnyFolders => {
                    can_skip = true;
                    continue;
                }
                Part::Never => return false,
                Part::Name(name) => name,
            };
            if name.is_bad() || path.is_empty() {
                return false;
            }
            if can_skip {
                can_skip = false;
                let found = path.iter().position(|part| name.matches(part));
                matched = found.is_some();
                path = found.map_or(&[], |at| &path[at + 1..]);
            } else if name.matches(path[0]) {
                matched = true;
                path = &path[1..];
            } else {
                return false;
            }
        }
        matched && !(self.is_for_folders && !is_folder && path.is_empty())
    }
}

// === impl Part ===

impl Part {
    fn parse(text: &str) -> Self {
        match text {
            "" => Self::Empty,
            "**" => Self::AnyFolders,
            _ if text.contains("**") => Self::Never,
            name => Self::Name(Glob::parse(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves_out(lines: &str, path: &str) -> bool {
        let all: Vec<_> = patterns(lines, &[]).collect();
        let path: Vec<_> = path.split('/').collect();
        last_match(&all, &path, false).is_some_and(|(is_left_out, _)| is_left_out)
    }

    #[test]
    fn the_last_pattern_that_matches_a_file_decides() {
        for (lines, path, expected) in [
            ("apps/x.yaml\n", "apps/x.yaml", true),
            ("apps/x.yaml\r\n", "apps/x.yaml", true),
            ("apps/x.yaml   \n", "apps/x.yaml", true),
            ("x.yaml", "apps/deep/x.yaml", true),
            ("/x.yaml", "apps/x.yaml", false),
            ("apps", "apps/deep/x.yaml", true),
            ("x.yaml/", "x.yaml", false),
            ("apps/", "apps/x.yaml", true),
            // The folder is walked all the same.
            ("/apps\n!/apps/*.yaml\n", "apps/x.yaml", false),
            ("*\n!*.yaml\n", "apps/x.yaml", false),
            ("/*\n!/apps\n", "apps/x.yaml", false),
            ("/*\n!/apps\n", "other/x.yaml", true),
            ("apps/**\n!apps/web.yaml\n", "apps/d/x.yaml", true),
            ("apps/x**.yaml", "apps/x.yaml", false),
            ("apps/[!a-w].yaml", "apps/x.yaml", false),
            ("apps/[^a-w].yaml", "apps/x.yaml", true),
            ("**/deep/x.yaml", "apps/deep/x.yaml", true),
            ("a/**/b.yaml", "a/b.yaml", true),
            ("**", "apps/x.yaml", true),
            // A comment begins with `#`, and with nothing before it.
            ("# x.yaml", "x.yaml", false),
            ("!", "x.yaml", false),
        ] {
            assert_eq!(leaves_out(lines, path), expected, "{lines:?} {path}");
        }
        assert_eq!(patterns("# a\n\n  \n # b\n", &[]).count(), 1);
    }

    #[test]
    fn a_pattern_holds_below_its_folder() {
        let all: Vec<_> = patterns("/x.yaml\n", &["apps"]).collect();
        let decided = |path: &[&str]| last_match(&all, path, false).is_some();
        assert!(decided(&["apps", "x.yaml"]));
        assert!(!decided(&["x.yaml"]) && !decided(&["apps", "deep", "x.yaml"]) && !decided(&["apps"]));
    }
}
