//! What the library's own tests say, and what a reader would not expect. `tests/flux.rs` asks the library itself.

use super::*;

fn evaluated<'t>(text: &'t str, variables: &[(&str, &str)]) -> Result<Evaluated<'t>, Error> {
    evaluate(text, &|name| {
        if name.starts_with("SECRET") {
            return Variable::Unknown;
        }
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map_or(Variable::Unset, |(_, value)| Variable::Known(value))
    })
}

fn text(text: &str, variables: &[(&str, &str)]) -> String {
    evaluated(text, variables).unwrap_or_else(|error| panic!("{text}: {error}")).text.into_owned()
}

/// The variables there are, a text, and what becomes of it.
type Row<'v> = (&'v [(&'static str, &'static str)], &'static str, &'static str);

#[test]
fn replaces_as_the_tests_of_the_library_have_it() {
    let abc = [("v", "abcdEFGH28ij")];
    let path = [("p", "/home/bozo/ideas/thoughts.for.today")];
    let twice = [("s", "abcABC123ABCabc")];
    let file = [("f", "bash.string.txt")];
    let foo = [("d", "foo")];
    let table: &[Row<'_>] = &[
        (&[], "abcdEFGH28ij", "abcdEFGH28ij"),
        (&abc, "${v}", "abcdEFGH28ij"),
        (&[], "a${v}b", "ab"),
        (&abc, "${#v}", "12"),
        (&abc, "${v^}", "AbcdEFGH28ij"),
        (&abc, "${v^^}", "ABCDEFGH28IJ"),
        (&[("v", "ABC")], "${v,}", "aBC"),
        (&[("v", "ABC")], "${v,,}", "abc"),
        (&path, "${p:11}", "ideas/thoughts.for.today"),
        (&path, "${p:11:5}", "ideas"),
        (&foo, "${d=xyz}", "foo"),
        (&[], "${d=xyz}", "xyz"),
        (&[], "${d:=xyz}", "xyz"),
        (&[], "${d:-xyz}", "xyz"),
        (&foo, "something ${var=${d}}", "something foo"),
        (&foo, "foo: ${var=prefix${d}-suffix}", "foo: prefixfoo-suffix"),
        (&twice, "${s/%abc/XYZ}", "abcABC123ABCXYZ"),
        (&twice, "${s/#abc/XYZ}", "XYZABC123ABCabc"),
        (&twice, "${s//abc/xyz}", "xyzABC123ABCxyz"),
        (&twice, "${s/abc/xyz}", "xyzABC123ABCabc"),
        (&file, "${f#*.}", "string.txt"),
        (&file, "${f##*.}", "txt"),
        (&file, "${f%.*}", "bash.string"),
        (&file, "${f%%.*}", "bash"),
        (&[("f", "/path/to/file")], "${f#*/} ${f##*/}", "path/to/file file"),
        (&abc, "${x=${v^^}}", "ABCDEFGH28IJ"),
        (&abc, "$${v}", "${v}"),
        (&abc, "some ${v}$${var$${v}$v${v}", "some abcdEFGH28ij${var${v}$vabcdEFGH28ij"),
        (&foo, "something $${var=${d}}", "something ${var=foo}"),
        (&[("s", "foo/bar/baz")], r"${s/\//-} ${s//\//-}", "foo-bar/baz foo-bar-baz"),
        (&foo, r"\\something ${var=${d}}", r"\\something foo"),
        (&[("s", "foo.bar")], "${s/./}", "foobar"),
    ];
    for (variables, from, to) in table {
        assert_eq!(text(from, variables), *to, "{from}");
    }
}

#[test]
fn is_no_shell() {
    // Any operator with a colon means a default, and an empty value is none.
    assert_eq!(text("${a:+b} ${a:?c} ${e:-d}", &[("e", "")]), "b c d");
    assert_eq!(text("$a $(b) $", &[("a", "1")]), "$a $(b) $");
    assert_eq!(text("${v: -3} ${#v}", &[("v", "äb")]), "äb 3");
    for (from, error) in [
        ("${a-b}", Error::MissingClosingBrace),
        ("${a", Error::MissingClosingBrace),
        ("${}", Error::NoName),
        ("${1[@]}", Error::MissingClosingBrace),
        ("${!a}", Error::NoName),
        ("${a:=", Error::BadArgument),
        ("${a:}", Error::BadArgument),
        ("${a#x${b}}", Error::BadSubstitution),
        ("${v:1:1}", Error::BadSubstring),
    ] {
        assert_eq!(evaluated(from, &[("v", "äb")]), Err(error), "{from}");
    }
}

#[test]
fn what_depends_on_the_unknown_stays_as_it_is_written() {
    for (from, to) in [
        ("${SECRET_A}", "${SECRET_A}"),
        ("a ${v} ${SECRET_A:=b} $${c}", "a 1 ${SECRET_A:=b} ${c}"),
        ("${x:=${SECRET_A}-b}", "${SECRET_A}-b"),
        ("${v#${SECRET_A}}", "${v#${SECRET_A}}"),
    ] {
        let found = evaluated(from, &[("v", "1")]).unwrap();
        assert_eq!((&*found.text, found.is_opaque), (to, true), "{from}");
    }
    assert!(!evaluated("${v:=${SECRET_A}}", &[("v", "1")]).unwrap().is_opaque);
}

#[test]
fn a_pattern_is_a_shells_but_for_slashes() {
    let cut = |pattern: &str| text(&format!("${{v#{pattern}}}"), &[("v", "a/b-c")]);
    for (pattern, left) in [
        ("?", "/b-c"),
        ("[a-c]?", "b-c"),
        ("[^b]*[b-x]", "-c"),
        ("[a-", "a/b-c"),
        ("*c", ""),
        ("\\a", "/b-c"),
        ("b", "a/b-c"),
        ("[a", "a/b-c"),
        ("[]", "a/b-c"),
    ] {
        assert_eq!(cut(pattern), left, "{pattern}");
    }
}

#[test]
fn what_is_nested_too_deep_is_an_error_and_no_overflow_of_the_stack() {
    let nested = |depth: usize| format!("{}x{}", "${A:-".repeat(depth), "}".repeat(depth));
    assert_eq!(text(&nested(MAX_DEPTH), &[]), "x");
    for depth in [MAX_DEPTH + 1, 20_000] {
        assert_eq!(evaluated(&nested(depth), &[]), Err(Error::TooDeep), "{depth}");
        assert_eq!(evaluated(&"${A/".repeat(depth), &[]), Err(Error::TooDeep), "{depth}");
    }
    // Beside one another they are as many as you like.
    assert_eq!(text(&"${A:-x}".repeat(20_000), &[]).len(), 20_000);
}
