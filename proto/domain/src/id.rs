//! Identifiers and names as types. A name that parsed is safe in a file name, a target name, a URL and a query.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::NAME_LEN_MAX;

/// A text was not an identifier or name of the expected kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a {kind}: {expected}")]
pub struct IdError {
    kind: &'static str,
    expected: &'static str,
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let err = || IdError { kind: $kind, expected: "32 lower-case hexadecimal digits" };
                let ok = text.len() == 32
                    && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
                if !ok {
                    return Err(err());
                }
                u128::from_str_radix(text, 16).map(|n| Self(n.to_be_bytes())).map_err(|_| err())
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
        impl TryFrom<&[u8]> for $name {
            type Error = IdError;
            fn try_from(bytes: &[u8]) -> Result<Self, IdError> {
                bytes.try_into().map(Self).map_err(|_| IdError { kind: $kind, expected: "16 bytes" })
            }
        }
    };
}

random_id!(
    /// All nodes under one trust root.
    FleetId, "fleet id");
random_id!(
    /// One enrolled machine.
    NodeId, "node id");
random_id!(
    /// One invite.
    InviteId, "invite id");
random_id!(
    /// One verdict.
    VerdictId, "verdict id");
random_id!(
    /// One lease.
    LeaseId, "lease id");
random_id!(
    /// One recall.
    RecallId, "recall id");
random_id!(
    /// One waiver.
    WaiverId, "waiver id");
random_id!(
    /// One report.
    ReportId, "report id");
random_id!(
    /// A person's request for another model.
    RequestId, "request id");

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::try_from(text.to_owned())
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                if is_name(&text) {
                    Ok(Self(text))
                } else {
                    Err(IdError {
                        kind: $kind,
                        expected: "1 to 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit",
                    })
                }
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

/// RFC 1123 labels, so that a name is one path segment everywhere and needs no escaping.
fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    matches!(bytes, [first, .., last] if edge(*first) && edge(*last))
        && bytes.len() <= NAME_LEN_MAX
        && bytes.iter().all(|&b| edge(b) || b == b'-')
        || matches!(bytes, [only] if edge(*only))
}

name!(
    /// Nodes of one team and tier.
    GroupName, "group name");
name!(
    /// An approved model, without its version.
    BundleName, "bundle name");
name!(
    /// A set of guardrails, without its version.
    BaselineName, "baseline name");
name!(
    /// A worker with its libraries, without its version.
    RuntimeName, "runtime name");
name!(
    /// An acceptable-use policy, without its version.
    PolicyName, "policy name");
name!(
    /// One check of a baseline, for example `disk-encryption`.
    CheckName, "check name");
name!(
    /// What a client calls a model: `chat`, `complete`, `embed`, or a bundle's name.
    ModelAlias, "model alias");

/// A bundle at a version, written `name@version`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleRef {
    /// Its name.
    pub name: BundleName,
    /// Its version, counted from 1.
    pub version: u32,
}

/// A baseline at a version, written `name@version`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaselineRef {
    /// Its name.
    pub name: BaselineName,
    /// Its version, counted from 1.
    pub version: u32,
}

/// A runtime at a version, written `name@version`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeRef {
    /// Its name.
    pub name: RuntimeName,
    /// Its version, counted from 1.
    pub version: u32,
}

/// An acceptable-use policy at a version, written `name@version`; its text is the signed target
/// `policy.NAME.VERSION.md`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyRef {
    /// Its name.
    pub name: PolicyName,
    /// Its version, counted from 1.
    pub version: u32,
}

macro_rules! reference {
    ($name:ident, $kind:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}@{}", self.name, self.version)
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let err = || IdError { kind: $kind, expected: "name@version, the version counted from 1" };
                let (name, version) = text.split_once('@').ok_or_else(err)?;
                let version = version.parse().ok().filter(|v| *v > 0).ok_or_else(err)?;
                Ok(Self { name: name.parse()?, version })
            }
        }
    };
}
reference!(BundleRef, "bundle reference");
reference!(BaselineRef, "baseline reference");
reference!(RuntimeRef, "runtime reference");
reference!(PolicyRef, "policy reference");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p2_names_cannot_leave_their_path_segment() {
        for bad in ["", "-a", "a-", ".", "..", "a/b", "a\\b", "A", "a_b", "a.b", "a b", "ä", "a\0"] {
            assert!(bad.parse::<BundleName>().is_err(), "{bad:?}");
        }
        assert!("a".repeat(63).parse::<BundleName>().is_ok());
        assert!("a".repeat(64).parse::<BundleName>().is_err());
        assert!("q".parse::<BundleName>().is_ok());
    }

    #[test]
    fn references_round_trip_and_refuse_version_zero() {
        let parsed: BundleRef = "starter@3".parse().expect("a reference");
        assert_eq!(parsed.to_string(), "starter@3");
        for bad in ["starter", "starter@", "starter@0", "starter@-1", "@1", "starter@1@2"] {
            assert!(bad.parse::<BundleRef>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_round_trip() {
        let id = NodeId([7; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("+0000000000000000000000000000000".parse::<NodeId>().is_err());
    }
}
