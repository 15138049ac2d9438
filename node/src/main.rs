//! `croft-node`: the daemon of one workstation, and the confined processes it starts from the same executable.
//!
//! This file reads arguments and turns the outcome into an exit status; `croft_node::command` does the work.

use std::process::ExitCode;

use clap::Parser;
use croft_node::command::{self, Arguments};

fn main() -> ExitCode {
    // clap itself exits with 2 on wrong usage.
    match command::run(Arguments::parse()) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("error[{}]: {failure}", failure.code());
            eprintln!("hint: {}", failure.code().hint());
            ExitCode::FAILURE
        }
    }
}
