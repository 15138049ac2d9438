//! `intake`: the licenses and sources that the signed fleet document lists.

use serde::Serialize;

use crate::args::{Change, Format, Intake};
use crate::clock;
use crate::error::CtlError;
use crate::fleet_dir::FleetDir;
use crate::output::{Column, Resource, column, print_list, say};
use crate::workbench::Workbench;

/// One thing that is allowed.
#[derive(Debug, Serialize)]
struct Allowed {
    kind: &'static str,
    name: String,
}

impl Resource for Allowed {
    const COLUMNS: &'static [Column] = &[column("KIND"), column("NAME")];

    fn name(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }

    fn cells(&self) -> Vec<String> {
        vec![self.kind.to_owned(), self.name.clone()]
    }
}

/// Runs `intake`.
///
/// # Errors
/// There is no fleet, a text breaks a rule, or the controller refuses.
pub async fn run(dir: &FleetDir, what: &Intake, format: Format) -> Result<(), CtlError> {
    let mut workbench = Workbench::open(dir)?;
    let is_change = match what {
        Intake::List => return print_list(&listed(&workbench), format),
        Intake::Allow(Change { licenses, sources }) => workbench.change_fleet(|fleet| {
            add(&mut fleet.licenses, licenses);
            add(&mut fleet.sources, sources);
        })?,
        Intake::Withdraw(Change { licenses, sources }) => workbench.change_fleet(|fleet| {
            fleet.licenses.retain(|known| !licenses.contains(known));
            fleet.sources.retain(|known| !sources.contains(known));
        })?,
    };
    if !is_change {
        say("nothing changes");
        return Ok(());
    }
    workbench.sign(clock::now())?;
    workbench.connect_and_publish().await?;
    Ok(())
}

fn listed(workbench: &Workbench) -> Vec<Allowed> {
    let fleet = workbench.fleet();
    let of = |kind, names: &[String]| -> Vec<Allowed> {
        names.iter().map(|name| Allowed { kind, name: name.clone() }).collect()
    };
    [of("license", &fleet.licenses), of("source", &fleet.sources)].into_iter().flatten().collect()
}

fn add(known: &mut Vec<String>, more: &[String]) {
    for name in more {
        if !known.contains(name) {
            known.push(name.clone());
        }
    }
}
