//! The API key for callers that are not known by their account.

use croft_trust::digest::sha256;
use croft_trust::disk::write_durable;

use super::files::{StateError, read};
use super::paths::Paths;

/// The key; made at first use, or anew if `rotate`.
///
/// # Errors
/// [`StateError`].
pub fn get(paths: &Paths, rotate: Rotate) -> Result<String, StateError> {
    let path = paths.state_file("api-key");
    if rotate == Rotate::Keep
        && let Some(bytes) = read(&path)?
    {
        return String::from_utf8(bytes).map_err(|e| StateError::corrupt(&path, e));
    }
    let mut random = [0_u8; 32];
    getrandom::fill(&mut random).map_err(|_| StateError::corrupt(&path, "no random numbers"))?;
    let key = format!("croft-{}", hex::encode(random));
    write_durable(&path, key.as_bytes(), 0o600)?;
    Ok(key)
}

/// What to do with a key that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotate {
    /// Use it.
    Keep,
    /// Replace it: the old one stops counting.
    Replace,
}

/// What the gateway knows of a key.
#[must_use]
pub fn digest(key: &str) -> String {
    sha256(key.as_bytes()).hex()
}
