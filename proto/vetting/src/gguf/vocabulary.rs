//! An index from a token's text to its place, in eight bytes a token: a set of the standard library would take half a
//! judgement's memory for a vocabulary of a million.

use std::hash::{BuildHasher, RandomState};

use super::value::Texts;

/// The index. It hashes with a random key, so a file cannot be made to collide.
#[derive(Debug)]
pub(super) struct Vocabulary<'a> {
    tokens: &'a Texts,
    /// Place plus one, or zero where nothing is; a power of two long, at most half full.
    slots: Vec<u32>,
    state: RandomState,
}

impl<'a> Vocabulary<'a> {
    /// An empty index for `tokens`, whose number the caller has bounded.
    pub(super) fn new(tokens: &'a Texts) -> Self {
        let slots = vec![0; (tokens.len() * 2).next_power_of_two()];
        Self { tokens, slots, state: RandomState::new() }
    }

    /// Adds the token at `id`. False if its text is in the index already.
    pub(super) fn insert(&mut self, id: usize, token: &str) -> bool {
        let place = u32::try_from(id + 1).unwrap_or(u32::MAX);
        match self.find(token) {
            Found::Token => false,
            Found::Free(slot) => {
                if let Some(slot) = self.slots.get_mut(slot) {
                    *slot = place;
                }
                true
            }
        }
    }

    pub(super) fn contains(&self, token: &str) -> bool {
        matches!(self.find(token), Found::Token)
    }

    fn find(&self, token: &str) -> Found {
        let mask = self.slots.len() - 1;
        // Only the low bits count, so the cut does not matter.
        #[allow(clippy::cast_possible_truncation)]
        let mut slot = self.state.hash_one(token) as usize & mask;
        while let Some(place) = self.slots.get(slot).filter(|place| **place != 0) {
            if self.tokens.get(*place as usize - 1) == Some(token) {
                return Found::Token;
            }
            slot = (slot + 1) & mask;
        }
        Found::Free(slot)
    }
}

enum Found {
    Token,
    Free(usize),
}
