//! What the gateway counted, as numbers: of its message, whatever a newer gateway might add, nothing else is taken.

use croft_domain::data_class::DataClass;
use croft_domain::tally::Amount;
use croft_domain::usage::Sensitivity;
use croft_proto::frames::{KindCount, Usage};

/// Requests for data of one class, counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The class.
    pub class: Sensitivity,
    /// How much.
    pub amount: Amount,
    /// What the guard found, and in how many requests and answers.
    pub kinds: Vec<(DataClass, u64)>,
}

impl From<Usage> for Counted {
    fn from(wire: Usage) -> Self {
        let Usage {
            slot: _,
            requests,
            prompt_tokens,
            completion_tokens,
            redacted,
            blocked,
            data_class,
            kinds,
        } = wire;
        let known = |count: KindCount| Some((DataClass::numbered(count.kind)?, count.requests));
        Self {
            // A class that this program does not know is the strictest.
            class: Sensitivity::numbered(data_class).unwrap_or(Sensitivity::Restricted),
            amount: Amount { requests, prompt_tokens, completion_tokens, redacted, blocked },
            kinds: kinds.into_iter().filter_map(known).collect(),
        }
    }
}
