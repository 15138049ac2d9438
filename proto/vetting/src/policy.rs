//! What an organization allows beyond the built-in lists. It comes from a signed document; the bytes that are judged
//! never have a say in it.

use std::collections::BTreeSet;

use crate::limits::{ARCHITECTURES_MAX, EXCERPT_CHARS_MAX};

/// The additions. Empty by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    architectures: BTreeSet<String>,
}

impl Policy {
    /// Allows architectures that have no shape formulas here. Every other rule still holds for them. Names that
    /// `general.architecture` could not spell, and any beyond the first 64, are left out.
    #[must_use]
    pub fn with_architectures<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        let spelled = |name: &String| {
            !name.is_empty()
                && name.len() <= EXCERPT_CHARS_MAX
                && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
        };
        self.architectures.extend(names.into_iter().map(Into::into).filter(spelled).take(ARCHITECTURES_MAX));
        self
    }

    pub(crate) fn allows_architecture(&self, name: &str) -> bool {
        self.architectures.contains(name)
    }
}
