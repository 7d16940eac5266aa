//! What is left of the definitions of custom resources, which are longer than all else in many a repository, and of which only the names matter.

use memchr::{memchr_iter, memmem};

/// The line that says so.
const DEFINITION: &[u8] = b"\nkind: CustomResourceDefinition\n";

/// A text without what the definitions in it say: the lines below their `spec` and `status` are empty, so that all others stay where they are. `None`
/// where there is none, or nothing says where these lines end.
pub fn outline(text: &str) -> Option<String> {
    // Most hold none, which takes a small part of the time of looking at each byte.
    memmem::find(text.as_bytes(), DEFINITION)?;
    if has_controls(text.as_bytes()) {
        return None;
    }
    let mut left = String::with_capacity(text.len() / 4);
    let mut rest = text;
    while !rest.is_empty() {
        let end = memmem::find(rest.as_bytes(), b"\n---\n").map_or(rest.len(), |at| at + 1);
        let (document, behind) = rest.split_at(end);
        add(document, &mut left);
        // The line between two documents is a part of the one behind it.
        let marker = behind.len().min("---\n".len());
        left.push_str(&behind[..marker]);
        rest = &behind[marker..];
    }
    left.shrink_to_fit();
    Some(left)
}

/// Whether there is a control besides line feeds.
fn has_controls(bytes: &[u8]) -> bool {
    // Without an early end within a block, many bytes are compared at once.
    let is_control = |byte: &u8| *byte < b' ' && *byte != b'\n';
    bytes.chunks(256).any(|block| block.iter().fold(false, |found, byte| found | is_control(byte)))
}

/// Adds what is left of a document: all of it where it is none of a definition, or something may look into it, an alias or a variable.
fn add(document: &str, left: &mut String) {
    if memmem::find(document.as_bytes(), DEFINITION).is_none() {
        left.push_str(document);
        return;
    }
    let start = left.len();
    let mut is_below = false;
    let ends = memchr_iter(b'\n', document.as_bytes()).map(|at| at + 1);
    let mut from = 0;
    for to in ends.chain((!document.ends_with('\n')).then_some(document.len())) {
        let line = &document[std::mem::replace(&mut from, to)..to];
        let belongs = line.starts_with([' ', '\n', '#']) || line.starts_with("- ");
        if !belongs {
            is_below = matches!(line, "spec:\n" | "status:\n");
            if is_below {
                left.push_str(&line[..line.len() - 1]);
                left.push_str(" {}\n");
                continue;
            }
        }
        left.push_str(if is_below { "\n" } else { line });
    }
    let is_alias = |at: usize| left.as_bytes().get(at + 1).is_some_and(u8::is_ascii_alphanumeric);
    let has_alias = memchr_iter(b'*', &left.as_bytes()[start..]).any(|at| is_alias(start + at));
    if has_alias || memmem::find(document.as_bytes(), b"${").is_some() {
        left.truncate(start);
        left.push_str(document);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_definition_the_names_stay_at_their_lines() {
        let text = "---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: a\nspec:\n  group: b\n# c\n  \
                    names:\n  - x\n---\nkind: Service\nspec:\n- 1\nmetadata: {name: d}\n";
        let left = outline(text).unwrap();
        assert_eq!(
            left,
            "---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: a\nspec: {}\n\n\n\n\n---\n\
             kind: Service\nspec:\n- 1\nmetadata: {name: d}\n"
        );
    }

    #[test]
    fn what_others_may_need_stays() {
        let definition = "\nkind: CustomResourceDefinition\nspec:\n  a: b\n";
        let outlined = "\nkind: CustomResourceDefinition\nspec: {}\n\n";
        assert_eq!(outline(definition).as_deref(), Some(outlined));
        assert_eq!(outline("kind: Service\nspec:\n  a: b\n"), None);
        assert_eq!(outline(&format!("{definition}\tc: d\n")), None);
        for more in ["metadata: *a\n", "  c: ${D}\n"] {
            let text = format!("{definition}{more}---\n{definition}");
            assert_eq!(outline(&text), Some(format!("{definition}{more}---\n{outlined}")), "{more}");
        }
    }
}
