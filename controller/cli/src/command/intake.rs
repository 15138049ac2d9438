//! `intake`: the licenses and sources that the signed fleet document lists.

use std::collections::BTreeMap;

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
    reason: String,
}

impl Resource for Allowed {
    const COLUMNS: &'static [Column] = &[column("KIND"), column("NAME"), column("REASON")];

    fn name(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }

    fn cells(&self) -> Vec<String> {
        vec![self.kind.to_owned(), self.name.clone(), self.reason.clone()]
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
        Intake::Allow(change) => {
            let reason = reason(change)?;
            workbench.change_fleet(|fleet| {
                add(&mut fleet.licenses, &change.licenses);
                add(&mut fleet.sources, &change.sources);
                let vetting = &mut fleet.vetting;
                except(&mut vetting.architectures, &change.architectures, reason);
                except(&mut vetting.pickle_imports, &change.pickle_imports, reason);
                except(&mut vetting.operators, &change.operators, reason);
            })?
        }
        Intake::Withdraw(change) => workbench.change_fleet(|fleet| {
            fleet.licenses.retain(|known| !change.licenses.contains(known));
            fleet.sources.retain(|known| !change.sources.contains(known));
            fleet.vetting.architectures.retain(|known, _| !change.architectures.contains(known));
            fleet.vetting.pickle_imports.retain(|known, _| !change.pickle_imports.contains(known));
            fleet.vetting.operators.retain(|known, _| !change.operators.contains(known));
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
        names.iter().map(|name| Allowed { kind, name: name.clone(), reason: String::new() }).collect()
    };
    let except = |kind, names: &BTreeMap<String, String>| -> Vec<Allowed> {
        let allowed =
            |(name, why): (&String, &String)| Allowed { kind, name: name.clone(), reason: why.clone() };
        names.iter().map(allowed).collect()
    };
    let lists = [
        of("license", &fleet.licenses),
        of("source", &fleet.sources),
        except("architecture", &fleet.vetting.architectures),
        except("pickle-import", &fleet.vetting.pickle_imports),
        except("operator", &fleet.vetting.operators),
    ];
    lists.into_iter().flatten().collect()
}

/// What an exception from vetting cannot do without.
fn reason(change: &Change) -> Result<&str, CtlError> {
    let excepts =
        ![&change.architectures, &change.pickle_imports, &change.operators].iter().all(|l| l.is_empty());
    match &change.reason {
        Some(reason) => Ok(reason),
        None if !excepts => Ok(""),
        None => Err(CtlError::Input {
            what: "--architecture, --pickle-import or --operator".to_owned(),
            expected: "--reason WHY with it, for those who read the fleet document later".to_owned(),
        }),
    }
}

fn except(known: &mut BTreeMap<String, String>, more: &[String], reason: &str) {
    known.extend(more.iter().map(|name| (name.clone(), reason.to_owned())));
}

fn add(known: &mut Vec<String>, more: &[String]) {
    for name in more {
        if !known.contains(name) {
            known.push(name.clone());
        }
    }
}
