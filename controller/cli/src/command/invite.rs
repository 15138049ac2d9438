//! `invite`: the one line that lets a machine in. It is composed here, from the admin's own verified root; the
//! controller learns only a hash of its secret.

use croft_domain::id::{GroupName, InviteId};
use croft_domain::invite::Invite;
use croft_proto::grpc::CreateInviteRequest;
use croft_trust::digest::sha256;
use croft_trust::invite_line;

use super::assign::no_group;
use crate::args;
use crate::client::{connect, refused};
use crate::error::CtlError;
use crate::fleet_dir::FleetDir;
use crate::output::{print_data, say};
use crate::workbench::Workbench;
use crate::{clock, random};

/// Runs `invite`.
///
/// # Errors
/// There is no such group, or the controller refuses.
pub async fn run(dir: &FleetDir, verb: &args::Invite) -> Result<(), CtlError> {
    let args::Invite::Create { group, ttl, uses, controller } = verb;
    let secret: [u8; 32] = random::bytes()?;
    let mut invite = compose(dir, group, *ttl, &secret)?;
    if let Some(elsewhere) = controller {
        invite.controller.clone_from(elsewhere);
    }
    let request = CreateInviteRequest {
        invite_id: invite.id.0.to_vec(),
        secret_sha256: sha256(&secret).0.to_vec(),
        group: group.to_string(),
        expires_at: invite.expires_at.0,
        uses: *uses,
    };
    connect(dir).await?.create_invite(request).await.map_err(refused("create an invite"))?;
    let machines = if *uses == 1 { "one machine".to_owned() } else { format!("{uses} machines") };
    say(&format!(
        "good for {machines} until {}, group {group}, tier {}; whoever has the line can join, so send it privately:",
        clock::written(invite.expires_at),
        invite.tier
    ));
    print_data(&format!("croft enroll {}\n", invite_line::encode(&invite)))
}

fn compose(dir: &FleetDir, group: &GroupName, ttl: u64, secret: &[u8; 32]) -> Result<Invite, CtlError> {
    let settings = dir.settings()?;
    let workbench = Workbench::open(dir)?;
    let policy = workbench.fleet().groups.get(group).ok_or_else(|| no_group(group))?;
    let versions = workbench.versions();
    Ok(Invite {
        controller: settings.controller,
        fleet: workbench.fleet().id,
        fleet_name: workbench.fleet().name.clone(),
        ca_pin: settings.ca_pin,
        root_sha256: sha256(workbench.root_bytes()),
        root_version: versions.root,
        group: group.clone(),
        tier: policy.tier,
        epoch_floor: workbench.fleet().epoch,
        targets_floor: versions.targets,
        id: InviteId(random::bytes()?),
        secret: hex::encode(secret),
        expires_at: clock::now().plus(ttl),
    })
}
