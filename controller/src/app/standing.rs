//! Ending a membership: by an admin (evict, ban) or by the node's owner (leave). Both work on open connections at once.

use croft_domain::id::NodeId;
use croft_domain::signed::{Domain, Envelope};
use croft_domain::time::Timestamp;
use serde::Deserialize;

use super::attest::{check_clock, read_signed};
use super::hub::News;
use super::{Actor, App, AppError, bounded};
use crate::store::{NodeRow, Standing};

/// How old a farewell may be, in seconds: a day, so that one that waited for a network still counts.
const FAREWELL_AGE_MAX_S: u64 = 86_400;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Farewell {
    node: NodeId,
    at: Timestamp,
}

impl App {
    /// Evicts, bans or restores a node.
    ///
    /// # Errors
    /// [`AppError::NotFound`] if there is no such node, or it left by itself.
    pub async fn set_standing(
        &self,
        actor: &Actor,
        id: NodeId,
        standing: Standing,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), AppError> {
        bounded("reason", reason, croft_domain::limits::TEXT_LEN_MAX)?;
        if standing == Standing::Left {
            return Err(AppError::Input("standing: expected active, evicted or banned".to_owned()));
        }
        if standing != Standing::Active && reason.is_empty() {
            return Err(AppError::Input("reason: expected why, for the person whose node it is".to_owned()));
        }
        if !self.store.set_standing(id, standing, reason).await? {
            return Err(AppError::NotFound(format!("node {id} in the fleet")));
        }
        if standing != Standing::Active {
            self.cut(id, reason);
        }
        self.audit(actor, &format!("node.{}", standing.as_str()), &id.to_string(), reason, now).await
    }

    /// Lets a node go whose owner leaves.
    ///
    /// # Errors
    /// [`AppError::EvidenceInvalid`] if the farewell is not this node's own, or too old.
    pub async fn leave(&self, node: &NodeRow, farewell: &Envelope, now: Timestamp) -> Result<(), AppError> {
        let document: Farewell = read_signed(node, farewell, Domain::Farewell)?;
        check_clock(document.at, now)?;
        if document.node != node.id || now.since(document.at) > FAREWELL_AGE_MAX_S {
            return Err(AppError::EvidenceInvalid("the farewell is another node's, or too old".to_owned()));
        }
        self.store.set_standing(node.id, Standing::Left, "its owner left").await?;
        // The stream ends; the connection stays for this answer, and each later request on it is refused.
        self.hub.tell(node.id, &News::Revoked("its owner left".to_owned()));
        tracing::info!(node = %node.id, "a node left");
        Ok(())
    }

    // The stream says why before the connection ends; a connection without a stream just ends.
    fn cut(&self, id: NodeId, reason: &str) {
        self.hub.tell(id, &News::Revoked(reason.to_owned()));
        let cut = self.connections.cut(id);
        tracing::info!(node = %id, connections = cut, "a node was removed");
    }
}
