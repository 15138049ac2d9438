//! What a node is told, from the first event on.

use croft_domain::id::{BaselineRef, BundleRef};
use croft_domain::signed::Envelope;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::hub::News;
use super::policy::{baseline_of, bundles_of, recalls_in_force};
use super::{App, AppError};
use crate::limits;
use crate::store::NodeRow;

/// The state a node is to reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// Bundles that are assigned to it and may be served.
    pub bundles: Vec<BundleRef>,
    /// Its baseline; none while nothing is published for its group.
    pub baseline: Option<BaselineRef>,
    /// Version of the targets to refresh to.
    pub targets_version: u64,
    /// Version of the timestamp to refresh to.
    pub timestamp_version: u64,
    /// Every recall.
    pub recalls: Vec<Envelope>,
}

/// One event for a watching node.
#[derive(Clone, Debug)]
pub enum Watched {
    /// The whole state.
    Desired(Desired),
    /// A recall, at once.
    Recalled(Envelope),
    /// The end of its membership, with the reason.
    Revoked(String),
    /// Its evidence is wanted now.
    AttestNow,
}

impl App {
    /// The state a node is to reach.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn desired(&self, node: &NodeRow) -> Result<Desired, AppError> {
        let recalls = self.store.recalls().await?;
        let Some(published) = self.mirror.current() else {
            return Ok(Desired {
                bundles: Vec::new(),
                baseline: None,
                targets_version: 0,
                timestamp_version: 0,
                recalls,
            });
        };
        let view = &published.view;
        let group = view.fleet.group_of(node.id, &node.group);
        let assignments = self.store.assignments().await?;
        Ok(Desired {
            bundles: bundles_of(view, group, &assignments, &recalls_in_force(view, &recalls)?),
            baseline: baseline_of(view, group).ok().map(croft_domain::baseline::Baseline::reference),
            targets_version: view.versions.targets,
            timestamp_version: view.versions.timestamp,
            recalls,
        })
    }

    /// Begins a node's stream: first the whole state, then each change. It ends when the node is removed, when it opens
    /// another one, when it does not read, or with `stop`.
    ///
    /// # Errors
    /// If the database fails at the first state.
    pub async fn watch(
        self: std::sync::Arc<Self>,
        node: NodeRow,
        stop: CancellationToken,
    ) -> Result<mpsc::Receiver<Watched>, AppError> {
        // Before the first state is read, so that nothing falls between the two.
        let mut subscription = self.hub.subscribe(node.id, node.group.clone());
        let (sender, receiver) = mpsc::channel(limits::WATCH_QUEUE_MAX);
        let first = Watched::Desired(self.desired(&node).await?);
        // A fresh channel has room for one.
        let _ = sender.try_send(first);
        tokio::spawn(async move {
            loop {
                let news = tokio::select! {
                    news = subscription.news.recv() => news,
                    () = sender.closed() => None,
                    () = stop.cancelled() => None,
                };
                let Some(news) = news else { break };
                let event = match news {
                    News::State => match self.desired(&node).await {
                        Ok(desired) => Watched::Desired(desired),
                        Err(error) => {
                            tracing::error!(node = %node.id, %error, "cannot read a node's state");
                            break;
                        }
                    },
                    News::Recalled(recall) => Watched::Recalled(recall),
                    News::Revoked(reason) => Watched::Revoked(reason),
                    News::AttestNow => Watched::AttestNow,
                };
                let is_last = matches!(event, Watched::Revoked(_));
                if sender.send(event).await.is_err() || is_last {
                    break;
                }
            }
        });
        Ok(receiver)
    }
}
