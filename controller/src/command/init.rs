//! `croft-controller init`.

use super::{CommandError, InitArguments};

#[allow(clippy::print_stdout, reason = "the command line's own words")]
pub(super) fn execute(arguments: InitArguments) -> Result<(), CommandError> {
    let InitArguments { state, name, hosts, listen } = arguments;
    let state = state.open()?;
    let bootstrap = state.create(&name, &hosts, &listen)?;
    let (folder, file) = (state.folder().display(), state.bootstrap_path());
    println!("Made the controller of fleet {} ({name}) in {folder}.", bootstrap.fleet);
    println!("CA pin: {}", bootstrap.ca_pin);
    println!();
    println!("Next:");
    println!("  1. croft-controller run --state {folder}");
    println!("  2. copy {} to the admin's machine (it holds a one-time token)", file.display());
    println!("  3. there: croftctl init --solo --bootstrap bootstrap.json");
    Ok(())
}
