//! The real binary with the real model.

mod answers;
mod attacks;
mod exact;
mod forms;
mod peer;
mod stopping;
