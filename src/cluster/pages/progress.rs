//! Tracks how far a list has been read: each object is handed out once, and a list that does not go on is an error.

use crate::cluster::ApiError;

/// How many answers in a row may bring nothing new: a page that does not go on, a moment that is gone, a list from its start.
/// An API server that is in order brings something between two of them.
pub(in crate::cluster) const ENDLESS_ANSWERS: u32 = 5;

/// Maximum number of objects in a list. etcd holds no more of this size.
pub(in crate::cluster) const MAX_OBJECTS: usize = 1_000_000;

/// How far a list has been read.
#[derive(Default)]
pub(super) struct Progress {
    /// The key of the last object that was handed out.
    last: Option<String>,
    /// How many were.
    count: usize,
    /// The key of the last object of the last page.
    at: Option<String>,
    /// Whether the list was begun again, and has not come to new objects yet.
    repeats: bool,
    /// Answers in a row that brought nothing new.
    idle: u32,
    /// Beginnings in a row that brought nothing new.
    begun: u32,
}

// === impl Progress ===

impl Progress {
    /// Whether an object has not been handed out yet.
    pub(super) fn is_new(&mut self, key: String) -> Result<bool, ApiError> {
        // Taken from the page before, so that each page has to go on from there.
        let is_next = self.at.as_ref().is_none_or(|at| key > *at);
        if !is_next {
            return Err(ApiError::OutOfOrder(key, self.at.take().unwrap_or_default()));
        }
        let is_new = self.last.as_ref().is_none_or(|last| key > *last);
        if !is_new && !self.repeats {
            return Err(ApiError::OutOfOrder(key, self.last.take().unwrap_or_default()));
        }
        self.at = Some(key.clone());
        self.idle = 0;
        if is_new {
            self.count += 1;
            (self.last, self.repeats, self.begun) = (Some(key), false, 0);
        }
        if self.count > MAX_OBJECTS { Err(ApiError::Endless) } else { Ok(is_new) }
    }

    /// A page has ended.
    pub(super) fn page(&mut self) -> Result<(), ApiError> {
        self.idle += 1;
        self.has_sense()
    }

    /// The moment of the list is gone; it begins again, or goes on at another one.
    pub(super) fn expired(&mut self, begins_again: bool) -> Result<(), ApiError> {
        self.idle += 1;
        if begins_again {
            (self.at, self.repeats) = (None, true);
            self.begun += 1;
        }
        self.has_sense()
    }

    fn has_sense(&self) -> Result<(), ApiError> {
        if self.idle.max(self.begun) > ENDLESS_ANSWERS { Err(ApiError::Endless) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys that are handed out of such answers; nothing stands for a moment that is gone, after which the list begins again.
    fn handed_out(answers: &[Option<&[&str]>]) -> Result<Vec<String>, ApiError> {
        let (mut progress, mut all) = (Progress::default(), Vec::new());
        for answer in answers {
            let Some(page) = answer else {
                progress.expired(true)?;
                continue;
            };
            for key in *page {
                if progress.is_new((*key).to_owned())? {
                    all.push((*key).to_owned());
                }
            }
            progress.page()?;
        }
        Ok(all)
    }

    #[test]
    fn a_list_that_begins_again_hands_out_each_object_once() {
        let answers =
            [Some(&["a", "b"][..]), None, Some(&["a", "b"]), Some(&["c"]), None, Some(&["a", "c", "d"])];
        assert_eq!(handed_out(&answers).unwrap(), ["a", "b", "c", "d"]);
        // However long it is.
        let names: Vec<_> = (0..20_000).map(|index| format!("{index:05}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let pages = || names.chunks(500).map(Some);
        let answers: Vec<_> = pages().take(39).chain([None]).chain(pages()).collect();
        assert_eq!(handed_out(&answers).unwrap().len(), 20_000);
    }

    #[test]
    fn a_list_without_an_end_is_an_error() {
        let endless = |answer: Option<&'static [&str]>| {
            let answers = [vec![Some(&["a"][..])], vec![answer; 100]].concat();
            matches!(handed_out(&answers), Err(ApiError::Endless))
        };
        assert!(endless(Some(&[])) && endless(None));
        let beginnings: Vec<_> = [Some(&["a"][..]), None].into_iter().cycle().take(100).collect();
        assert!(matches!(handed_out(&beginnings), Err(ApiError::Endless)));
    }

    #[test]
    fn an_object_that_cannot_be_placed_is_an_error_and_is_not_lost() {
        for answers in
            [[Some(&["b", "a"][..]), None], [Some(&["b"]), Some(&["a"])], [Some(&["a", "a"]), None]]
        {
            assert!(matches!(handed_out(&answers), Err(ApiError::OutOfOrder(..))), "{answers:?}");
        }
    }
}
