//! `waiver`: exceptions, signed here like everything that weakens a guardrail. The controller only carries them; nodes
//! verify them with the rest of the targets, and they end by themselves.

use croft_domain::id::WaiverId;
use croft_domain::limits::{TEXT_LEN_MAX, WAIVER_TTL_MAX_S, WAIVERS_MAX};
use croft_domain::remedy::is_known;
use croft_domain::time::Timestamp;
use croft_domain::waiver::{Scope, Waiver};
use serde::Serialize;

use super::assign::no_group;
use crate::args::{self, Format, Grant, Until};
use crate::baseline_file::known_checks;
use crate::clock::{now, written};
use crate::error::CtlError;
use crate::fleet_dir::FleetDir;
use crate::output::{Column, Resource, column, print_data, print_list, say, wide};
use crate::random;
use crate::workbench::Workbench;

/// How long ended waivers stay listed, in seconds (92 days): the quarter of a report.
const ENDED_KEPT_S: u64 = 92 * 86_400;

/// Runs `waiver`.
///
/// # Errors
/// The waiver breaks a bound, there is no such group or waiver, or the controller refuses.
pub async fn run(dir: &FleetDir, verb: args::Waiver, format: Format) -> Result<(), CtlError> {
    let mut workbench = Workbench::open(dir)?;
    match verb {
        args::Waiver::Grant(arguments) => grant(&mut workbench, arguments).await,
        args::Waiver::List => {
            let at = now();
            let lines: Vec<Line> = workbench.waivers()?.iter().map(|waiver| Line::of(waiver, at)).collect();
            print_list(&lines, format)
        }
        args::Waiver::Revoke { id } => revoke(&mut workbench, id).await,
    }
}

async fn grant(workbench: &mut Workbench, arguments: Grant) -> Result<(), CtlError> {
    let at = now();
    let waiver = compose(workbench, arguments, at)?;
    let mut waivers = workbench.waivers()?;
    // What ended long ago is in the reports of its time; here it would only make every node's download longer.
    waivers.retain(|old| at.since(old.ends_at()) < ENDED_KEPT_S);
    if waivers.len() >= WAIVERS_MAX {
        return Err(CtlError::Conflict {
            message: format!("there are {WAIVERS_MAX} waivers already"),
            hint: "so many exceptions are a rule: change the baseline, or revoke some".to_owned(),
        });
    }
    waivers.push(waiver.clone());
    workbench.set_waivers(&waivers)?;
    workbench.sign(at)?;
    workbench.connect_and_publish().await?;
    say(&format!(
        "{} is excepted from {} until {}; nodes hear of it at once",
        scope_text(&waiver.scope),
        waiver.check,
        written(waiver.ends_at())
    ));
    print_data(&format!("{}\n", waiver.id))
}

fn compose(workbench: &Workbench, arguments: Grant, at: Timestamp) -> Result<Waiver, CtlError> {
    let Grant { node, group, check, until, reason } = arguments;
    let input = |what: &str, expected: String| CtlError::Input { what: what.to_owned(), expected };
    if reason.trim().is_empty() || reason.len() > TEXT_LEN_MAX {
        return Err(input("--reason", format!("1 to {TEXT_LEN_MAX} bytes")));
    }
    // An exception from nothing would look granted and excuse nobody.
    if !is_known(&check) {
        return Err(input("--check", format!("one of {}", known_checks())));
    }
    let not_after = match until {
        Until::At(time) => time,
        Until::After(seconds) => at.plus(seconds),
    };
    if not_after <= at || not_after.since(at) > WAIVER_TTL_MAX_S {
        return Err(input("--until", "a time within the coming 366 days".to_owned()));
    }
    let scope = match (node, group) {
        (Some(node), None) => Scope::Node(node),
        (None, Some(group)) if !workbench.fleet().groups.contains_key(&group) => {
            return Err(no_group(&group));
        }
        (None, Some(group)) => Scope::Group(group),
        _ => return Err(input("--node, --group", "one of them".to_owned())),
    };
    Ok(Waiver { id: WaiverId(random::bytes()?), scope, check, not_before: at, not_after, reason })
}

async fn revoke(workbench: &mut Workbench, id: WaiverId) -> Result<(), CtlError> {
    let mut waivers = workbench.waivers()?;
    let before = waivers.len();
    waivers.retain(|waiver| waiver.id != id);
    if waivers.len() == before {
        return Err(CtlError::NotFound {
            what: format!("waiver {id}"),
            hint: "croftctl waiver list shows them".to_owned(),
        });
    }
    workbench.set_waivers(&waivers)?;
    workbench.sign(now())?;
    workbench.connect_and_publish().await?;
    say(&format!("waiver {id} is revoked"));
    say("a lease that was given under it lasts at most until the waiver would have ended");
    Ok(())
}

fn scope_text(scope: &Scope) -> String {
    match scope {
        Scope::Node(id) => format!("node {id}"),
        Scope::Group(name) => format!("group {name}"),
    }
}

/// One waiver, as `-o json` writes it.
#[derive(Debug, Serialize)]
struct Line {
    id: String,
    check: String,
    scope: String,
    until: u64,
    in_force: bool,
    reason: String,
}

impl Line {
    fn of(waiver: &Waiver, at: Timestamp) -> Self {
        Self {
            id: waiver.id.to_string(),
            check: waiver.check.to_string(),
            scope: scope_text(&waiver.scope),
            until: waiver.ends_at().0,
            in_force: waiver.is_in_force(at),
            reason: waiver.reason.clone(),
        }
    }
}

impl Resource for Line {
    const COLUMNS: &'static [Column] =
        &[column("CHECK"), column("FOR"), column("UNTIL"), column("STATE"), column("WHY"), wide("ID")];

    fn cells(&self) -> Vec<String> {
        vec![
            self.check.clone(),
            self.scope.clone(),
            written(Timestamp(self.until)),
            if self.in_force { "in force" } else { "ended" }.to_owned(),
            self.reason.clone(),
            self.id.clone(),
        ]
    }

    fn name(&self) -> String {
        self.id.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::list;

    #[test]
    fn waivers_are_listed_with_their_end() {
        let waiver = Waiver {
            id: WaiverId([7; 16]),
            scope: Scope::Group("dev".parse().expect("a name")),
            check: "production-credentials".parse().expect("a name"),
            not_before: Timestamp(1_795_219_200),
            not_after: Timestamp(1_795_222_800),
            reason: "migration weekend".to_owned(),
        };
        let lines = [1_795_222_799, 1_795_222_800].map(|at| Line::of(&waiver, Timestamp(at)));
        insta::assert_snapshot!(list(&lines, Format::Table).expect("a table"), @r"
        CHECK                   FOR        UNTIL                 STATE     WHY
        production-credentials  group dev  2026-11-21T01:00:00Z  in force  migration weekend
        production-credentials  group dev  2026-11-21T01:00:00Z  ended     migration weekend
        ");
    }
}
