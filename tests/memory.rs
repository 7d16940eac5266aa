//! Checks that the memory of one review is bounded by its body, whatever it contains: the pod's limit holds only if each
//! review's does.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]
#![allow(clippy::print_stdout, reason = "the figures are what one runs this test with --nocapture for")]
#![allow(clippy::cast_precision_loss, reason = "figures are read to two places")]

use std::time::Instant;

use chartgate::{
    admission::{self, Decision, Endpoint, Facts, Settings},
    webhook::body::MAX_REVIEW_BYTES,
};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Maximum memory of a review, its body included.
const TIMES: usize = 3;

/// Maximum memory besides: the messages of a denial, and the first entries of a long list.
const BESIDES: usize = 512 * 1024;

/// A review of a faulty update. `spec` and `metadata` are members, or nothing; the second ones are of the stored object.
fn update([spec, metadata]: [&str; 2], [old_spec, old_metadata]: [&str; 2]) -> String {
    let object = |spec: &str, metadata: &str| {
        format!(
            r#"{{"apiVersion":"helm.toolkit.fluxcd.io/v2","kind":"HelmRelease","metadata":{{"name":"app","namespace":"apps"{metadata}}},"spec":{{"interval":"1m"{spec}}}}}"#
        )
    };
    let (new, old) = (object(spec, metadata), object(old_spec, old_metadata));
    format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u","kind":{{"group":"helm.toolkit.fluxcd.io","version":"v2","kind":"HelmRelease"}},"name":"app","namespace":"apps","operation":"UPDATE","options":{{"fieldManager":"lens"}},"userInfo":{{"username":"nobody"}},"object":{new},"oldObject":{old}}}}}"#
    )
}

/// Parts with a comma between them.
fn repeated(times: usize, part: impl Fn(usize) -> String) -> String {
    (0..times).map(part).collect::<Vec<_>>().join(",")
}

/// Faulty, whatever else is there: a chartRef beside a chart.
const BOTH: &str = r#","chart":{"spec":{"chart":"a","sourceRef":{"kind":"HelmRepository","name":"a"}}},"chartRef":{"kind":"OCIRepository","name":"a"}"#;
const REFERENCE: &str = r#","chartRef":{"kind":"OCIRepository","name":"a"}"#;

/// Reviews of every shape that could cost more than its length, by name. They have about a quarter of the maximum length of the
/// webhook: enough for constant costs not to matter, and not too long for a debug build.
fn shapes() -> Vec<(&'static str, String)> {
    let same = |spec: &str| update([spec, r#","labels":{"a":"b"}"#], [spec, ""]);
    // Differs at its end, where all of it has been read.
    let differing = |spec: &str| update([&format!("{spec},\"z\":1"), ""], [spec, ""]);
    let metadata = |metadata: &str| update([BOTH, metadata], [BOTH, metadata]);
    let zeros = format!(r#"{BOTH},"values":{{"a":[{}]}}"#, repeated(400_000, |_| "0".into()));
    let objects = format!(r#"{BOTH},"values":{{"a":[{}]}}"#, repeated(100_000, |_| r#"{"a":0}"#.into()));
    let keys = repeated(65_000, |index| format!(r#""{index:06}":{}"#, index % 10));
    let backwards = repeated(65_000, |index| format!(r#""{:06}":{}"#, 64_999 - index, (64_999 - index) % 10));
    let in_chart = format!(r#","chart":{{"spec":{{{keys}}}}}{REFERENCE}"#);
    let leftover = format!(r#","chart":{{"spec":{{"version":"1"}}}}{REFERENCE}"#);
    let owned = format!(
        r#","managedFields":[{{"manager":"kubectl","operation":"Update","apiVersion":"helm.toolkit.fluxcd.io/v2","fieldsV1":{{"f:spec":{{"f:chart":{{"f:spec":{{{}}}}}}}}}}}]"#,
        repeated(62_000, |index| format!(r#""f:{index:06}":{{}}"#))
    );
    let nested =
        |depth: usize| format!(r#"{BOTH},"values":{}1{}"#, r#"{"a":"#.repeat(depth), "}".repeat(depth));
    let brackets = format!(r#"{BOTH},"values":{{"a":{}{}}}"#, "[".repeat(400_000), "]".repeat(400_000));
    let escapes = r"\n".repeat(400_000);
    let text = |escape: &str| format!(r#"{BOTH},"values":{{"a":"{}"}}"#, escape.repeat(200_000));
    let texts = format!(r#"{BOTH},"values":{{"a":"{escapes}"}}"#);
    let entry =
        r#"{"manager":"a","operation":"Update","apiVersion":"helm.toolkit.fluxcd.io/v1","fieldsV1":{}}"#;
    vec![
        ("an unchanged list of zeros", same(&zeros)),
        ("a changed list of zeros", differing(&zeros)),
        ("a list that changes at its end", update([&zeros, ""], [&zeros.replace("0]", "1]"), ""])),
        ("a list of objects", differing(&objects)),
        ("keys of spec.chart", differing(&in_chart)),
        ("owned fields", update([&leftover, &owned], [BOTH, &owned])),
        ("keys in order", differing(&format!(r#"{BOTH},"values":{{{keys}}}"#))),
        (
            "keys the other way round",
            update(
                [&format!(r#"{BOTH},"values":{{{keys}}}"#), ""],
                [&format!(r#"{BOTH},"values":{{{backwards}}}"#), ""],
            ),
        ),
        (
            "one key again and again",
            differing(&format!(r"{BOTH},{}", repeated(125_000, |_| r#""":0"#.into()))),
        ),
        ("objects in objects", differing(&nested(125_000))),
        ("lists in lists", differing(&brackets)),
        ("lists in lists, unchanged", same(&brackets)),
        ("escapes", differing(&texts)),
        ("escapes, written otherwise", update([&text(r"\n"), ""], [&text(r"\u000a"), ""])),
        (
            "a name of escapes",
            update(
                [&format!(r#","chartRef":{{"kind":"OCIRepository","name":"{escapes}"}}"#), ""],
                [BOTH, ""],
            ),
        ),
        (
            "annotations",
            metadata(&format!(
                r#","annotations":{{{}}}"#,
                repeated(75_000, |index| format!(r#""{index}":"""#))
            )),
        ),
        ("managers", metadata(&format!(r#","managedFields":[{}]"#, repeated(9_000, |_| entry.into())))),
        (
            "empty managers",
            metadata(&format!(r#","managedFields":[{}]"#, repeated(250_000, |_| "{}".into()))),
        ),
    ]
}

#[test]
fn a_review_takes_no_more_memory_than_three_times_its_body() {
    let mut worst = Vec::new();
    for (name, body) in shapes() {
        assert!(body.len() <= MAX_REVIEW_BYTES, "{name}: {}", body.len());
        for endpoint in [Endpoint::Mutate, Endpoint::Validate] {
            ALLOCATOR.reset_peak_usage();
            let before = ALLOCATOR.current_usage();
            let began = Instant::now();
            let answer =
                admission::review(body.as_bytes(), endpoint, &Settings::default(), &Facts::default());
            let (took, taken) = (began.elapsed(), ALLOCATOR.peak_usage() - before);
            let answer = answer.unwrap();
            let times = (body.len() + taken) as f64 / body.len() as f64;
            println!(
                "{name}, {endpoint:?}: {} bytes, {taken} more, {times:.2} times; {took:?}; {:?}, {} bytes",
                body.len(),
                answer.record.decision,
                answer.body.len()
            );
            assert_ne!(answer.record.decision, Decision::Skipped, "{name}");
            if body.len() + taken > TIMES * body.len() + BESIDES {
                worst.push(format!("{name}, {endpoint:?}: {times:.2} times"));
            }
        }
    }
    assert!(worst.is_empty(), "{worst:#?}");
}
