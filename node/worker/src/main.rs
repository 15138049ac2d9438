//! The process: see the library for what it does.

use croft_worker::args::Task;

fn main() -> std::process::ExitCode {
    croft_worker::environment::settle();
    let done = match Task::of_this_process() {
        Task::Serve(args) => croft_worker::run::run(&args),
        Task::SelfTest(args) => croft_worker::run::self_test(&args),
        Task::Probe(args) => croft_worker::run::render_probes(&args),
    };
    match done {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(fault) => {
            croft_worker::complaint::say(&format!("error[{}]: {fault}", fault.code()));
            std::process::ExitCode::from(fault.exit_status())
        }
    }
}
