//! The in-toto statement inside an OMS signature, and the rules that it must keep.

use std::collections::{BTreeMap, BTreeSet};

use croft_domain::digest::Sha256Digest;
use serde::{Deserialize, Serialize};

use super::{OmsError, Resource};
use crate::digest::sha256;
use crate::limits::{OMS_NAME_LEN_MAX, OMS_RESOURCES_MAX};

const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PREDICATE: &str = "https://model_signing/signature/v1.0";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Predicate,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    name: String,
    digest: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Predicate {
    serialization: Serialization,
    resources: Vec<Listed>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Serialization {
    method: String,
    hash_type: String,
    allow_symlinks: bool,
    #[serde(default)]
    ignore_paths: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    name: String,
    algorithm: String,
    digest: String,
}

impl Statement {
    /// A statement over `resources`, in their order.
    pub(super) fn new(model: &str, resources: &[Resource]) -> Self {
        let listed = |resource: &Resource| Listed {
            name: resource.name.clone(),
            algorithm: "sha256".to_owned(),
            digest: resource.sha256.hex(),
        };
        let digest = BTreeMap::from([("sha256".to_owned(), subject_digest(resources).hex())]);
        Self {
            kind: STATEMENT.to_owned(),
            subject: vec![Subject { name: model.to_owned(), digest }],
            predicate_type: PREDICATE.to_owned(),
            predicate: Predicate {
                serialization: Serialization {
                    method: "files".to_owned(),
                    hash_type: "sha256".to_owned(),
                    allow_symlinks: false,
                    ignore_paths: Vec::new(),
                },
                resources: resources.iter().map(listed).collect(),
            },
        }
    }

    /// The files, if every rule is kept. `ignore_paths` is read and has no effect: see [`super::check_files`].
    pub(super) fn check(&self) -> Result<Vec<Resource>, OmsError> {
        let refused = |field, expected| Err(OmsError::Refused { field, expected });
        if self.kind != STATEMENT {
            return refused("_type", STATEMENT);
        }
        if self.predicate_type != PREDICATE {
            return refused("predicateType", PREDICATE);
        }
        let Serialization { method, hash_type, allow_symlinks, ignore_paths: _ } =
            &self.predicate.serialization;
        if method != "files" || hash_type != "sha256" {
            return refused("serialization", "method files with hash_type sha256");
        }
        if *allow_symlinks {
            return refused("serialization.allow_symlinks", "false");
        }
        let listed = &self.predicate.resources;
        if listed.is_empty() || listed.len() > OMS_RESOURCES_MAX {
            return Err(OmsError::Limit("a signature covers 1 to 4096 files"));
        }
        let mut names = BTreeSet::new();
        let mut resources = Vec::new();
        for Listed { name, algorithm, digest } in listed {
            if !is_plain(name) || !names.insert(name) {
                return refused("resources.name", "plain relative paths, each once");
            }
            if algorithm != "sha256" {
                return refused("resources.algorithm", "sha256");
            }
            let Some(sha256) = parse_hex(digest) else {
                return refused("resources.digest", "64 lower-case hexadecimal digits");
            };
            resources.push(Resource { name: name.clone(), sha256 });
        }
        let [subject] = &self.subject[..] else { return refused("subject", "exactly one") };
        let expected = subject_digest(&resources).hex();
        if subject.digest.len() != 1 || subject.digest.get("sha256") != Some(&expected) {
            return refused("subject.digest", "sha256 over the listed digests");
        }
        Ok(resources)
    }
}

/// SHA-256 over the raw digests in listed order.
fn subject_digest(resources: &[Resource]) -> Sha256Digest {
    let raw: Vec<u8> = resources.iter().flat_map(|resource| resource.sha256.0).collect();
    sha256(&raw)
}

/// A path that cannot leave its folder, on no system, and has one spelling.
fn is_plain(name: &str) -> bool {
    let is_plain_part = |part: &str| {
        !matches!(part, "" | "." | "..") && part.chars().all(|c| !c.is_control() && !matches!(c, '\\' | ':'))
    };
    name.len() <= OMS_NAME_LEN_MAX && name.split('/').all(is_plain_part)
}

fn parse_hex(text: &str) -> Option<Sha256Digest> {
    let is_lower = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let bytes = if is_lower { hex::decode(text).ok()? } else { return None };
    <[u8; 32]>::try_from(bytes).ok().map(Sha256Digest)
}
