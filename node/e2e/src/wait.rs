//! Waiting for a state that another process reaches in its own time, within a bound.

use std::time::{Duration, Instant};

use crate::E2eError;

/// How often a state is looked at: often enough not to blur a measured time, seldom enough not to disturb it.
const INTERVAL: Duration = Duration::from_millis(50);

/// Looks until `look` gives a value. `look` says what it saw instead; that ends up in the error.
///
/// # Errors
/// [`E2eError::Late`] after `seconds`.
pub fn until<T>(
    what: &str,
    seconds: u64,
    mut look: impl FnMut() -> Result<T, String>,
) -> Result<T, E2eError> {
    let start = Instant::now();
    loop {
        match look() {
            Ok(value) => return Ok(value),
            Err(last) if start.elapsed().as_secs() >= seconds => {
                return Err(E2eError::Late { what: what.to_owned(), seconds, last });
            }
            Err(_) => std::thread::sleep(INTERVAL),
        }
    }
}

/// Lets time pass on purpose: the moment of a kill is what such a test varies, and there is no event to wait for.
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
