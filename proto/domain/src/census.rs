//! The census: which local AI is on a machine. Detection is the node's work; this is what leaves it.
//!
//! Models are told as three numbers. Their names and digests are looked at on the machine and stay there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::{Blake3Digest, Sha256Digest};
use crate::id::{BundleRef, CheckName};

/// How many models a tool keeps, by what the fleet knows of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelCounts {
    /// Approved for this node's group.
    pub approved: u32,
    /// Listed among the fleet's bundles, but not allowed here, or recalled.
    pub known: u32,
    /// Nobody in the fleet has listed it.
    pub unknown: u32,
    /// Files of any of those that can run code when they are loaded, by the confined scan.
    pub refused: u32,
}

impl ModelCounts {
    /// Counts one more.
    pub const fn add(&mut self, standing: ModelStanding) {
        let count = match standing {
            ModelStanding::Approved => &mut self.approved,
            ModelStanding::Known => &mut self.known,
            ModelStanding::Unknown => &mut self.unknown,
        };
        *count = count.saturating_add(1);
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            approved: self.approved.saturating_add(other.approved),
            known: self.known.saturating_add(other.known),
            unknown: self.unknown.saturating_add(other.unknown),
            refused: self.refused.saturating_add(other.refused),
        }
    }
}

/// A yes, a no, or neither. Unknown is not no.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Known {
    /// It is so.
    Yes,
    /// It is not.
    No,
    /// It could not be seen, or has no meaning for this tool.
    #[default]
    Unknown,
}

/// One tool that was found. Carries no path, no model name, no command line, no user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The tool's rule name, for example `ollama`.
    pub tool: CheckName,
    /// Processes running.
    pub processes: u32,
    /// Its known ports that listen.
    pub ports: Vec<u16>,
    /// Whether any of them can be reached from other machines.
    pub exposed: bool,
    /// Whether it answers under any host name, so that a web page can talk to it (DNS rebinding).
    #[serde(default)]
    pub host_check_off: bool,
    /// Whether it can hand prompts on to a service outside.
    #[serde(default)]
    pub cloud: Known,
    /// The models in its stores.
    #[serde(default)]
    pub models: ModelCounts,
    /// Whether a store of it is there and cannot be read: then the models above are not all.
    #[serde(default)]
    pub unread: bool,
    /// The models by name, only where the owner agreed to that ([`crate::collection::Item::CensusModels`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listed: Vec<ListedModel>,
}

/// One model that another tool keeps, as an owner agreed to tell it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedModel {
    /// As its store names it; a file's name without its folder in stores of plain files.
    pub name: String,
    /// Its digest, if its store names it so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256Digest>,
}

impl Finding {
    /// A tool of which nothing was seen yet.
    #[must_use]
    pub const fn none_of(tool: CheckName) -> Self {
        Self {
            tool,
            processes: 0,
            ports: Vec::new(),
            exposed: false,
            host_check_off: false,
            cloud: Known::Unknown,
            models: ModelCounts { approved: 0, known: 0, unknown: 0, refused: 0 },
            unread: false,
            listed: Vec::new(),
        }
    }

    /// Takes in what was found of the same tool on another node: numbers add up, and one bad answer stays bad.
    pub fn absorb(&mut self, other: Self) {
        let Self { tool: _, processes, ports, exposed, host_check_off, cloud, models, unread, listed } =
            other;
        self.processes = self.processes.saturating_add(processes);
        self.ports.extend(ports);
        self.ports.sort_unstable();
        self.ports.dedup();
        self.exposed |= exposed;
        self.host_check_off |= host_check_off;
        self.cloud = match (self.cloud, cloud) {
            (Known::Yes, _) | (_, Known::Yes) => Known::Yes,
            (Known::No, _) | (_, Known::No) => Known::No,
            _ => Known::Unknown,
        };
        self.models = self.models.plus(models);
        self.unread |= unread;
        self.listed.extend(listed);
        self.listed.sort_by(|a, b| a.name.cmp(&b.name));
        self.listed.dedup();
    }
}

/// What the fleet knows of a model file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelStanding {
    /// Approved for this node's group.
    Approved,
    /// Listed, but not allowed here, or recalled.
    Known,
    /// Not listed.
    Unknown,
}

/// One file of a bundle, as far as it takes to know it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogFile {
    /// Which bundle.
    pub bundle: BundleRef,
    /// Approved, or only known.
    pub standing: ModelStanding,
    /// Length, in bytes.
    pub len_bytes: u64,
    /// Length of the first chunk, in bytes.
    pub head_len_bytes: u64,
    /// BLAKE3 of the first chunk: with the length it tells a file without reading all of it.
    pub head: Blake3Digest,
}

/// The fleet's listed files, by digest: what a census is reconciled with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    /// By SHA-256 of the whole file.
    pub files: BTreeMap<Sha256Digest, CatalogFile>,
}

impl Catalog {
    /// A file that a store names by its digest. A name with another length than the listed one is a lie or a piece.
    #[must_use]
    pub fn by_digest(&self, digest: &Sha256Digest, len_bytes: u64) -> Option<(&Sha256Digest, &CatalogFile)> {
        self.files.get_key_value(digest).filter(|(_, file)| file.len_bytes == len_bytes)
    }

    /// Listed files of this length.
    pub fn by_len(&self, len_bytes: u64) -> impl Iterator<Item = (&Sha256Digest, &CatalogFile)> {
        self.files.iter().filter(move |(_, file)| file.len_bytes == len_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p5_a_name_with_another_length_is_not_the_listed_file() {
        let digest = Sha256Digest([1; 32]);
        let file = CatalogFile {
            bundle: "m@1".parse().expect("a reference"),
            standing: ModelStanding::Approved,
            len_bytes: 10,
            head_len_bytes: 4,
            head: Blake3Digest([2; 32]),
        };
        let catalog = Catalog { files: BTreeMap::from([(digest, file)]) };
        assert!(catalog.by_digest(&digest, 10).is_some());
        assert!(catalog.by_digest(&digest, 9).is_none());
        assert!(catalog.by_digest(&Sha256Digest([3; 32]), 10).is_none());
        assert_eq!((catalog.by_len(10).count(), catalog.by_len(11).count()), (1, 0));
    }

    #[test]
    fn counts_end_at_their_bound() {
        let mut counts = ModelCounts { approved: u32::MAX, ..ModelCounts::default() };
        counts.add(ModelStanding::Approved);
        counts.add(ModelStanding::Unknown);
        let sum = counts.plus(counts);
        assert_eq!((sum.approved, sum.known, sum.unknown), (u32::MAX, 0, 2));
    }
}
