//! `apply`: a baseline from YAML, signed and published at once. Versions only rise and are never rewritten.

use croft_domain::baseline::Baseline;
use croft_domain::id::BaselineRef;

use crate::args::Apply;
use crate::error::CtlError;
use crate::fleet_dir::FleetDir;
use crate::output::say;
use crate::workbench::Workbench;
use crate::{baseline_file, clock};

/// Runs `apply`.
///
/// # Errors
/// The file breaks a rule, its version does not rise, or the controller refuses.
pub async fn run(dir: &FleetDir, arguments: &Apply) -> Result<(), CtlError> {
    let baseline = baseline_file::load(&arguments.file)?;
    let mut workbench = Workbench::open(dir)?;
    if let Some(policy) = &baseline.policy
        && workbench.policy(policy)?.is_none()
    {
        // Nodes would refuse to serve, for want of a text to accept.
        return Err(CtlError::NotFound {
            what: format!("signed policy {policy}"),
            hint: format!("publish it first: croftctl policy publish {policy} FILE.md"),
        });
    }
    let newest = newest(&workbench, &baseline)?;
    if newest.as_ref() == Some(&baseline) {
        // Published once already, or signed and then not published: either way the same set is offered again.
        workbench.connect_and_publish().await?;
        say(&format!("baseline {} is unchanged", baseline.reference()));
        return Ok(());
    }
    if let Some(newest) = newest.as_ref().filter(|newest| newest.version >= baseline.version) {
        return Err(CtlError::Conflict {
            message: format!("baseline {} is signed already", newest.reference()),
            hint: format!("a signed version is never rewritten; set version: {}", newest.version + 1),
        });
    }
    workbench.set_baseline(&baseline)?;
    workbench.change_fleet(|fleet| {
        fleet.baselines.insert(baseline.name.clone(), baseline.version);
    })?;
    workbench.sign(clock::now())?;
    say(&format!("baseline {}:", baseline.reference()));
    say(baseline_file::difference(newest.as_ref(), &baseline).trim_end());
    workbench.connect_and_publish().await?;
    let used = workbench.fleet().groups.values().any(|group| group.baseline.name == baseline.name);
    if !used {
        say(&format!("next: croftctl assign baseline {} --group GROUP", baseline.reference()));
    }
    Ok(())
}

fn newest(workbench: &Workbench, baseline: &Baseline) -> Result<Option<Baseline>, CtlError> {
    let version = workbench.baseline_versions(&baseline.name).into_iter().max();
    version
        .map_or(Ok(None), |version| workbench.baseline(&BaselineRef { name: baseline.name.clone(), version }))
}
