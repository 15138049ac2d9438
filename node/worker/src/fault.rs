//! Why a worker ends before it is told to. No message carries text from a frame.

use croft_domain::code::Code;
use croft_proto::frames::FrameError;

/// A worker could not start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A descriptor named on the command line is not there or not what it should be.
    #[error("descriptor {0} is not what the daemon should have passed")]
    Descriptor(i32),
    /// The confinement could not be entered.
    #[error("the process could not be confined: {0}")]
    Confine(#[source] croft_confine::ConfineError),
    /// The kernel let an attempt to break out succeed.
    #[error("the sandbox did not refuse: {0}")]
    Unproven(String),
    /// This processor lacks an instruction set that every back end here needs, or the one that was asked for needs.
    #[error("this processor cannot run the {0} instructions of the back end")]
    Processor(String),
    /// The back end did not come up.
    #[error("llama.cpp did not start")]
    Backend(#[source] llama_cpp_2::LlamaCppError),
    /// llama.cpp refused the model, and why, as far as it says.
    #[error("llama.cpp refused the model: {0}")]
    Model(String),
    /// llama.cpp could not make a context, usually for want of memory.
    #[error("no context of {tokens} tokens could be made")]
    Context {
        /// Tokens of all slots together.
        tokens: u32,
        /// What llama.cpp said.
        #[source]
        source: llama_cpp_2::LlamaContextLoadError,
    },
    /// The chat template is too long, or not text.
    #[error("the chat template is not text of at most {} bytes", crate::limits::TEMPLATE_LEN_MAX)]
    Template,
    /// The trial is too long, or not one.
    #[error("what the model must show is not a trial of at most {} bytes", crate::limits::TRIAL_LEN_MAX)]
    Trial,
    /// A check prompt was not answered as it must be. The message holds no text of it.
    #[error("check prompt {number} of {of}: {why}")]
    Check {
        /// Which, counted from 1.
        number: usize,
        /// How many there are.
        of: usize,
        /// What went wrong.
        why: &'static str,
    },
    /// The gateway or the daemon does not listen any more, or a socket failed.
    #[error("socket: {0}")]
    Socket(#[from] rustix::io::Errno),
    /// The gateway broke the framing.
    #[error("framing: {0}")]
    Frame(#[from] FrameError),
    /// What libraries print could not be turned off.
    #[error("standard error could not be closed to libraries: {0}")]
    Quiet(std::io::Error),
    /// A thread could not be started.
    #[error("no thread: {0}")]
    Thread(std::io::Error),
    /// A defect of ours.
    #[error("internal: {0}")]
    Internal(&'static str),
}

impl Fault {
    /// The stable code that people see.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Confine(_) | Self::Unproven(_) => Code::SandboxUnproven,
            Self::Model(_) => Code::VetRefused,
            Self::Template | Self::Trial => Code::Input,
            Self::Check { .. } => Code::CheckFailed,
            Self::Processor(_)
            | Self::Backend(_)
            | Self::Context { .. }
            | Self::Socket(_)
            | Self::Quiet(_)
            | Self::Thread(_) => Code::WorkerCrashed,
            Self::Descriptor(_) | Self::Frame(_) | Self::Internal(_) => Code::Internal,
        }
    }

    /// The status that the process ends with: 3 is the sandbox, 4 the framing, 1 all else.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Confine(_) | Self::Unproven(_) => 3,
            Self::Frame(_) => 4,
            _ => 1,
        }
    }
}
