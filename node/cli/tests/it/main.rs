//! The built command against a faithful fake of the daemon: what it prints, where, and with which exit status.

mod commands;
mod fake;
mod service;
