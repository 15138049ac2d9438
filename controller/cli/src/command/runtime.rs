//! `runtime publish`: which workers may run, by digest. From the first one on, nodes refuse every worker that is in none.

use std::fs::File;

use croft_domain::runtime::Runtime as Document;
use croft_trust::digest::sha256_reader;

use crate::args::Runtime;
use crate::clock;
use crate::error::CtlError;
use crate::fleet_dir::FleetDir;
use crate::output::say;
use crate::workbench::Workbench;

/// Runs `runtime`.
///
/// # Errors
/// A file cannot be read, the version is taken, or the controller refuses.
pub async fn run(dir: &FleetDir, what: &Runtime) -> Result<(), CtlError> {
    let Runtime::Publish { runtime, files } = what;
    let mut workbench = Workbench::open(dir)?;
    let mut digests = Vec::new();
    for path in files {
        let fail = |source| CtlError::FileRead { path: path.clone(), source };
        let (digest, _) = File::open(path).and_then(sha256_reader).map_err(fail)?;
        say(&format!("{digest}  {}", path.display()));
        digests.push(digest);
    }
    let document =
        Document { schema: 1, name: runtime.name.clone(), version: runtime.version, files: digests };
    document
        .validate()
        .map_err(|e| CtlError::Input { what: "runtime".to_owned(), expected: e.to_string() })?;
    match workbench.runtime(runtime)? {
        Some(signed) if signed == document => {}
        Some(_) => {
            return Err(CtlError::Conflict {
                message: format!("another runtime {runtime} is signed already"),
                hint: "a signed version is never rewritten; publish the next version".to_owned(),
            });
        }
        None => {
            workbench.set_runtime(&document)?;
            workbench.sign(clock::now())?;
        }
    }
    workbench.connect_and_publish().await?;
    say(&format!("nodes run workers of {runtime} and of other published runtimes, and no others"));
    Ok(())
}
