//! Workers as the gateway sees them: one slot each, a socket that outlives workers. A slot knows which generation of
//! worker it may believe, who waits, and which requests run; every worker message is bounded and distrusted.

mod io;
mod state;

use std::cell::RefCell;
use std::rc::Rc;

use croft_domain::code::Code;
use croft_proto::frames::{Finished, FromWorker, Generate};
use tokio::sync::{Notify, mpsc};

use super::body::Reservation;
use super::control::Outbox;
use super::errors::Refusal;
use super::fragment::Fragment;
use super::guard::Caller;
use super::limits::{CANCEL_WAIT, EVENTS_MAX, WORKER_WAIT};

pub use io::{packet_buffer, serve};
use state::State;

/// What happens to one request.
pub enum Event {
    /// More of the answer.
    Piece(Fragment),
    /// The end.
    Finished(Finished),
    /// No end.
    Failed(Refusal),
}

/// One slot.
pub struct Slot {
    index: u32,
    state: RefCell<State>,
    /// Wakes the writer.
    outgoing: Notify,
    daemon: Rc<Outbox>,
}

/// A request's events. Dropping it cancels the request.
pub struct Events {
    slot: Rc<Slot>,
    request: u64,
    receiver: mpsc::Receiver<Event>,
    ended: bool,
}

impl Slot {
    /// A slot without a worker.
    #[must_use]
    pub fn new(index: u32, daemon: Rc<Outbox>) -> Rc<Self> {
        Rc::new(Self { index, state: RefCell::new(State::new(index)), outgoing: Notify::new(), daemon })
    }

    /// Whether a worker is up.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.state.borrow().is_up()
    }

    /// Queues a request.
    ///
    /// # Errors
    /// [`Code::QueueFull`].
    pub fn submit(
        self: &Rc<Self>,
        caller: Caller,
        generate: Generate,
        reservation: Reservation,
    ) -> Result<Events, Refusal> {
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        let request =
            self.state.borrow_mut().submit(caller, generate, reservation, sender).map_err(|_| {
                Refusal::new(Code::QueueFull, "too many requests wait for this model; try again in a moment")
            })?;
        self.outgoing.notify_one();
        if !self.is_up() {
            let slot = Rc::clone(self);
            tokio::task::spawn_local(async move {
                tokio::time::sleep(WORKER_WAIT).await;
                slot.state.borrow_mut().give_up_waiting(request);
            });
        }
        Ok(Events { slot: Rc::clone(self), request, receiver, ended: false })
    }

    /// The daemon started a worker.
    pub fn worker_up(&self, generation: u32) {
        let ready = self.state.borrow_mut().worker_up(generation);
        self.announce(ready);
    }

    /// The daemon saw a worker end.
    pub fn worker_down(&self, code: &str, message: &str) {
        self.state.borrow_mut().worker_down(code, message);
    }

    fn take(&self, frame: FromWorker) {
        let (ready, usage) = self.state.borrow_mut().take(frame);
        for finished in usage {
            self.daemon.usage(self.index, &finished);
        }
        self.announce(ready);
    }

    fn announce(&self, ready: Option<u32>) {
        if let Some(generation) = ready {
            tracing::info!(slot = self.index, generation, "worker is ready");
            self.daemon.slot_ready(self.index, generation);
        }
        self.outgoing.notify_one();
    }

    fn cancel(self: &Rc<Self>, request: u64) {
        if !self.state.borrow_mut().cancel(request) {
            return;
        }
        self.outgoing.notify_one();
        let slot = Rc::clone(self);
        tokio::task::spawn_local(async move {
            tokio::time::sleep(CANCEL_WAIT).await;
            slot.state.borrow_mut().forget_cancelled(request);
            slot.outgoing.notify_one();
        });
    }
}

impl Events {
    /// The next event. After [`Event::Finished`] or [`Event::Failed`] there is none.
    pub async fn next(&mut self) -> Event {
        let event = self.receiver.recv().await.unwrap_or_else(|| {
            // The slot dropped a reader that was too slow.
            Event::Failed(Refusal::new(
                Code::RequestInvalid,
                "the answer was read too slowly and was cancelled",
            ))
        });
        self.ended = !matches!(event, Event::Piece(_));
        event
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        if !self.ended {
            self.slot.cancel(self.request);
        }
    }
}
