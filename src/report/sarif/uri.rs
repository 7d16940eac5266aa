//! Paths as SARIF has them: URIs, relative to a root that whoever reads the log knows.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::report::place::file_name;

/// The name of that root, which is the one that code scanning knows, too.
pub(super) const ROOT: &str = "%SRCROOT%";

/// Where a file is. Only what lies below the root is said to be relative to it.
pub(super) fn artifact_location(path: &str) -> Value {
    if path.starts_with('/') {
        return json!({ "uri": format!("file://{}", encoded(path)) });
    }
    json!({ "uri": encoded(file_name(path)), "uriBaseId": ROOT })
}

/// A path with all but the unreserved characters of RFC 3986 percent-encoded. A colon too: before the first slash it
/// would end a scheme.
fn encoded(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(byte));
            }
            other => {
                let _ = write!(uri, "%{other:02X}");
            }
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_what_a_uri_does_not_hold() {
        assert_eq!(encoded("apps/a b#c?d%e:f.yaml"), "apps/a%20b%23c%3Fd%25e%3Af.yaml");
        assert_eq!(encoded("zürich/\u{1b}\n"), "z%C3%BCrich/%1B%0A");
    }

    #[test]
    fn says_what_a_path_is_relative_to() {
        assert_eq!(artifact_location("./a.yaml"), json!({ "uri": "a.yaml", "uriBaseId": "%SRCROOT%" }));
        assert_eq!(artifact_location("/tmp/a.yaml"), json!({ "uri": "file:///tmp/a.yaml" }));
    }
}
