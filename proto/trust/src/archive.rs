//! The archive that crosses an air gap: one file with everything that a node would fetch from the controller.
//!
//! It is a tar of regular files in one order, so that it can be judged while it streams, and its names are the paths that
//! the controller serves: unpacked below a web server's root it is a mirror, signatures and all.
//!
//! ```text
//! croft-archive.json     what it claims to hold; believed in nothing
//! trust/NAME             a whole set of TUF metadata with every target: manifests, bills of materials, OMS signatures
//! recalls/ID.json        signed recalls
//! leases/NODE.json       signed leases, each for one node; optional
//! blobs/sha256/HEX       the bytes of the models
//! ```
//! Within each part names rise, so none comes twice. There is no directory, link or other name: what a reader does not
//! know refuses the whole. Nothing here verifies a signature; the reader hands out bounded claims, and `store` and
//! `digest` judge them.

mod read;
mod write;

use std::collections::BTreeMap;

use croft_domain::code::Code;
use croft_domain::digest::Sha256Digest;
use croft_domain::id::{BundleRef, FleetId, NodeId, RecallId};
use croft_domain::signed::Envelope;
use serde::{Deserialize, Serialize};

use crate::limits::TARGET_NAME_LEN_MAX;
use crate::tar::TarError;

pub use read::Incoming;
pub use write::Outgoing;

/// Name of the first entry.
const HEADER: &str = "croft-archive.json";

/// What an archive claims to hold: for people, and for planning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Always 1.
    pub schema: u32,
    /// Of which fleet.
    pub fleet: FleetId,
    /// Whose bytes are in it, in rising order; none if it carries documents alone.
    pub bundles: Vec<BundleRef>,
}

/// Everything in an archive but the bytes of models. None of it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Documents {
    /// What it claims to hold.
    pub header: Header,
    /// Metadata and targets under the names in which they are served.
    pub trust: BTreeMap<String, Vec<u8>>,
    /// Recalls.
    pub recalls: BTreeMap<RecallId, Envelope>,
    /// Leases by the node that each is for.
    pub leases: BTreeMap<NodeId, Envelope>,
}

/// An archive is refused.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It is no archive, ends early, or has something behind its end.
    #[error("the archive cannot be read")]
    Container(#[from] TarError),
    /// An entry is not one that belongs there.
    #[error("archive entry {name}: expected {expected}")]
    Entry {
        /// Its name, with what could disturb a terminal taken out.
        name: String,
        /// What was expected.
        expected: &'static str,
    },
}

impl ArchiveError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        Code::ArchiveRefused
    }

    fn entry(name: &str, expected: &'static str) -> Self {
        let name = name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(128).collect();
        Self::Entry { name, expected }
    }
}

/// What an entry's name says that it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Header,
    Trust(String),
    Recall(RecallId),
    Lease(NodeId),
    Blob(Sha256Digest),
}

impl Place {
    /// Parses a name. One place has one name.
    fn parse(name: &str) -> Option<Self> {
        let place = match name.split_once('/') {
            None => (name == HEADER).then_some(Self::Header),
            Some(("trust", rest)) => is_served_name(rest).then(|| Self::Trust(rest.to_owned())),
            Some(("recalls", rest)) => rest.strip_suffix(".json")?.parse().ok().map(Self::Recall),
            Some(("leases", rest)) => rest.strip_suffix(".json")?.parse().ok().map(Self::Lease),
            Some(("blobs", rest)) => {
                format!("sha256:{}", rest.strip_prefix("sha256/")?).parse().ok().map(Self::Blob)
            }
            Some(_) => None,
        }?;
        (place.name() == name).then_some(place)
    }

    fn name(&self) -> String {
        match self {
            Self::Header => HEADER.to_owned(),
            Self::Trust(name) => format!("trust/{name}"),
            Self::Recall(id) => format!("recalls/{id}.json"),
            Self::Lease(node) => format!("leases/{node}.json"),
            Self::Blob(digest) => format!("blobs/sha256/{}", digest.hex()),
        }
    }
}

/// The names of metadata and targets: `3.root.json`, `timestamp.json`, `HEX.bundle.x.1.json`.
fn is_served_name(name: &str) -> bool {
    let fits = !name.is_empty() && name.len() <= 65 + TARGET_NAME_LEN_MAX && !name.starts_with('.');
    fits && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}
