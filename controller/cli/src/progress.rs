//! Progress of long work, on stderr and only when a person watches.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar of `len` bytes. Draws nothing when stderr is not a terminal.
pub fn bytes(len: u64, what: &str) -> ProgressBar {
    let bar = ProgressBar::new(len);
    let style = "{msg} [{wide_bar}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}";
    bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(what.to_owned());
    bar
}

/// A sign of life for work without a measure. Draws nothing when stderr is not a terminal.
pub fn spinner(what: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    let style = "{spinner} {msg} {elapsed}";
    bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.set_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
