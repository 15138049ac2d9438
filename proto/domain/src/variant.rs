//! Variants: one approved model in several quantizations, under one signature. Each machine serves one of them, chosen by
//! [`choice`]; which one can only ever be one that the signed manifest lists.

pub mod choice;

use serde::{Deserialize, Serialize};

use crate::bundle::{BundleFile, Header, Manifest, ManifestError, check_files};
use crate::digest::Sha256Digest;
use crate::limits::{NAME_LEN_MAX, VARIANTS_MAX};
use crate::recall::{Recall, RecallTarget};

/// The same model in another quantization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// The bytes.
    pub files: Vec<BundleFile>,
    /// What their header says.
    pub header: Header,
    /// SHA-256 of the vetting report that was seen at approval.
    pub vetting_report_sha256: Sha256Digest,
}

/// One variant of a manifest, the first among them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VariantView<'a> {
    /// Its place in the approver's order, from 0.
    pub index: usize,
    /// The bytes.
    pub files: &'a [BundleFile],
    /// What their header says.
    pub header: &'a Header,
}

impl VariantView<'_> {
    /// What people call it: `q4_k_m`.
    #[must_use]
    pub fn name(&self) -> String {
        self.header.quantization.to_ascii_lowercase()
    }

    /// The digest that stands for it: of its first file.
    #[must_use]
    pub fn digest(&self) -> Option<Sha256Digest> {
        self.files.first().map(|file| file.sha256)
    }

    /// Sum of the files' lengths, in bytes.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.len_bytes))
    }

    /// Whether `recall` names one of its files.
    #[must_use]
    pub fn is_stopped_by(&self, recall: &Recall) -> bool {
        match &recall.target {
            RecallTarget::Blob(digest) => self.files.iter().any(|file| file.sha256 == *digest),
            RecallTarget::Bundle(_) | RecallTarget::Runtime(_) => false,
        }
    }
}

impl Manifest {
    /// All variants in the approver's order; one if there is nothing to choose.
    pub fn every_variant(&self) -> impl Iterator<Item = VariantView<'_>> {
        let first = VariantView { index: 0, files: &self.files, header: &self.header };
        let others = self.variants.iter().enumerate().map(|(index, variant)| VariantView {
            index: index + 1,
            files: &variant.files,
            header: &variant.header,
        });
        std::iter::once(first).chain(others)
    }

    /// The files of all variants.
    pub fn every_file(&self) -> impl Iterator<Item = &BundleFile> {
        self.every_variant().flat_map(|variant| variant.files)
    }

    /// The manifest with the files of one variant and no others; none beyond the last.
    #[must_use]
    pub fn in_variant(&self, index: usize) -> Option<Self> {
        let chosen = self.every_variant().nth(index)?;
        let (files, header) = (chosen.files.to_vec(), chosen.header.clone());
        Some(Self { files, header, variants: Vec::new(), ..self.clone() })
    }

    /// Checks that variants are few, sound, and told apart by their quantization and bytes.
    pub(crate) fn check_variants(&self) -> Result<(), ManifestError> {
        if self.variants.is_empty() {
            return Ok(());
        }
        let err =
            |field: &str, expected: &'static str| Err(ManifestError { field: field.to_owned(), expected });
        if self.variants.len() >= VARIANTS_MAX {
            return err("variants", "at most 7 beside the first");
        }
        let (mut names, mut digests) = (Vec::new(), Vec::new());
        for variant in self.every_variant() {
            check_files(&format!("variants[{}].", variant.index), variant.files)?;
            let name = variant.name();
            let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
            if !is_plain || name.is_empty() || name.len() > NAME_LEN_MAX || names.contains(&name) {
                return err(
                    "variants.header.quantization",
                    "a name of its own for each, 1 to 63 letters and digits",
                );
            }
            if variant.files.iter().any(|file| digests.contains(&file.sha256)) {
                return err("variants.files", "other bytes in each variant");
            }
            names.push(name);
            digests.extend(variant.files.iter().map(|file| file.sha256));
        }
        Ok(())
    }
}
