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
    /// Where to copy what the slot has cached, before it is taken.
    pub shelter: Option<usize>,
}

impl Choice {
    fn of(slot: usize, keep: usize, from: Option<usize>) -> Self {
        Self { slot, keep, from, shelter: None }
    }
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
    let Some((keep, idle, slot)) = best else {
        return spare(slots, &[]).map(|slot| Choice::of(slot, 0, None));
    };
    let here = Choice::of(slot, keep, None);
    // Taking the slot costs the tail beyond the common part; while that is small, nothing is worth a copy.
    // Nor for an exact repeat, which will most likely say the same tail again.
    if idle && (keep * 2 >= slots[slot].cached.len() || keep == prompt.len()) {
        return Some(here);
    }
    match spare(slots, &[slot]) {
        Some(other) => Some(Choice::of(other, keep, Some(slot))),
        None => idle.then_some(here),
    }
}

/// The idle slot whose cache is missed least.
fn spare(slots: &[View<'_>], except: &[usize]) -> Option<usize> {
    (0..slots.len())
        .filter(|slot| slots[*slot].idle && !except.contains(slot))
        .min_by_key(|slot| (!slots[*slot].cached.is_empty(), slots[*slot].used))
}

/// The same choice in a slot beside those that run, if there is one: llama.cpp evaluates streams at once only where their
/// slots are neighbors, and a copy takes less than a step. No more is lost from the caches than by the choice itself.
#[must_use]
pub fn beside(slots: &[View<'_>], choice: Choice) -> Choice {
    let runs = |slot: usize| slots.get(slot).is_some_and(|view| !view.idle);
    let neighbor = |slot: usize| runs(slot + 1) || slot.checked_sub(1).is_some_and(runs);
    if neighbor(choice.slot) || !slots.iter().any(|view| !view.idle) {
        return choice;
    }
    // What the choice would keep in its own slot is copied out of it.
    let from = choice.from.or((choice.keep > 0).then_some(choice.slot));
    let candidates =
        (0..slots.len()).filter(|slot| slots[*slot].idle && neighbor(*slot) && Some(*slot) != from);
    let Some(slot) = candidates.min_by_key(|slot| (!slots[*slot].cached.is_empty(), slots[*slot].used))
    else {
        return choice;
    };
    let shelter = if slots[slot].cached.is_empty() {
        None
    } else if from == Some(choice.slot) {
        match spare(slots, &[choice.slot, slot]) {
            Some(other) => Some(other),
            None => return choice,
        }
    } else {
        Some(choice.slot)
    };
    Choice { slot, keep: choice.keep, from, shelter }
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
        assert_eq!(choice(slots, 1, &[1, 2, 3, 4]), Some(Choice::of(1, 3, None)));
        assert_eq!(choice(slots, 1, &[7, 7]), Some(Choice::of(0, 0, None)));
    }

    #[test]
    fn p6_another_partition_shares_nothing() {
        let slots: &[(u64, &[i32], bool)] = &[(1, &[1, 2, 3], true), (2, &[], true)];
        assert_eq!(choice(slots, 2, &[1, 2, 3]), Some(Choice::of(1, 0, None)));
        assert_eq!(choice(slots, 3, &[1, 2, 3]), Some(Choice::of(1, 0, None)));
    }

    #[test]
    fn a_long_cache_is_copied_rather_than_cut() {
        let long: &[i32] = &[1, 2, 3, 4, 5, 6];
        assert_eq!(
            choice(&[(1, long, true), (1, &[], true)], 1, &[1, 2, 9]),
            Some(Choice::of(1, 2, Some(0)))
        );
        assert_eq!(choice(&[(1, long, true)], 1, &[1, 2, 9]), Some(Choice::of(0, 2, None)));
    }

    #[test]
    fn streams_run_side_by_side_and_no_more_is_forgotten_for_it() {
        let rows: &[(u64, &[i32], bool)] = &[
            (1, &[1, 1], true),
            (1, &[2, 2], false),
            (1, &[3, 3], true),
            (1, &[4, 4], true),
            (1, &[], true),
        ];
        let cached: Vec<_> = rows.iter().map(|(_, ids, _)| tokens(ids)).collect();
        let view = |(index, (partition, _, idle)): (usize, &(u64, &[i32], bool))| View {
            partition: *partition,
            cached: &cached[index],
            idle: *idle,
            used: index as u64,
            whole: None,
        };
        let views: Vec<_> = rows.iter().enumerate().map(view).collect();
        // A new prompt would take the empty slot: the neighbor's cache goes there instead.
        let moved = Choice { slot: 0, keep: 0, from: None, shelter: Some(4) };
        assert_eq!(beside(&views, Choice::of(4, 0, None)), moved);
        // A known prompt is copied out of its slot.
        let copied = Choice { slot: 0, keep: 2, from: Some(3), shelter: Some(4) };
        assert_eq!(beside(&views, Choice::of(3, 2, None)), copied);
        // Beside the running one already, or nothing runs: as it was.
        assert_eq!(beside(&views, Choice::of(2, 2, None)), Choice::of(2, 2, None));
        let still: Vec<_> = views.iter().map(|view| View { idle: true, ..*view }).collect();
        assert_eq!(beside(&still, Choice::of(4, 0, None)), Choice::of(4, 0, None));
    }

    #[test]
    fn a_running_stream_lends_its_prefix_but_not_its_slot() {
        let slots: &[(u64, &[i32], bool)] = &[(1, &[1, 2, 3], false), (5, &[8], true)];
        assert_eq!(choice(slots, 1, &[1, 2, 3, 4]), Some(Choice::of(1, 3, Some(0))));
        assert_eq!(choice(&[(1, &[1, 2, 3], false)], 1, &[1, 2, 3]), None);
    }
}
