//! The real binary with the real model.

mod answers;
mod attacks;
mod encoders;
mod exact;
mod forms;
mod peer;
mod stopping;
mod tiny;
mod trial;
