//! `croft-controller`: arguments in, exit status out.

use std::process::ExitCode;

use clap::Parser;
use croft_controller::command::{Arguments, execute};

fn main() -> ExitCode {
    execute(Arguments::parse())
}
