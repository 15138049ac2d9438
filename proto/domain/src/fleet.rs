//! The fleet document: the signed target `fleet.json`. It says which online keys count and what each group may have,
//! so that a controller can neither invent a key nor move a node to laxer rules.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::baseline::Baseline;
use crate::digest::Sha256Digest;
use crate::id::{BaselineName, BaselineRef, BundleName, BundleRef, FleetId, GroupName, NodeId};
use crate::limits::{GROUPS_MAX, MOVES_MAX, SOURCES_MAX, TEXT_LEN_MAX};
use crate::time::Timestamp;
use crate::vetting::VettingExceptions;

/// A public key with the time in which it counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyEntry {
    /// Uncompressed P-256 point (SEC 1, 65 bytes), hexadecimal.
    pub point: String,
    /// From when.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
}

/// What a group may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupPolicy {
    /// 1 to 3.
    pub tier: u8,
    /// The baseline and the lowest version of it that counts.
    pub baseline: BaselineRef,
    /// Bundles that may be assigned, each with the lowest version that may be served.
    pub bundles: BTreeMap<BundleName, u32>,
}

impl GroupPolicy {
    /// Whether `bundle` may be served.
    #[must_use]
    pub fn allows_bundle(&self, bundle: &BundleRef) -> bool {
        self.bundles.get(&bundle.name).is_some_and(|minimum| bundle.version >= *minimum)
    }

    /// Whether `baseline` is the group's and not older than agreed.
    #[must_use]
    pub fn accepts_baseline(&self, baseline: &BaselineRef) -> bool {
        baseline.name == self.baseline.name && baseline.version >= self.baseline.version
    }

    /// Whether the group may be held to this baseline: the group's, not older than agreed, and of no lower tier.
    #[must_use]
    pub fn accepts(&self, baseline: &Baseline) -> bool {
        self.accepts_baseline(&baseline.reference()) && baseline.tier >= self.tier
    }
}

/// The fleet document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fleet {
    /// Always 1.
    pub schema: u32,
    /// Which fleet.
    pub id: FleetId,
    /// For people.
    pub name: String,
    /// Only rises; carried by invites as a floor.
    pub epoch: u64,
    /// SHA-256 of the SubjectPublicKeyInfo of each CA that may certify the controller and nodes (RFC 7469's pin).
    pub ca_pins: Vec<Sha256Digest>,
    /// Keys that may sign leases.
    pub lease_keys: Vec<KeyEntry>,
    /// Keys that may sign recalls.
    pub recall_keys: Vec<KeyEntry>,
    /// Keys that may sign reviews.
    pub reviewer_keys: Vec<KeyEntry>,
    /// What each group may have.
    pub groups: BTreeMap<GroupName, GroupPolicy>,
    /// SPDX identifiers of licenses under which bundles may come in.
    pub licenses: Vec<String>,
    /// How the sources begin from which bundles may come in. Empty: from nowhere.
    #[serde(default)]
    pub sources: Vec<String>,
    /// Baselines that have been published, newest version by name, for people's overview.
    #[serde(default)]
    pub baselines: BTreeMap<BaselineName, u32>,
    /// Nodes that belong to another group than the one they enrolled into. A move is signed like everything that may
    /// loosen rules: a node follows this list and no word of the controller.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub moves: BTreeMap<NodeId, GroupName>,
    /// What vetting accepts beyond its own lists.
    #[serde(default, skip_serializing_if = "VettingExceptions::is_empty")]
    pub vetting: VettingExceptions,
}

impl Fleet {
    /// The group of a node that enrolled into `enrolled`.
    #[must_use]
    pub fn group_of<'a>(&'a self, node: NodeId, enrolled: &'a GroupName) -> &'a GroupName {
        self.moves.get(&node).unwrap_or(enrolled)
    }

    /// Whether a bundle may come in from `source`. A prefix ends where a part of a name ends, so that allowing one
    /// organization's folder allows no other's whose name begins alike.
    #[must_use]
    pub fn allows_source(&self, source: &str) -> bool {
        is_source(source) && self.sources.iter().any(|prefix| covers(prefix, source))
    }

    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// Names the field and what was expected.
    pub fn validate(&self) -> Result<(), FleetError> {
        let err = |field: &'static str, expected: &'static str| Err(FleetError { field, expected });
        if self.schema != 1 {
            return err("schema", "1");
        }
        if self.name.is_empty() || self.name.len() > 256 {
            return err("name", "1 to 256 bytes");
        }
        if self.groups.len() > GROUPS_MAX {
            return err("groups", "at most 1024");
        }
        let keys = [&self.lease_keys, &self.recall_keys, &self.reviewer_keys];
        let is_point = |k: &KeyEntry| {
            k.point.len() == 130
                && k.point.starts_with("04")
                && k.point.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        if keys.iter().any(|list| list.len() > 64 || !list.iter().all(is_point)) {
            return err(
                "lease_keys, recall_keys, reviewer_keys",
                "at most 64 uncompressed P-256 points each",
            );
        }
        if self.ca_pins.is_empty() || self.ca_pins.len() > 8 {
            return err("ca_pins", "1 to 8");
        }
        let is_text = |t: &String| !t.is_empty() && t.len() <= TEXT_LEN_MAX && !t.contains(char::is_control);
        if self.sources.len() > SOURCES_MAX || !self.sources.iter().all(|s| is_text(s) && is_source(s)) {
            return err("sources", "at most 256 texts of 1 to 1024 bytes, without .. and %");
        }
        if self.groups.values().any(|g| !(1..=3).contains(&g.tier)) {
            return err("groups.*.tier", "1, 2 or 3");
        }
        if let Some((field, expected)) = self.vetting.broken() {
            return err(field, expected);
        }
        if self.moves.len() > MOVES_MAX || !self.moves.values().all(|group| self.groups.contains_key(group)) {
            return err("moves", "at most 4096 nodes, each with a group of this document");
        }
        Ok(())
    }
}

/// Whether a source can be allowed at all. What climbs, or hides that it climbs, could leave an allowed prefix again.
#[must_use]
pub fn is_source(text: &str) -> bool {
    let climbs = text.split(['/', '\\', '?', '#', ';']).any(|part| part.trim() == "..");
    !climbs && !text.contains(|c: char| c == '%' || c.is_control())
}

fn covers(prefix: &str, source: &str) -> bool {
    let Some(rest) = source.strip_prefix(prefix) else { return false };
    // Behind a bare host, `@` and `:` would begin another host: https://good.example@evil.example/.
    let has_path = prefix.split_once("://").is_none_or(|(_, place)| place.contains('/'));
    rest.is_empty()
        || prefix.ends_with('/')
        || prefix.ends_with(':') && !prefix.contains("://")
        || rest.starts_with('/')
        || has_path && rest.starts_with(['@', ':'])
}

/// The fleet document contradicts itself or a bound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("fleet.json field {field}: expected {expected}")]
pub struct FleetError {
    /// Which field.
    pub field: &'static str,
    /// What was expected.
    pub expected: &'static str,
}

#[cfg(test)]
mod tests {
    use super::{covers, is_source};

    #[test]
    fn p2_a_source_that_climbs_or_hides_it_is_none() {
        for good in ["https://hub.example/org/m@1", "made here", "a..b/c", "ollama:registry/m:1", "./here"] {
            assert!(is_source(good), "{good}");
        }
        let hidden = ["a/%2e%2e/b", "a/%2E./b", "a%2fb", "a/.\t./b", "a/..\n/b", "100%"];
        for bad in ["..", "a/../b", "a/..", "../a", r"a\..\b", "a/.. /b", "a/..?b", "a/..#", "a/..;x/b"] {
            assert!(!is_source(bad), "{bad}");
        }
        for bad in hidden {
            assert!(!is_source(bad), "{bad:?}");
        }
    }

    #[test]
    fn p2_a_source_prefix_ends_where_a_name_ends() {
        let hub = "https://hub.example/org";
        for good in ["https://hub.example/org", "https://hub.example/org/m@abc", "https://hub.example/org@1"]
        {
            assert!(covers(hub, good), "{good}");
        }
        for bad in ["https://hub.example/org-evil/m", "https://hub.example", "http://hub.example/org/m"] {
            assert!(!covers(hub, bad), "{bad}");
        }
        let host = "https://hub.example";
        assert!(covers(host, "https://hub.example/any"));
        for bad in ["https://hub.example@evil/", "https://hub.example:x@evil/", "https://hub.example.evil/"] {
            assert!(!covers(host, bad), "{bad}");
        }
        for bad in ["HTTPS://hub.example/org/m", "https://HUB.example/org/m", "https://hub.example/Org/m"] {
            assert!(!covers(hub, bad), "{bad}: letters are compared as they are");
        }
        assert!(covers("ollama:", "ollama:registry/m:1"));
        assert!(covers("made here", "made here"));
        assert!(!covers("made here", "made here too"));
    }
}
