//! Who is next: deficit round robin (Shreedhar and Varghese, 1996) on tokens, so that callers share the work and not the
//! number of requests. Within a caller, first come first served. Bounded in all and by caller, so that one busy editor
//! cannot starve another, and a full queue is said at once.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use super::limits::{TURN_TOKENS, WAITING_MAX, WAITING_PER_CALLER_MAX};

/// The queue is full.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

/// One caller's requests, and how many tokens it may still spend in this round.
struct Line<T> {
    waiting: VecDeque<(u64, T)>,
    credit: u64,
}

/// A queue with turns.
pub struct FairQueue<C, T> {
    turns: VecDeque<C>,
    lines: HashMap<C, Line<T>>,
    len: usize,
}

impl<C, T> Default for FairQueue<C, T> {
    fn default() -> Self {
        Self { turns: VecDeque::new(), lines: HashMap::new(), len: 0 }
    }
}

impl<C: Copy + Eq + Hash, T> FairQueue<C, T> {
    /// Joins the queue with work of about `cost` tokens.
    ///
    /// # Errors
    /// [`Full`], by the queue's or the caller's bound.
    pub fn push(&mut self, caller: C, cost: u64, item: T) -> Result<(), Full> {
        let own = self.lines.get(&caller).map_or(0, |line| line.waiting.len());
        if self.len >= WAITING_MAX || own >= WAITING_PER_CALLER_MAX {
            return Err(Full);
        }
        if own == 0 {
            self.turns.push_back(caller);
        }
        let line = self.lines.entry(caller).or_insert_with(|| Line { waiting: VecDeque::new(), credit: 0 });
        line.waiting.push_back((cost, item));
        self.len += 1;
        Ok(())
    }

    /// The next one. A caller whose first request costs more than its credit passes its turn on and is richer by
    /// [`TURN_TOKENS`] the next time; one that `may` not have another running now waits without losing its turn.
    pub fn pop(&mut self, may: impl Fn(C) -> bool) -> Option<T> {
        if !self.turns.iter().any(|caller| may(*caller)) {
            return None;
        }
        self.skip_rounds(&may);
        loop {
            let caller = *self.turns.front()?;
            let line = self.lines.get_mut(&caller)?;
            if !may(caller) {
                self.turns.rotate_left(1);
                continue;
            }
            let cost = line.waiting.front()?.0;
            if cost > line.credit {
                line.credit = line.credit.saturating_add(TURN_TOKENS);
                self.turns.rotate_left(1);
                continue;
            }
            line.credit -= cost;
            let (_, item) = line.waiting.pop_front()?;
            self.len -= 1;
            // Credit is for those who wait: nobody saves it up while idle.
            if line.waiting.is_empty() {
                self.lines.remove(&caller);
                self.turns.pop_front();
            }
            return Some(item);
        }
    }

    /// Gives everybody who may run at once the rounds that nobody could use, so that costs do not become loops.
    fn skip_rounds(&mut self, may: &impl Fn(C) -> bool) {
        let missing = |line: &Line<T>| {
            line.waiting.front().map_or(0, |(cost, _)| cost.saturating_sub(line.credit).div_ceil(TURN_TOKENS))
        };
        let running = self.lines.iter().filter(|(caller, _)| may(**caller));
        let rounds = running.map(|(_, line)| missing(line)).min().unwrap_or(0).saturating_sub(1);
        for (_, line) in self.lines.iter_mut().filter(|(caller, _)| rounds > 0 && may(**caller)) {
            line.credit = line.credit.saturating_add(rounds.saturating_mul(TURN_TOKENS));
        }
    }

    /// Takes out all that `keep` does not want, in no particular order.
    pub fn extract(&mut self, mut keep: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut out = Vec::new();
        for line in self.lines.values_mut() {
            let (kept, gone): (VecDeque<_>, VecDeque<_>) =
                line.waiting.drain(..).partition(|(_, item)| keep(item));
            line.waiting = kept;
            out.extend(gone.into_iter().map(|(_, item)| item));
        }
        self.lines.retain(|_, line| !line.waiting.is_empty());
        self.turns.retain(|caller| self.lines.contains_key(caller));
        self.len -= out.len();
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn callers_with_equal_work_take_turns() {
        let mut queue = FairQueue::default();
        for item in ["a1", "a2", "a3"] {
            assert_eq!(queue.push('a', TURN_TOKENS, item), Ok(()));
        }
        assert_eq!(queue.push('b', TURN_TOKENS, "b1"), Ok(()));
        let order: Vec<_> = std::iter::from_fn(|| queue.pop(|_| true)).collect();
        assert_eq!(order, ["a1", "b1", "a2", "a3"]);
        assert_eq!(queue.len, 0);
    }

    #[test]
    fn a_greedy_caller_with_long_requests_waits_longer_than_one_with_short_ones() {
        let mut queue = FairQueue::default();
        for _ in 0..8 {
            assert_eq!(queue.push("greedy", 8 * TURN_TOKENS, "long"), Ok(()));
        }
        for _ in 0..8 {
            assert_eq!(queue.push("modest", TURN_TOKENS, "short"), Ok(()));
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop(|_| true)).collect();
        // Eight short ones are as much work as one long one.
        let shorts_done = order.iter().rposition(|item| *item == "short").expect("short ones");
        let longs_before = order[..shorts_done].iter().filter(|item| **item == "long").count();
        assert!(longs_before <= 1, "{order:?}");
    }

    #[test]
    fn both_bounds_hold() {
        let mut queue = FairQueue::default();
        for n in 0..WAITING_PER_CALLER_MAX {
            assert_eq!(queue.push(0, 1, n), Ok(()));
        }
        assert_eq!(queue.push(0, 1, 0), Err(Full));
        for n in WAITING_PER_CALLER_MAX..WAITING_MAX {
            assert_eq!(queue.push(n, 1, n), Ok(()));
        }
        assert_eq!(queue.push(WAITING_MAX, 1, 0), Err(Full));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_doubled(
            requests in prop::collection::vec((0_u8..4, any::<u64>()), 0..60), drop_every in 2_usize..5,
        ) {
            let mut queue = FairQueue::default();
            let mut accepted = Vec::new();
            for (item, (caller, cost)) in requests.iter().enumerate() {
                if queue.push(*caller, *cost >> (item % 64), item).is_ok() {
                    accepted.push(item);
                }
            }
            let gone = queue.extract(|item| item % drop_every != 0);
            let mut all: Vec<_> = std::iter::from_fn(|| queue.pop(|_| true)).chain(gone).collect();
            all.sort_unstable();
            prop_assert_eq!(all, accepted);
            prop_assert_eq!(queue.len, 0);
        }

        #[test]
        fn nobody_gets_ahead_by_more_than_one_request_and_one_turn(
            costs in prop::collection::vec((1_u64..5000, 1_u64..5000), 32),
        ) {
            let mut queue = FairQueue::default();
            for (a, b) in &costs {
                prop_assert_eq!(queue.push('a', *a, ('a', *a)), Ok(()));
                prop_assert_eq!(queue.push('b', *b, ('b', *b)), Ok(()));
            }
            let (mut a, mut b) = (0, 0);
            // As long as both wait, what they got differs by no more than the largest request and a turn.
            for _ in 0..32 {
                let (caller, cost) = queue.pop(|_| true).expect("64 wait");
                if caller == 'a' { a += cost } else { b += cost }
                prop_assert!(u64::abs_diff(a, b) <= 5000 + 2 * TURN_TOKENS, "{a} {b}");
            }
        }
    }
}
