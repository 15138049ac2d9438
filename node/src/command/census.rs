//! `croft-node census`: the census as the daemon takes it, for the person at this machine. Sends nothing.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use croft_domain::census::Catalog;
use croft_domain::code::Code;

use crate::agent::senses::scan;
use crate::bundles::vet::Vetting;
use crate::census::{self, Accounts, CensusRequest, Memo};
use crate::failure::Failure;
use crate::output::OutputForm;

/// Longest list of models that is read, in bytes: some hundred bytes for each file of a fleet.
const CATALOG_LEN_MAX: u64 = 16 * 1024 * 1024;

/// What `croft-node census` is asked.
#[derive(Clone, Debug, Args)]
pub struct CensusArguments {
    /// Everybody's processes and not only one's own.
    #[arg(long)]
    pub all: bool,
    /// Reads the fleet's list of models from standard input, as `croft census` gives it.
    #[arg(long, hide = true)]
    pub catalog: bool,
    /// Form of the answer.
    #[arg(short, long, value_enum, default_value_t = OutputForm::Table)]
    pub output: OutputForm,
}

/// Takes the census and prints it.
///
/// # Errors
/// If it cannot be taken, or the list is none.
pub fn run(arguments: &CensusArguments) -> Result<ExitCode, Failure> {
    let catalog = if arguments.catalog { Some(read_catalog()?) } else { None };
    let uid = rustix::process::getuid().as_raw();
    let accounts = if arguments.all { Accounts::All } else { Accounts::Only(uid) };
    let internal = |e: std::io::Error| Failure::caused(Code::Internal, &e);
    let runtime = super::runtime()?;
    let vetting = Vetting::by(std::env::current_exe().map_err(internal)?);
    let judge = |file: &std::fs::File| scan(runtime.handle(), &vetting, file);
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let found = census::take(&CensusRequest {
        accounts,
        own_ports: &[],
        root: Path::new("/"),
        home: home.as_deref(),
        catalog: catalog.as_ref(),
        memo: &Memo::default(),
        judge: &judge,
    })
    .map_err(|error| Failure::caused(error.code(), &error))?;
    match arguments.output {
        OutputForm::Table => print!("{}", census::view::render(&found)),
        OutputForm::Json => {
            let both = serde_json::json!({"found": found, "told": found.findings()});
            let text =
                serde_json::to_string_pretty(&both).map_err(|e| Failure::caused(Code::Internal, &e))?;
            println!("{text}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn read_catalog() -> Result<Catalog, Failure> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(CATALOG_LEN_MAX).read_to_end(&mut bytes);
    read.map_err(|e| Failure::caused(Code::Input, &e))?;
    serde_json::from_slice(&bytes).map_err(|e| Failure::caused(Code::Input, &e))
}
