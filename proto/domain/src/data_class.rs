//! Kinds of content that an organization may keep from models, and what becomes of a request that holds one. What
//! exactly counts as a member is the gateway's to know; here is only what a baseline can say.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A kind of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataClass {
    /// Keys to accounts of cloud providers.
    CloudCredentials,
    /// Tokens of services: code hosts, registries, chat, payment, model providers.
    AccessTokens,
    /// Private keys in PEM and the like.
    PrivateKeys,
    /// Addresses of databases and brokers with a password in them.
    ConnectionStrings,
    /// Card numbers that pass Luhn's check.
    PaymentCards,
    /// IBANs that pass their check.
    BankAccounts,
    /// Numbers of persons, such as a US social security number.
    NationalIds,
    /// E-mail addresses.
    EmailAddresses,
}

/// What becomes of a request that holds a member of a class, from mild to strict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataAction {
    /// It passes as it is.
    Allow,
    /// The model sees a mark in its place.
    Redact,
    /// The request is refused.
    Block,
}

/// What a baseline says of each class; a class that is not named is allowed.
pub type DataClasses = BTreeMap<DataClass, DataAction>;

impl DataClass {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::CloudCredentials,
        Self::AccessTokens,
        Self::PrivateKeys,
        Self::ConnectionStrings,
        Self::PaymentCards,
        Self::BankAccounts,
        Self::NationalIds,
        Self::EmailAddresses,
    ];

    /// Its name in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CloudCredentials => "cloud-credentials",
            Self::AccessTokens => "access-tokens",
            Self::PrivateKeys => "private-keys",
            Self::ConnectionStrings => "connection-strings",
            Self::PaymentCards => "payment-cards",
            Self::BankAccounts => "bank-accounts",
            Self::NationalIds => "national-ids",
            Self::EmailAddresses => "email-addresses",
        }
    }

    /// The class of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|class| class.as_str() == name)
    }

    /// Its number where no text may be, from 1.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32 + 1
    }

    /// The class of that number.
    #[must_use]
    pub fn numbered(number: u32) -> Option<Self> {
        Self::ALL.iter().copied().find(|class| class.number() == number)
    }
}

impl DataAction {
    /// Its name in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Redact => "redact",
            Self::Block => "block",
        }
    }

    /// The action of that name. A name that a newer daemon may know and this program does not is the strictest.
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name {
            "allow" => Self::Allow,
            "redact" => Self::Redact,
            _ => Self::Block,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_documents() {
        for class in DataClass::ALL {
            assert_eq!(DataClass::named(class.as_str()), Some(*class));
            assert_eq!(DataClass::numbered(class.number()), Some(*class));
        }
        assert_eq!(DataAction::named("redact"), DataAction::Redact);
        assert_eq!(DataAction::named("made-up"), DataAction::Block);
    }
}
