//! `make demo`: Croft's main job from an empty folder to a recalled model, on real parts, with a check at every step.
//!
//! Exit 0 only if every step held; nothing is left running unless `KEEP=1` asks for it.

mod fence;
mod setting;
mod stage;

use std::process::ExitCode;

use croft_e2e::E2eError;

use crate::stage::Stage;

fn main() -> ExitCode {
    let stage = Stage::new();
    match play(&stage) {
        Ok(()) => {
            stage.say("every step held");
            ExitCode::SUCCESS
        }
        Err(error) => {
            stage.fail(&error);
            ExitCode::FAILURE
        }
    }
}

fn play(stage: &Stage) -> Result<(), E2eError> {
    let keep = std::env::var_os("KEEP").is_some_and(|value| value == "1");
    let folder = tempfile::Builder::new()
        .prefix("croft-demo-")
        .tempdir()
        .map_err(E2eError::io("make a temporary folder"))?;
    let out = croft_e2e::binaries::repository().join("target/demo");
    std::fs::create_dir_all(&out).map_err(E2eError::io("make target/demo"))?;

    let (mut fleet, mut workstation) = setting::raise(stage, folder.path())?;
    setting::ask_three_questions(stage, &workstation)?;

    fence::errnos(stage, &workstation)?;
    fence::flipped_byte(stage, &mut fleet, &mut workstation)?;
    fence::no_lease(stage, &fleet, folder.path())?;
    fence::recall(stage, &fleet, &workstation)?;
    setting::report(stage, &fleet, &out)?;

    if keep {
        setting::leave_running(stage, fleet, workstation, folder, &out)
    } else {
        workstation.stop()?;
        fleet.stop_controller()
    }
}
