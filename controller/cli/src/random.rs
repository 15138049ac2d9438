//! Random bytes for ids and secrets.

use crate::error::CtlError;

/// `N` bytes from the system's random source.
///
/// # Errors
/// It does not answer.
pub fn bytes<const N: usize>() -> Result<[u8; N], CtlError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| CtlError::Process {
        operation: "ask for random numbers",
        source: std::io::Error::other(e),
    })?;
    Ok(bytes)
}
