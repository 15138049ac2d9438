//! What the daemon hears while a worker starts. No field of it can carry text that a user wrote.

use std::os::fd::OwnedFd;

use croft_proto::frames::{
    EscapeAttempt, LoadProgress, SelfTestReport, WorkerReady, WorkerRefusal, WorkerReport,
    worker_report::Message,
};

use crate::channel;
use crate::confinement::SelfTest;
use crate::fault::Fault;

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
    pub fn ready(&self, context_tokens: u32, slots: u32, load_ms: u64) -> Result<(), Fault> {
        self.send(Message::Ready(WorkerReady { context_tokens, slots, load_ms }))
    }

    /// The worker will not serve. Nobody may be there to hear it any more, which is no second failure.
    pub fn refusal(&self, fault: &Fault) {
        let refusal = WorkerRefusal { code: fault.code().to_string(), message: fault.to_string() };
        let _ = self.send(Message::Refusal(refusal));
    }

    fn send(&self, message: Message) -> Result<(), Fault> {
        channel::send(&self.socket, &WorkerReport { message: Some(message) })
    }
}
