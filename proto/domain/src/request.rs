//! What became of a person's request for another model.

use serde::{Deserialize, Serialize};

/// An admin's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestOutcome {
    /// Nobody has answered yet.
    Pending,
    /// The model comes, or something that does the same.
    Approved,
    /// It does not.
    Denied,
}

impl RequestOutcome {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Pending, Self::Approved, Self::Denied];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|outcome| outcome.as_str() == name)
    }
}
