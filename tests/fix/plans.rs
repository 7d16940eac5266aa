//! Many fixes at once.

use chartgate::preflight::fix::{Fix, Plan, Refused, edits, plan};
use chartgate::report::Edit;
use chartgate::yaml::{Span, documents};

use crate::{Files, operations, release};

const TEXT: &str = "kind: HelmRelease\nspec:\n  chartRef:\n    kind: ocirepository\n    name: x\n";

fn fix(name: &str, text: &str, json: &str) -> Fix {
    let edits = edits(&release(text), &operations(json), &Files::one(text)).expect("it can be done");
    Fix { name: name.to_owned(), edits, ..Fix::default() }
}

fn set(key: &str, value: &str) -> String {
    format!(r#"[{{"op":"add","path":"/spec/chartRef/{key}","value":"{value}"}}]"#)
}

#[test]
fn what_ten_overlays_ask_for_is_done_once() {
    let fixes: Vec<_> =
        (0..10).map(|number| fix(&format!("overlay {number}"), TEXT, &set("kind", "HelmChart"))).collect();
    let Plan { files, refused } = plan(&fixes, &Files::one(TEXT));
    assert_eq!(refused, []);
    assert_eq!((files.len(), files[0].edits.len()), (1, 1));
    assert_eq!(files[0].text, TEXT.replace("ocirepository", "HelmChart"));
}

#[test]
fn several_fixes_of_a_file_are_done_together() {
    let fixes = [
        fix("one", TEXT, &set("kind", "HelmChart")),
        fix("two", TEXT, &set("name", "yy")),
        fix("three", TEXT, &set("namespace", "z")),
    ];
    let Plan { files, refused } = plan(&fixes, &Files::one(TEXT));
    assert_eq!(refused, []);
    assert_eq!(
        files[0].text,
        TEXT.replace("ocirepository", "HelmChart").replace("name: x", "name: yy\n    namespace: z")
    );
}

#[test]
fn of_fixes_that_contradict_each_other_none_is_done() {
    let fixes = [
        fix("one", TEXT, &set("kind", "HelmChart")),
        fix("other", TEXT, &set("kind", "OCIRepository")),
        fix("third", TEXT, &set("name", "yy")),
    ];
    let Plan { files, refused } = plan(&fixes, &Files::one(TEXT));
    let reason = "one and other would change the same place of a.yaml differently".to_owned();
    assert_eq!(refused, [Refused { fix: 0, reason: reason.clone() }, Refused { fix: 1, reason }]);
    assert_eq!(files[0].text, TEXT.replace("name: x", "name: yy"));
}

#[test]
fn a_fix_of_two_files_is_done_in_both_or_in_none() {
    let files = Files(vec![("a.yaml", TEXT.to_owned()), ("b.yaml", TEXT.to_owned())]);
    let in_file = |file: u32, value: &str| {
        let object = documents(&files.0[file as usize].1, file).remove(0).expect("it is YAML");
        edits(&object, &operations(&set("kind", value)), &files).expect("it can be done")
    };
    let both = Fix {
        name: "both".to_owned(),
        edits: [in_file(0, "HelmChart"), in_file(1, "HelmChart")].concat(),
        ..Fix::default()
    };
    let done = plan(std::slice::from_ref(&both), &files);
    assert_eq!((done.files.len(), done.refused), (2, vec![]));
    let other = Fix { name: "other".to_owned(), edits: in_file(1, "ExternalArtifact"), ..Fix::default() };
    let done = plan(&[both, other], &files);
    assert_eq!((done.files.len(), done.refused.len()), (0, 2));
}

/// Edits from elsewhere, which are right each for itself and not together, or not at all.
#[test]
fn what_does_not_add_up_is_refused() {
    let text = "a: 1\nb: 2\n";
    let edit = |start, end, text: &str| Edit { span: Span::new(0, start, end), text: text.to_owned() };
    for edits in [[edit(3, 4, "2"), edit(4, 5, " ")], [edit(0, 1, "c"), edit(5, 6, "c")]] {
        let fixes = edits.map(|edit| Fix { name: "one".to_owned(), edits: vec![edit], ..Fix::default() });
        let Plan { files, refused } = plan(&fixes, &Files::one(text));
        assert_eq!(files, []);
        assert_eq!(refused[0].reason, "together, the fixes of a.yaml would change more than is meant");
        assert_eq!(refused.len(), 2);
    }
}
