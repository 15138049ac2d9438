//! The real binary with the real model.

mod answers;
mod attacks;
mod controls;
mod encoders;
mod exact;
mod families;
mod forms;
mod levels;
mod peer;
mod stopping;
mod tiny;
mod trial;
