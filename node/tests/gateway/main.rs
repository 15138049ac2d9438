//! The gateway as a process: the real executable, confined by the kernel, between a peer that speaks as the daemon
//! does, one that speaks as a worker does, and clients over TCP.

mod attacks;
mod bounds;
mod callers;
mod client;
mod content;
mod ollama;
mod openai;
mod peers;
mod standing;
mod vectors;
mod worker;
