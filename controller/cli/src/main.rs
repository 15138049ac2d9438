//! croftctl: the fleet admin's command line.
//!
//! It signs on the admin's machine and sends what it signed; the controller never sees a private key. There is no
//! database and no server here.

mod args;
mod audit;
mod baseline_file;
mod bom;
mod client;
mod clock;
mod command;
mod draft;
mod error;
mod fleet_dir;
mod ledger;
mod limits;
mod output;
mod passphrase;
mod progress;
mod random;
mod recalls;
mod renderer;
mod review;
mod source;
mod upload;
mod vet;
mod workbench;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = args::Args::parse();
    // The confined child must be single-threaded until its walls stand, so it runs before there is a runtime.
    let result = if let args::Command::VetConfined(confined) = args.command {
        vet::judge_confined(&confined)
    } else {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|source| error::CtlError::Process { operation: "start", source })
            .and_then(|runtime| runtime.block_on(command::run(args)))
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::say(&format!("error[{}]: {}", error.code(), error::written(&error)));
            output::say(&format!("hint: {}", error.hint()));
            ExitCode::FAILURE
        }
    }
}
