//! Workers as the gateway sees them: one slot each, a socket that outlives workers. A slot knows which generation of
//! worker it may believe, who waits, and which requests run; every worker message is bounded and distrusted.

mod io;
mod rest;
mod state;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use croft_domain::code::Code;
use croft_domain::usage::Sensitivity;
use croft_proto::frames::{Embedded, Finished, FromWorker, Ready, to_worker};
use tokio::sync::{Notify, mpsc};

use super::body::Reservation;
use super::clock;
use super::control::Outbox;
use super::errors::Refusal;
use super::fragment::Fragment;
use super::guard::Caller;
use super::limits::{CANCEL_WAIT, EVENTS_MAX};
use super::quota::Quotas;

pub use io::{packet_buffer, serve};
use state::State;

/// Whose request it is, and for data of which class: what its turn and its counters go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Who asks.
    pub caller: Caller,
    /// As declared, or as the baseline takes it.
    pub class: Sensitivity,
}

/// What happens to one request.
pub enum Event {
    /// More of the answer.
    Piece(Fragment),
    /// One text as a vector.
    Vector(Embedded),
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
    quotas: Rc<Quotas>,
    /// When a request last came or a worker became ready, in Unix seconds.
    used_at_s: Cell<u64>,
    /// How long the model stays loaded after it, as the last client that said so was told.
    keep_alive_s: Cell<Option<u64>>,
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
    pub fn new(index: u32, daemon: Rc<Outbox>, quotas: Rc<Quotas>) -> Rc<Self> {
        Rc::new(Self {
            index,
            state: RefCell::new(State::new(index)),
            outgoing: Notify::new(),
            daemon,
            quotas,
            used_at_s: Cell::new(0),
            keep_alive_s: Cell::new(None),
        })
    }

    /// What the worker that is up said of itself.
    #[must_use]
    pub fn worker(&self) -> Option<Ready> {
        self.state.borrow().worker().cloned()
    }

    /// When the model may be unloaded if nobody asks, in Unix seconds; `otherwise_s` is how long it stays where no client
    /// said so.
    #[must_use]
    pub fn rests_at_s(&self, otherwise_s: Option<u64>) -> Option<u64> {
        let keep_s = self.keep_alive_s.get().filter(|_| otherwise_s.is_some()).or(otherwise_s)?;
        Some(self.used_at_s.get().saturating_add(keep_s))
    }

    /// A client said how long the model should stay loaded; the policy cut it.
    pub fn keep_alive(&self, seconds: u64) {
        self.used_at_s.set(clock::now().wall_s);
        self.keep_alive_s.set(Some(seconds));
        self.daemon.keep_alive(self.index, seconds);
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
        account: Account,
        work: to_worker::Frame,
        reservation: Reservation,
    ) -> Result<Events, Refusal> {
        self.used_at_s.set(clock::now().wall_s);
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        let request = self.state.borrow_mut().submit(account, work, reservation, sender).map_err(|_| {
            Refusal::new(Code::QueueFull, "too many requests wait for this model; try again in a moment")
        })?;
        self.outgoing.notify_one();
        if !self.is_up() {
            self.daemon.wanted(self.index);
            self.wait_for_worker(request);
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
        for (account, finished) in usage {
            let tokens = u64::from(finished.prompt_tokens) + u64::from(finished.completion_tokens);
            self.daemon.usage(self.index, account.class, &finished);
            self.daemon.spent(self.quotas.spend(account.caller, tokens, clock::now().wall_s));
        }
        self.announce(ready);
    }

    fn announce(&self, ready: Option<u32>) {
        if let Some(generation) = ready {
            // It is as good as used: from here on it counts how long nobody asks.
            self.used_at_s.set(clock::now().wall_s);
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
        self.ended = !matches!(event, Event::Piece(_) | Event::Vector(_));
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
