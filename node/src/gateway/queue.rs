//! Who is next. Callers take turns; within a caller, first come first served. Bounded in all and by caller, so that one
//! busy editor cannot starve another, and a full queue is said at once.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use super::limits::{WAITING_MAX, WAITING_PER_CALLER_MAX};

/// The queue is full.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

/// A queue with turns.
pub struct RoundRobin<C, T> {
    turns: VecDeque<C>,
    waiting: HashMap<C, VecDeque<T>>,
    len: usize,
}

impl<C, T> Default for RoundRobin<C, T> {
    fn default() -> Self {
        Self { turns: VecDeque::new(), waiting: HashMap::new(), len: 0 }
    }
}

impl<C: Copy + Eq + Hash, T> RoundRobin<C, T> {
    /// Joins the queue.
    ///
    /// # Errors
    /// [`Full`], by the queue's or the caller's bound.
    pub fn push(&mut self, caller: C, item: T) -> Result<(), Full> {
        let own = self.waiting.get(&caller).map_or(0, VecDeque::len);
        if self.len >= WAITING_MAX || own >= WAITING_PER_CALLER_MAX {
            return Err(Full);
        }
        if own == 0 {
            self.turns.push_back(caller);
        }
        self.waiting.entry(caller).or_default().push_back(item);
        self.len += 1;
        Ok(())
    }

    /// The next one.
    pub fn pop(&mut self) -> Option<T> {
        let caller = self.turns.pop_front()?;
        let own = self.waiting.get_mut(&caller)?;
        let item = own.pop_front()?;
        self.len -= 1;
        if own.is_empty() {
            self.waiting.remove(&caller);
        } else {
            self.turns.push_back(caller);
        }
        Some(item)
    }

    /// Takes out all that `keep` does not want, in no particular order.
    pub fn extract(&mut self, mut keep: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut out = Vec::new();
        for own in self.waiting.values_mut() {
            let (kept, gone): (VecDeque<T>, VecDeque<T>) = own.drain(..).partition(&mut keep);
            *own = kept;
            out.extend(gone);
        }
        self.waiting.retain(|_, own| !own.is_empty());
        self.turns.retain(|caller| self.waiting.contains_key(caller));
        self.len -= out.len();
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn callers_take_turns() {
        let mut queue = RoundRobin::default();
        for item in ["a1", "a2", "a3"] {
            assert_eq!(queue.push('a', item), Ok(()));
        }
        assert_eq!(queue.push('b', "b1"), Ok(()));
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, ["a1", "b1", "a2", "a3"]);
        assert_eq!(queue.len, 0);
    }

    #[test]
    fn both_bounds_hold() {
        let mut queue = RoundRobin::default();
        for n in 0..WAITING_PER_CALLER_MAX {
            assert_eq!(queue.push(0, n), Ok(()));
        }
        assert_eq!(queue.push(0, 0), Err(Full));
        for n in WAITING_PER_CALLER_MAX..WAITING_MAX {
            assert_eq!(queue.push(n, n), Ok(()));
        }
        assert_eq!(queue.push(WAITING_MAX, 0), Err(Full));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_doubled(callers in prop::collection::vec(0_u8..4, 0..60), drop_every in 2_usize..5) {
            let mut queue = RoundRobin::default();
            let mut accepted = Vec::new();
            for (item, caller) in callers.iter().enumerate() {
                if queue.push(*caller, item).is_ok() {
                    accepted.push(item);
                }
            }
            let gone = queue.extract(|item| item % drop_every != 0);
            let mut all: Vec<_> = std::iter::from_fn(|| queue.pop()).chain(gone).collect();
            all.sort_unstable();
            prop_assert_eq!(all, accepted);
            prop_assert_eq!(queue.len, 0);
        }
    }
}
