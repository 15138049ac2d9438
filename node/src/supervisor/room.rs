//! Who may be in memory at once. All models together stay under one ceiling; a model that is asked for makes those leave
//! that have been idle longest, and waits while none is idle.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

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
    ceiling_bytes: u64,
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
    /// A room of so many bytes.
    #[must_use]
    pub fn new(ceiling_bytes: u64) -> Arc<Self> {
        Arc::new(Self { ceiling_bytes, tenants: Mutex::default(), changed: Notify::new() })
    }

    /// What all together may take, in bytes.
    #[must_use]
    pub const fn ceiling_bytes(&self) -> u64 {
        self.ceiling_bytes
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
        match decide(&residents, bytes, self.ceiling_bytes) {
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
        if let Some(tenant) = self.room.tenants().get_mut(&self.slot) {
            tenant.resident.idle_since = idle_since;
        }
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
    use std::time::Duration;

    use super::*;

    fn resident(slot: u32, bytes: u64, idle_since: Option<Instant>) -> Resident {
        Resident { slot, bytes, idle_since }
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
