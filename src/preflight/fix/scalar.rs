//! A scalar, written so that it reads as what it is.

use serde_json::Value;

use crate::json::Kind;
use crate::yaml::{Scalar, Style};

/// Writes a scalar, in the given style where that can hold it, else in double quotes. `None` for a list or a map.
pub(super) fn written(value: &Value, style: Style) -> Option<String> {
    let text = match value {
        Value::String(text) => text,
        Value::Null | Value::Bool(_) | Value::Number(_) => return Some(value.to_string()),
        Value::Array(_) | Value::Object(_) => return None,
    };
    Some(match style {
        Style::Plain | Style::Block if reads_as_itself(text) => text.clone(),
        Style::Single if !text.contains(char::is_control) => format!("'{}'", text.replace('\'', "''")),
        // What JSON quotes, YAML reads.
        _ => Value::from(text.as_str()).to_string(),
    })
}

/// Whether a text without quotes is read as that text, in a block and in braces, by YAML 1.1 as well as 1.2.
///
/// It errs on the side of quotes: what begins with a digit may be a number, a date or a time to somebody.
fn reads_as_itself(text: &str) -> bool {
    let within = |letter: char| letter.is_alphanumeric() || "_-./".contains(letter);
    let colon_is_fine = text.split(':').skip(1).all(|rest| rest.starts_with(within));
    let scalar = Scalar { text: text.into(), plain: true };
    text.starts_with(char::is_alphabetic)
        && text.chars().all(|letter| within(letter) || letter == ':')
        && colon_is_fine
        && scalar.kind() == Kind::String
        && !matches!(text, "y" | "Y" | "n" | "N")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quotes_only_what_needs_it() {
        for plain in ["OCIRepository", "podinfo-1.x", "helm.toolkit.fluxcd.io/v2", "ä", "a:b"] {
            assert_eq!(written(&json!(plain), Style::Plain).as_deref(), Some(plain));
        }
        for text in
            ["yes", "1.10", "a: b", "#", "", "null", "~", "n", "a:", "- a", "2024-01-01", "a b", "{a}", "*a"]
        {
            let quoted = format!("\"{text}\"");
            assert_eq!(written(&json!(text), Style::Plain), Some(quoted));
        }
    }

    #[test]
    fn keeps_the_quotes_that_are_there() {
        let with = |text: &str, style| written(&json!(text), style).unwrap();
        assert_eq!(with("it's", Style::Single), "'it''s'");
        assert_eq!(with("a\nb", Style::Single), "\"a\\nb\"");
        assert_eq!(with("a\"b", Style::Double), "\"a\\\"b\"");
        assert_eq!(written(&json!(5), Style::Double).as_deref(), Some("5"));
        assert_eq!(written(&json!([]), Style::Plain), None);
    }
}
