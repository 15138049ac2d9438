//! Showing chains: to the node, how its own went on; to an auditor, everything (P7).

use croft_domain::digest::Sha256Digest;
use croft_domain::id::NodeId;
use croft_domain::limits::CHAIN_LINKS_MAX;
use croft_trust::chain::Link;

use super::{App, AppError};
use crate::limits::CHAIN_PAGE_MAX;
use crate::store::{ChainRow, NodeRow};

/// A page of a chain, with what the books say about the whole.
pub struct ChainPage {
    /// The node.
    pub row: NodeRow,
    /// Its links.
    pub entries: Vec<ChainRow>,
}

impl App {
    /// The links from the head that a node knows to the present one. None if this chain never had that head, or went on
    /// too far: the node then raises its alarm, which is right.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn links_since(
        &self,
        node: &NodeRow,
        known: Option<Sha256Digest>,
    ) -> Result<Vec<Link>, AppError> {
        if known == node.chain_head {
            return Ok(Vec::new());
        }
        let Some(position) = self.store.position_of(node.id, known).await? else { return Ok(Vec::new()) };
        let rows = self.store.chain(node.id, position, CHAIN_LINKS_MAX).await?;
        rows.into_iter()
            .map(|row| {
                let digest = |bytes: Vec<u8>| {
                    let digest = bytes.try_into().map(Sha256Digest);
                    digest.map_err(|_| AppError::Internal("a stored commitment is damaged"))
                };
                Ok(Link {
                    commitment: digest(row.evidence_commitment)?,
                    verdict: digest(row.verdict_commitment)?,
                    rules: digest(row.rules)?,
                    at: row.at,
                })
            })
            .collect()
    }

    /// A page of a node's chain.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn export_chain(&self, id: NodeId, after: u64) -> Result<ChainPage, AppError> {
        let row = self.store.node(id).await?.ok_or_else(|| AppError::NotFound(format!("node {id}")))?;
        Ok(ChainPage { entries: self.store.chain(id, after, CHAIN_PAGE_MAX).await?, row })
    }
}
