//! Guesses what comes next from what came before: edits repeat most of the text that they edit. The model evaluates
//! the guessed tokens in one step and chooses each of its own exactly as without them, so a wrong guess costs time
//! and changes nothing. Pure: tokens in, tokens out.

use llama_cpp_2::token::LlamaToken;

use crate::limits::{DRAFT_MATCH_TOKENS, DRAFT_MATCH_TOKENS_MAX, DRAFT_PAUSE_STEPS, DRAFT_TOKENS_MAX};

/// How far guesses go, learned from those before.
#[derive(Clone, Copy, Debug)]
pub struct Drafting {
    reach: usize,
    missed: u32,
    paused: u32,
}

impl Default for Drafting {
    fn default() -> Self {
        Self { reach: 4, missed: 0, paused: 0 }
    }
}

impl Drafting {
    /// Tokens that may follow `tokens`, at most `most`.
    pub fn propose<'t>(&mut self, tokens: &'t [LlamaToken], most: usize) -> &'t [LlamaToken] {
        if self.paused > 0 {
            self.paused -= 1;
            return &[];
        }
        continuation(tokens, self.reach.min(most))
    }

    /// Learns how many of the proposed tokens were right.
    pub fn observe(&mut self, proposed: usize, right: usize) {
        if proposed == 0 {
            return;
        }
        if right == proposed {
            self.reach = (self.reach * 2).min(DRAFT_TOKENS_MAX);
        } else if right * 3 < proposed {
            self.reach = (self.reach / 2).max(2);
        }
        self.missed = if right == 0 { self.missed + 1 } else { 0 };
        if self.missed >= 3 {
            self.missed = 0;
            self.paused = DRAFT_PAUSE_STEPS;
        }
    }
}

/// What followed the longest earlier repetition of the end of `tokens`; of equally long ones, the latest.
fn continuation(tokens: &[LlamaToken], most: usize) -> &[LlamaToken] {
    let len = tokens.len();
    if most == 0 || len <= DRAFT_MATCH_TOKENS {
        return &[];
    }
    let end = &tokens[len - DRAFT_MATCH_TOKENS..];
    let mut best: Option<(usize, usize)> = None;
    for at in (DRAFT_MATCH_TOKENS..len).rev() {
        if tokens[at - DRAFT_MATCH_TOKENS..at] != *end {
            continue;
        }
        let back = tokens[..at].iter().rev().zip(tokens.iter().rev()).take(DRAFT_MATCH_TOKENS_MAX);
        let common = back.take_while(|(a, b)| a == b).count();
        if best.is_none_or(|(longest, _)| common > longest) {
            best = Some((common, at));
        }
        if common >= DRAFT_MATCH_TOKENS_MAX {
            break;
        }
    }
    best.map_or(&[], |(_, at)| &tokens[at..len.min(at + most)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(ids: &[i32]) -> Vec<LlamaToken> {
        ids.iter().copied().map(LlamaToken).collect()
    }

    #[test]
    fn the_longest_repetition_is_continued() {
        let seen = tokens(&[9, 1, 2, 3, 4, 5, 8, 1, 2, 3, 6, 7, 9, 1, 2, 3]);
        assert_eq!(continuation(&seen, 2), &tokens(&[4, 5]), "longer beats later");
        let seen = tokens(&[0, 1, 2, 3, 4, 5, 8, 1, 2, 3, 6, 7, 9, 1, 2, 3]);
        assert_eq!(continuation(&seen, 2), &tokens(&[6, 7]), "later beats earlier");
        assert!(continuation(&tokens(&[1, 2, 3, 4]), 4).is_empty());
        assert!(continuation(&tokens(&[1, 2]), 4).is_empty());
        assert_eq!(continuation(&tokens(&[5, 5, 5, 5, 5]), 4), &tokens(&[5]));
    }

    #[test]
    fn guesses_grow_with_success_and_pause_after_failure() {
        let seen = tokens(&[7; 100]);
        let mut drafting = Drafting::default();
        for _ in 0..5 {
            let proposed = drafting.propose(&seen, 100).len();
            drafting.observe(proposed, proposed);
        }
        assert_eq!(drafting.reach, DRAFT_TOKENS_MAX);
        assert!(drafting.propose(&seen, 3).len() <= 3);
        for _ in 0..3 {
            drafting.observe(4, 0);
        }
        assert!((0..DRAFT_PAUSE_STEPS).all(|_| drafting.propose(&seen, 100).is_empty()));
        assert!(drafting.reach < 4 && !drafting.propose(&tokens(&[1, 2, 3, 1, 2, 3]), 9).is_empty());
    }
}
