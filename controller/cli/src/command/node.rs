//! `node`: changing a node's standing. There is no other order that a node takes.

use croft_domain::id::{GroupName, NodeId};
use croft_proto::grpc::SetNodeStandingRequest;

use super::assign::no_group;
use crate::args::Node;
use crate::client::{connect, refused, resolve_node};
use crate::clock;
use crate::error::CtlError;
use crate::fleet_dir::FleetDir;
use crate::output::say;
use crate::workbench::Workbench;

/// Runs `node`.
///
/// # Errors
/// There is no such node, or the controller refuses.
pub async fn run(dir: &FleetDir, verb: &Node) -> Result<(), CtlError> {
    let (standing, whom, done) = match verb {
        Node::Evict(whom) => {
            ("evicted", whom, "is evicted: its connections are closed, and it may enroll again")
        }
        Node::Ban(whom) => {
            ("banned", whom, "is banned: its connections are closed, and its key never returns")
        }
        Node::Restore(whom) => ("active", whom, "is active again"),
        Node::Move { id, group } => return move_to(dir, *id, group).await,
    };
    let mut admin = connect(dir).await?;
    let id = resolve_node(&mut admin, &whom.id).await?;
    let request = SetNodeStandingRequest {
        node_id: id.0.to_vec(),
        standing: standing.to_owned(),
        reason: whom.reason.clone(),
    };
    admin.set_node_standing(request).await.map_err(refused("change a node's standing"))?;
    say(&format!("node {id} {done}"));
    Ok(())
}

/// Signs that a node belongs to another group. The node obeys this document and not the controller, which holds no key
/// for it: a move is the one way to laxer rules, so it takes the publishers.
async fn move_to(dir: &FleetDir, id: NodeId, group: &GroupName) -> Result<(), CtlError> {
    let mut workbench = Workbench::open(dir)?;
    let Some(policy) = workbench.fleet().groups.get(group).cloned() else { return Err(no_group(group)) };
    workbench.change_fleet(|fleet| {
        fleet.moves.insert(id, group.clone());
    })?;
    workbench.sign(clock::now())?;
    workbench.connect_and_publish().await?;
    say(&format!("node {id} belongs to group {group}, tier {}, held to {}", policy.tier, policy.baseline));
    Ok(())
}
