//! What holds for every input, with `serde_json` to compare with.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;
use serde_json::value::RawValue;

use super::tests::read;
use super::{Error, Kind, Problem, Raw, Reader};

/// How many inputs each property is tried with.
const CASES: u32 = 10_000;

/// Builds what `serde_json` would build, and on the way compares what is skipped with what it would have kept.
fn value(reader: &mut Reader<'_>) -> Result<Value, Error> {
    let kind = reader.kind()?;
    let skipped = reader.clone().skip()?;
    let kept = serde_json::Deserializer::from_slice(reader.rest()).into_iter::<&RawValue>().next();
    if let Some(Ok(kept)) = kept {
        assert_eq!(kept.get().as_bytes(), skipped.bytes());
    }
    match kind {
        Kind::Null => reader.skip().map(|_| Value::Null),
        Kind::Boolean => reader.boolean().map(Value::Bool),
        Kind::Number => reader.skip().map(|raw| serde_json::from_slice(raw.bytes()).unwrap_or_default()),
        Kind::String => reader.string().map(|text| Value::String(text.into_owned())),
        Kind::Array => {
            let mut values = Vec::new();
            reader.array(|reader| {
                values.push(value(reader)?);
                Ok::<_, Error>(())
            })?;
            Ok(Value::Array(values))
        }
        Kind::Object => {
            let mut members = serde_json::Map::new();
            reader.object(|name, reader| {
                members.insert(name.into_owned(), value(reader)?);
                Ok::<_, Error>(())
            })?;
            Ok(Value::Object(members))
        }
    }
}

fn document(json: &[u8]) -> Result<Value, Error> {
    let mut reader = Reader::new(json);
    let value = value(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// What a generated document is made from: each decision in it takes one of these, and when they run out it comes to an end.
struct Choices(std::vec::IntoIter<u16>);

impl Choices {
    /// A number below `count`, and the least once there is nothing left to choose from.
    fn below(&mut self, count: u16) -> u16 {
        self.0.next().unwrap_or_default() % count
    }

    fn one_of<'a>(&mut self, options: &[&'a str]) -> &'a str {
        let count = u16::try_from(options.len()).expect("the lists below are short");
        options[usize::from(self.below(count))]
    }

    /// A document of any shape and any layout.
    fn document(&mut self, depth: u16) -> String {
        let value = match self.below(if depth < 8 { 12 } else { 6 }) {
            0 => self.one_of(&["null", "true", "false"]).to_owned(),
            1 | 2 => self.number(),
            3..=5 => self.string(),
            6..=8 => self.list("[", "]", |choices| choices.document(depth + 1)),
            _ => self.list("{", "}", |choices| {
                [choices.space(), &choices.string(), choices.space(), ":", &choices.document(depth + 1)]
                    .concat()
            }),
        };
        [self.space(), &value, self.space()].concat()
    }

    fn list(&mut self, open: &str, close: &str, mut item: impl FnMut(&mut Self) -> String) -> String {
        let items: Vec<_> = (0..self.below(6)).map(|_| item(self)).collect();
        let items = if items.is_empty() { self.space().to_owned() } else { items.join(",") };
        [open, &items, close].concat()
    }

    fn space(&mut self) -> &'static str {
        const LONG: &str = "\n                                                                ";
        self.one_of(&["", "", "", "", "", "", "", " ", "\n\t", LONG])
    }

    fn number(&mut self) -> String {
        let digits = self.below(u16::MAX);
        let sign = self.one_of(&["", "-"]);
        let more = self.one_of(&["", "", "0123456789", ".5", "e7", "E-7", ".0625e+07"]);
        if digits == 0 { format!("{sign}0") } else { format!("{sign}{digits}{more}") }
    }

    /// A string of pieces that mislead a careless reader.
    fn string(&mut self) -> String {
        let pieces: String = (0..self.below(5)).map(|_| self.piece()).collect();
        format!("\"{pieces}\"")
    }

    fn piece(&mut self) -> String {
        match self.below(7) {
            0 => self
                .one_of(&["name", "a", "ghcr.io/org/app:1.2.3", "f:reconcile.fluxcd.io/requestedAt"])
                .to_owned(),
            1 => "x".repeat(self.below(70).into()),
            2 => self.one_of(&["{", "}", "[[", "]]]", ",", ":", "{}", "/"]).to_owned(),
            3 => r"\\".repeat(self.below(40).into()),
            4 => self
                .one_of(&[r#"\""#, r"\\", r"\/", r"\b", r"\f", r"\n", r"\r", r"\t", r"\u0000", r"\u002F"])
                .to_owned(),
            5 => self.one_of(&["é", "\u{2028}", "漢字", "😀", "\u{7f}"]).to_owned(),
            _ => self
                .one_of(&[r"\u00e9", r"\u20aC", r"\ud83d\ude00", r"\uD800\uDC00", r"\udbff\udfff"])
                .to_owned(),
        }
    }
}

fn json(choices: usize) -> impl Strategy<Value = String> {
    vec(any::<u16>(), 0..choices).prop_map(|choices| Choices(choices.into_iter()).document(0))
}

/// Bytes of which many mean something to a JSON reader.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let telling = b"{}[]{}[]\"\"\"\"\\\\\\,,:: \ntruefalsenull019-+.e";
    vec(any::<u8>().prop_map(|byte| telling.get(usize::from(byte / 4)).copied().unwrap_or(byte)), 0..300)
}

/// The length of an object or array, found one byte at a time.
fn plain_length(bytes: &[u8]) -> Option<usize> {
    let (mut depth, mut inside, mut escaped) = (0, false, false);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'"' if !escaped => inside = !inside,
            b'[' | b'{' if !inside => depth += 1,
            b']' | b'}' if !inside => depth -= 1,
            _ => {}
        }
        escaped = *byte == b'\\' && !escaped;
        if depth == 0 {
            return Some(at + 1);
        }
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn reads_valid_json_as_serde_json_does(json in json(80)) {
        let expected: Value = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(document(json.as_bytes()), Ok(expected));
    }

    #[test]
    fn skips_exactly_one_value(json in json(80), after in "[,:\\]} \n].{0,80}") {
        let bytes = [json.as_bytes(), after.as_bytes()].concat();
        prop_assert_eq!(Reader::new(&bytes).skip().map(Raw::bytes), Ok(json.trim_ascii().as_bytes()));
    }

    #[test]
    fn refuses_every_document_that_is_cut_short(json in json(20)) {
        // A number cut short can be another number; in an array that shows.
        let json = format!("[{json}]");
        for length in 0..json.len() {
            let cut = &json.as_bytes()[..length];
            prop_assert_eq!(Reader::new(cut).skip(), Err(Error { problem: Problem::Cut, offset: length }));
            prop_assert!(document(cut).is_err());
        }
    }

    #[test]
    fn never_panics_whatever_the_bytes(bytes in noise()) {
        let _ = document(&bytes);
        let _ = read(&mut Reader::new(&bytes));
    }

    #[test]
    fn never_panics_whatever_the_damage(json in json(80), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = json.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let ours = document(&bytes);
        if let Ok(theirs) = serde_json::from_slice::<Value>(&bytes) {
            prop_assert_eq!(ours, Ok(theirs));
        }
    }

    #[test]
    fn skips_bits_as_it_would_skip_bytes(bracket in prop::sample::select(b"[{".to_vec()), rest in noise()) {
        let bytes = [&[bracket], rest.as_slice()].concat();
        prop_assert_eq!(
            Reader::new(&bytes).skip().ok().map(|raw| raw.bytes().len()),
            plain_length(&bytes)
        );
    }
}
