//! The one-line form of an invite, made to be pasted: `croft1.` and base64url (RFC 4648, 5, without padding) of the
//! invite's JSON and four bytes of its SHA-256.
//!
//! The checksum finds accidents of copying and nothing else: whoever can change the line can recompute it. What protects
//! an enrollment is that the line arrives over a channel the admin trusts.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use croft_domain::code::Code;
use croft_domain::invite::Invite;
use croft_domain::limits::INVITE_LEN_MAX;

use crate::digest::sha256;

/// What every invite begins with.
pub const PREFIX: &str = "croft1.";

/// The command that the line is printed with, and which people copy along.
const COMMAND: &str = "croft enroll ";

const CHECKSUM_LEN: usize = 4;

/// A line is not an invite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InviteLineError {
    /// Something else altogether.
    #[error("this is not an invite: an invite begins with croft1.")]
    NotOurs,
    /// Its end is missing.
    #[error("the invite is cut off: its end is missing")]
    Truncated,
    /// Characters changed.
    #[error("the invite is garbled: some of its characters changed")]
    Garbled,
    /// No invite is that long.
    #[error("the invite is too long: at most {INVITE_LEN_MAX} characters")]
    TooLong,
    /// The checksum holds, but this version of Croft cannot read what it says.
    #[error("the invite is of a form that this version of Croft does not know")]
    Unreadable,
}

impl InviteLineError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        Code::InviteMalformed
    }
}

/// Writes `invite` as one line without the command.
#[must_use]
pub fn encode(invite: &Invite) -> String {
    let mut bytes = serde_json::to_vec(invite).expect("an invite has only texts, numbers and digests");
    let checksum = sha256(&bytes);
    bytes.extend_from_slice(&checksum.0[..CHECKSUM_LEN]);
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// Reads a line as [`encode`] wrote it; surrounding white space and the command `croft enroll` are allowed.
///
/// # Errors
/// See [`InviteLineError`].
pub fn decode(line: &str) -> Result<Invite, InviteLineError> {
    let line = line.trim();
    let line = line.strip_prefix(COMMAND).unwrap_or(line).trim_start();
    let text = line.strip_prefix(PREFIX).ok_or(InviteLineError::NotOurs)?;
    if line.len() > INVITE_LEN_MAX {
        return Err(InviteLineError::TooLong);
    }
    let Ok(bytes) = URL_SAFE_NO_PAD.decode(text) else {
        // A cut inside a group of four also ends here; what is before the cut decides between the two errors.
        let begun = URL_SAFE_NO_PAD.decode(&text[..whole_groups(text)]);
        let cut = begun.is_ok_and(|bytes| is_cut(&bytes));
        return Err(if cut { InviteLineError::Truncated } else { InviteLineError::Garbled });
    };
    let (json, checksum) =
        bytes.split_at_checked(bytes.len().wrapping_sub(CHECKSUM_LEN)).ok_or(InviteLineError::Truncated)?;
    if sha256(json).0[..CHECKSUM_LEN] != *checksum {
        return Err(if is_cut(&bytes) { InviteLineError::Truncated } else { InviteLineError::Garbled });
    }
    serde_json::from_slice(json).map_err(|_| InviteLineError::Unreadable)
}

fn whole_groups(text: &str) -> usize {
    // A cut leaves ASCII; anything else is garbled and must not be sliced inside a character.
    if text.is_ascii() { text.len() / 4 * 4 } else { 0 }
}

/// Whether `bytes` are the beginning of an invite's JSON, cut before its closing brace or inside the checksum.
fn is_cut(bytes: &[u8]) -> bool {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<serde_json::Value>();
    match values.next() {
        None => true,
        Some(Err(error)) => error.is_eof(),
        Some(Ok(_)) => bytes.len() < values.byte_offset() + CHECKSUM_LEN,
    }
}
