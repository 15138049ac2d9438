//! The pace of trying again: exponential with full jitter, so that a fleet whose controller restarts does not come back
//! all at once.

use std::time::Duration;

/// Delays between attempts.
#[derive(Clone, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    attempt: u32,
}

impl Backoff {
    /// Delays that grow from `min` to `max`.
    #[must_use]
    pub const fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, attempt: 0 }
    }

    /// The next delay: between `min` and `min · 2^attempt`, never above `max`.
    pub fn next_delay(&mut self) -> Duration {
        let ceiling = self.min.saturating_mul(1_u32 << self.attempt.min(20)).min(self.max);
        self.attempt = self.attempt.saturating_add(1);
        let span = ceiling.saturating_sub(self.min);
        self.min + span.mul_f64(random_fraction())
    }

    /// Begins anew after a success.
    pub const fn reset(&mut self) {
        self.attempt = 0;
    }
}

/// `interval` changed by up to ±10 %, for things that a whole fleet does periodically.
#[must_use]
pub fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(0.9 + 0.2 * random_fraction())
}

/// In [0, 1). Falls back to the middle where the system has no randomness: jitter is a courtesy, not a protection.
fn random_fraction() -> f64 {
    let mut bytes = [0_u8; 4];
    match getrandom::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0),
        Err(_) => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_within_their_bounds_and_begin_anew() {
        let (min, max) = (Duration::from_secs(1), Duration::from_secs(60));
        let mut backoff = Backoff::new(min, max);
        for attempt in 0..100 {
            let delay = backoff.next_delay();
            assert!(delay >= min && delay <= max, "{delay:?}");
            assert!(attempt > 0 || delay == min);
        }
        backoff.reset();
        assert_eq!(backoff.next_delay(), min);
    }

    #[test]
    fn jitter_stays_within_a_tenth() {
        for _ in 0..100 {
            let delay = jittered(Duration::from_secs(100));
            assert!((90..=110).contains(&delay.as_secs()), "{delay:?}");
        }
    }
}
