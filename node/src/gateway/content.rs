//! What a request holds that models must not see, and an answer that callers must not get: secrets, by rule, and personal data, by numbers that check. Only what
//! the baseline names is looked for. What is found is told by kind and place in the text, and never quoted; nothing of
//! it is kept.
//!
//! A rule's pattern runs only where one of its keywords stands, and only on the bytes around it: this is what makes a
//! hundred patterns cost little more than one pass.

mod numbers;
mod outgoing;
mod rules;
mod scan;
mod screen;

pub use outgoing::{Outgoing, whole};
pub use rules::Rules;
pub use scan::{Finding, Scan};
pub use screen::{Screened, screen};
