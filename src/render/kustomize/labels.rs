//! Selectors of labels and annotations: `app=web, tier in (a, b), !old`.

/// What all of must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LabelSelector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    condition: Condition,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Exists,
    IsMissing,
    In(Vec<String>),
    NotIn(Vec<String>),
    Above(i64),
    Below(i64),
}

/// What is left of a selector to be read.
struct Reader<'t>(&'t str);

// === impl LabelSelector ===

impl LabelSelector {
    /// Reads a selector; an empty one holds for everything.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader(text);
        let mut requirements = Vec::new();
        if reader.is_at_end() {
            return Ok(Self::default());
        }
        loop {
            requirements.push(reader.requirement().map_err(|why| format!("the selector {text:?}: {why}"))?);
            if reader.is_at_end() {
                return Ok(Self(requirements));
            }
            if !reader.takes(",") {
                return Err(format!("the selector {text:?}: a comma is missing before {:?}", reader.0));
            }
        }
    }

    /// Whether it holds for what `value_of` knows the labels of.
    pub(super) fn holds<'v>(&self, value_of: impl Fn(&str) -> Option<&'v str>) -> bool {
        self.0.iter().all(|requirement| {
            let value = value_of(&requirement.key);
            match &requirement.condition {
                Condition::Exists => value.is_some(),
                Condition::IsMissing => value.is_none(),
                Condition::In(values) => value.is_some_and(|value| values.iter().any(|it| it == value)),
                Condition::NotIn(values) => value.is_none_or(|value| values.iter().all(|it| it != value)),
                Condition::Above(bound) => {
                    value.and_then(|it| it.parse::<i64>().ok()).is_some_and(|it| it > *bound)
                }
                Condition::Below(bound) => {
                    value.and_then(|it| it.parse::<i64>().ok()).is_some_and(|it| it < *bound)
                }
            }
        })
    }
}

// === impl Reader ===

impl Reader<'_> {
    fn requirement(&mut self) -> Result<Requirement, String> {
        if self.takes("!") {
            return Ok(Requirement { key: self.key()?, condition: Condition::IsMissing });
        }
        let key = self.key()?;
        let condition = if self.is_at_end() || self.0.starts_with(',') {
            Condition::Exists
        } else if self.takes("!=") {
            Condition::NotIn(vec![self.word().to_owned()])
        } else if self.takes("==") || self.takes("=") {
            Condition::In(vec![self.word().to_owned()])
        } else if self.takes(">") {
            Condition::Above(self.number()?)
        } else if self.takes("<") {
            Condition::Below(self.number()?)
        } else {
            match self.word() {
                "in" => Condition::In(self.values()?),
                "notin" => Condition::NotIn(self.values()?),
                other => return Err(format!("{other:?} is no operator")),
            }
        };
        Ok(Requirement { key, condition })
    }

    fn key(&mut self) -> Result<String, String> {
        match self.word() {
            "" => Err("a key is missing".to_owned()),
            key => Ok(key.to_owned()),
        }
    }

    fn number(&mut self) -> Result<i64, String> {
        let word = self.word();
        word.parse().map_err(|_| format!("{word:?} is no whole number"))
    }

    fn values(&mut self) -> Result<Vec<String>, String> {
        if !self.takes("(") {
            return Err("the values are not in parentheses".to_owned());
        }
        let mut values = vec![self.word().to_owned()];
        while self.takes(",") {
            values.push(self.word().to_owned());
        }
        if self.takes(")") { Ok(values) } else { Err("a closing parenthesis is missing".to_owned()) }
    }

    fn word(&mut self) -> &str {
        let text = self.0.trim_start();
        let end = text.find(|it: char| it.is_whitespace() || "=!<>(),".contains(it)).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        self.0 = rest.trim_start();
        word
    }

    fn takes(&mut self, token: &str) -> bool {
        let rest = self.0.trim_start().strip_prefix(token);
        if let Some(rest) = rest {
            self.0 = rest.trim_start();
        }
        rest.is_some()
    }

    fn is_at_end(&self) -> bool {
        self.0.trim_start().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(selector: &str) -> bool {
        let labels = [("app", "web"), ("size", "7"), ("empty", "")];
        let value_of = |key: &str| labels.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
        LabelSelector::parse(selector).unwrap().holds(value_of)
    }

    #[test]
    fn holds_where_all_requirements_do() {
        for selector in [
            "",
            "app",
            "app=web",
            "app == web,!old",
            "app in (api, web), size>5",
            "old notin (x)",
            "app!=api",
            "empty=",
        ] {
            assert!(holds(selector), "{selector}");
        }
        for selector in
            ["old", "app=api", "app=web,!size", "app notin (web)", "size < 7", "app!=web", "app>1"]
        {
            assert!(!holds(selector), "{selector}");
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_selector() {
        for (selector, why) in [
            ("app in web", "the values are not in parentheses"),
            ("app in (web", "a closing parenthesis is missing"),
            ("app like web", "\"like\" is no operator"),
            ("=web", "a key is missing"),
            ("size > x", "\"x\" is no whole number"),
            ("a=b)", "a comma is missing before \")\""),
        ] {
            let error = LabelSelector::parse(selector).unwrap_err();
            assert_eq!(error, format!("the selector {selector:?}: {why}"));
        }
    }
}
