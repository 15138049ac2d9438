//! The real binary with the real model.

mod answers;
mod attacks;
mod forms;
mod peer;
