//! `spec.postBuild`: kustomize-controller replaces variables in the text of each object that it prints.

use std::collections::BTreeMap;

use super::envsubst::{self, Error, Variable};
use super::printed::{self, Place, Style};
use crate::render::kustomize::TOO_MUCH;
use crate::render::{Note, Reason};
use crate::yaml::{Entry, Key, Leaf, Node, Role, Span, Str, Value};

/// The label or annotation by which an object wants to be left alone.
const SUBSTITUTE: &str = "kustomize.toolkit.fluxcd.io/substitute";

/// The variables of a Kustomization.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variables<'a> {
    /// Their values.
    pub known: BTreeMap<Str<'a>, Str<'a>>,
    /// Whether there may be more, from where nothing can be read here.
    pub may_be_more: bool,
    /// Whether texts are replaced even if there is no variable at all.
    pub always: bool,
    /// Whether one without a value is an error (`StrictPostBuildSubstitutions` of kustomize-controller 1.9, on by default).
    pub strict: bool,
}

/// An object in which variables are replaced.
struct Replacing<'r> {
    variables: &'r Variables<'r>,
    strict: bool,
    may_do: &'r dyn Fn(usize) -> bool,
    notes: &'r mut Vec<Note>,
}

/// What starts and what ends a part of a text that is filled in elsewhere: by Flux, by the Flux Operator, by Helm, or by SOPS.
const OPAQUE: [(&str, &str); 4] = [("${", "}"), ("<<", ">>"), ("{{", "}}"), ("ENC[", "]")];

/// Whether a text is not what the cluster will see, because a part of it is known there only. What such a text says cannot be judged.
pub fn is_opaque(text: &str) -> bool {
    is_one_of(text, &OPAQUE)
}

/// The same for a text in which Flux replaces no variables, so that `${…}` stands for itself.
pub fn is_opaque_literal(text: &str) -> bool {
    is_one_of(text, &OPAQUE[1..])
}

/// Whether a text has a variable of Flux, `${…}`.
pub fn has_variable(text: &str) -> bool {
    is_one_of(text, &OPAQUE[..1])
}

fn is_one_of(text: &str, opaque: &[(&str, &str)]) -> bool {
    // A name, which most of what is asked about is, has none of these.
    text.bytes().any(|byte| matches!(byte, b'$' | b'<' | b'{' | b'['))
        && opaque.iter().any(|(start, end)| text.find(start).is_some_and(|at| text[at..].contains(end)))
}

// === impl Variables ===

impl<'a> Variables<'a> {
    /// Whether anything is replaced.
    pub fn count(&self) -> bool {
        self.always || self.may_be_more || !self.known.is_empty()
    }

    /// Adds variables, over those that are there. A value is one line: Flux takes the line ends out.
    pub fn add(&mut self, entries: &[Entry<'a>]) {
        for Entry { key, value } in entries {
            let Some(scalar) = value.scalar() else { continue };
            let text = match &scalar.text {
                text if text.contains('\n') => Str::from(text.replace('\n', "")),
                text => text.clone(),
            };
            self.known.insert(key.text.clone(), text);
        }
    }

    fn get(&self, name: &str) -> Variable<'_> {
        match self.known.get(name) {
            Some(value) => Variable::Known(value),
            None if self.may_be_more => Variable::Unknown,
            None => Variable::Unset,
        }
    }

    /// Whether variables are replaced in an object, which may ask to be left alone.
    pub fn are_replaced_in(&self, object: &Node<'_>) -> bool {
        let is_disabled = ["labels", "annotations"]
            .iter()
            .any(|field| object.text_of(&["metadata", field, SUBSTITUTE]) == Some("disabled"));
        self.count() && !is_disabled
    }

    /// Replaces the variables in an object. Every value stays where it stands. `may_do` is asked whether so much more may be done, in thousands of
    /// bytes and characters.
    pub fn substitute<'n>(
        &self,
        object: &Node<'n>,
        may_do: &dyn Fn(usize) -> bool,
        notes: &mut Vec<Note>,
    ) -> Node<'n> {
        if !self.are_replaced_in(object) {
            return object.clone();
        }
        // The descriptions in the definitions of Flux up to 2.8 hold variables. Those of 2.9, which come with the controller that would refuse
        // them, ask to be left alone.
        let strict = self.strict && !is_definition_of_flux(object);
        let mut replacing = Replacing { variables: self, strict, may_do, notes };
        replacing.node(object, Place::Value).unwrap_or_else(|| object.clone())
    }
}

// === impl Replacing ===

impl Replacing<'_> {
    fn leaf(&mut self, Leaf { role, text, at }: &Leaf<'_>) {
        let place = match role {
            Role::Key => {
                self.key(&Key { text: text.clone(), at: *at });
                return;
            }
            Role::Value => Place::Value,
            Role::Item => Place::Item,
        };
        self.scalar(&Node::text_at(text.clone(), *at), text, place);
    }

    /// What a value becomes; nothing if it stays as it is.
    fn node<'n>(&mut self, node: &Node<'n>, place: Place) -> Option<Node<'n>> {
        match &node.value {
            Value::Scalar(scalar) => self.scalar(node, &scalar.text, place),
            Value::Sequence(items) => {
                let mut changed = None;
                for (index, item) in items.iter().enumerate() {
                    if let Some(new) = self.node(item, Place::Item) {
                        changed.get_or_insert_with(|| node.clone()).items_mut()[index] = new;
                    }
                }
                changed
            }
            Value::Mapping(entries) => {
                let mut changed = None;
                for (index, Entry { key, value }) in entries.iter().enumerate() {
                    let new_key = self.key(key);
                    let new_value = self.node(value, Place::Value);
                    if new_key.is_some() || new_value.is_some() {
                        let entry = &mut changed.get_or_insert_with(|| node.clone()).entries_mut()[index];
                        entry.key = new_key.unwrap_or_else(|| key.clone());
                        entry.value = new_value.unwrap_or_else(|| value.clone());
                    }
                }
                changed
            }
            Value::Elided { leaves, .. } => {
                // Nobody looks at what becomes of it, but one text that cannot be replaced is the end of all.
                leaves.iter().flat_map(|leaves| leaves.iter()).for_each(|leaf| self.leaf(leaf));
                None
            }
        }
    }

    fn scalar<'n>(&mut self, node: &Node<'n>, text: &str, place: Place) -> Option<Node<'n>> {
        let (new, is_opaque) = self.text(text, node.at)?;
        let style = printed::style(text, place);
        let stays_text = match style {
            Style::Plain | Style::Double => false,
            Style::Single => !text.contains('\'') && !new.contains('\''),
            Style::Literal => !printed::is_open_block(text),
        };
        let mut replaced = if is_opaque || stays_text {
            Node::text_at(new, node.at)
        } else {
            let written = self.written(text, style, new);
            printed::read(&written, place, node.at).unwrap_or_else(|| {
                let message = format!("{text:?} becomes {written:?}, which is no YAML there");
                self.notes.push(Note::new(node.at, Reason::Refused, message));
                Node::text_at(written, node.at)
            })
        };
        replaced.over.clone_from(&node.over);
        Some(replaced)
    }

    fn key<'n>(&mut self, key: &Key<'n>) -> Option<Key<'n>> {
        let (new, is_opaque) = self.text(&key.text, key.at)?;
        let text = if is_opaque {
            new
        } else {
            let written = self.written(&key.text, printed::style(&key.text, Place::Key), new);
            printed::read_key(&written).unwrap_or_else(|| {
                let message = format!("{:?} becomes {written:?}, which is no key", key.text);
                self.notes.push(Note::new(key.at, Reason::Refused, message));
                written
            })
        };
        Some(Key { text: text.into(), at: key.at })
    }

    /// What a text is written as, once its variables are replaced in there; `plain` is what it becomes without any quotes.
    fn written(&self, text: &str, style: Style, plain: String) -> String {
        if style == Style::Plain {
            return plain;
        }
        let written = printed::written(text, style);
        match envsubst::evaluate(&written, &|name| self.variables.get(name)) {
            Ok(evaluated) => evaluated.text.into_owned(),
            Err(_) => plain,
        }
    }

    /// What a text becomes, and whether an unknown variable is left in it; nothing if it stays as it is.
    fn text(&mut self, text: &str, at: Span) -> Option<(String, bool)> {
        // Most texts have none, and to prepare a search takes longer than to look at a few characters.
        let is_there = match text.as_bytes() {
            short if short.len() <= 16 => short.contains(&b'$'),
            long => memchr::memchr(b'$', long).is_some(),
        };
        if !is_there {
            return None;
        }
        let evaluated = envsubst::evaluate(text, &|name| match self.variables.get(name) {
            Variable::Unset if self.strict => Variable::Missing,
            variable => variable,
        });
        match evaluated {
            // In thousands, and twice: what is read again is replaced once more in between.
            Ok(evaluated) if !(self.may_do)(evaluated.work / 500) => {
                self.notes.push(Note::new(at, Reason::TooMuch, TOO_MUCH));
                None
            }
            Ok(evaluated) => {
                (evaluated.text != text).then(|| (evaluated.text.into_owned(), evaluated.is_opaque))
            }
            Err(error @ (Error::TooDeep | Error::TooMuch)) => {
                let message = format!("variables are not replaced in it: {error}");
                self.notes.push(Note::new(at, Reason::TooMuch, message));
                None
            }
            Err(error @ Error::NotSet(_)) => {
                self.notes.push(Note::new(at, Reason::Refused, error.to_string()));
                None
            }
            Err(error) => {
                let message = format!("kustomize-controller refuses {:?}: {error}", shortened(text));
                self.notes.push(Note::new(at, Reason::Refused, message));
                None
            }
        }
    }
}

fn is_definition_of_flux(object: &Node<'_>) -> bool {
    let name = object.text_of(&["metadata", "name"]).unwrap_or_default();
    name.ends_with(".toolkit.fluxcd.io") && object.text_of(&["kind"]) == Some("CustomResourceDefinition")
}

/// The line of a text in which its first substitution is.
fn shortened(text: &str) -> &str {
    text.lines().find(|line| line.contains("${")).unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    fn variables(known: &[(&'static str, &'static str)], may_be_more: bool) -> Variables<'static> {
        let known = known.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Variables { known, may_be_more, ..Variables::default() }
    }

    fn substituted(text: &str, variables: &Variables<'_>) -> (String, Vec<String>) {
        let node = yaml::documents(text, 0).remove(0).unwrap();
        let mut notes = Vec::new();
        let new = variables.substitute(&node, &|_| true, &mut notes);
        let mut json = Vec::new();
        new.write_json(&mut json);
        (String::from_utf8(json).unwrap(), notes.into_iter().map(|note| note.message).collect())
    }

    #[test]
    fn values_are_read_again_unless_they_need_quotes() {
        let text = "{a: '${PORT}', b: \"v: ${PORT}\", c: [x, \"${PORT}\"], '${PORT}': 1, d: \"x\\n${PORT}\"}";
        let (json, notes) = substituted(text, &variables(&[("PORT", "80")], false));
        assert_eq!(json, r#"{"a":80,"b":"v: 80","c":["x",80],"80":1,"d":"x\n80"}"#);
        assert!(notes.is_empty());
        assert_eq!(
            substituted("a: 'x${NONE}'\nb: ${NONE}\n", &variables(&[("A", "")], false)).0,
            r#"{"a":"x","b":null}"#
        );
    }

    #[test]
    fn nothing_is_replaced_without_a_variable_or_against_the_objects_will() {
        let text = "a: ${A:=b}\n";
        assert_eq!(substituted(text, &variables(&[], false)).0, r#"{"a":"${A:=b}"}"#);
        let always = Variables { always: true, ..Variables::default() };
        assert_eq!(substituted(text, &always).0, r#"{"a":"b"}"#);
        let disabled =
            "{metadata: {annotations: {kustomize.toolkit.fluxcd.io/substitute: disabled}}, a: '${A}'}";
        assert!(substituted(disabled, &always).0.ends_with(r#""a":"${A}"}"#));
    }

    #[test]
    fn what_a_secret_may_set_stays_open() {
        let (json, _) =
            substituted("{a: '${S:=b}', b: '${A}-${S}', c: '${A}'}", &variables(&[("A", "1")], true));
        assert_eq!(json, r#"{"a":"${S:=b}","b":"1-${S}","c":1}"#);
        assert!(
            is_opaque("1-${S}")
                && is_opaque("<< inputs.name >>-x")
                && is_opaque("{{ .Name }}")
                && is_opaque("ENC[AES256,x]")
        );
        assert!(!is_opaque("} ${") && !is_opaque("$S") && !is_opaque("a <= b"));
    }

    #[test]
    fn what_the_controller_refuses_is_said() {
        let (json, notes) =
            substituted("a: |\n  x\n  echo ${1[@]}\nb: ${A}\n", &variables(&[("A", "x: y")], false));
        assert_eq!(json, r#"{"a":"x\necho ${1[@]}\n","b":"x: y"}"#);
        assert_eq!(
            notes,
            [
                "kustomize-controller refuses \"echo ${1[@]}\": missing closing brace",
                "\"${A}\" becomes \"x: y\", which is no YAML there"
            ]
        );
    }

    #[test]
    fn a_value_stays_where_it_stands() {
        let node = yaml::documents("a: ${A}", 0).remove(0).unwrap();
        let new = variables(&[("A", "[1, 2]")], false).substitute(&node, &|_| true, &mut Vec::new());
        assert_eq!(new.get("a").unwrap().at, node.get("a").unwrap().at);
        assert_eq!(new.get("a").unwrap().items().len(), 2);
    }
}
