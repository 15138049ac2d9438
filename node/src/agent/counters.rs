//! What was counted since the last evidence: numbers by model and class of data, and by kind of content. They are lost
//! with the daemon; nothing of them is worth a file.

use std::collections::BTreeMap;

use croft_domain::data_class::DataClass;
use croft_domain::evidence::{ContentCount, Evidence, UsageCount};
use croft_domain::id::BundleName;
use croft_domain::tally::Amount;
use croft_domain::usage::Sensitivity;

use crate::supervisor::counted::Counted;

/// Counters. As many as there are models, classes and kinds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    used: BTreeMap<(BundleName, Sensitivity), Amount>,
    found: BTreeMap<DataClass, u64>,
}

impl Counters {
    /// Counts.
    pub fn count(&mut self, model: &BundleName, counted: &Counted) {
        self.used.entry((model.clone(), counted.class)).or_default().add(&counted.amount);
        for (kind, requests) in &counted.kinds {
            let found = self.found.entry(*kind).or_default();
            *found = found.saturating_add(*requests);
        }
    }

    /// For evidence: by model and class.
    #[must_use]
    pub fn usage(&self) -> Vec<UsageCount> {
        let count = |((model, class), amount): (&(BundleName, Sensitivity), &Amount)| {
            UsageCount::of(model.clone(), Some(*class), amount)
        };
        self.used.iter().map(count).collect()
    }

    /// For evidence: by kind of content.
    #[must_use]
    pub fn content(&self) -> Vec<ContentCount> {
        self.found.iter().map(|(kind, requests)| ContentCount { kind: *kind, requests: *requests }).collect()
    }

    /// Takes out what was told. `told` is how the counters stood then: what was counted since stays for the next time,
    /// and so does what found no room in the evidence. Kinds that were not permitted to leave are forgotten, so that an
    /// owner who agrees later agrees to what comes.
    pub fn subtract(&mut self, told: &Self, sent: &Evidence) {
        for ((model, class), amount) in &told.used {
            let is_of =
                |count: &&UsageCount| count.model == *model && count.data_class.is_none_or(|c| c == *class);
            if sent.usage.iter().any(|count| is_of(&count))
                && let Some(now) = self.used.get_mut(&(model.clone(), *class))
            {
                now.subtract(amount);
            }
        }
        for (kind, requests) in &told.found {
            if let Some(now) = self.found.get_mut(kind) {
                *now = now.saturating_sub(*requests);
            }
        }
        self.used.retain(|_, amount| *amount != Amount::default());
        self.found.retain(|_, requests| *requests > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(class: Sensitivity, requests: u64) -> Counted {
        let amount = Amount { requests, ..Amount::default() };
        Counted { class, amount, kinds: vec![(DataClass::PaymentCards, requests)] }
    }

    fn sent(usage: Vec<UsageCount>) -> Evidence {
        let text = r#"{"version":1,"node":"00000000000000000000000000000001","nonce":"","counter":1,"boot_id":"",
            "taken_at":1,"mode":"user","ownership":"personal","platform":{"os":"","arch":"","kernel":""},
            "agent_version":"","trust":{"root":1,"targets":1,"snapshot":1,"timestamp":1},
            "facts":[],"bundles":[],"recalls":[],"census":[],"usage":[]}"#;
        let evidence: Evidence = serde_json::from_str(text).expect("evidence");
        Evidence { usage, ..evidence }
    }

    #[test]
    fn what_was_told_is_not_told_again_and_what_came_since_is() {
        let starter: BundleName = "starter".parse().expect("a name");
        let (internal, public) = (Sensitivity::Internal, Sensitivity::Public);
        let mut counters = Counters::default();
        counters.count(&starter, &counted(internal, 3));
        counters.count(&starter, &counted(public, 1));
        let told = counters.clone();
        counters.count(&starter, &counted(internal, 2));
        let classes = |counters: &Counters| -> Vec<_> {
            counters.usage().iter().map(|count| (count.data_class, count.requests)).collect()
        };
        // As one sum for the model, as personal machines tell it.
        let mut whole = counters.clone();
        whole.subtract(&told, &sent(croft_domain::tally::undivided(told.usage())));
        assert_eq!((classes(&whole), whole.content()[0].requests), (vec![(Some(internal), 2)], 2));
        // Class by class, where only one found room.
        let fit = told.usage().into_iter().filter(|count| count.data_class == Some(internal)).collect();
        counters.subtract(&told, &sent(fit));
        assert_eq!(classes(&counters), [(Some(public), 1), (Some(internal), 2)]);
    }
}
