//! What the reader makes of one input each.

use std::borrow::Cow;

use super::{Error, Kind, Problem, Raw, Reader};

// === strings ===

fn string(json: &str) -> Result<Cow<'_, str>, Error> {
    Reader::new(json.as_bytes()).string()
}

fn error<T>(problem: Problem, offset: usize) -> Result<T, Error> {
    Err(Error { problem, offset })
}

#[test]
fn borrows_a_string_without_escapes() {
    assert!(matches!(string(r#" "podinfo ü" "#), Ok(Cow::Borrowed("podinfo ü"))));
}

#[test]
fn reads_every_escape() {
    assert_eq!(string(r#""\"\\\/\b\f\n\r\t\u00e9\u20ACx""#).unwrap(), "\"\\/\u{8}\u{c}\n\r\té€x");
}

#[test]
fn reads_a_pair_of_surrogates_as_one_character() {
    assert_eq!(string(r#""<\ud83d\uDE00>""#).unwrap(), "<😀>");
}

#[test]
fn reads_a_lone_surrogate_as_the_replacement_character() {
    assert_eq!(string(r#""\ud83d""#).unwrap(), "\u{fffd}");
    assert_eq!(string(r#""\ude00\ud83d""#).unwrap(), "\u{fffd}\u{fffd}");
    assert_eq!(string(r#""\ud83d\u0041\ud83d\n""#).unwrap(), "\u{fffd}A\u{fffd}\n");
    assert_eq!(string(r#""\ud83d\ud83d\ude00""#).unwrap(), "\u{fffd}😀");
}

#[test]
fn refuses_an_unknown_escape() {
    assert_eq!(string(r#""ab\x""#), error(Problem::InvalidEscape, 3));
    assert_eq!(string(r#""ab\u12g4""#), error(Problem::InvalidEscape, 3));
    assert_eq!(string(r#""ab\u+123""#), error(Problem::InvalidEscape, 3));
}

#[test]
fn refuses_a_control_character_wherever_it_stands() {
    for length in 0..40 {
        let json = format!("\"{}\n", "a".repeat(length));
        assert_eq!(string(&json), error(Problem::ControlCharacter, length + 1));
        let json = format!("\"\\t{}\u{1f}\"", "a".repeat(length));
        assert_eq!(string(&json), error(Problem::ControlCharacter, length + 3));
    }
}

#[test]
fn refuses_a_string_that_is_not_utf8() {
    assert_eq!(Reader::new(b"\"ab\xff\"").string(), error(Problem::InvalidUtf8, 3));
    assert_eq!(Reader::new(b"\"\\n\xed\xa0\x80\"").string(), error(Problem::InvalidUtf8, 3));
}

#[test]
fn what_is_not_utf8_spoils_only_the_string_that_it_is_in() {
    for length in 0..600 {
        let odd = ["x".repeat(length).as_bytes(), b"\xff"].concat();
        let json = [b"[\"\xc3\xa4\",\"", odd.as_slice(), b"\",\"\xc3\xa9\"]"].concat();
        let (mut skipping, mut texts) = (Reader::new(&json), Vec::new());
        let mut index = 0;
        let read = skipping.array(|reader| {
            index += 1;
            if index == 2 {
                return reader.skip().map(drop);
            }
            reader.string().map(|text| texts.push(text))
        });
        assert_eq!((read, texts), (Ok(()), vec!["ä".into(), "é".into()]), "{length}");
        let read = Reader::new(&json).array(|reader| reader.string().map(drop));
        assert_eq!(read, error(Problem::InvalidUtf8, 7 + length));
    }
}

#[test]
fn refuses_a_string_that_does_not_end() {
    assert_eq!(string(r#""ab"#), error(Problem::Cut, 3));
    assert_eq!(string(r#""ab\"#), error(Problem::Cut, 4));
    assert_eq!(string(r#""ab\""#), error(Problem::Cut, 5));
}

// === kinds, booleans, ends ===

#[test]
fn tells_the_kind_without_reading_the_value() {
    let kinds = [
        ("null", Kind::Null),
        ("true", Kind::Boolean),
        ("false", Kind::Boolean),
        ("-1", Kind::Number),
        ("7", Kind::Number),
        (r#""""#, Kind::String),
        ("[]", Kind::Array),
        ("{}", Kind::Object),
    ];
    for (json, kind) in kinds {
        let padded = format!(" \n\r\t{json} ");
        let mut reader = Reader::new(padded.as_bytes());
        assert_eq!(reader.kind(), Ok(kind));
        assert_eq!(reader.position(), 4);
        let raw = reader.skip().unwrap();
        assert_eq!((raw.kind(), raw.bytes()), (kind, json.as_bytes()));
        assert_eq!(reader.end(), Ok(()));
    }
}

#[test]
fn says_which_kind_it_found_instead() {
    let wrong = |wanted, found| Error { problem: Problem::WrongKind { wanted, found }, offset: 1 };
    assert_eq!(Reader::new(b" 1").string(), Err(wrong(Kind::String, Kind::Number)));
    assert_eq!(Reader::new(b" []").boolean(), Err(wrong(Kind::Boolean, Kind::Array)));
    assert_eq!(wrong(Kind::Object, Kind::Null).to_string(), "expected object, found null at byte 1");
}

#[test]
fn reads_booleans() {
    assert_eq!(Reader::new(b"true").boolean(), Ok(true));
    assert_eq!(Reader::new(b" false").boolean(), Ok(false));
    assert_eq!(Reader::new(b"tru").boolean(), error(Problem::NoValue, 0));
}

#[test]
fn refuses_what_starts_no_value() {
    assert_eq!(Reader::new(b" nil").skip(), error(Problem::NoValue, 1));
    assert_eq!(Reader::new(b"}").skip(), error(Problem::NoValue, 0));
    assert_eq!(Reader::new(b"\xef\xbb\xbf{}").skip(), error(Problem::NoValue, 0));
    assert_eq!(Reader::new(b"  ").skip(), error(Problem::Cut, 2));
}

#[test]
fn wants_nothing_but_white_space_at_the_end() {
    let mut reader = Reader::new(b"{} \n ,");
    reader.skip().unwrap();
    assert_eq!(reader.end(), error(Problem::Trailing, 5));
}

// === objects and arrays ===

/// Reads everything there is to read, without skipping it first.
pub(super) fn read(reader: &mut Reader<'_>) -> Result<(), Error> {
    match reader.kind()? {
        Kind::Null | Kind::Number => reader.skip().map(|_| ()),
        Kind::Boolean => reader.boolean().map(|_| ()),
        Kind::String => reader.string().map(|_| ()),
        Kind::Array => reader.array(read),
        Kind::Object => reader.object(|_, reader| read(reader)),
    }
}

#[test]
fn hands_out_a_repeated_member_twice() {
    let mut members = Vec::new();
    let mut reader = Reader::new(br#"{ "a" : 1 , "\u0061":[ 2 ] }"#);
    reader
        .object(|name, reader| {
            members.push((name.into_owned(), reader.skip()?.bytes().to_owned()));
            Ok::<_, Error>(())
        })
        .unwrap();
    assert_eq!(members, [("a".to_owned(), b"1".to_vec()), ("a".to_owned(), b"[ 2 ]".to_vec())]);
}

#[test]
fn passes_the_error_of_a_member_on() {
    let outcome = Reader::new(b"[{\"a\":1}]")
        .array(|reader| reader.object(|name, _| Err(anyhow::anyhow!("no {name}"))));
    assert_eq!(outcome.unwrap_err().to_string(), "no a");
}

#[test]
fn checks_the_structure_of_what_it_reads() {
    let wrong = [
        ("[1 2]", Problem::Expected("`,` or `]`"), 3),
        ("[1}", Problem::Expected("`,` or `]`"), 2),
        ("[1,]", Problem::NoValue, 3),
        ("[,1]", Problem::NoValue, 1),
        ("[", Problem::Cut, 1),
        (r#"{"a" 1}"#, Problem::Expected("`:`"), 5),
        (r#"{"a":1 "b":2}"#, Problem::Expected("`,` or `}`"), 7),
        (r#"{"a":1]"#, Problem::Expected("`,` or `}`"), 6),
        (r#"{"a":1,}"#, Problem::Expected("a member's name"), 7),
        ("{a:1}", Problem::Expected("a member's name"), 1),
        (r#"{"a":}"#, Problem::NoValue, 5),
        ("truely", Problem::Trailing, 4),
    ];
    for (json, problem, offset) in wrong {
        let mut reader = Reader::new(json.as_bytes());
        assert_eq!(read(&mut reader).and_then(|()| reader.end()), error(problem, offset), "{json}");
    }
}

#[test]
fn looks_only_at_the_structure_of_what_it_skips() {
    for json in [r#"{"a" "\x" nope 1e}"#, "[}", "{\"\u{1}\"]", "01-e"] {
        let mut reader = Reader::new(json.as_bytes());
        assert_eq!(reader.skip().map(Raw::bytes), Ok(json.as_bytes()));
    }
}

#[test]
fn a_raw_value_is_read_from_its_own_start() {
    let mut reader = Reader::new(br#"[ {"a": tru} ]"#);
    let mut inner = None;
    reader.array(|reader| reader.skip().map(|raw| inner = Some(raw))).unwrap();
    let mut inner = inner.unwrap().reader();
    assert_eq!(inner.object(|_, reader| reader.boolean().map(|_| ())), error(Problem::NoValue, 6));
}

#[test]
fn gives_the_text_of_what_it_reads() {
    let mut reader = Reader::new(br#" {"a": [1]} "#);
    let raw = reader.spanned(read).unwrap();
    assert_eq!((raw.kind(), raw.bytes()), (Kind::Object, br#"{"a": [1]}"#.as_slice()));
    assert_eq!(reader.end(), Ok(()));
}

#[test]
fn skips_any_depth_without_a_stack() {
    let deep = 1_000_000;
    let json = ["[".repeat(deep), "]".repeat(deep)].concat();
    assert_eq!(Reader::new(json.as_bytes()).skip().map(|raw| raw.bytes().len()), Ok(2 * deep));
    assert_eq!(Reader::new(&json.as_bytes()[..2 * deep - 1]).skip(), error(Problem::Cut, 2 * deep - 1));
}

#[test]
fn skips_any_number_of_backslashes() {
    for length in 0..300 {
        let json = format!("\"{}\"", "\\".repeat(length));
        let whole = length % 2 == 0;
        assert_eq!(Reader::new(json.as_bytes()).skip().is_ok(), whole, "{length}");
        let json = format!("[{json}]");
        assert_eq!(Reader::new(json.as_bytes()).skip().is_ok(), whole, "{length}");
    }
}
