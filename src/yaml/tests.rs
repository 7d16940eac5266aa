//! What Kubernetes makes of YAML, and where it stands.

use super::*;
use crate::json::Kind;

fn json_of(node: &Node<'_>) -> String {
    let mut json = Vec::new();
    node.write_json(&mut json);
    String::from_utf8(json).unwrap()
}

/// The documents as JSON, or line, column and what is wrong.
fn read(text: &str) -> Vec<String> {
    let lines = Lines::of(text);
    let all = documents(text, 0).into_iter();
    all.map(|document| match document {
        Ok(node) => json_of(&node),
        Err(error) => format!("{}: {error}", lines.position(error.offset)),
    })
    .collect()
}

fn one(text: &str) -> Node<'_> {
    documents(text, 7).remove(0).unwrap()
}

#[test]
fn reads_what_kubernetes_reads() {
    let text = "a: 1\nb: [x, 'y', \"z\\n\"]\nc: |\n  two\n  lines\nd:\ne: ~\nf: yes\ng: '5'\nh: 1.10\ni: [y, N, y1]\n";
    let json = r#"{"a":1,"b":["x","y","z\n"],"c":"two\nlines\n","d":null,"e":null,"f":true,"g":"5","h":1.10,"i":[true,false,"y1"]}"#;
    assert_eq!(read(text), [json]);
}

#[test]
fn numbers_become_numbers_that_json_has() {
    let text = "[0x1F, 0o17, 010, 08, .5, 1., -.5e3, +3, 1e400, 1.2.3, 1_000, 0b11, e5, v2]";
    let json = r#"[31,15,8,8.0,0.5,1.0,-500.0,3,"1e400","1.2.3",1000,3,"e5","v2"]"#;
    assert_eq!(read(text), [json]);
    for (count, kind) in [(308, Kind::Number), (309, Kind::String)] {
        assert_eq!(one(&"9".repeat(count)).kind(), kind, "{count}");
    }
    let kinds: Vec<_> = one("[1.5, 1.2.3, !!str 5, !!int '5']").items().iter().map(Node::kind).collect();
    assert_eq!(kinds, [Kind::Number, Kind::String, Kind::String, Kind::Number]);
}

#[test]
fn what_kubectl_and_kustomize_drop_is_an_error_and_what_is_before_it_is_read() {
    let dropped = "content behind the end of a document: kubectl and kustomize drop it up to the next ---; put --- before it";
    assert_eq!(
        read("a: 1\n...\nb: 2\n---\nc: 3\n"),
        [r#"{"a":1}"#.to_owned(), format!("3:1: {dropped}"), r#"{"c":3}"#.to_owned()]
    );
    assert_eq!(read("{a: 1}\nb: 2\n"), [r#"{"a":1}"#.to_owned(), format!("2:1: {dropped}")]);
    assert_eq!(read("a: 1\n...\n"), [r#"{"a":1}"#]);
}

#[test]
fn follows_aliases_and_redefined_anchors() {
    assert_eq!(read("a: &x 1\nb: *x\nc: &x 2\nd: *x\n"), [r#"{"a":1,"b":1,"c":2,"d":2}"#]);
}

#[test]
fn merges_maps_and_lets_what_is_said_here_count() {
    let text = "base: &base {a: 1, b: 1}\nmore: &more {b: 2, c: 2}\nall:\n  <<: [*base, *more]\n  a: 0\n";
    assert_eq!(read(text), [r#"{"base":{"a":1,"b":1},"more":{"b":2,"c":2},"all":{"a":0,"b":1,"c":2}}"#]);
}

#[test]
fn reads_documents_each_for_itself() {
    let text = "---\na: 1\n---\n# nothing\n---\n{b\n---\nc: 3\n...\n---\nd: 4";
    let read = read(text);
    assert_eq!((read.len(), &*read[0], &*read[2], &*read[3]), (4, r#"{"a":1}"#, r#"{"c":3}"#, r#"{"d":4}"#));
    assert!(read[1] == "6:1: unclosed bracket '{'", "{}", read[1]);
}

#[test]
fn reads_windows_files_and_json() {
    assert_eq!(read("\u{feff}a: 1\r\nb:\r\n  - x\r\n"), [r#"{"a":1,"b":["x"]}"#]);
    assert_eq!(read("{\n\t\"a\": [1, \"\\u00e4\"],\n\t\"b\": {}\n}\n"), [r#"{"a":[1,"ä"],"b":{}}"#]);
}

#[test]
fn a_block_at_the_end_of_a_text_without_a_line_end_has_none() {
    for (text, json) in [
        ("a: |\n  x\n  y", r#"{"a":"x\ny"}"#),
        ("a: >\n  x\n  y", r#"{"a":"x y"}"#),
        ("a: |\n  x\n", r#"{"a":"x\n"}"#),
        ("a: |+\n  x\n\n", r#"{"a":"x\n\n"}"#),
        ("a: |\n  x\n# end", r#"{"a":"x\n"}"#),
        ("a: |\n  x\nb: 1", r#"{"a":"x\n","b":1}"#),
    ] {
        assert_eq!(read(text), [json], "{text:?}");
    }
}

#[test]
fn says_where_and_what_is_wrong() {
    for (text, said) in [
        ("a: 1\nb: 2\na: 3\n", "3:1: the key \"a\" is there already, on line 1"),
        ("a: 1\n\tb: 1\n", "2:1: a tab in the indentation; YAML takes spaces"),
        ("a:\n\tb: 1\n", "2:1: a tab in the indentation; YAML takes spaces"),
        ("a: 1\n<<<<<<< HEAD\nb: 2\n=======\nb: 3\n>>>>>>> main\n", "2:1: a conflict that git left open"),
        ("? [a]\n: 1\n", "1:3: a key that is a list or a map; Kubernetes takes texts only"),
        (
            "a: &a {}\nb:\n  <<: *a\n  <<: *a\n",
            "4:3: a second merge key (<<) in one map, after that on line 1",
        ),
        ("a:\n  <<: 5\n", "2:7: a merge key (<<) that is given no map"),
        ("a: &a [*a]\n", "1:8: an alias to a value that holds it"),
        ("'<<': 1\n", "1:1: the key << in quotes, which kustomize takes for a merge key all the same"),
        ("a:\n  1: x\n", "2:3: the key 1 is no text; kustomize refuses it: put it in quotes"),
        ("a: .inf\n", "1:4: the number .inf, for which JSON has no word; kubectl and kustomize refuse it"),
        (
            "# moved\u{2028}  chart: {}\n",
            "1:8: a hidden line end (U+2028): for kubectl and kustomize a line of its own follows it; take it out",
        ),
        (
            "a: [http://x?y]\n",
            "1:13: a ? in \"http://x?y\", in braces or brackets: kubectl and kustomize refuse it; put it in quotes",
        ),
        (
            "a: &app.x 1\n",
            "1:4: the anchor &app.x: kubectl and kustomize take letters from a to z, digits, - and _ in its name",
        ),
        ("a: \"x\\/y\"\n", "1:6: the escape \\/: kustomize takes no such one; write / alone"),
        ("%YAML 1.1\n---\na: 1\n", "1:1: a directive (%): kubectl and kustomize stop at it; take it out"),
        (
            "a: !!bool yes\n",
            "1:11: the tag !!bool before \"yes\": kubectl and kustomize refuse it, or read another value",
        ),
    ] {
        assert_eq!(read(text), [said], "{text}");
    }
}

#[test]
fn a_key_that_is_there_twice_is_found_among_many() {
    let mut keys: Vec<_> = (0..100).map(|number| format!("k{number}: 1\n")).collect();
    keys.push("k40: 2\n".to_owned());
    assert_eq!(read(&keys.concat()), ["101:1: the key \"k40\" is there already, on line 41"]);
}

#[test]
fn in_a_kustomization_file_the_last_of_two_counts() {
    let reading = Reading { twice: Twice::LastWins, ..Reading::default() };
    let many = (0..50).map(|number| format!("k{number}: 1\n")).collect::<Vec<_>>().concat();
    for (text, json) in [
        ("a: 1\nb: {c: 1, c: 2}\na: 3\n".to_owned(), r#"{"a":3,"b":{"c":2}}"#.to_owned()),
        (format!("{many}k40: 2\n"), String::new()),
    ] {
        let root = documents_as(&text, 0, reading).remove(0).unwrap();
        let mut written = Vec::new();
        root.write_json(&mut written);
        let written = String::from_utf8(written).unwrap();
        assert!(if json.is_empty() { written.contains("\"k40\":2") } else { written == json }, "{written}");
    }
}

#[test]
fn what_go_yaml_spells_otherwise_is_read_and_stays_at_its_place() {
    let text =
        "a: &app x\nb:\n  *app: {c: *app, *app : 1}\n  d: '*app:'\n---\n\u{feff}e: *\n---\n\u{feff}f: g\n";
    let read = documents(text, 0);
    let first = read[0].as_ref().unwrap();
    let mut json = Vec::new();
    first.write_json(&mut json);
    assert_eq!(String::from_utf8(json).unwrap(), r#"{"a":"x","b":{"x":{"c":"x","x":1},"d":"*app:"}}"#);
    let quoted = first.at(&["b", "d"]).unwrap();
    assert_eq!(&text[quoted.at.range()], "'*app:'");
    let error = read[1].as_ref().unwrap_err();
    assert_eq!(&text[error.offset..][..1], "*");
    let last = read.last().unwrap().as_ref().unwrap().get("f").unwrap();
    assert_eq!(&text[last.at.range()], "g");
}

#[test]
fn aliases_that_explode_are_refused() {
    let deep = |inner: &str| format!("{}{inner}{}", "[".repeat(200), "]".repeat(200));
    let wide = |inner: &str| format!("[{}]", [inner; 10].join(", "));
    let grown = |grow: &dyn Fn(&str) -> String| {
        let levels =
            (1..9).map(|level| format!("a{level}: &a{level} {}\n", grow(&format!("*a{}", level - 1))));
        format!("a0: &a0 {}\n{}", grow("x"), levels.collect::<Vec<_>>().concat())
    };
    for text in [grown(&wide), grown(&deep)] {
        assert!(read(&text)[0].ends_with("aliases that expand to more than 4000000 values, or 1000 levels"));
    }
    assert!(read(&"[".repeat(100_000))[0].contains("1:256"), "{:?}", read(&"[".repeat(100_000)));
}

#[test]
fn every_key_and_value_knows_where_it_stands() {
    let text = "a: &x one\nb:\n  - 'two'\n  - {c: *x}\n\nd:\ne: |\n  text\n";
    let root = one(text);
    let slice = |span: Span| {
        assert_eq!(span.file(), 7);
        &text[span.range()]
    };
    assert_eq!(slice(root.get("a").unwrap().at), "one");
    let list = root.get("b").unwrap();
    assert_eq!(slice(list.at), "- 'two'\n  - {c: *x}");
    assert_eq!(slice(list.items()[0].at), "'two'");
    assert_eq!(slice(list.items()[1].at), "{c: *x}");
    assert_eq!(slice(list.items()[1].get("c").unwrap().at), "one");
    assert_eq!(slice(root.entry("d").unwrap().key.at), "d");
    assert_eq!(slice(root.get("d").unwrap().at), "");
    assert!(slice(root.get("e").unwrap().at).contains("text"));
}

#[test]
fn a_change_is_made_in_a_copy_and_remembers_what_it_replaced() {
    let base = one("spec: {chart: {version: 1}}");
    let patch = one("version: 2");
    let mut changed = base.clone();
    let entry = patch.entry("version").unwrap();
    changed
        .get_mut("spec")
        .and_then(|spec| spec.get_mut("chart"))
        .unwrap()
        .set(entry.key.clone(), entry.value.clone());
    assert_eq!(json_of(&base), r#"{"spec":{"chart":{"version":1}}}"#);
    assert_eq!(json_of(&changed), r#"{"spec":{"chart":{"version":2}}}"#);
    let version = changed.at(&["spec", "chart", "version"]).unwrap();
    assert_eq!(version.over.as_deref().unwrap().at, base.at(&["spec", "chart", "version"]).unwrap().at);
    assert_eq!(changed.remove("spec").unwrap().key.text, "spec");
}

#[test]
fn equal_is_what_says_the_same() {
    assert_eq!(one("{a: 1, b: 'x'}"), one("b: x\na: 1\n"));
    assert_ne!(one("a: 1"), one("a: '1'"));
    assert_eq!(one("a: ~"), one("a: null"));
}

#[test]
fn finds_comments_and_not_what_looks_like_one() {
    let text = "# one\na: '# no' # two\nb: |\n  # no\n";
    assert_eq!(comments(text), [(0, " one"), (16, " two")]);
}

/// Of a release, its chart alone.
const ASKED: Reading = Reading {
    asked: &[Asked { kind: "HelmRelease", field: "spec", keys: &["chart"] }],
    twice: Twice::Refused,
    only_names: false,
};

#[test]
fn what_nobody_asks_for_is_passed_over_and_nothing_else() {
    let text = "kind: HelmRelease\nspec:\n  chart: {spec: {chart: [x]}}\n  values: {a: [1, {b: 2}], c: &c 3}\n  interval: 1m\n  \
                list:\n  - [a]\nother: {values: {a: 1}}\n---\nkind: Other\nspec: {values: {a: 1}}\n";
    let documents: Vec<_> = documents_as(text, 0, ASKED).into_iter().map(Result::unwrap).collect();
    assert_eq!(
        json_of(&documents[0]),
        r#"{"kind":"HelmRelease","spec":{"chart":{"spec":{"chart":["x"]}},"values":{},"interval":"1m","list":[]},"other":{"values":{"a":1}}}"#
    );
    let [values, list] = ["values", "list"].map(|key| documents[0].at(&["spec", key]).unwrap());
    assert!(matches!(values.value, Value::Elided { is_map: true, .. }) && values.kind() == Kind::Object);
    assert!(matches!(list.value, Value::Elided { is_map: false, .. }) && list.kind() == Kind::Array);
    assert_eq!(&text[values.at.range()], "{a: [1, {b: 2}], c: &c 3}");
    assert_eq!(json_of(&documents[1]), r#"{"kind":"Other","spec":{"values":{"a":1}}}"#);
}

#[test]
fn values_that_something_else_refers_to_are_read() {
    let text = "kind: HelmRelease\nspec:\n  values: {version: &v 1.2.3}\n  chart: *v\n";
    let documents = documents_as(text, 0, ASKED);
    assert_eq!(
        json_of(documents[0].as_ref().unwrap()),
        r#"{"kind":"HelmRelease","spec":{"values":{"version":"1.2.3"},"chart":"1.2.3"}}"#
    );
}

#[test]
fn what_is_passed_over_has_to_be_yaml_all_the_same() {
    for (values, said) in [
        ("{a: 1, b: {c: 1, c: 2}}", "3:28: the key \"c\" is there already, on line 3"),
        ("{a: {{b}}}", "3:16: a key that is a list or a map; Kubernetes takes texts only"),
    ] {
        let text = format!("kind: HelmRelease\nspec:\n  values: {values}\n");
        let error = documents_as(&text, 0, ASKED).remove(0).unwrap_err();
        assert_eq!(format!("{}: {error}", Lines::of(&text).position(error.offset)), said);
    }
    let text =
        "kind: HelmRelease\nspec:\n  values:\n    a: &a {x: 1}\n    b: {<<: *a, y: [1, {x: 1}], *a : 1}\n";
    assert!(documents_as(text, 0, ASKED).remove(0).is_ok());
}
