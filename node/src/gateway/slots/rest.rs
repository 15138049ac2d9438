//! Workers that come and go by intent: one that nobody uses may end, and requests wait while another is loaded.

use std::rc::Rc;

use super::Slot;
use crate::gateway::limits::WORKER_WAIT;

impl Slot {
    /// The daemon asks whether a worker may end. If nothing is on its way to it, it is taken for gone from here on; the
    /// daemon hears that.
    pub fn rest(&self, generation: u32) {
        if self.state.borrow_mut().rest(generation) {
            self.daemon.at_rest(self.index, generation);
        }
        // What was asked for meanwhile is under way now.
        self.outgoing.notify_one();
    }

    /// A worker is being started.
    pub fn loading(&self) {
        self.state.borrow_mut().loading();
    }

    /// A worker is down and is not started again by itself.
    pub fn refuse_waiting(&self, code: &str, message: &str) {
        self.state.borrow_mut().refuse_waiting(code, message);
    }

    /// Refuses a request that waits for a worker, when nothing was heard of one for too long.
    pub(super) fn wait_for_worker(self: &Rc<Self>, request: u64) {
        let slot = Rc::clone(self);
        tokio::task::spawn_local(async move {
            loop {
                let loadings = slot.state.borrow().loadings();
                tokio::time::sleep(WORKER_WAIT).await;
                if slot.state.borrow().loadings() == loadings {
                    break;
                }
            }
            slot.state.borrow_mut().give_up_waiting(request);
        });
    }
}
