//! Bundles: an approved, versioned model as the signed target `bundle.NAME.VERSION.json` describes it.
//!
//! The manifest is the only thing that names bytes. It names them by digest, never by path.

use serde::{Deserialize, Serialize};

use crate::digest::{Blake3Digest, Sha256Digest};
use crate::id::{BundleName, BundleRef, ModelAlias};
use crate::limits::{BUNDLE_FILES_MAX, CHECK_TEXT_LEN_MAX, NAME_LEN_MAX, TEXT_LEN_MAX, USE_RESTRICTIONS_MAX};
use crate::memory::ModelShape;
use crate::usage::Sensitivity;
use crate::variant::Variant;

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileRole {
    /// GGUF weights, or one shard of them.
    Weights,
}

/// One blob and how to verify it piece by piece.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleFile {
    /// What it is for.
    pub role: FileRole,
    /// Its public identity.
    pub sha256: Sha256Digest,
    /// Its length in bytes.
    pub len_bytes: u64,
    /// Length of every chunk but the last, in bytes: a power of two, 64 KiB to 64 MiB.
    pub chunk_len_bytes: u64,
    /// BLAKE3 of each chunk, in order.
    pub chunks: Vec<Blake3Digest>,
}

impl BundleFile {
    /// The byte range of chunk `index`, or none past the end.
    #[must_use]
    pub fn chunk_range(&self, index: usize) -> Option<std::ops::Range<u64>> {
        if index >= self.chunks.len() {
            return None;
        }
        let start = self.chunk_len_bytes.checked_mul(u64::try_from(index).ok()?)?;
        Some(start..start.saturating_add(self.chunk_len_bytes).min(self.len_bytes))
    }
}

/// Whether the weights may be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Redistribution {
    /// As everybody likes.
    Allowed,
    /// Under conditions that the license's text names.
    Conditional,
    /// Not at all.
    Forbidden,
}

/// Under which terms the weights are used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct License {
    /// SPDX identifier, or `LicenseRef-…`.
    pub id: String,
    /// SHA-256 of the license's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_sha256: Option<Sha256Digest>,
    /// Whether the weights may be passed on; none where nobody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redistribution: Option<Redistribution>,
    /// What the terms forbid or demand of a user, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub use_restrictions: Vec<String>,
    /// Who accepted the terms for the organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_by: Option<String>,
}

impl License {
    /// A license without anything that its identifier does not say.
    #[must_use]
    pub fn of(id: impl Into<String>) -> Self {
        Self { id: id.into(), ..Self::default() }
    }

    /// Whether the terms are those of an open-source license and nothing is added to them. An identifier that is not
    /// known here is taken for other terms: a person should read them.
    #[must_use]
    pub fn is_open_source(&self) -> bool {
        OPEN_SOURCE.contains(&self.id.as_str())
            && self.use_restrictions.is_empty()
            && self.redistribution.is_none_or(|r| r == Redistribution::Allowed)
    }

    /// What a user must be told before the first use, one line each; empty for open-source terms.
    #[must_use]
    pub fn terms(&self) -> Vec<String> {
        if self.is_open_source() {
            return Vec::new();
        }
        let mut lines = vec![format!("{} is not an open-source license", self.id)];
        lines.extend(self.redistribution.map(|redistribution| {
            match redistribution {
                Redistribution::Allowed => "passing it on is allowed",
                Redistribution::Conditional => "passing it on is allowed under conditions",
                Redistribution::Forbidden => "passing it on is forbidden",
            }
            .to_owned()
        }));
        lines.extend(self.use_restrictions.iter().cloned());
        lines.extend(self.accepted_by.iter().map(|who| format!("accepted for the organization by {who}")));
        lines
    }

    fn is_bounded(&self) -> bool {
        let restrictions = &self.use_restrictions;
        restrictions.len() <= USE_RESTRICTIONS_MAX
            && restrictions.iter().chain(&self.accepted_by).all(|t| !t.is_empty() && t.len() <= TEXT_LEN_MAX)
    }
}

/// SPDX identifiers whose terms are open source: of the Open Source Initiative's list and the public-domain
/// dedications, those under which weights are published.
const OPEN_SOURCE: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC-BY-4.0",
    "CC-BY-SA-4.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unlicense",
    "Zlib",
];

/// How a conversation is written for this model. Approved by hash; a template inside the GGUF is ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// Jinja source.
    pub source: String,
    /// SHA-256 of `source`.
    pub sha256: Sha256Digest,
    /// What llama.cpp makes of it. None in drafts: approving finds it out. Nodes refuse a template without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rendered: Option<Rendered>,
}

/// What llama.cpp's own renderer made of the probe set, under the vocabulary of the bundle's weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rendered {
    /// Version of the probe set: [`crate::probe::PROBE_SET`].
    pub probe_set: u32,
    /// SHA-256 of [`crate::probe::transcript`].
    pub sha256: Sha256Digest,
}

/// Parameters approved with the weights; a request may narrow but not exceed them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Context of one conversation, in tokens.
    pub context_tokens: u32,
    /// Conversations at once.
    pub slots: u32,
    /// Default sampling temperature; 0 is greedy.
    pub temperature: f32,
}

/// A question whose answer shows that the model works here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckPrompt {
    /// The user's message.
    pub prompt: String,
    /// A text that a greedy answer contains. A predicate, not an exact answer: numerics differ by back end.
    pub contains: String,
}

/// Where the bytes came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// As the admin gave it: an URL with a revision, or a description.
    pub source: String,
    /// SHA-256 of the vetting report that was seen at approval.
    pub vetting_report_sha256: Sha256Digest,
}

/// What a bundle was approved for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsageScope {
    /// The most sensitive data that it may be given; none: whatever the baseline says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_class_max: Option<Sensitivity>,
}

impl UsageScope {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
    const fn is_open(&self) -> bool {
        self.data_class_max.is_none()
    }
}

/// What the weights' header said at import, for people and clients. What is loaded is decided by the bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Header {
    /// Weights, counted.
    pub parameters: u64,
    /// How they are stored, in llama.cpp's words: `Q4_K_M`.
    pub quantization: String,
    /// Context that the model was trained for, in tokens; 0 where the file does not say.
    pub context_length: u32,
    /// What decides how much memory it takes, so that what cannot run here need not be fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape: Option<ModelShape>,
}

impl Header {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Always 1.
    pub schema: u32,
    /// Name.
    pub name: BundleName,
    /// Version, counted from 1.
    pub version: u32,
    /// Only rises; a node refuses a bundle whose epoch is below the highest it has seen for the name.
    pub epoch: u32,
    /// `general.architecture` of the GGUF.
    pub architecture: String,
    /// The bytes.
    pub files: Vec<BundleFile>,
    /// How conversations are written.
    pub template: Template,
    /// With which parameters.
    pub parameters: Parameters,
    /// What clients may call it, besides its name.
    pub aliases: Vec<ModelAlias>,
    /// Under which terms.
    pub license: License,
    /// From where.
    pub provenance: Provenance,
    /// Questions asked after installing.
    pub check_prompts: Vec<CheckPrompt>,
    /// What it was approved for.
    #[serde(default, skip_serializing_if = "UsageScope::is_open")]
    pub usage_scope: UsageScope,
    /// What the weights' header says.
    #[serde(default, skip_serializing_if = "Header::is_empty")]
    pub header: Header,
    /// The same model in other quantizations, the approver's favorite first, after the one above. A machine serves one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<Variant>,
}

impl Manifest {
    /// Its name and version.
    #[must_use]
    pub fn reference(&self) -> BundleRef {
        BundleRef { name: self.name.clone(), version: self.version }
    }

    /// Sum of the files' lengths, in bytes.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.len_bytes))
    }

    /// Checks what the types cannot say: bounds, and that the chunk list covers each file exactly.
    ///
    /// # Errors
    /// Names the field and what was expected.
    pub fn validate(&self) -> Result<(), ManifestError> {
        let err =
            |field: &str, expected: &'static str| Err(ManifestError { field: field.to_owned(), expected });
        if self.schema != 1 {
            return err("schema", "1");
        }
        if self.version == 0 {
            return err("version", "1 or more");
        }
        check_files("", &self.files)?;
        self.check_variants()?;
        if self.template.source.len() > 256 * 1024 {
            return err("template.source", "at most 256 KiB");
        }
        let p = &self.parameters;
        if !(1..=1 << 24).contains(&p.context_tokens) || !(1..=64).contains(&p.slots) {
            return err("parameters", "context_tokens 1 to 16777216, slots 1 to 64");
        }
        if !p.temperature.is_finite() || !(0.0..=2.0).contains(&p.temperature) {
            return err("parameters.temperature", "0 to 2");
        }
        if self.aliases.len() > 8 || self.check_prompts.len() > 16 {
            return err("aliases, check_prompts", "at most 8 and 16");
        }
        if self.header.quantization.len() > NAME_LEN_MAX {
            return err("header.quantization", "at most 63 bytes");
        }
        let is_sound = |text: &str| !text.is_empty() && text.len() <= CHECK_TEXT_LEN_MAX;
        if !self.check_prompts.iter().all(|check| is_sound(&check.prompt) && is_sound(&check.contains)) {
            return err("check_prompts", "texts of 1 to 4096 bytes");
        }
        let texts = [&self.architecture, &self.license.id, &self.provenance.source];
        if texts.iter().any(|t| t.is_empty() || t.len() > TEXT_LEN_MAX) {
            return err("architecture, license.id, provenance.source", "1 to 1024 bytes");
        }
        if !self.license.is_bounded() {
            return err("license", "at most 32 use restrictions, each text 1 to 1024 bytes");
        }
        Ok(())
    }
}

/// Checks one list of files; `prefix` is where it stands.
pub(crate) fn check_files(prefix: &str, files: &[BundleFile]) -> Result<(), ManifestError> {
    let err = |field: String, expected: &'static str| Err(ManifestError { field, expected });
    if files.is_empty() || files.len() > BUNDLE_FILES_MAX {
        return err(format!("{prefix}files"), "1 to 128 files");
    }
    for (index, file) in files.iter().enumerate() {
        let at = |name: &str| format!("{prefix}files[{index}].{name}");
        if file.len_bytes == 0 {
            return err(at("len_bytes"), "1 or more");
        }
        if !file.chunk_len_bytes.is_power_of_two() || !(1 << 16..=1 << 26).contains(&file.chunk_len_bytes) {
            return err(at("chunk_len_bytes"), "a power of two from 64 KiB to 64 MiB");
        }
        if file.len_bytes.div_ceil(file.chunk_len_bytes) != file.chunks.len() as u64 {
            return err(at("chunks"), "one digest for each chunk of the file");
        }
    }
    Ok(())
}

/// A manifest contradicts itself or a bound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("manifest field {field}: expected {expected}")]
pub struct ManifestError {
    /// Path of the field.
    pub field: String,
    /// What was expected.
    pub expected: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_that_are_not_open_source_are_flagged() {
        assert!(License::of("Apache-2.0").terms().is_empty());
        assert_eq!(License::of("LicenseRef-X").terms(), ["LicenseRef-X is not an open-source license"]);
        let narrowed = License { use_restrictions: vec!["no weapons".to_owned()], ..License::of("MIT") };
        assert!(!narrowed.is_open_source());
        let bound = License {
            redistribution: Some(Redistribution::Conditional),
            accepted_by: Some("legal".to_owned()),
            ..narrowed
        };
        assert_eq!(bound.terms().len(), 4);
        // A manifest of an older croftctl has none of these fields.
        let older: License = serde_json::from_str(r#"{"id":"MIT"}"#).expect("an older license");
        assert_eq!(older, License::of("MIT"));
    }
}
