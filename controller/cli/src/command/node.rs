//! `node`: changing a node's standing. There is no other order that a node takes.

use croft_proto::grpc::SetNodeStandingRequest;

use crate::args::Node;
use crate::client::{connect, refused, resolve_node};
use crate::error::CtlError;
use crate::fleet_dir::FleetDir;
use crate::output::say;

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
