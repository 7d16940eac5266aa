//! Compares two values without building a tree of either.
//!
//! Equal texts are equal values, so that an unchanged part costs as much as comparing its bytes. Only where texts differ are
//! both read side by side. kube-apiserver writes the keys of an object sorted (seen with 1.35.4; Go's encoding/json sorts
//! maps), so that values which differ in order or layout alone come from somewhere else, and are small.
//!
//! Values that cannot be compared within the bounds below count as different, which is the safe answer.

use std::borrow::Cow;

use super::{Kind, Raw};

/// Maximum depth to which values with different texts are read. Each level reads everything below it again, so this
/// bounds the time.
const DEEPEST: usize = 16;

/// Maximum number of members of an object that are sorted. This bounds the memory.
const MOST_UNORDERED: usize = 256;

/// The largest whole number up to which a double distinguishes every one from the next.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// Which members count in a comparison.
pub trait View: Copy {
    /// Whether a member of the object that this is the view of counts.
    fn counts(self, key: &str, value: Raw<'_>) -> bool;

    /// The view of the value of a member.
    #[must_use]
    fn below(self, key: &str) -> Self;
}

type Member<'a> = (Cow<'a, str>, Raw<'a>);

/// Whether two values are equal, as far as the `view` counts them: objects whatever the order of their keys, numbers by
/// their value, strings by their decoded text.
pub fn same(one: Raw<'_>, other: Raw<'_>, view: impl View) -> bool {
    values(one, other, view, DEEPEST)
}

fn values(one: Raw<'_>, other: Raw<'_>, view: impl View, depth: usize) -> bool {
    if one.bytes() == other.bytes() {
        return true;
    }
    if one.kind() != other.kind() {
        return false;
    }
    match one.kind() {
        Kind::Null | Kind::Boolean => false,
        Kind::Number => numbers(one, other),
        Kind::String => texts(one, other),
        Kind::Array | Kind::Object if depth == 0 => false,
        Kind::Array => elements(one, other, view, depth - 1),
        Kind::Object => members(one, other, view, depth - 1),
    }
}

fn elements(one: Raw<'_>, other: Raw<'_>, view: impl View, depth: usize) -> bool {
    let (mut one, mut other) = (one.elements(), other.elements());
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(Ok(one)), Some(Ok(other))) if values(one, other, view, depth) => {}
            _ => return false,
        }
    }
}

fn members(one: Raw<'_>, other: Raw<'_>, view: impl View, depth: usize) -> bool {
    let counts = |member: &Result<Member<'_>, _>| match member {
        Ok((key, value)) => view.counts(key, *value),
        Err(_) => true,
    };
    let (mut one, mut other) = (one.members().filter(counts), other.members().filter(counts));
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(Ok(one)), Some(Ok(other))) if one.0 == other.0 => {
                if !values(one.1, other.1, view.below(&one.0), depth) {
                    return false;
                }
            }
            (Some(Ok(first)), Some(Ok(second))) => {
                let pair = (ordered(first, one), ordered(second, other));
                let (Some(one), Some(other)) = pair else { return false };
                let equal = |(one, other): (&Member<'_>, &Member<'_>)| {
                    one.0 == other.0 && values(one.1, other.1, view.below(&one.0), depth)
                };
                return one.len() == other.len() && one.iter().zip(&other).all(equal);
            }
            _ => return false,
        }
    }
}

/// A member and those after it by their keys. Nothing where they are too many, or one occurs twice: then the order counts.
fn ordered<'a, E>(
    first: Member<'a>,
    rest: impl Iterator<Item = Result<Member<'a>, E>>,
) -> Option<Vec<Member<'a>>> {
    let mut all = vec![first];
    for member in rest {
        if all.len() == MOST_UNORDERED {
            return None;
        }
        all.push(member.ok()?);
    }
    all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    all.is_sorted_by(|(one, _), (other, _)| one < other).then_some(all)
}

fn texts(one: Raw<'_>, other: Raw<'_>) -> bool {
    let escapes = |text: Raw<'_>| text.bytes().contains(&b'\\');
    if !escapes(one) && !escapes(other) {
        return false;
    }
    match (one.reader().string(), other.reader().string()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

/// Whole numbers are written in one form only, so other digits are another number.
#[expect(clippy::float_cmp, reason = "both are exact")]
fn numbers(one: Raw<'_>, other: Raw<'_>) -> bool {
    let is_whole = |number: Raw<'_>| !number.bytes().iter().any(|byte| b".eE".contains(byte));
    let value = |number: Raw<'_>| {
        let value: f64 = str::from_utf8(number.bytes()).ok()?.parse().ok()?;
        (value.abs() < MAX_EXACT).then_some(value)
    };
    match (value(one), value(other)) {
        (Some(one_value), Some(other_value)) => {
            !(is_whole(one) && is_whole(other)) && one_value == other_value
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::json::Reader;

    /// Everything counts but a member `ignored` of the outermost object.
    #[derive(Clone, Copy)]
    struct Outermost(bool);

    impl View for Outermost {
        fn counts(self, key: &str, _: Raw<'_>) -> bool {
            !(self.0 && key == "ignored")
        }

        fn below(self, _: &str) -> Self {
            Self(false)
        }
    }

    fn raw(json: &str) -> Raw<'_> {
        Reader::new(json.as_bytes()).skip().unwrap()
    }

    fn equal(one: &str, other: &str) -> bool {
        let equal = same(raw(one), raw(other), Outermost(true));
        assert_eq!(equal, same(raw(other), raw(one), Outermost(true)), "{one} {other}");
        equal
    }

    #[test]
    fn order_and_layout_do_not_count() {
        for (one, other) in [
            (r#"{"a":1,"b":[{"c":2,"d":3}]}"#, r#"{ "b" : [{"d":3,"c":2}], "a": 1 }"#),
            (r#"{"a":"\u0041\n"}"#, "{\"a\":\"A\\u000a\"}"),
            ("[1, 2]", "[1,2]"),
            (r#"{"a":1.0}"#, r#"{"a":1}"#),
            (r#"{"a":1e2}"#, r#"{"a":100}"#),
            (r#"{"a":1,"ignored":2}"#, r#"{"a":1}"#),
            (r#"{"ignored":[1],"a":1}"#, r#"{"a":1,"ignored":2}"#),
        ] {
            assert!(equal(one, other), "{one} {other}");
        }
    }

    #[test]
    fn whatever_else_differs_does() {
        for (one, other) in [
            (r#"{"a":1}"#, r#"{"a":2}"#),
            (r#"{"a":1}"#, r#"{"a":1,"b":2}"#),
            (r#"{"a":1,"b":2}"#, r#"{"b":1,"a":2}"#),
            (r#"{"a":null}"#, "{}"),
            (r#"{"a":"1"}"#, r#"{"a":1}"#),
            (r#"{"a":"b"}"#, r#"{"a":"\u0063"}"#),
            (r#"{"a":{"ignored":1}}"#, r#"{"a":{}}"#),
            ("[1,2]", "[2,1]"),
            ("[1]", "[1,1]"),
            ("true", "false"),
            ("9007199254740993.0", "9007199254740992"),
            ("9007199254740993", "9007199254740992"),
            ("1e400", "1e401"),
            ("0", "-1"),
        ] {
            assert!(!equal(one, other), "{one} {other}");
        }
    }

    #[test]
    fn of_a_repeated_key_the_order_counts() {
        assert!(!equal(r#"{"a":1,"a":2,"b":3}"#, r#"{"b":3,"a":2,"a":1}"#));
        assert!(!equal(r#"{"a":1,"a":1,"b":3}"#, r#"{"b":3,"a":1,"c":1}"#));
    }

    #[test]
    fn what_is_too_deep_is_equal_only_byte_by_byte() {
        let nested =
            |depth: usize, inner: &str| format!("{}{inner}{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        let (one, other) = (r#"{"b":1,"c":2}"#, r#"{"c":2,"b":1}"#);
        assert!(equal(&nested(DEEPEST - 1, one), &nested(DEEPEST - 1, other)));
        for depth in [DEEPEST, 128, 100_000] {
            assert!(!equal(&nested(depth, one), &nested(depth, other)), "{depth}");
            assert!(!equal(&nested(depth, "1"), &nested(depth, "2")), "{depth}");
            assert!(equal(&nested(depth, one), &nested(depth, one)), "{depth}");
        }
    }

    #[test]
    fn what_is_too_much_to_be_put_in_order_is_equal_only_in_order() {
        let object = |keys: &mut dyn Iterator<Item = usize>| {
            let members: Vec<_> = keys.map(|key| format!(r#""{key}": {key}"#)).collect();
            format!("{{{}}}", members.join(","))
        };
        for (count, expected) in [(MOST_UNORDERED, true), (MOST_UNORDERED + 1, false)] {
            assert_eq!(equal(&object(&mut (0..count)), &object(&mut (0..count).rev())), expected, "{count}");
            let spaced = object(&mut (0..count)).replace(',', " , ");
            assert!(equal(&object(&mut (0..count)), &spaced), "{count}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(10_000))]

        /// With `serde_json` to compare with, on values that are often equal.
        #[test]
        fn agrees_with_a_comparison_of_trees(one in value(), other in value(), twin in proptest::bool::ANY) {
            let other = if twin { one.clone() } else { other };
            let reordered = serde_json::to_string_pretty(&shuffled(&other)).unwrap();
            let compact = one.to_string();
            proptest::prop_assert_eq!(
                same(raw(&compact), raw(&reordered), Outermost(false)), one == other, "{} {}", compact, reordered
            );
        }
    }

    /// Small enough that two of them are the same now and then.
    fn value() -> impl proptest::strategy::Strategy<Value = Value> {
        use proptest::prelude::*;
        let leaf = prop_oneof![
            Just(json!(null)),
            Just(json!(1)),
            Just(json!(true)),
            "[a\"\\\\\n]{0,2}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[ab\"]{1,2}", inner, 0..3)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// The same with the keys of each object the other way round, where that is kept.
    fn shuffled(value: &Value) -> Value {
        match value {
            Value::Object(members) => Value::Object(
                members.iter().rev().map(|(key, value)| (key.clone(), shuffled(value))).collect(),
            ),
            Value::Array(elements) => elements.iter().map(shuffled).collect(),
            other => other.clone(),
        }
    }
}
