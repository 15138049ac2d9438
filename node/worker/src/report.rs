//! What the daemon hears of a worker: how its start goes, then that it lives. No field of it can carry text that a user wrote.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use croft_domain::probe::PROBE_SET;
use croft_proto::frames::{
    Alive, EscapeAttempt, LoadProgress, Rendered, Rendering, SelfTestReport, WorkerReady, WorkerRefusal,
    WorkerReport, worker_report::Message,
};

use crate::channel;
use crate::confinement::SelfTest;
use crate::engine::pulse::Listener;
use crate::fault::Fault;

impl Listener for Arc<Reporter> {
    /// A daemon that does not read is about to end us, and no step waits for it.
    fn alive(&self, busy: bool, steps: u64) {
        self.try_send(Message::Alive(Alive { busy, steps }));
    }
}

/// The daemon's end of the start.
#[derive(Debug)]
pub struct Reporter {
    socket: OwnedFd,
}

impl Reporter {
    /// Reports on this socket.
    #[must_use]
    pub fn new(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// What the confinement achieved, and what became of each attempt to break out.
    ///
    /// # Errors
    /// [`Fault::Socket`] if the daemon is gone.
    pub fn self_test(&self, test: &SelfTest) -> Result<(), Fault> {
        let attempts = test
            .attempts
            .iter()
            .map(|(name, errno)| EscapeAttempt {
                name: name.clone(),
                errno: errno.clone().unwrap_or_default(),
            })
            .collect();
        self.send(Message::SelfTest(SelfTestReport { layers: test.layers.clone(), attempts }))
    }

    /// How much of the model is loaded.
    ///
    /// # Errors
    /// [`Fault::Socket`] if the daemon is gone.
    pub fn progress(&self, percent: u32) -> Result<(), Fault> {
        self.send(Message::Progress(LoadProgress { percent }))
    }

    /// The model is loaded.
    ///
    /// # Errors
    /// [`Fault::Socket`] if the daemon is gone.
    pub fn ready(&self, ready: WorkerReady) -> Result<(), Fault> {
        self.send(Message::Ready(ready))
    }

    /// What this runtime makes of the approved template.
    ///
    /// # Errors
    /// [`Fault::Socket`] if the daemon is gone.
    pub fn rendered(&self, renderings: Vec<Option<String>>) -> Result<(), Fault> {
        let rendering =
            |text: Option<String>| Rendering { refused: text.is_none(), text: text.unwrap_or_default() };
        let renderings = renderings.into_iter().map(rendering).collect();
        self.send(Message::Rendered(Rendered { probe_set: PROBE_SET, renderings }))
    }

    /// The worker will not serve. Nobody may be there to hear it any more, which is no second failure.
    pub fn refusal(&self, fault: &Fault) {
        let refusal = WorkerRefusal { code: fault.code().to_string(), message: fault.to_string() };
        let _ = self.send(Message::Refusal(refusal));
    }

    fn try_send(&self, message: Message) {
        let Ok(packets) = croft_proto::frames::packets(&WorkerReport { message: Some(message) }) else {
            return;
        };
        for packet in packets {
            let flags = rustix::net::SendFlags::DONTWAIT | rustix::net::SendFlags::NOSIGNAL;
            if rustix::net::send(&self.socket, &packet, flags).is_err() {
                return;
            }
        }
    }

    fn send(&self, message: Message) -> Result<(), Fault> {
        channel::send(&self.socket, &WorkerReport { message: Some(message) })
    }
}
