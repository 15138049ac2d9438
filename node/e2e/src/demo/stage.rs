//! What the demo prints: each step with the time it took, on standard output.

use std::time::{Duration, Instant};

use croft_e2e::E2eError;

/// Prints and keeps the time.
#[derive(Debug)]
pub struct Stage {
    start: Instant,
}

impl Stage {
    /// Begins.
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }

    /// One line.
    pub fn say(&self, text: &str) {
        println!("[{:6.2} s] {text}", self.start.elapsed().as_secs_f64());
    }

    /// A line that belongs to the one above.
    #[allow(clippy::unused_self)]
    pub fn detail(&self, text: &str) {
        println!("           {text}");
    }

    /// Runs a step and tells how long it took.
    pub fn step<T>(&self, what: &str, work: impl FnOnce() -> Result<T, E2eError>) -> Result<T, E2eError> {
        let (done, took) = timed(work);
        let done = done?;
        self.say(&format!("{what} ({:.2} s)", took.as_secs_f64()));
        Ok(done)
    }

    /// The end of a demo whose step did not hold.
    #[allow(clippy::unused_self)]
    pub fn fail(&self, error: &E2eError) {
        eprintln!("error: {error}");
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            eprintln!("  because: {cause}");
            source = cause.source();
        }
        eprintln!("hint: a step of the demo did not hold; `make test` narrows it down");
    }
}

/// Runs `work` and gives its duration beside its result.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let done = work();
    (done, start.elapsed())
}
