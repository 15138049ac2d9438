//! Why a TPM is of no use here, in the words of the person who must act.

use std::path::PathBuf;

/// A TPM did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum TpmError {
    /// It cannot be opened.
    #[error("cannot open the TPM at {}", path.display())]
    Open {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It was there and does not answer any more.
    #[error("the TPM stopped answering during {command}")]
    Gone {
        /// Which command.
        command: &'static str,
        /// How.
        #[source]
        source: std::io::Error,
    },
    /// It answered something that is no answer.
    #[error("the TPM's answer to {command} cannot be read: {detail}")]
    Malformed {
        /// Which command.
        command: &'static str,
        /// What is wrong with it.
        detail: &'static str,
    },
    /// It refused.
    #[error("the TPM refused {command} with {code:#05x}{}", meaning(*code))]
    Refused {
        /// Which command.
        command: &'static str,
        /// The response code (Part 2, 6.6).
        code: u32,
    },
    /// The key was made by another TPM, or this one was cleared since.
    #[error("the key in the node's state does not belong to this TPM, or the TPM was cleared")]
    OtherTpm,
    /// No random numbers.
    #[error("the system's random source does not answer")]
    Random,
}

impl TpmError {
    /// Whether trying again on a new connection can help.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Gone { .. } => true,
            // A handle that is gone, or a slot that is taken: a suspend or another program took it.
            Self::Refused { code, .. } => {
                matches!(*code & 0xFF, 0x8B) || matches!(*code, 0x902 | 0x903 | 0x904 | 0x910 | 0x918)
            }
            Self::Open { .. } | Self::Malformed { .. } | Self::OtherTpm | Self::Random => false,
        }
    }
}

/// What the response codes that people meet mean (Part 2, table 16). A code of format one carries the number of the
/// parameter, handle or session in the bits above.
const fn meaning(code: u32) -> &'static str {
    match code {
        0x100 => " (it was not started up)",
        0x101 => " (it failed its self-test)",
        0x902 | 0x903 => " (its memory is full of other programs' objects)",
        0x921 => " (it is in lockout)",
        _ if code & 0x80 != 0 => match code & 0xBF {
            0x8E | 0xA2 => " (a password protects it)",
            0x9F => " (the data was not made for it)",
            0x8B => " (a handle is gone)",
            _ => "",
        },
        _ => "",
    }
}

/// What somebody else's machine says about its TPM is not to be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// It cannot be read.
    #[error("{what} cannot be read: {detail}")]
    Malformed {
        /// Which part.
        what: &'static str,
        /// What is wrong with it.
        detail: &'static str,
    },
    /// A key is not of the kind that was asked for.
    #[error("{what} is not what it must be: {detail}")]
    Kind {
        /// Which key.
        what: &'static str,
        /// What is missing.
        detail: &'static str,
    },
    /// It was signed by another key, or changed.
    #[error("{0} is not signed by the node's attestation key")]
    Signature(&'static str),
    /// It answers something else.
    #[error("{0} answers another challenge")]
    Nonce(&'static str),
    /// The certified key is not the one in question.
    #[error("the attestation key certified another key than the node's")]
    OtherKey,
    /// The PCR values are not those that were quoted.
    #[error("the PCR values are not those that the TPM quoted")]
    Pcrs,
    /// The event log does not lead to the quoted values.
    #[error("the event log does not lead to the quoted value of PCR {0}")]
    EventLog(u8),
    /// No random numbers.
    #[error("the system's random source does not answer")]
    Random,
}
