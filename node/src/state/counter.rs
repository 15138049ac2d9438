//! The counter of evidence. It never repeats and never falls, so that a restored or cloned disk is noticed.

use super::files::{StateError, read};
use super::paths::Paths;
use croft_trust::disk::write_durable;

/// The next number. It is on disk before it is given out: a crash in between skips a number and repeats none.
///
/// # Errors
/// [`StateError`] if it cannot be read or written.
pub fn next(paths: &Paths) -> Result<u64, StateError> {
    let path = paths.state_file("counter");
    let last = match read(&path)? {
        None => 0,
        Some(bytes) => std::str::from_utf8(&bytes)
            .ok()
            .and_then(|text| text.trim().parse::<u64>().ok())
            .ok_or_else(|| StateError::corrupt(&path, "not a number"))?,
    };
    let next = last.checked_add(1).ok_or_else(|| StateError::corrupt(&path, "it is at its end"))?;
    write_durable(&path, format!("{next}\n").as_bytes(), 0o600)?;
    Ok(next)
}
