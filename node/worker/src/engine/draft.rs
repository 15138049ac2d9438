//! Guesses what comes next from what came before: edits repeat most of the text that they edit. The model evaluates
//! the guessed tokens in one step and chooses each of its own exactly as without them, so a wrong guess costs time
//! and changes nothing. Pure: tokens in, tokens out.

use llama_cpp_2::token::LlamaToken;

use crate::limits::{
    DRAFT_MATCH_TOKENS, DRAFT_MATCH_TOKENS_MAX, DRAFT_PAUSE_STEPS, DRAFT_TOKENS_MAX, ROWS_AT_ONCE,
};

/// With the token that is known, this fills the rows that are multiplied at once.
const SHORTEST: usize = ROWS_AT_ONCE - 1;

/// How far guesses go, learned from those before.
#[derive(Clone, Copy, Debug)]
pub struct Drafting {
    reach: usize,
    missed: u32,
    paused: u32,
}

impl Default for Drafting {
    fn default() -> Self {
        Self { reach: SHORTEST, missed: 0, paused: 0 }
    }
}

impl Drafting {
    /// Tokens that may follow `tokens`, at most `most`; so many that the step with them has no rows left over.
    pub fn propose(&mut self, tokens: &[LlamaToken], most: usize) -> Vec<LlamaToken> {
        if self.paused > 0 {
            self.paused -= 1;
            return Vec::new();
        }
        let mut guess = continuation(tokens, self.reach.min(most));
        let rows = (guess.len() + 1) / ROWS_AT_ONCE * ROWS_AT_ONCE;
        guess.truncate(rows.saturating_sub(1));
        guess
    }

    /// Learns how many of the proposed tokens were right.
    pub fn observe(&mut self, proposed: usize, right: usize) {
        if proposed == 0 {
            return;
        }
        if right == proposed {
            self.reach = (self.reach + ROWS_AT_ONCE).min(DRAFT_TOKENS_MAX);
        } else if right * 3 < proposed {
            self.reach = SHORTEST;
        }
        self.missed = if right == 0 { self.missed + 1 } else { 0 };
        if self.missed >= 3 {
            self.missed = 0;
            self.paused = DRAFT_PAUSE_STEPS;
        }
    }
}

/// What followed the longest earlier repetition of the end of `tokens`; of equally long ones, the latest. What repeats up to
/// its very end goes on repeating.
fn continuation(tokens: &[LlamaToken], most: usize) -> Vec<LlamaToken> {
    let len = tokens.len();
    if most == 0 || len <= DRAFT_MATCH_TOKENS {
        return Vec::new();
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
    let Some((common, at)) = best else { return Vec::new() };
    let follows = &tokens[at..];
    let most = if common >= follows.len() { most } else { most.min(follows.len()) };
    follows.iter().copied().cycle().take(most).collect()
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
        assert_eq!(continuation(&seen, 2), tokens(&[4, 5]), "longer beats later");
        let seen = tokens(&[0, 1, 2, 3, 4, 5, 8, 1, 2, 3, 6, 7, 9, 1, 2, 3]);
        assert_eq!(continuation(&seen, 2), tokens(&[6, 7]), "later beats earlier");
        assert!(continuation(&tokens(&[1, 2, 3, 4]), 4).is_empty());
        assert!(continuation(&tokens(&[1, 2]), 4).is_empty());
        assert_eq!(continuation(&tokens(&[5, 5, 5, 5, 5]), 4), tokens(&[5, 5, 5, 5]), "what repeats goes on");
        assert_eq!(
            continuation(&tokens(&[1, 2, 3, 9, 1, 2, 3]), 9),
            tokens(&[9, 1, 2, 3]),
            "no further than it is known"
        );
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
        let len = |drafting: &mut Drafting, most| drafting.propose(&seen, most).len();
        assert_eq!([0, 2, 3, 6, 7, 100].map(|most| len(&mut drafting, most)), [0, 0, 3, 3, 7, 11]);
        for _ in 0..3 {
            drafting.observe(4, 0);
        }
        assert!((0..DRAFT_PAUSE_STEPS).all(|_| drafting.propose(&seen, 100).is_empty()));
        assert_eq!(drafting.propose(&tokens(&[1, 2, 3, 4, 1, 2, 3]), 9), tokens(&[4, 1, 2]));
    }
}
