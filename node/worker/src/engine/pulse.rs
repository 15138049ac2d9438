//! What happens to a step while it is computed: a cancellation can end it, and the daemon hears that it goes on.
//!
//! The reader's thread notes cancellations before the engine gets to see them; llama.cpp asks between the operations of
//! a step whether to go on. A step is ended only if nobody waits for any part of it any more: else others would pay.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::clock;
use crate::limits::BEAT_EVERY_MS;

/// Shared by the reader, the engine and llama.cpp's question.
#[derive(Debug)]
pub struct Pulse {
    began: Instant,
    /// The step under way is of no use to anybody.
    stop: AtomicBool,
    /// The gateway is gone: no step is of any use.
    closed: AtomicBool,
    told_ms: AtomicU64,
    steps: AtomicU64,
    requests: Mutex<Requests>,
    listener: Option<Box<dyn Listener>>,
}

#[derive(Debug, Default)]
struct Requests {
    canceled: BTreeSet<u64>,
    under_way: Vec<u64>,
}

/// Hears that the worker lives.
pub trait Listener: Send + Sync + std::fmt::Debug {
    /// Called about once a second while something is computed, and whenever that begins or ends. Must not block.
    fn alive(&self, busy: bool, steps: u64);
}

impl Pulse {
    /// A pulse that tells `listener`, if there is one.
    #[must_use]
    pub fn new(listener: Option<Box<dyn Listener>>) -> Self {
        Self {
            began: clock::now(),
            stop: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            told_ms: AtomicU64::new(0),
            steps: AtomicU64::new(0),
            requests: Mutex::default(),
            listener,
        }
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a cancellation that the engine has not seen yet.
    pub fn cancel(&self, request: u64) {
        let mut requests = self.requests();
        requests.canceled.insert(request);
        if requests.useless() {
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    /// The engine has seen it.
    pub fn forget(&self, request: u64) {
        self.requests().canceled.remove(&request);
    }

    /// Nobody will read an answer any more.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Computes a step for these requests; tells whether it was ended because none of them is waited for.
    pub fn during<T>(&self, under_way: Vec<u64>, compute: impl FnOnce() -> T) -> (T, Ended) {
        {
            let mut requests = self.requests();
            requests.under_way = under_way;
            self.stop.store(requests.useless(), Ordering::Relaxed);
        }
        let result = compute();
        self.steps.fetch_add(1, Ordering::Relaxed);
        self.requests().under_way.clear();
        let stopped = self.stop.swap(false, Ordering::Relaxed) || self.closed.load(Ordering::Relaxed);
        (result, if stopped { Ended::Early } else { Ended::Whole })
    }

    /// Between two operations of a step: whether to end it.
    pub fn beat(&self) -> bool {
        if self.listener.is_some() && self.now_ms() >= self.told_ms.load(Ordering::Relaxed) + BEAT_EVERY_MS {
            self.tell(true);
        }
        self.stop.load(Ordering::Relaxed) || self.closed.load(Ordering::Relaxed)
    }

    /// Tells the listener.
    pub fn tell(&self, busy: bool) {
        let Some(listener) = &self.listener else { return };
        self.told_ms.store(self.now_ms(), Ordering::Relaxed);
        listener.alive(busy, self.steps.load(Ordering::Relaxed));
    }

    fn now_ms(&self) -> u64 {
        clock::micros(self.began, clock::now()) / 1000
    }
}

impl Requests {
    fn useless(&self) -> bool {
        !self.under_way.is_empty() && self.under_way.iter().all(|request| self.canceled.contains(request))
    }
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It may have been cut short.
    Early,
    /// Nobody asked to end it.
    Whole,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_ends_only_when_nobody_waits_for_any_part_of_it() {
        let pulse = Pulse::new(None);
        let (_, ended) = pulse.during(vec![1, 2], || {
            assert!(!pulse.beat());
            pulse.cancel(1);
            assert!(!pulse.beat(), "the second one is still waited for");
            pulse.cancel(2);
            assert!(pulse.beat());
        });
        assert_eq!(ended, Ended::Early);
        let (_, ended) = pulse.during(vec![3], || assert!(!pulse.beat()));
        assert_eq!(ended, Ended::Whole);
    }

    #[test]
    fn a_cancellation_that_came_before_the_step_counts() {
        let pulse = Pulse::new(None);
        pulse.cancel(1);
        pulse.during(vec![1], || assert!(pulse.beat()));
        pulse.forget(1);
        pulse.during(vec![1], || assert!(!pulse.beat()));
        pulse.close();
        pulse.during(vec![5], || assert!(pulse.beat()));
    }

    #[derive(Debug)]
    struct Heard(std::sync::mpsc::SyncSender<(bool, u64)>);

    impl Listener for Heard {
        fn alive(&self, busy: bool, steps: u64) {
            let _ = self.0.try_send((busy, steps));
        }
    }

    #[test]
    fn a_listener_hears_how_many_steps_were_computed() {
        let (sender, heard) = std::sync::mpsc::sync_channel(4);
        let pulse = Pulse::new(Some(Box::new(Heard(sender))));
        pulse.during(vec![1], || ());
        pulse.tell(false);
        assert_eq!(heard.try_recv(), Ok((false, 1)));
    }
}
