//! `croft-controller service print`.

use super::{CommandError, StateArguments};
use crate::service::unit;

#[allow(clippy::print_stdout, reason = "the command line's own words")]
pub(super) fn print(state: StateArguments) -> Result<(), CommandError> {
    let executable = std::env::current_exe()
        .map_err(|source| CommandError::System { operation: "find this executable", source })?;
    let state = state.open()?;
    print!("{}", unit(&executable, state.folder())?);
    Ok(())
}
