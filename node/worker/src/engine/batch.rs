//! What one decode step evaluates: a token of every running stream, and as much of the waiting prompts as leaves the
//! step short. Pure: counts in, counts out.

use crate::limits::{
    BATCH_TOKENS_MAX, PREFILL_SHARED_TOKENS_MIN, PREFILL_TOKENS_MIN, STEP_PREFILL_AIM_US, STEP_SHARED_AIM_US,
};

/// What a slot could evaluate next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Index of the slot.
    pub slot: usize,
    /// Tokens not evaluated yet, at least one; of a running one, with its guesses.
    pub pending: usize,
    /// Whether its answer has begun.
    pub running: bool,
    /// Smaller came earlier.
    pub order: u64,
}

/// Tokens of one slot in the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Index of the slot.
    pub slot: usize,
    /// How many of its pending tokens.
    pub tokens: usize,
}

/// Whose prompts go first in a step. In turns, so that neither waits for long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turn {
    /// Who is done soonest.
    #[default]
    Shortest,
    /// Who came first.
    Oldest,
}

impl Turn {
    /// The next step's.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::Shortest => Self::Oldest,
            Self::Oldest => Self::Shortest,
        }
    }
}

/// Divides a step: what runs, then `prefill` tokens of prompts, one after the other, because attention over many tokens of one
/// is much faster than over a few of each. In the order of slots.
#[must_use]
pub fn divide(demands: &[Demand], prefill: usize, turn: Turn) -> Vec<Share> {
    let mut shares: Vec<Share> =
        demands.iter().filter(|d| d.running).map(|d| Share { slot: d.slot, tokens: d.pending }).collect();
    let running: usize = shares.iter().map(|share| share.tokens).sum();
    let mut left = prefill.min(BATCH_TOKENS_MAX.saturating_sub(running));
    let mut prompts: Vec<&Demand> = demands.iter().filter(|d| !d.running).collect();
    match turn {
        Turn::Shortest => prompts.sort_by_key(|d| (d.pending, d.order)),
        Turn::Oldest => prompts.sort_by_key(|d| d.order),
    }
    for demand in prompts {
        let tokens = demand.pending.min(left);
        left -= tokens;
        shares.push(Share { slot: demand.slot, tokens });
    }
    shares.retain(|share| share.tokens > 0);
    // llama.cpp evaluates neighbors at once if they come in order.
    shares.sort_by_key(|share| share.slot);
    shares
}

/// How long steps take here, learned from the steps so far: a part that every step costs, and a part for each prompt
/// token in it. Were the first counted to the tokens, a busy machine would make steps ever smaller and gain nothing.
#[derive(Debug, Default)]
pub struct Pace {
    step_us: Option<f64>,
    token_us: Option<f64>,
}

impl Pace {
    /// Prompt tokens that fit the next step. `running`: some stream waits for its next token meanwhile.
    #[must_use]
    pub fn prefill_tokens(&self, running: bool) -> usize {
        let (aim_us, least) = if running {
            (STEP_SHARED_AIM_US, PREFILL_SHARED_TOKENS_MIN)
        } else {
            (STEP_PREFILL_AIM_US, PREFILL_TOKENS_MIN)
        };
        // Nobody's tokens come more than twice as far apart as without the prompts.
        let aim_us = self.step_us.unwrap_or(0.0).max(aim_us as f64);
        // The quotient is positive, and a cast of it saturates.
        self.token_us.map_or(least, |us| (aim_us / us) as usize).clamp(least, BATCH_TOKENS_MAX)
    }

    /// Learns from a step that took `took_us` microseconds and evaluated `prefill_tokens` of prompts.
    pub fn observe(&mut self, prefill_tokens: usize, took_us: u64) {
        let learn =
            |known: Option<f64>, seen: f64| Some(known.map_or(seen, |known| 0.7 * known + 0.3 * seen));
        let took_us = took_us as f64;
        if prefill_tokens == 0 {
            self.step_us = learn(self.step_us, took_us);
        } else if prefill_tokens >= PREFILL_SHARED_TOKENS_MIN {
            // Fewer say more about the step than about prompts.
            let tokens_us = (took_us - self.step_us.unwrap_or(0.0)).max(1.0);
            self.token_us = learn(self.token_us, tokens_us / prefill_tokens as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(slot: usize, pending: usize, running: bool) -> Demand {
        Demand { slot, pending, running, order: 100 - slot as u64 }
    }

    #[test]
    fn running_streams_come_first_and_prompts_take_turns() {
        let demands =
            [demand(0, 1000, false), demand(1, 1, true), demand(2, 10, false), demand(3, 1000, false)];
        let shares = |turn| -> Vec<_> {
            divide(&demands, 100, turn).iter().map(|share| (share.slot, share.tokens)).collect()
        };
        assert_eq!(shares(Turn::Shortest), [(1, 1), (2, 10), (3, 90)]);
        assert_eq!(shares(Turn::Shortest.next()), [(1, 1), (3, 100)]);
    }

    #[test]
    fn a_step_never_exceeds_the_batch() {
        let demands: Vec<_> = (0..64)
            .map(|slot| if slot % 2 == 0 { demand(slot, 1, true) } else { demand(slot, 5000, false) })
            .collect();
        let total: usize = divide(&demands, usize::MAX, Turn::Oldest).iter().map(|share| share.tokens).sum();
        assert_eq!(total, BATCH_TOKENS_MAX);
        assert!(divide(&[], 100, Turn::Oldest).is_empty());
    }

    #[test]
    fn the_pace_shortens_steps_on_a_slow_machine() {
        let mut pace = Pace::default();
        assert_eq!(pace.prefill_tokens(true), PREFILL_SHARED_TOKENS_MIN);
        pace.observe(100, 100_000);
        assert_eq!((pace.prefill_tokens(true), pace.prefill_tokens(false)), (30, 512));
        pace.observe(1, 1_000_000_000);
        assert_eq!(pace.prefill_tokens(true), 30, "a step with hardly any prompt says nothing about prompts");
        for _ in 0..50 {
            pace.observe(100, 10_000_000);
        }
        assert_eq!(pace.prefill_tokens(true), PREFILL_SHARED_TOKENS_MIN);
        assert_eq!(pace.prefill_tokens(false), PREFILL_TOKENS_MIN);
        for _ in 0..100 {
            pace.observe(512, 1);
        }
        assert_eq!(pace.prefill_tokens(true), BATCH_TOKENS_MAX);
    }

    #[test]
    fn what_every_step_costs_is_not_counted_to_prompts() {
        let mut pace = Pace::default();
        for _ in 0..30 {
            pace.observe(0, 500_000);
            pace.observe(100, 600_000);
        }
        assert_eq!(pace.prefill_tokens(true), 500);
    }
}
