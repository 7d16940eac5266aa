//! Edits under construction, and the proof that they do what was meant.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::changes::{Change, between};
use super::place::{Sources, Target};
use super::{Piece, Refusal, Why, block, edited, flow, scalar};
use crate::report::Edit;
use crate::yaml::{Form, Span, Style, Trail};

/// The edits for one object.
pub(super) struct Draft<'s, 'f> {
    sources: &'s Sources<'f>,
    edits: Vec<Edit>,
    /// Entries to come, by file and start of the map that they go into.
    insertions: BTreeMap<(u32, u32), Insertion<'s, 'f>>,
    /// What is meant, by file.
    meant: BTreeMap<u32, BTreeSet<Change>>,
}

struct Insertion<'s, 'f> {
    trail: Trail<'s, 'f>,
    field: String,
    entries: Vec<(String, Value)>,
}

// === impl Draft ===

impl<'s, 'f> Draft<'s, 'f> {
    pub(super) fn new(sources: &'s Sources<'f>) -> Self {
        Self { sources, edits: Vec::new(), insertions: BTreeMap::new(), meant: BTreeMap::new() }
    }

    /// Adds what puts one field right.
    pub(super) fn take(&mut self, target: &Target<'_, '_>) -> Result<(), Refusal> {
        match (target.entry, &target.value) {
            (None, Some(value)) => {
                let trail = self.sources.mapping(target)?;
                self.insert(target, trail, value)
            }
            (Some(entry), Some(value)) => {
                let trail = self.sources.scalar(target, entry)?;
                let comes_by_merge = trail.is_merged() || self.sources.shared(&trail).is_some();
                if comes_by_merge && let Some(own) = self.sources.merged_into(target) {
                    return self.insert(target, own, value);
                }
                self.replace(target, &trail, value)
            }
            (Some(entry), None) => {
                let trail = self.sources.own_entry(target, entry)?;
                self.remove(target, &trail)
            }
            (None, None) => Ok(()),
        }
    }

    /// The edits in their order, once the texts that they make were read again.
    pub(super) fn finish(mut self) -> Result<Vec<Edit>, Refusal> {
        for Insertion { trail, field, entries } in std::mem::take(&mut self.insertions).into_values() {
            let file = trail.value.at.file();
            let pieces = self.inserted(&trail, &field, &entries)?;
            self.add(file, pieces);
        }
        self.edits.sort_by_key(|edit| edit.span);
        if self.edits.windows(2).any(|pair| overlap(pair[0].span, pair[1].span)) {
            return Err(self.unverified(self.edits[0].span.file()));
        }
        for (file, meant) in &self.meant {
            let text = self.sources.text(*file);
            let own = self.edits.iter().filter(|edit| edit.span.file() == *file);
            if between(text, &edited(text, own)).as_ref() != Some(meant) {
                return Err(self.unverified(*file));
            }
        }
        Ok(self.edits)
    }

    fn replace(
        &mut self,
        target: &Target<'_, '_>,
        trail: &Trail<'_, 'f>,
        value: &Value,
    ) -> Result<(), Refusal> {
        self.sources.unshared(target, trail)?;
        let written = trail.value;
        let file = written.at.file();
        let text = self.sources.text(file);
        let Form::Scalar(_, style) = written.form else { return Err(self.layout(&target.field, file)) };
        let (mapping, outer) =
            trail.parents.split_last().map_or((None, &[][..]), |((it, _), outer)| (Some(*it), outer));
        let is_json = mapping.is_some_and(|mapping| flow::is_json(mapping, outer));
        let style = if is_json { Style::Double } else { style };
        let new = scalar::written(value, style).ok_or_else(|| unsuitable(&target.field))?;
        let piece = match (trail.pair(), style) {
            (Some(pair), _) if written.at.start() == written.at.end() && style != Style::Block => {
                block::filled(text, pair, &new)
            }
            (Some(pair), Style::Block) => block::unblocked(text, pair, &new),
            _ => Ok(Piece { range: written.at.range(), text: new }),
        };
        let piece = piece.map_err(|Why::Layout| self.layout(&target.field, file))?;
        self.add(file, vec![piece]);
        self.mean(file, trail, trail.path(), Some(value));
        Ok(())
    }

    fn remove(&mut self, target: &Target<'_, '_>, trail: &Trail<'_, 'f>) -> Result<(), Refusal> {
        self.sources.unshared(target, trail)?;
        let file = trail.value.at.file();
        let Some((mapping, index)) = trail.parents.last() else {
            return Err(self.layout(&target.field, file));
        };
        let text = self.sources.text(file);
        let pieces = match mapping.form {
            Form::Mapping { flow: true, .. } => flow::removal(text, mapping, *index),
            _ => block::removal(text, mapping, *index),
        };
        let pieces = pieces.map_err(|Why::Layout| self.layout(&target.field, file))?;
        self.add(file, pieces);
        self.mean(file, trail, trail.path(), None);
        Ok(())
    }

    fn insert(
        &mut self,
        target: &Target<'_, '_>,
        trail: Trail<'s, 'f>,
        value: &Value,
    ) -> Result<(), Refusal> {
        self.sources.unshared(target, &trail)?;
        let at = trail.value.at;
        let mut path = trail.path();
        path.push(target.key().to_owned());
        self.mean(at.file(), &trail, path, Some(value));
        let insertion = self.insertions.entry((at.file(), at.start()));
        let new = || Insertion { trail, field: target.field.clone(), entries: Vec::new() };
        insertion.or_insert_with(new).entries.push((target.key().to_owned(), value.clone()));
        Ok(())
    }

    fn inserted(
        &self,
        trail: &Trail<'_, 'f>,
        field: &str,
        entries: &[(String, Value)],
    ) -> Result<Vec<Piece>, Refusal> {
        let mapping = trail.value;
        let text = self.sources.text(mapping.at.file());
        let is_flow = matches!(mapping.form, Form::Mapping { flow: true, .. });
        let is_json = flow::is_json(mapping, &trail.parents);
        let (key_style, value_style) =
            if is_json { (Style::Double, Style::Double) } else { block::styles(mapping) };
        let written = entries.iter().map(|(key, value)| {
            let key = scalar::written(&Value::from(key.as_str()), key_style)?;
            Some(format!("{key}: {}", scalar::written(value, value_style)?))
        });
        let written = written.collect::<Option<Vec<_>>>().ok_or_else(|| unsuitable(field))?;
        if is_flow {
            return Ok(flow::insertion(text, mapping, &written));
        }
        block::insertion(text, mapping, &written).map_err(|Why::Layout| self.layout(field, mapping.at.file()))
    }

    fn mean(&mut self, file: u32, trail: &Trail<'_, 'f>, path: Vec<String>, value: Option<&Value>) {
        let change = Change { document: trail.document, path, to: value.map(Value::to_string) };
        self.meant.entry(file).or_default().insert(change);
    }

    fn add(&mut self, file: u32, pieces: Vec<Piece>) {
        let narrow = |offset: usize| u32::try_from(offset).expect("the spans of a file are as narrow");
        self.edits.extend(pieces.into_iter().map(|Piece { range, text }| {
            let span = Span::new(file, narrow(range.start), narrow(range.end));
            Edit { span, text }
        }));
    }

    fn layout(&self, field: &str, file: u32) -> Refusal {
        Refusal::Layout { field: field.to_owned(), path: self.sources.path(file) }
    }

    fn unverified(&self, file: u32) -> Refusal {
        Refusal::Unverified { path: self.sources.path(file) }
    }
}

/// Whether of two places, the first of which does not begin later, one is in the other's way.
pub(super) fn overlap(first: Span, second: Span) -> bool {
    first.file() == second.file() && (second.start() < first.end() || first == second)
}

fn unsuitable(field: &str) -> Refusal {
    Refusal::Unsuitable {
        field: field.to_owned(),
        why: "a list or a map would have to be written".to_owned(),
    }
}
