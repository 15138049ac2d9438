//! What one caller may use: tokens in a day, and requests at once, as the baseline says. A day is UTC's and only goes
//! forward: setting the clock back gains nothing.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use croft_domain::code::Code;
use croft_proto::frames::Spent;

use super::errors::Refusal;
use super::guard::Caller;
use super::limits::{CALLERS_MAX, RETRY_AFTER_S};

const DAY_S: u64 = 86_400;

/// The baseline's bounds for one caller; 0: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Tokens in a day.
    pub tokens_per_day: u64,
    /// Requests that run and wait at once.
    pub in_flight_max: u32,
}

/// What callers have used.
#[derive(Default)]
pub struct Quotas {
    day: Cell<u64>,
    tokens: RefCell<HashMap<Caller, u64>>,
    in_flight: RefCell<HashMap<Caller, u32>>,
}

/// One request's place among its caller's, given back when dropped.
pub struct Place {
    quotas: Rc<Quotas>,
    caller: Caller,
}

impl Quotas {
    /// Takes a place for a request.
    ///
    /// # Errors
    /// [`Code::QuotaSpent`], with the time after which another attempt may succeed.
    pub fn admit(self: &Rc<Self>, caller: Caller, bounds: Bounds, now_s: u64) -> Result<Place, Refusal> {
        self.turn_day(now_s / DAY_S);
        let spent = self.tokens.borrow().get(&caller).copied().unwrap_or(0);
        if bounds.tokens_per_day > 0 && spent >= bounds.tokens_per_day {
            let rest_s = ((self.day.get() + 1) * DAY_S).saturating_sub(now_s).max(1);
            let message = format!(
                "today's {} tokens are used up; the next day (UTC) begins in {} minutes",
                bounds.tokens_per_day,
                rest_s.div_ceil(60)
            );
            let refusal = Refusal::new(Code::QuotaSpent, message);
            return Err(refusal.retry_after(u32::try_from(rest_s).unwrap_or(u32::MAX)));
        }
        let mut in_flight = self.in_flight.borrow_mut();
        let own = in_flight.get(&caller).copied().unwrap_or(0);
        if bounds.in_flight_max > 0 && own >= bounds.in_flight_max {
            let message =
                format!("{own} requests of this caller are under way, which is the most at once here");
            return Err(Refusal::new(Code::QuotaSpent, message)
                .with_hint("wait until one of them has ended")
                .retry_after(RETRY_AFTER_S));
        }
        in_flight.insert(caller, own + 1);
        Ok(Place { quotas: Rc::clone(self), caller })
    }

    /// Counts used tokens; gives the day's sum, to be kept by the daemon.
    pub fn spend(&self, caller: Caller, tokens: u64, now_s: u64) -> Spent {
        self.turn_day(now_s / DAY_S);
        let mut all = self.tokens.borrow_mut();
        // Accounts are enrolled one by one, so this bound is never met; it is here so that nothing grows unseen.
        if all.len() >= CALLERS_MAX && !all.contains_key(&caller) {
            all.clear();
        }
        let sum = all.entry(caller).or_default();
        *sum = sum.saturating_add(tokens);
        let uid = match caller {
            Caller::Key => None,
            Caller::Uid(uid) => Some(uid),
        };
        Spent { day: self.day.get(), uid, tokens: *sum }
    }

    /// Takes over what an earlier gateway had counted.
    pub fn take_over(&self, spent: Spent) {
        self.turn_day(spent.day);
        if spent.day == self.day.get() {
            let mut all = self.tokens.borrow_mut();
            let sum = all.entry(spent.uid.map_or(Caller::Key, Caller::Uid)).or_default();
            *sum = spent.tokens.max(*sum);
        }
    }

    fn turn_day(&self, day: u64) {
        if day > self.day.get() {
            self.day.set(day);
            self.tokens.borrow_mut().clear();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut in_flight = self.quotas.in_flight.borrow_mut();
        if let Some(own) = in_flight.get_mut(&self.caller) {
            *own -= 1;
            if *own == 0 {
                in_flight.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON_S: u64 = 20_000 * DAY_S + DAY_S / 2;
    const ANNA: Caller = Caller::Uid(1000);

    #[test]
    fn tokens_are_counted_by_caller_and_day() {
        let quotas = Rc::new(Quotas::default());
        let bounds = Bounds { tokens_per_day: 100, in_flight_max: 0 };
        quotas.spend(ANNA, 99, NOON_S);
        drop(quotas.admit(ANNA, bounds, NOON_S).ok().expect("one token is left"));
        assert_eq!(quotas.spend(ANNA, 50, NOON_S).tokens, 149);
        let refusal = quotas.admit(ANNA, bounds, NOON_S).err().expect("spent");
        assert_eq!((refusal.code, refusal.status.as_u16()), (Code::QuotaSpent, 429));
        assert_eq!(refusal.retry_after_s, Some(43_200));
        assert!(quotas.admit(Caller::Key, bounds, NOON_S).is_ok(), "another caller has its own");
        assert!(quotas.admit(ANNA, bounds, NOON_S - 2 * DAY_S).is_err(), "a clock set back gains nothing");
        assert!(quotas.admit(ANNA, bounds, NOON_S + DAY_S).is_ok(), "the next day");
        assert!(quotas.admit(ANNA, Bounds::default(), NOON_S).is_ok(), "no bound");
    }

    #[test]
    fn a_gateway_that_is_started_again_goes_on_counting() {
        let first = Quotas::default();
        let spent = first.spend(ANNA, 100, NOON_S);
        let second = Rc::new(Quotas::default());
        second.take_over(spent);
        let bounds = Bounds { tokens_per_day: 100, in_flight_max: 0 };
        assert!(second.admit(ANNA, bounds, NOON_S).is_err());
        second.take_over(Spent { day: spent.day - 1, ..spent });
        assert!(second.admit(ANNA, bounds, NOON_S + DAY_S).is_ok());
    }

    #[test]
    fn a_place_is_given_back_when_the_request_ends() {
        let quotas = Rc::new(Quotas::default());
        let bounds = Bounds { tokens_per_day: 0, in_flight_max: 2 };
        let first = quotas.admit(ANNA, bounds, NOON_S).ok().expect("a place");
        let _second = quotas.admit(ANNA, bounds, NOON_S).ok().expect("a place");
        let refusal = quotas.admit(ANNA, bounds, NOON_S).err().expect("full");
        assert_eq!((refusal.code, refusal.retry_after_s), (Code::QuotaSpent, Some(RETRY_AFTER_S)));
        assert!(quotas.admit(Caller::Key, bounds, NOON_S).is_ok());
        drop(first);
        assert!(quotas.admit(ANNA, bounds, NOON_S).is_ok());
    }
}
