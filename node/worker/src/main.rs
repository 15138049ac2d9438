//! The process: see the library for what it does.

use clap::Parser as _;

fn main() -> std::process::ExitCode {
    croft_worker::environment::settle();
    let args = croft_worker::args::Args::parse();
    match croft_worker::run::run(&args) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(fault) => {
            croft_worker::complaint::say(&format!("error[{}]: {fault}", fault.code()));
            std::process::ExitCode::from(fault.exit_status())
        }
    }
}
