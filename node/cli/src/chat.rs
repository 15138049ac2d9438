//! Talking to the gateway as any editor does: OpenAI's streaming chat over loopback.
//!
//! Nothing is written to disk here, and no proxy from the environment is used: a prompt goes to this machine's own
//! loopback address or nowhere.

pub mod event;
pub mod gateway;
