//! `croft`: what a person types on a workstation.
//!
//! It asks the daemon over its Unix socket and prints the answer; it holds no key and decides nothing. This file reads
//! arguments and turns the outcome into an exit status. Data goes to stdout, talk to stderr.

mod args;
mod chat;
mod clock;
mod command;
mod confirm;
mod daemon;
mod failure;
mod limits;
mod moment;
mod output;
mod paths;
mod program;
mod view;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // clap itself exits with 2 on wrong usage.
    let arguments = args::Arguments::parse();
    match command::run(arguments) {
        Ok(code) => code,
        Err(failure) => {
            eprint!("{}", failure.lines());
            ExitCode::FAILURE
        }
    }
}
