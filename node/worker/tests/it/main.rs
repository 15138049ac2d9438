//! The real binary with the real model.

mod answers;
mod attacks;
mod controls;
mod copier;
mod encoders;
mod exact;
mod families;
mod forms;
mod gguf;
mod levels;
mod peer;
mod stopping;
mod tiny;
mod trial;
