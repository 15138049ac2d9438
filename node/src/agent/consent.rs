//! Consent: what the baseline in force asks for, what the compiled ceiling permits, and what the owner said.

use std::collections::BTreeSet;

use croft_domain::baseline::Baseline;
use croft_domain::code::Code;
use croft_domain::collection::{Ceiling, Collection, Consent, Item, waiting};
use croft_domain::evidence::Ownership;
use croft_domain::id::BaselineRef;

use super::memory::{Memory, Shared};
use crate::clock;
use crate::failure::Failure;
use crate::state::consent;

/// The owner's answer to everything that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Yes to what the baseline in force asks for.
    Give,
    /// No more, to everything that was agreed to since enrollment.
    Revoke,
}

/// One item as it stands here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which.
    pub item: Item,
    /// What the ceiling says.
    pub ceiling: Ceiling,
    /// Whether the baseline in force asks for it.
    pub is_asked: bool,
    /// Whether the owner agreed to it.
    pub is_agreed: bool,
}

/// What the baseline in force asks for, and which baseline that is.
fn asked(memory: &Memory) -> (BTreeSet<Item>, Option<BaselineRef>) {
    let asks = |baseline: &Baseline| (baseline.asks_for(), Some(baseline.reference()));
    memory.baseline().map_or_else(Default::default, asks)
}

fn ownership(memory: &Memory) -> Ownership {
    memory.identity.as_ref().map_or(Ownership::Personal, |identity| identity.enrollment.ownership)
}

/// What may be collected now.
#[must_use]
pub fn collection_of(memory: &Memory) -> Collection {
    Collection::permitted(ownership(memory), &asked(memory).0, &memory.agreed)
}

/// What waits for the owner's yes.
#[must_use]
pub fn waits(memory: &Memory) -> BTreeSet<Item> {
    waiting(ownership(memory), &asked(memory).0, &memory.agreed)
}

/// Every item as it stands here, and the baseline that asks.
#[must_use]
pub fn overview(memory: &Memory) -> (Vec<Standing>, Option<BaselineRef>) {
    let (asked, baseline) = asked(memory);
    let ownership = ownership(memory);
    let standing = |item: Item| Standing {
        item,
        ceiling: item.ceiling(ownership),
        is_asked: asked.contains(&item),
        is_agreed: memory.agreed.contains(&item),
    };
    (Item::ALL.into_iter().map(standing).collect(), baseline)
}

/// Takes the owner's answer: signed by the node's key, kept, and in force with the next evidence.
///
/// # Errors
/// `E-NOT-ENROLLED`, or if it cannot be kept.
pub fn take(shared: &Shared, answer: Answer, uid: u32) -> Result<(), Failure> {
    let (identity, items, baseline) = {
        let memory = shared.memory();
        let not_enrolled = || Failure::new(Code::NotEnrolled, "this machine is not enrolled");
        let identity = memory.identity.clone().ok_or_else(not_enrolled)?;
        let items = match answer {
            Answer::Revoke => BTreeSet::new(),
            Answer::Give => memory.agreed.union(&waits(&memory)).copied().collect(),
        };
        (identity, items, asked(&memory).1)
    };
    let document =
        Consent { node: identity.enrollment.node, items: items.clone(), baseline, uid, at: clock::now() };
    consent::save(&shared.paths, &identity.key, &document).map_err(|e| Failure::caused(e.code(), &e))?;
    tracing::info!(?items, uid, "the owner's consent");
    shared.memory().agreed = items;
    shared.changed();
    shared.attest.notify_one();
    Ok(())
}
