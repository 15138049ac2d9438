//! What the controller does, use case by use case, apart from how it is asked (`api`) and where it is kept (`store`).
//!
//! Whoever calls has proven a key, not a right: each use case asks first whether the caller still belongs here.

mod attest;
mod chain;
mod cloned;
mod enroll;
mod erase;
mod error;
mod hardware;
mod hub;
mod inventory;
mod mirror;
mod nonce;
mod policy;
mod recall;
mod report;
mod request;
mod standing;
mod upload;
mod usage;
mod watch;

use std::sync::Arc;

use croft_domain::id::{FleetId, NodeId};
use croft_domain::time::Timestamp;
use croft_trust::sign::SigningKey;

pub use attest::Attested;
pub use chain::ChainPage;
pub use enroll::{Bootstrapped, Enrollment};
pub use erase::Retention;
pub use error::AppError;
pub use hardware::{HardwareProof, QuoteProof};
pub use hub::Hub;
pub use inventory::{BaselineView, BundleView, NodeDetail, Outcome};
pub use mirror::{Mirror, Published};
pub use nonce::Nonces;
pub use watch::{Desired, Watched};

// What use cases take and give of what is kept; `api` knows it by these names and the store not at all.
pub use crate::store::{
    Assignment, AuditEntry, ChainRow, Erasure, InviteRow, NodeRow, RequestRow, Standing, StoreError,
};

use crate::blobs::Blobs;
use crate::ca::{Authority, Subject};
use crate::metrics::Metrics;
use crate::store::Store;
use crate::tls::{Connections, Peer};

/// Everything that the use cases work with.
pub struct App {
    /// Which fleet.
    pub fleet: FleetId,
    /// Its name, for people.
    pub fleet_name: String,
    /// The database.
    pub store: Store,
    /// Bundle bytes.
    pub blobs: Blobs,
    /// Who is who.
    pub authority: Arc<Authority>,
    /// How long a node's certificate lasts, in seconds.
    pub node_certificate_s: u64,
    /// How long bodies of evidence and verdicts are kept.
    pub retention: Retention,
    /// Signs leases, and nothing else.
    pub lease_key: SigningKey,
    /// Challenges.
    pub nonces: Nonces,
    /// The signed state, as admins published it.
    pub mirror: Mirror,
    /// Who watches.
    pub hub: Hub,
    /// Who is connected.
    pub connections: Connections,
    /// What is counted.
    pub metrics: Metrics,
}

/// An admin whose right was checked at this request.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Its name, for the audit log.
    pub name: String,
}

impl App {
    /// The node that speaks, if it belongs to the fleet.
    ///
    /// # Errors
    /// [`AppError::Denied`] without a node's certificate, [`AppError::NodeRevoked`] or [`AppError::NodeUnknown`].
    pub async fn node_of(&self, peer: &Peer) -> Result<NodeRow, AppError> {
        let Peer::Known { subject: Subject::Node(id), key_point } = peer else {
            return Err(AppError::Denied("this needs a node's certificate"));
        };
        let row = self.active_node(*id).await?;
        // The CA certifies first-seen keys only; a certificate over another key was made by somebody else.
        if row.key_point != *key_point {
            return Err(AppError::Denied("this certificate is not over the node's own key"));
        }
        Ok(row)
    }

    /// The admin that speaks, if it is one.
    ///
    /// # Errors
    /// [`AppError::Denied`].
    pub async fn admin_of(&self, peer: &Peer) -> Result<Actor, AppError> {
        let Peer::Known { subject: Subject::Admin(name), key_point } = peer else {
            return Err(AppError::Denied("this needs an admin's certificate"));
        };
        match self.store.admin(name.as_str()).await? {
            Some(admin) if admin.key_point == *key_point => Ok(Actor { name: name.to_string() }),
            _ => Err(AppError::Denied("this certificate's holder is no admin any more")),
        }
    }

    async fn active_node(&self, id: NodeId) -> Result<NodeRow, AppError> {
        let row = self.store.node(id).await?.ok_or(AppError::NodeUnknown)?;
        match row.standing {
            Standing::Active => Ok(self.settled(row)),
            Standing::Evicted | Standing::Banned | Standing::Left => {
                Err(AppError::NodeRevoked { reason: row.reason })
            }
        }
    }

    /// A node's row with the group that the signed fleet document has moved it to. What is on the books is where it
    /// enrolled; nothing here can change where it belongs (P3).
    fn settled(&self, mut row: NodeRow) -> NodeRow {
        if let Some(published) = self.mirror.current() {
            row.group = published.view.fleet.group_of(row.id, &row.group).clone();
        }
        row
    }

    /// Writes an action into the audit log. It is called before the answer: what is acknowledged is on record.
    async fn audit(
        &self,
        actor: &Actor,
        action: &str,
        object: &str,
        detail: &str,
        now: Timestamp,
    ) -> Result<(), AppError> {
        tracing::info!(actor = %actor.name, action, object, detail, "admin action");
        let entry = AuditEntry {
            at: now,
            actor: actor.name.clone(),
            action: action.to_owned(),
            object: object.to_owned(),
            detail: detail.to_owned(),
        };
        self.store.add_audit(random()?, &entry).await?;
        Ok(())
    }
}

/// Fresh random bytes.
fn random<const N: usize>() -> Result<[u8; N], AppError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| AppError::Internal("the system gives no random bytes"))?;
    Ok(bytes)
}

/// Whether a reason or name that an outsider sent may be kept.
fn bounded(what: &'static str, text: &str, len_max: usize) -> Result<(), AppError> {
    if text.len() > len_max || text.chars().any(char::is_control) {
        return Err(AppError::Input(format!("{what}: expected at most {len_max} bytes on one line")));
    }
    Ok(())
}
