//! What is written without quotes, as Kubernetes reads it.

use chartgate::yaml;

use super::oracle::Oracle;
use crate::oracle::difference;

/// Scalars that somebody may take for something else than the API machinery does.
const SCALARS: &[&str] = &[
    "y",
    "n",
    "Y",
    "N",
    "yes",
    "no",
    "Yes",
    "NO",
    "yEs",
    "on",
    "off",
    "On",
    "OFF",
    "oN",
    "true",
    "True",
    "TRUE",
    "tRue",
    "false",
    "False",
    "t",
    "f",
    "~",
    "null",
    "Null",
    "NULL",
    "nULL",
    "nil",
    "none",
    "",
    "0",
    "-0",
    "+0",
    "7",
    "-7",
    "+7",
    "010",
    "-010",
    "+010",
    "08",
    "09.5",
    "0o10",
    "0O10",
    "-0o10",
    "0o8",
    "0x1F",
    "0X1f",
    "-0x1F",
    "+0x1F",
    "0xg",
    "0x",
    "0b11",
    "0B11",
    "-0b11",
    "0b2",
    "0b",
    "1_000",
    "1__000",
    "1_",
    "_1",
    "0x_1F",
    "0_10",
    "1_0.5",
    ".5",
    "-.5",
    "+.5",
    "5.",
    "-5.",
    ".",
    "-",
    "+",
    "..",
    "._5",
    ".5_0",
    ".5_",
    ".5__0",
    "1e3",
    "1E3",
    "1e+3",
    "1e-3",
    "1e",
    "e3",
    "1.e3",
    ".5e1",
    ".e1",
    "1e400",
    "-1e400",
    "1.2.3",
    "1.10",
    "1.0",
    "0.0",
    "1:30",
    "1:30:00",
    "2024-01-31",
    "2024-01-31T00:00:00Z",
    "2024-02-30",
    "01-02-03",
    "12e",
    "12x",
    "v1",
    "18446744073709551615",
    "18446744073709551616",
    "9223372036854775808",
    "-9223372036854775808",
    "0.1e-7",
    "1-2",
    "1+2",
    "0x1.8p1",
    "1f",
    "Infinity",
    "NaN",
    "inf",
    "=",
    "<",
    "0o",
    "00",
    "007",
    "0.10",
    "-00.5",
    "1,000",
];

#[test]
fn what_is_written_without_quotes_is_read_as_kubernetes_does() {
    let Some(mut oracle) = Oracle::find() else { return };
    let mut wrong = Vec::new();
    for scalar in SCALARS {
        let text = format!("a: {scalar}\nb: [{scalar}]\n");
        let theirs = oracle.read(&text);
        let ours = yaml::documents(&text, 0).remove(0).map(|node| node.to_json()).map_err(|it| it.message);
        let difference = match (&ours, &theirs) {
            (Ok(ours), Ok(theirs)) => difference(ours, theirs, ""),
            (Err(_), Err(_)) => None,
            _ => Some(format!("{ours:?} here, {theirs:?} there")),
        };
        wrong.extend(difference.map(|difference| format!("{scalar}: {difference}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // JSON has no word for these, and the API machinery refuses the whole document.
    for scalar in [".inf", "-.Inf", "+.INF", ".nan", ".NaN"] {
        assert!(
            oracle.read(&format!("a: {scalar}\n")).unwrap_err().contains("unsupported value"),
            "{scalar}"
        );
    }
    assert_eq!(oracle.read("a: -.nan\n").unwrap()["a"], "-.nan");
}
