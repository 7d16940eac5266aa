//! Matches one part of a path as Go's `path/filepath.Match` does, which differs from git: `[^a]` negates and `[!a]` does not.

/// A part of a pattern, such as `*.yaml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob {
    /// `None` where Go refuses the pattern, which then matches nothing.
    tokens: Option<Vec<Token>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// `*`: any characters.
    Star,
    /// `?`: one character.
    Any,
    /// `[a-z]`, `[^a]`: one character in one of the ranges, or in none.
    Class { is_negated: bool, ranges: Vec<(char, char)> },
    /// That character.
    Literal(char),
}

// === impl Glob ===

impl Glob {
    pub(super) fn parse(text: &str) -> Self {
        Self { tokens: parse(text) }
    }

    /// Whether Go refuses it.
    pub(super) fn is_bad(&self) -> bool {
        self.tokens.is_none()
    }

    /// Whether it matches all of a name, which has no `/`.
    pub(super) fn matches(&self, name: &str) -> bool {
        self.tokens.as_ref().is_some_and(|tokens| matches(tokens, name))
    }
}

fn parse(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.chars();
    while let Some(first) = rest.next() {
        tokens.push(match first {
            '*' => Token::Star,
            '?' => Token::Any,
            '\\' => Token::Literal(rest.next()?),
            '[' => {
                let is_negated = rest.as_str().starts_with('^');
                if is_negated {
                    rest.next();
                }
                let mut ranges = Vec::new();
                while ranges.is_empty() || !rest.as_str().starts_with(']') {
                    let low = class_character(&mut rest)?;
                    let mut high = low;
                    if rest.as_str().starts_with('-') {
                        rest.next();
                        high = class_character(&mut rest)?;
                    }
                    ranges.push((low, high));
                }
                rest.next();
                Token::Class { is_negated, ranges }
            }
            other => Token::Literal(other),
        });
    }
    Some(tokens)
}

/// A character of a class; neither `-` nor `]` without `\`, nor the last one of the pattern.
fn class_character(rest: &mut std::str::Chars<'_>) -> Option<char> {
    let character = match rest.next()? {
        '-' | ']' => return None,
        '\\' => rest.next()?,
        other => other,
    };
    (!rest.as_str().is_empty()).then_some(character)
}

/// Goes back to the last `*` alone, so that no pattern takes more than the product of both lengths.
fn matches(tokens: &[Token], name: &str) -> bool {
    let (mut token, mut rest) = (0, name);
    let mut star: Option<(usize, &str)> = None;
    loop {
        match tokens.get(token) {
            Some(Token::Star) => {
                token += 1;
                star = Some((token, rest));
                continue;
            }
            Some(single) => {
                let mut characters = rest.chars();
                if characters.next().is_some_and(|next| single.takes(next)) {
                    token += 1;
                    rest = characters.as_str();
                    continue;
                }
            }
            None if rest.is_empty() => return true,
            None => {}
        }
        let Some((behind, from)) = star else { return false };
        let mut characters = from.chars();
        if characters.next().is_none() {
            return false;
        }
        star = Some((behind, characters.as_str()));
        (token, rest) = (behind, characters.as_str());
    }
}

// === impl Token ===

impl Token {
    fn takes(&self, character: char) -> bool {
        match self {
            Self::Star | Self::Any => true,
            Self::Class { is_negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&character)) != *is_negated
            }
            Self::Literal(literal) => *literal == character,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_go_does() {
        // From the tests of Go's path/filepath, and the differences from git.
        for (pattern, name, expected) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "ab", true),
            ("a*b*c*d*e*", "axbxcxdxe", true),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "aäb", true),
            ("a[^a]b", "aäb", true),
            ("[a-ζ]*", "α", true),
            ("[\\]a]", "]", true),
            ("[x\\-]", "-", true),
            ("[!a]", "b", false),
            ("[!a]", "!", true),
            ("*x", "xxx", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(Glob::parse(pattern).matches(name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_that_go_refuses_matches_nothing() {
        for pattern in ["[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[", "[^", "[^bc", "a[", "a\\", "[a", "[]"]
        {
            assert!(Glob::parse(pattern).is_bad(), "{pattern}");
            assert!(!Glob::parse(pattern).matches("a"), "{pattern}");
        }
    }
}
