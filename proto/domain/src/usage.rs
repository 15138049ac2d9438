//! What a baseline says about using models: with which data, how much, and how long one stays loaded. What becomes of content by its kind is in [`crate::data_class`]; here is what a caller declares as a whole.

use serde::{Deserialize, Serialize};

use crate::bundle::UsageScope;
use crate::data_class::DataClasses;

/// How sensitive the data of a request is, as its sender declares in `X-Croft-Data-Class`, from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sensitivity {
    /// Anybody may read it.
    Public,
    /// The organization's own work.
    Internal,
    /// Customers', and what contracts protect.
    Confidential,
    /// What a law or regulator protects.
    Restricted,
}

impl Sensitivity {
    /// All of them, least first.
    pub const ALL: &'static [Self] = &[Self::Public, Self::Internal, Self::Confidential, Self::Restricted];

    /// Its name in documents and headers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Confidential => "confidential",
            Self::Restricted => "restricted",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|sensitivity| sensitivity.as_str() == name)
    }

    /// Its number where no text may be: from 1, least first.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32 + 1
    }

    /// The one of that number.
    #[must_use]
    pub fn numbered(number: u32) -> Option<Self> {
        Self::ALL.iter().copied().find(|sensitivity| sensitivity.number() == number)
    }
}

/// What a baseline says about using models.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UsageRules {
    /// What a request is taken for whose sender declares nothing.
    pub data_class: Sensitivity,
    /// The most sensitive that any model here may be given.
    pub data_class_max: Sensitivity,
    /// Tokens that one caller may use in a day (UTC), prompts and answers together; 0: as many as it likes.
    pub tokens_per_day: u64,
    /// Requests that one caller may have running and waiting at once; 0: as many as the queue takes.
    pub in_flight_max: u32,
    /// Longest a model stays loaded without a request, in seconds; what clients ask for is cut to it. None: it stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_alive_max_s: Option<u64>,
    /// Most of the machine's memory, or of its control group's, that all models together may take, in percent: 1 to 90.
    /// What the owner allows counts if it is less. None: the owner's word alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_percent: Option<u8>,
    /// What becomes of answers that hold such content; a class that is not named is allowed.
    #[serde(skip_serializing_if = "DataClasses::is_empty")]
    pub answers: DataClasses,
}

impl Default for UsageRules {
    fn default() -> Self {
        Self {
            data_class: Sensitivity::Internal,
            data_class_max: Sensitivity::Restricted,
            tokens_per_day: 0,
            in_flight_max: 0,
            keep_alive_max_s: None,
            memory_percent: None,
            answers: DataClasses::new(),
        }
    }
}

impl UsageRules {
    /// Whether nothing differs from a baseline that does not mention usage.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The most sensitive data that a bundle may be given under this baseline: the stricter of the two counts.
    #[must_use]
    pub fn data_class_max_of(&self, scope: &UsageScope) -> Sensitivity {
        scope.data_class_max.map_or(self.data_class_max, |bundle| bundle.min(self.data_class_max))
    }

    /// How long a model stays loaded after a request that asked for `asked_s`, in seconds; none: as long as it likes.
    /// A client's `-1`, for ever, is `u64::MAX`.
    #[must_use]
    pub fn keep_alive_s(&self, asked_s: Option<u64>) -> Option<u64> {
        self.keep_alive_max_s.map(|most| asked_s.unwrap_or(most).min(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stricter_of_bundle_and_baseline_counts() {
        let rules = UsageRules { data_class_max: Sensitivity::Confidential, ..UsageRules::default() };
        let scope = |most| UsageScope { data_class_max: most };
        assert_eq!(rules.data_class_max_of(&scope(None)), Sensitivity::Confidential);
        assert_eq!(rules.data_class_max_of(&scope(Some(Sensitivity::Public))), Sensitivity::Public);
        assert_eq!(rules.data_class_max_of(&scope(Some(Sensitivity::Restricted))), Sensitivity::Confidential);
    }

    #[test]
    fn keep_alive_is_cut_to_what_the_baseline_says() {
        let rules = UsageRules { keep_alive_max_s: Some(600), ..UsageRules::default() };
        assert_eq!(rules.keep_alive_s(None), Some(600));
        assert_eq!(rules.keep_alive_s(Some(0)), Some(0));
        assert_eq!(rules.keep_alive_s(Some(u64::MAX)), Some(600));
        assert_eq!(UsageRules::default().keep_alive_s(Some(5)), None);
    }

    #[test]
    fn every_sensitivity_has_one_name() {
        for sensitivity in Sensitivity::ALL {
            assert_eq!(Sensitivity::named(sensitivity.as_str()), Some(*sensitivity));
            let text = serde_json::to_string(sensitivity).expect("JSON");
            assert_eq!(text, format!("\"{}\"", sensitivity.as_str()));
        }
        assert_eq!(Sensitivity::named("secret"), None);
    }
}
