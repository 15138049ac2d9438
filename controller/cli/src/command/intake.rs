//! `intake`: the licenses and sources that the signed fleet document lists, and what they let in.
//!
//! Approving is where the lists bind, for each publisher who signs; importing asks them early, so that nobody waits for
//! what cannot be approved. Where a model came from is the word of whoever imports it: the lists hold people to what
//! they agreed on, they do not find out a liar.

use std::collections::BTreeMap;

use croft_domain::fleet::{Fleet, is_source};
use serde::Serialize;

use crate::args::{Change, Format, Intake};
use crate::clock;
use crate::error::CtlError;
use crate::fleet_dir::FleetDir;
use crate::output::{Column, Resource, clean, column, print_list, say};
use crate::workbench::Workbench;

/// Where the lists are asked, which decides what can be done about a no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Before anything is read.
    Import,
    /// Before this machine's publisher signs.
    Approve,
    /// Before this machine's publisher adds a signature to another's.
    Countersign,
}

impl Step {
    fn hint(self, kind: &str) -> String {
        match self {
            Self::Import => format!(
                "croftctl intake allow --{kind} lists it for the fleet; --unlisted drafts it, and approving asks again"
            ),
            Self::Approve => format!(
                "repeat with --allow-{kind} for exactly this one, or list it for the fleet: croftctl intake allow --{kind}"
            ),
            Self::Countersign => {
                format!("the other publisher lists it first: bundle approve --allow-{kind}, or intake allow")
            }
        }
    }
}

/// Refuses a source that no list can allow, also where no fleet is known.
///
/// # Errors
/// It climbs, or has a percent sign or a control character in it.
pub fn check_source(source: &str) -> Result<(), CtlError> {
    if is_source(source) {
        return Ok(());
    }
    Err(CtlError::Input {
        what: format!("source {}", clean(source)),
        expected: "no .. and no % in it, so that what a prefix allows can be read off it".to_owned(),
    })
}

/// Only from listed sources, under listed licenses.
///
/// # Errors
/// [`CtlError::Unapproved`] names the one that is not listed.
pub fn admit(fleet: &Fleet, license: &str, source: &str, step: Step) -> Result<(), CtlError> {
    let refused = |kind: &'static str, found: &str, listed: &[String]| {
        let listed: Vec<String> = listed.iter().map(|text| clean(text)).collect();
        Err(CtlError::Unapproved {
            message: format!("{kind} {} is not among the fleet's ({})", clean(found), listed.join(", ")),
            hint: step.hint(kind),
        })
    };
    if !fleet.licenses.iter().any(|listed| listed == license) {
        return refused("license", license, &fleet.licenses);
    }
    if !fleet.allows_source(source) {
        return refused("source", source, &fleet.sources);
    }
    Ok(())
}

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
