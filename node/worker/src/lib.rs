//! One sandboxed llama.cpp process for one loaded model.
//!
//! The process is born with four to six descriptors and a handful of numbers, gives up every right it can, proves that
//! it did, loads the model from its descriptor, and then only turns frames into frames. It opens no file by name and
//! no socket; there is no logging here but the reason for an early end, and no code path that could write a prompt
//! or an answer anywhere but into a frame.

pub mod args;
pub mod channel;
pub mod clock;
pub mod complaint;
pub mod confinement;
pub mod cpu;
pub mod engine;
pub mod environment;
pub mod fault;
pub mod inherit;
pub mod limits;
pub mod measure;
pub mod report;
pub mod run;
pub mod trial;
