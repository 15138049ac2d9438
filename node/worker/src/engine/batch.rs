//! What one decode step evaluates: a token of every running stream, and as much of the waiting prompts as leaves the
//! step short. Pure: counts in, counts out.

use crate::limits::{BATCH_TOKENS_MAX, PREFILL_TOKENS_MIN, STEP_PREFILL_AIM_US, STEP_SHARED_AIM_US};

/// What a slot could evaluate next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Index of the slot.
    pub slot: usize,
    /// Tokens not evaluated yet, at least one.
    pub pending: usize,
    /// Whether its answer has begun.
    pub running: bool,
}

/// Tokens of one slot in the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Index of the slot.
    pub slot: usize,
    /// How many of its pending tokens.
    pub tokens: usize,
}

/// Divides a step: first what runs, then `prefill` tokens shared evenly, short prompts first to be done.
#[must_use]
pub fn divide(demands: &[Demand], prefill: usize) -> Vec<Share> {
    let mut shares: Vec<Share> = demands
        .iter()
        .filter(|d| d.running)
        .map(|d| Share { slot: d.slot, tokens: d.pending.min(1) })
        .collect();
    let mut left = prefill.min(BATCH_TOKENS_MAX.saturating_sub(shares.len()));
    let mut prompts: Vec<&Demand> = demands.iter().filter(|d| !d.running).collect();
    prompts.sort_by_key(|d| d.pending);
    let count = prompts.len();
    for (index, demand) in prompts.into_iter().enumerate() {
        let tokens = demand.pending.min(left.div_ceil(count - index));
        left -= tokens;
        shares.push(Share { slot: demand.slot, tokens });
    }
    shares.retain(|share| share.tokens > 0);
    shares
}

/// How fast prompts are evaluated here, learned from the steps so far.
#[derive(Debug, Default)]
pub struct Pace {
    us_per_token: Option<f64>,
}

impl Pace {
    /// Prompt tokens that fit the next step. `running`: some stream waits for its next token meanwhile.
    #[must_use]
    pub fn prefill_tokens(&self, running: bool) -> usize {
        let (aim_us, unknown) = if running {
            (STEP_SHARED_AIM_US, PREFILL_TOKENS_MIN)
        } else {
            (STEP_PREFILL_AIM_US, BATCH_TOKENS_MAX / 4)
        };
        // The quotient is positive and finite, and a cast of it saturates.
        self.us_per_token
            .map_or(unknown, |us| (aim_us as f64 / us) as usize)
            .clamp(PREFILL_TOKENS_MIN, BATCH_TOKENS_MAX)
    }

    /// Learns from a step. Steps with few prompt tokens say nothing about prompts.
    pub fn observe(&mut self, prefill_tokens: usize, step_us: u64) {
        if prefill_tokens < PREFILL_TOKENS_MIN {
            return;
        }
        let seen = (step_us.max(1) as f64) / (prefill_tokens as f64);
        self.us_per_token = Some(self.us_per_token.map_or(seen, |known| 0.7 * known + 0.3 * seen));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(slot: usize, pending: usize, running: bool) -> Demand {
        Demand { slot, pending, running }
    }

    #[test]
    fn running_streams_come_first_and_prompts_share_evenly() {
        let demands =
            [demand(0, 1000, false), demand(1, 1, true), demand(2, 10, false), demand(3, 1000, false)];
        let shares = divide(&demands, 100);
        assert_eq!(shares[0], Share { slot: 1, tokens: 1 });
        assert_eq!(shares[1], Share { slot: 2, tokens: 10 });
        assert_eq!(shares[2].tokens + shares[3].tokens, 90);
        assert!(shares[2].tokens.abs_diff(shares[3].tokens) <= 1);
    }

    #[test]
    fn a_step_never_exceeds_the_batch() {
        let demands: Vec<_> = (0..64).map(|slot| demand(slot, 5000, slot % 2 == 0)).collect();
        let total: usize = divide(&demands, usize::MAX).iter().map(|share| share.tokens).sum();
        assert_eq!(total, BATCH_TOKENS_MAX);
        assert!(divide(&[], 100).is_empty());
    }

    #[test]
    fn the_pace_shortens_steps_on_a_slow_machine() {
        let mut pace = Pace::default();
        assert_eq!(pace.prefill_tokens(true), PREFILL_TOKENS_MIN);
        pace.observe(100, 100_000);
        assert_eq!(pace.prefill_tokens(true), 80);
        assert_eq!(pace.prefill_tokens(false), 400);
        pace.observe(1, 1_000_000_000);
        assert_eq!(pace.prefill_tokens(true), 80, "a step without prompts says nothing");
        for _ in 0..50 {
            pace.observe(100, 10_000_000);
        }
        assert_eq!(pace.prefill_tokens(true), PREFILL_TOKENS_MIN);
        for _ in 0..100 {
            pace.observe(512, 1);
        }
        assert_eq!(pace.prefill_tokens(true), BATCH_TOKENS_MAX);
    }
}
