//! How much models are used: what of a node's counters is kept, and the sums that a report tells.

use std::collections::BTreeMap;

use croft_domain::data_class::DataClass;
use croft_domain::evidence::{ContentCount, Evidence, UsageCount};
use croft_domain::id::{GroupName, NodeId};
use croft_domain::report::NodeLine;
use croft_domain::tally::{Amount, NodeUse, Tally};
use croft_domain::time::Timestamp;
use croft_trust::store::TrustView;

use super::{App, AppError};
use crate::limits::{COUNT_MAX, USAGE_DAYS};

/// The counters of evidence that may be kept: of models that are published, each once and no larger than a day can
/// bring. A node can lie about its numbers, but not fill the database or break its sums.
pub(super) fn kept(view: &TrustView, evidence: &Evidence) -> (Vec<UsageCount>, Vec<ContentCount>) {
    let is_published = |count: &&UsageCount| view.bundles.keys().any(|bundle| bundle.name == count.model);
    let usage = evidence.usage.iter().filter(is_published).map(|count| {
        let Amount { requests, prompt_tokens, completion_tokens, redacted, blocked } = count.amount();
        let amount = Amount {
            requests: requests.min(COUNT_MAX),
            prompt_tokens: prompt_tokens.min(COUNT_MAX),
            completion_tokens: completion_tokens.min(COUNT_MAX),
            redacted: redacted.min(COUNT_MAX),
            blocked: blocked.min(COUNT_MAX),
        };
        UsageCount::of(count.model.clone(), count.data_class, &amount)
    });
    let content: BTreeMap<DataClass, u64> =
        evidence.content.iter().map(|count| (count.kind, count.requests.min(COUNT_MAX))).collect();
    let content = content.into_iter().map(|(kind, requests)| ContentCount { kind, requests });
    (usage.collect(), content.collect())
}

impl App {
    /// What was counted in the last days, told so that nothing is about few.
    ///
    /// # Errors
    /// If the database fails.
    pub(super) async fn tally(&self, nodes: &[NodeLine], now: Timestamp) -> Result<Tally, AppError> {
        let since = now.minus(u64::from(USAGE_DAYS - 1) * 86_400);
        let groups: BTreeMap<NodeId, &GroupName> =
            nodes.iter().map(|line| (line.node, &line.group)).collect();
        let mut uses: BTreeMap<NodeId, NodeUse> = BTreeMap::new();
        let mut of = |node: NodeId, change: &mut dyn FnMut(&mut NodeUse)| {
            if let Some(group) = groups.get(&node) {
                let (group, usage, content) = ((*group).clone(), Vec::new(), Vec::new());
                change(uses.entry(node).or_insert(NodeUse { node, group, usage, content }));
            }
        };
        for (node, count) in self.store.usage_since(since).await? {
            of(node, &mut |used| used.usage.push(count.clone()));
        }
        for (node, count) in self.store.content_since(since).await? {
            of(node, &mut |used| used.content.push(count));
        }
        let uses: Vec<NodeUse> = uses.into_values().collect();
        Ok(Tally::of(&uses, USAGE_DAYS))
    }
}
