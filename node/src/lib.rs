//! The node: a daemon that keeps one workstation's fence, and the gateway process that answers its local user.
//!
//! Data flows one way: `agent` asks `controller_client`, `posture`, `census`, `bundles` and `supervisor`; none of
//! them knows the agent. The gateway is another process and shares only frames with the daemon.

pub mod agent;
mod ask;
pub mod bundles;
pub mod capacity;
pub mod census;
pub mod clock;
pub mod command;
pub mod config;
pub mod controller_client;
pub mod failure;
pub mod gateway;
pub mod limits;
pub mod local;
pub mod notify;
pub mod output;
pub mod posture;
pub mod service;
pub mod spawn;
pub mod state;
pub mod supervisor;
