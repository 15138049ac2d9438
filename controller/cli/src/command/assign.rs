//! `assign`: what a group may have. The signed fleet document says it; the controller can only do less.

use croft_domain::fleet::{Fleet, GroupPolicy};
use croft_domain::id::{BaselineRef, BundleRef, GroupName};
use croft_proto::grpc::{ListBundlesRequest, SetAssignmentRequest};

use crate::args::Assign;
use crate::client::{Admin, refused};
use crate::clock;
use crate::error::CtlError;
use crate::fleet_dir::FleetDir;
use crate::output::say;
use crate::workbench::Workbench;

/// Runs `assign`.
///
/// # Errors
/// Bundle, baseline or group do not exist, or the controller refuses.
pub async fn run(dir: &FleetDir, what: &Assign) -> Result<(), CtlError> {
    let mut workbench = Workbench::open(dir)?;
    match what {
        Assign::Bundle { bundle, group, retire_older } => {
            assign_bundle(&mut workbench, bundle, group, *retire_older).await
        }
        Assign::Baseline { baseline, group, tier } => {
            assign_baseline(&mut workbench, baseline, group, *tier).await
        }
    }
}

async fn assign_bundle(
    workbench: &mut Workbench,
    bundle: &BundleRef,
    group: &GroupName,
    retire_older: bool,
) -> Result<(), CtlError> {
    if workbench.bundle(bundle)?.is_none() {
        return Err(CtlError::NotFound {
            what: format!("approved bundle {bundle}"),
            hint: format!("croftctl bundle approve {bundle} makes it one"),
        });
    }
    if !workbench.fleet().groups.contains_key(group) {
        return Err(no_group(group));
    }
    let is_change = workbench.change_fleet(|fleet| allow(fleet, bundle, group, retire_older))?;
    workbench.sign_change(is_change, clock::now())?;
    let mut admin = workbench.connect_and_publish().await?;
    let told = set_assignment(&mut admin, group, bundle, true).await?;
    for older in assigned_versions(&mut admin, bundle, group).await? {
        set_assignment(&mut admin, group, &older, false).await?;
        say(&format!("group {group} no longer gets {older}"));
    }
    say(&format!("group {group} gets {bundle}; {told} nodes were told"));
    Ok(())
}

/// Lets `group` serve `bundle`. The lowest version that counts never rises by itself: nodes go on with the old version
/// until they have the new one.
fn allow(fleet: &mut Fleet, bundle: &BundleRef, group: &GroupName, retire_older: bool) {
    if let Some(policy) = fleet.groups.get_mut(group) {
        let minimum = policy.bundles.entry(bundle.name.clone()).or_insert(bundle.version);
        *minimum = if retire_older { bundle.version } else { bundle.version.min(*minimum) };
    }
}

async fn set_assignment(
    admin: &mut Admin,
    group: &GroupName,
    bundle: &BundleRef,
    assigned: bool,
) -> Result<u32, CtlError> {
    let request = SetAssignmentRequest { group: group.to_string(), bundle: bundle.to_string(), assigned };
    let answer = admin.set_assignment(request).await.map_err(refused("assign a bundle"))?;
    Ok(answer.into_inner().nodes_told)
}

/// Other versions of `bundle` that the controller still gives to `group`: a name has one version in a group.
async fn assigned_versions(
    admin: &mut Admin,
    bundle: &BundleRef,
    group: &GroupName,
) -> Result<Vec<BundleRef>, CtlError> {
    let answer = admin.list_bundles(ListBundlesRequest {}).await.map_err(refused("list bundles"))?;
    let given =
        answer.into_inner().bundles.into_iter().filter(|b| b.groups.iter().any(|g| g == group.as_str()));
    let versions = given.filter_map(|summary| summary.bundle.parse::<BundleRef>().ok());
    Ok(versions.filter(|other| other.name == bundle.name && other.version != bundle.version).collect())
}

async fn assign_baseline(
    workbench: &mut Workbench,
    baseline: &BaselineRef,
    group: &GroupName,
    tier: Option<u8>,
) -> Result<(), CtlError> {
    let Some(found) = workbench.baseline(baseline)? else {
        return Err(CtlError::NotFound {
            what: format!("signed baseline {baseline}"),
            hint: "croftctl apply -f FILE.yaml signs one".to_owned(),
        });
    };
    let before = workbench.fleet().groups.get(group).map(|policy| policy.tier);
    let tier = tier.or(before).unwrap_or(found.tier);
    if found.tier < tier {
        return Err(CtlError::Input {
            what: format!("baseline {baseline} is for tier {}", found.tier),
            expected: format!("a baseline of tier {tier} or stricter for group {group}"),
        });
    }
    let is_change = workbench.change_fleet(|fleet| hold(fleet, baseline, group, tier))?;
    workbench.sign_change(is_change, clock::now())?;
    workbench.connect_and_publish().await?;
    let verb = if before.is_some() { "is held" } else { "is new and held" };
    say(&format!("group {group}, tier {tier}, {verb} to {baseline} or newer"));
    Ok(())
}

fn hold(fleet: &mut Fleet, baseline: &BaselineRef, group: &GroupName, tier: u8) {
    let policy = fleet.groups.entry(group.clone()).or_insert_with(|| GroupPolicy {
        tier,
        baseline: baseline.clone(),
        bundles: std::collections::BTreeMap::new(),
    });
    policy.tier = tier;
    policy.baseline = baseline.clone();
}

/// The refusal of a group that is not in the fleet document.
pub fn no_group(group: &GroupName) -> CtlError {
    CtlError::NotFound {
        what: format!("group {group}"),
        hint: format!("make it with croftctl assign baseline NAME@VERSION --group {group}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet() -> Fleet {
        Fleet {
            schema: 1,
            id: croft_domain::id::FleetId([1; 16]),
            name: "test".to_owned(),
            epoch: 1,
            ca_pins: Vec::new(),
            lease_keys: Vec::new(),
            recall_keys: Vec::new(),
            reviewer_keys: Vec::new(),
            groups: std::collections::BTreeMap::new(),
            licenses: Vec::new(),
            sources: Vec::new(),
            baselines: std::collections::BTreeMap::new(),
            vetting: croft_domain::vetting::VettingExceptions::default(),
            moves: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn the_lowest_version_rises_only_when_older_ones_are_retired() {
        let group: GroupName = "team".parse().expect("a name");
        let bundle = |version| BundleRef { name: "starter".parse().expect("a name"), version };
        let mut fleet = fleet();
        hold(&mut fleet, &"standard@1".parse().expect("a baseline"), &group, 2);
        let minimum = |fleet: &Fleet| fleet.groups[&group].bundles[&bundle(1).name];
        allow(&mut fleet, &bundle(2), &group, false);
        assert_eq!(minimum(&fleet), 2);
        allow(&mut fleet, &bundle(3), &group, false);
        assert_eq!(minimum(&fleet), 2);
        allow(&mut fleet, &bundle(1), &group, false);
        assert_eq!(minimum(&fleet), 1);
        allow(&mut fleet, &bundle(3), &group, true);
        assert_eq!(minimum(&fleet), 3);
    }

    #[test]
    fn another_baseline_keeps_a_groups_bundles() {
        let group: GroupName = "team".parse().expect("a name");
        let mut fleet = fleet();
        hold(&mut fleet, &"standard@1".parse().expect("a baseline"), &group, 1);
        allow(&mut fleet, &"starter@1".parse().expect("a bundle"), &group, false);
        hold(&mut fleet, &"strict@4".parse().expect("a baseline"), &group, 3);
        let policy = &fleet.groups[&group];
        assert_eq!((policy.tier, policy.baseline.to_string().as_str()), (3, "strict@4"));
        assert_eq!(policy.bundles.len(), 1);
    }
}
