//! Which slot a request takes, and how much of what a slot has already evaluated it can keep.
//!
//! Only slots of the same cache partition count: a prefix cache that callers share would tell one of them, by its
//! speed, what another asked. Pure: the engine carries the choice out.

use llama_cpp_2::token::LlamaToken;

/// A slot as the choice sees it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Whose tokens these are.
    pub partition: u64,
    /// Evaluated tokens, in order.
    pub cached: &'a [LlamaToken],
    /// Whether it can take a request.
    pub idle: bool,
    /// When it was last used; larger is later.
    pub used: u64,
    /// How many of the cached tokens are known with what the model says after them.
    pub whole: Option<usize>,
}

/// The slot to take and the tokens to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Index of the slot.
    pub slot: usize,
    /// Tokens of the prompt that are evaluated already.
    pub keep: usize,
    /// The slot to copy them from, if it is another.
    pub from: Option<usize>,
}

/// Chooses a slot for `prompt`; none if no slot is idle. At least one token stays to be evaluated, since its
/// logits give the first token of the answer, unless they were kept.
#[must_use]
pub fn choose(slots: &[View<'_>], partition: u64, prompt: &[LlamaToken]) -> Option<Choice> {
    let common = |view: &View<'_>| {
        if view.partition != partition {
            return 0;
        }
        let len = view.cached.iter().zip(prompt).take_while(|(a, b)| a == b).count();
        if view.whole == Some(prompt.len()) { len } else { len.min(prompt.len().saturating_sub(1)) }
    };
    let best = slots
        .iter()
        .enumerate()
        .map(|(slot, view)| (common(view), view.idle, slot))
        .filter(|(keep, _, _)| *keep > 0)
        .max_by_key(|(keep, idle, slot)| (*keep, *idle, std::cmp::Reverse(*slot)));
    let spare = |except: Option<usize>| {
        (0..slots.len())
            .filter(|slot| slots[*slot].idle && Some(*slot) != except)
            .min_by_key(|slot| (!slots[*slot].cached.is_empty(), slots[*slot].used))
    };
    let Some((keep, idle, slot)) = best else {
        return spare(None).map(|slot| Choice { slot, keep: 0, from: None });
    };
    let here = Choice { slot, keep, from: None };
    // Taking the slot costs the tail beyond the common part; while that is small, nothing is worth a copy.
    // Nor for an exact repeat, which will most likely say the same tail again.
    if idle && (keep * 2 >= slots[slot].cached.len() || keep == prompt.len()) {
        return Some(here);
    }
    match spare(Some(slot)) {
        Some(other) => Some(Choice { slot: other, keep, from: Some(slot) }),
        None => idle.then_some(here),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(ids: &[i32]) -> Vec<LlamaToken> {
        ids.iter().copied().map(LlamaToken).collect()
    }

    fn choice(slots: &[(u64, &[i32], bool)], partition: u64, prompt: &[i32]) -> Option<Choice> {
        let cached: Vec<_> = slots.iter().map(|(_, ids, _)| tokens(ids)).collect();
        let views: Vec<_> = slots
            .iter()
            .zip(&cached)
            .enumerate()
            .map(|(index, ((partition, _, idle), cached))| View {
                partition: *partition,
                cached,
                idle: *idle,
                used: index as u64,
                whole: None,
            })
            .collect();
        choose(&views, partition, &tokens(prompt))
    }

    #[test]
    fn the_longest_common_prefix_wins_and_one_token_stays() {
        let slots: &[(u64, &[i32], bool)] = &[(1, &[1, 2, 9], true), (1, &[1, 2, 3, 4], true)];
        assert_eq!(choice(slots, 1, &[1, 2, 3, 4]), Some(Choice { slot: 1, keep: 3, from: None }));
        assert_eq!(choice(slots, 1, &[7, 7]), Some(Choice { slot: 0, keep: 0, from: None }));
    }

    #[test]
    fn p6_another_partition_shares_nothing() {
        let slots: &[(u64, &[i32], bool)] = &[(1, &[1, 2, 3], true), (2, &[], true)];
        assert_eq!(choice(slots, 2, &[1, 2, 3]), Some(Choice { slot: 1, keep: 0, from: None }));
        assert_eq!(choice(slots, 3, &[1, 2, 3]), Some(Choice { slot: 1, keep: 0, from: None }));
    }

    #[test]
    fn a_long_cache_is_copied_rather_than_cut() {
        let long: &[i32] = &[1, 2, 3, 4, 5, 6];
        assert_eq!(
            choice(&[(1, long, true), (1, &[], true)], 1, &[1, 2, 9]),
            Some(Choice { slot: 1, keep: 2, from: Some(0) })
        );
        assert_eq!(choice(&[(1, long, true)], 1, &[1, 2, 9]), Some(Choice { slot: 0, keep: 2, from: None }));
    }

    #[test]
    fn a_running_stream_lends_its_prefix_but_not_its_slot() {
        let slots: &[(u64, &[i32], bool)] = &[(1, &[1, 2, 3], false), (5, &[8], true)];
        assert_eq!(choice(slots, 1, &[1, 2, 3, 4]), Some(Choice { slot: 1, keep: 3, from: Some(0) }));
        assert_eq!(choice(&[(1, &[1, 2, 3], false)], 1, &[1, 2, 3]), None);
    }
}
