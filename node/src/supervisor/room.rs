//! Who may be in memory at once. All models together stay under one ceiling; a model that is asked for makes those leave
//! that have been idle longest, and waits while none is idle.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

/// Why a model wants to be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// A request waits for it: others may be asked to leave.
    Wanted,
    /// It would be good to have it ready: nobody leaves for it.
    Spare,
}

/// One model in memory, as the decision sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Resident {
    slot: u32,
    bytes: u64,
    /// Since when nobody uses it; none while somebody does.
    idle_since: Option<Instant>,
}

/// What is to be done about a newcomer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Decision {
    /// There is room.
    Enter,
    /// There is once these have left.
    Ask(Vec<u32>),
    /// There will be, when others have become idle.
    Wait,
}

/// Decides. The idle ones that were used last stay as long as they can.
fn decide(residents: &[Resident], bytes: u64, ceiling_bytes: u64) -> Decision {
    let taken = residents.iter().fold(0_u64, |sum, resident| sum.saturating_add(resident.bytes));
    let mut missing = taken.saturating_add(bytes).saturating_sub(ceiling_bytes);
    if missing == 0 {
        return Decision::Enter;
    }
    let mut idle: Vec<_> =
        residents.iter().filter_map(|resident| resident.idle_since.map(|since| (since, resident))).collect();
    idle.sort_by_key(|(since, _)| *since);
    let mut leaving = Vec::new();
    for (_, resident) in idle {
        leaving.push(resident.slot);
        missing = missing.saturating_sub(resident.bytes);
        if missing == 0 {
            return Decision::Ask(leaving);
        }
    }
    Decision::Wait
}

struct Tenant {
    resident: Resident,
    leave: watch::Sender<bool>,
}

/// The memory that models share.
pub struct Room {
    ceiling_bytes: AtomicU64,
    tenants: Mutex<BTreeMap<u32, Tenant>>,
    changed: Notify,
}

/// A model's place in memory; given back when dropped.
pub struct Place {
    room: Arc<Room>,
    slot: u32,
    leave: watch::Receiver<bool>,
}

impl Room {
    /// Whether the model of that slot is in memory.
    pub fn is_resident(&self, slot: u32) -> bool {
        self.tenants().contains_key(&slot)
    }

    /// Asks the model of that slot to leave when nobody uses it.
    pub fn ask_to_leave(&self, slot: u32) {
        if let Some(tenant) = self.tenants().get(&slot) {
            tenant.leave.send_replace(true);
        }
    }

    /// Whether nobody used a model for so long; one that loads is used.
    #[must_use]
    pub fn is_calm(&self, now: Instant, for_at_least: Duration) -> bool {
        let calm = |since: Instant| now.saturating_duration_since(since) >= for_at_least;
        self.tenants().values().all(|tenant| tenant.resident.idle_since.is_some_and(calm))
    }

    /// Waits until somebody uses a model. Safe to drop and call again.
    pub async fn until_used(&self) {
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if self.tenants().values().any(|tenant| tenant.resident.idle_since.is_none()) {
                return;
            }
            changed.await;
        }
    }

    /// A room of so many bytes.
    #[must_use]
    pub fn new(ceiling_bytes: u64) -> Arc<Self> {
        let ceiling_bytes = AtomicU64::new(ceiling_bytes);
        Arc::new(Self { ceiling_bytes, tenants: Mutex::default(), changed: Notify::new() })
    }

    /// What all together may take, in bytes.
    #[must_use]
    pub fn ceiling_bytes(&self) -> u64 {
        self.ceiling_bytes.load(Ordering::Relaxed)
    }

    /// Moves the ceiling. Whoever is above it leaves when nobody uses it, and whoever waits below it looks again.
    pub fn set_ceiling(&self, ceiling_bytes: u64) {
        if self.ceiling_bytes.swap(ceiling_bytes, Ordering::Relaxed) != ceiling_bytes {
            self.shed(&self.tenants());
            self.changed.notify_waiters();
        }
    }

    /// Asks those to leave that are too many under the ceiling as it is.
    fn shed(&self, tenants: &BTreeMap<u32, Tenant>) {
        let residents: Vec<Resident> = tenants.values().map(|tenant| tenant.resident).collect();
        let leaving = match decide(&residents, 0, self.ceiling_bytes()) {
            Decision::Enter => return,
            Decision::Ask(leaving) => leaving,
            // All that are idle do not suffice: they leave all the same.
            Decision::Wait => residents.iter().filter(|r| r.idle_since.is_some()).map(|r| r.slot).collect(),
        };
        for tenant in leaving.iter().filter_map(|slot| tenants.get(slot)) {
            tenant.leave.send_replace(true);
        }
    }

    fn tenants(&self) -> MutexGuard<'_, BTreeMap<u32, Tenant>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for room for `bytes`, which the caller has seen to be no more than the ceiling. None: there is none to
    /// spare. Safe to drop and call again.
    pub async fn enter(self: &Arc<Self>, slot: u32, bytes: u64, wish: Wish) -> Option<Place> {
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            if let Some(place) = self.try_enter(slot, bytes, wish) {
                return Some(place);
            }
            if wish == Wish::Spare {
                return None;
            }
            changed.await;
        }
    }

    fn try_enter(self: &Arc<Self>, slot: u32, bytes: u64, wish: Wish) -> Option<Place> {
        let mut tenants = self.tenants();
        let residents: Vec<Resident> = tenants.values().map(|tenant| tenant.resident).collect();
        match decide(&residents, bytes, self.ceiling_bytes()) {
            Decision::Enter => {}
            Decision::Ask(leaving) if wish == Wish::Wanted => {
                for slot in leaving {
                    if let Some(tenant) = tenants.get(&slot) {
                        tenant.leave.send_replace(true);
                    }
                }
                return None;
            }
            Decision::Ask(_) | Decision::Wait => return None,
        }
        let (sender, leave) = watch::channel(false);
        // It loads, which counts as use.
        let resident = Resident { slot, bytes, idle_since: None };
        tenants.insert(slot, Tenant { resident, leave: sender });
        Some(Place { room: Arc::clone(self), slot, leave })
    }
}

impl Place {
    /// Says whether the model is used, and since when it is not.
    pub fn set_idle_since(&self, idle_since: Option<Instant>) {
        let mut tenants = self.room.tenants();
        if let Some(tenant) = tenants.get_mut(&self.slot) {
            tenant.resident.idle_since = idle_since;
        }
        self.room.shed(&tenants);
        drop(tenants);
        self.room.changed.notify_waiters();
    }

    /// Waits until another model needs the room. Safe to drop and call again.
    pub async fn wanted_by_another(&mut self) {
        // The sender lives as long as this place.
        let _ = self.leave.wait_for(|leave| *leave).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.tenants().remove(&self.slot);
        self.room.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resident(slot: u32, bytes: u64, idle_since: Option<Instant>) -> Resident {
        Resident { slot, bytes, idle_since }
    }

    #[tokio::test]
    async fn p4_a_ceiling_that_sinks_makes_the_idle_leave_at_once_and_the_busy_when_they_are_done() {
        let room = Room::new(100);
        let mut idle = room.enter(0, 40, Wish::Wanted).await.expect("a place");
        let mut busy = room.enter(1, 40, Wish::Wanted).await.expect("a place");
        idle.set_idle_since(Some(Instant::now()));
        room.set_ceiling(30);
        assert_eq!(room.ceiling_bytes(), 30);
        idle.wanted_by_another().await;
        let mut leaving = std::pin::pin!(busy.leave.clone());
        assert!(!*leaving.borrow_and_update(), "nobody is thrown out of an answer");
        busy.set_idle_since(Some(Instant::now()));
        busy.wanted_by_another().await;
        drop((idle, busy));
        assert!(room.enter(2, 31, Wish::Spare).await.is_none());
        assert!(room.enter(2, 30, Wish::Spare).await.is_some());
    }

    #[test]
    fn the_longest_idle_leave_first_and_the_busy_never() {
        let now = Instant::now();
        let old = now.checked_sub(Duration::from_secs(60)).expect("an uptime of a minute");
        let all = [resident(0, 40, Some(now)), resident(1, 40, Some(old)), resident(2, 20, None)];
        assert_eq!(decide(&all, 0, 100), Decision::Enter);
        assert_eq!(decide(&all, 30, 100), Decision::Ask(vec![1]));
        assert_eq!(decide(&all, 60, 100), Decision::Ask(vec![1, 0]));
        assert_eq!(decide(&all, 90, 100), Decision::Wait);
        assert_eq!(decide(&[], u64::MAX, 100), Decision::Wait);
    }

    #[tokio::test]
    async fn a_wanted_model_enters_when_an_idle_one_has_left() {
        let room = Room::new(100);
        let mut first = room.enter(0, 80, Wish::Wanted).await.expect("room");
        assert!(room.enter(1, 80, Wish::Spare).await.is_none(), "nobody leaves for a spare one");
        let second = tokio::spawn({
            let room = Arc::clone(&room);
            async move { room.enter(1, 80, Wish::Wanted).await }
        });
        tokio::task::yield_now().await;
        assert!(!second.is_finished(), "the first is in use");
        first.set_idle_since(Some(Instant::now()));
        first.wanted_by_another().await;
        drop(first);
        assert!(second.await.expect("no panic").is_some());
    }
}
