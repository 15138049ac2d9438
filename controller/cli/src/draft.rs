//! Drafts: what import found out about a file, kept until a person approves it.
//!
//! The bytes stay where they are, unless they had to be unpacked; the draft remembers the paths, and publishing checks
//! the bytes against the manifest again.

use std::fs;
use std::path::{Path, PathBuf};

use croft_domain::bundle::Manifest;
use croft_domain::id::{BundleName, BundleRef};
use croft_domain::limits::MANIFEST_LEN_MAX;
use croft_trust::disk::sync_dir;

use crate::error::CtlError;
use crate::fleet_dir::{FleetDir, create_private, read, read_text, write};
use crate::limits::{DOCUMENT_LEN_MAX, REPORT_LEN_MAX};
use crate::source::Scratch;

/// One draft.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// What would be signed.
    pub manifest: Manifest,
    /// The vetting report of each variant, as the confined child wrote it.
    pub vettings: Vec<Vec<u8>>,
    /// Its bill of materials, as it will be signed.
    pub bom: Vec<u8>,
    /// Where the bytes of each of the manifest's files are.
    pub sources: Vec<PathBuf>,
}

impl Draft {
    /// Saves it: all of it appears in one step, or nothing does.
    ///
    /// # Errors
    /// There is one at this version, or it cannot be written.
    pub fn save(&self, dir: &FleetDir, scratch: &Scratch) -> Result<PathBuf, CtlError> {
        let bundle = self.manifest.reference();
        let path = dir.draft(&bundle);
        if path.exists() {
            return Err(CtlError::Conflict {
                message: format!("there is a draft of {bundle} already"),
                hint: format!("import under another --version, or remove {}", path.display()),
            });
        }
        let staged = scratch.folder()?.join("draft");
        create_private(&staged)?;
        self.write(&staged, &path, scratch)?;
        fs::rename(&staged, &path).map_err(|source| CtlError::FileWrite { path: path.clone(), source })?;
        sync_dir(&dir.drafts()).map_err(|e| CtlError::FileWrite { path: e.path, source: e.source })?;
        Ok(path)
    }

    /// Writes it to `staged`, which will become `path`.
    fn write(&self, staged: &Path, path: &Path, scratch: &Scratch) -> Result<(), CtlError> {
        let manifest = manifest_bytes(&self.manifest)?;
        let mut sources = Vec::new();
        for (number, source) in self.sources.iter().enumerate() {
            let mut place = source.clone();
            if scratch.holds(source) {
                let name = format!("weights-{number}.gguf");
                place = path.join(&name);
                fs::rename(source, staged.join(&name))
                    .map_err(|source| CtlError::FileWrite { path: place.clone(), source })?;
            }
            sources.push(place);
        }
        let sources = serde_json::to_vec(&sources)
            .map_err(|_| CtlError::Input { what: "path".to_owned(), expected: "UTF-8".to_owned() })?;
        for (index, vetting) in self.vettings.iter().enumerate() {
            write(&staged.join(report_name(index)), vetting, 0o600)?;
        }
        write(&staged.join("sources.json"), &sources, 0o600)?;
        write(&staged.join("bom.json"), &self.bom, 0o600)?;
        write(&staged.join("manifest.json"), &manifest, 0o600)
    }

    /// Reads it and checks that its parts belong together.
    ///
    /// # Errors
    /// There is none, or it is damaged.
    pub fn load(dir: &FleetDir, bundle: &BundleRef) -> Result<Self, CtlError> {
        let path = dir.draft(bundle);
        let file = path.join("manifest.json");
        if !file.exists() {
            return Err(CtlError::NotFound {
                what: format!("draft of {bundle}"),
                hint: "croftctl bundle import makes one".to_owned(),
            });
        }
        let damaged = |source: crate::error::Cause| CtlError::FileParse { path: file.clone(), source };
        let manifest: Manifest = serde_json::from_slice(&read(&file, MANIFEST_LEN_MAX as u64)?)
            .map_err(|e| damaged(Box::new(e)))?;
        manifest.validate().map_err(|e| damaged(Box::new(e)))?;
        let signed = std::iter::once(&manifest.provenance.vetting_report_sha256)
            .chain(manifest.variants.iter().map(|variant| &variant.vetting_report_sha256));
        let mut vettings = Vec::new();
        let mut agrees = manifest.reference() == *bundle;
        for (index, expected) in signed.enumerate() {
            let vetting = read(&path.join(report_name(index)), REPORT_LEN_MAX)?;
            agrees &= croft_trust::digest::sha256(&vetting) == *expected;
            vettings.push(vetting);
        }
        if !agrees {
            return Err(damaged("the manifest is of another bundle or vetting report".into()));
        }
        let sources = sources(&path).map_err(damaged)?;
        if sources.len() != manifest.every_file().count() {
            return Err(damaged("it has not one place for each file".into()));
        }
        let bom = read(&path.join("bom.json"), DOCUMENT_LEN_MAX)?;
        let text = String::from_utf8_lossy(&bom);
        if !manifest.every_file().all(|file| text.contains(&file.sha256.hex())) {
            return Err(damaged("the bill of materials is of other files".into()));
        }
        Ok(Self { manifest, vettings, bom, sources })
    }
}

/// What the vetting report of the variant at that place is called.
fn report_name(index: usize) -> String {
    if index == 0 { "vetting.json".to_owned() } else { format!("vetting-{}.json", index + 1) }
}

fn sources(path: &Path) -> Result<Vec<PathBuf>, crate::error::Cause> {
    let file = path.join("sources.json");
    if file.exists() {
        return Ok(serde_json::from_slice(&read(&file, DOCUMENT_LEN_MAX)?)?);
    }
    // As drafts were written when a bundle had one file.
    Ok(vec![PathBuf::from(read_text(&path.join("source"), DOCUMENT_LEN_MAX)?)])
}

/// The exact bytes that are signed and hashed.
///
/// # Errors
/// They are beyond the bound for manifests.
pub fn manifest_bytes(manifest: &Manifest) -> Result<Vec<u8>, CtlError> {
    let bytes = serde_json::to_vec(manifest).map_err(|e| CtlError::AnswerWrite { source: Box::new(e) })?;
    if bytes.len() > MANIFEST_LEN_MAX {
        return Err(CtlError::Input {
            what: "manifest".to_owned(),
            expected: format!("at most {MANIFEST_LEN_MAX} bytes, not {}", bytes.len()),
        });
    }
    Ok(bytes)
}

/// The newest version of a bundle among the drafts, 0 if there is none.
///
/// # Errors
/// The folder cannot be listed.
pub fn newest_version(dir: &FleetDir, name: &BundleName) -> Result<u32, CtlError> {
    let path = dir.drafts();
    if !path.exists() {
        return Ok(0);
    }
    let entries = fs::read_dir(&path).map_err(|source| CtlError::FileRead { path: path.clone(), source })?;
    let version = |entry: fs::DirEntry| {
        let folder = entry.file_name();
        let (of, version) = folder.to_str()?.split_once('.')?;
        if of == name.as_str() { version.parse::<u32>().ok() } else { None }
    };
    Ok(entries.filter_map(Result::ok).filter_map(version).max().unwrap_or(0))
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use croft_domain::bundle::{
        BundleFile, FileRole, Header, License, Parameters, Provenance, Template, UsageScope,
    };
    use croft_domain::digest::{Blake3Digest, Sha256Digest};

    /// A draft of the bundle `starter`.
    pub fn draft(version: u32) -> Draft {
        let vetting = br#"{"findings":[]}"#.to_vec();
        let manifest = Manifest {
            schema: 1,
            name: "starter".parse().expect("a name"),
            version,
            epoch: version,
            architecture: "llama".to_owned(),
            files: vec![BundleFile {
                role: FileRole::Weights,
                sha256: Sha256Digest([3; 32]),
                len_bytes: 10,
                chunk_len_bytes: 1 << 20,
                chunks: vec![Blake3Digest([4; 32])],
            }],
            template: Template {
                source: "x".to_owned(),
                sha256: croft_trust::digest::sha256(b"x"),
                rendered: None,
            },
            parameters: Parameters { context_tokens: 2048, slots: 4, temperature: 0.2 },
            aliases: vec!["chat".parse().expect("an alias")],
            license: License::of("MIT"),
            provenance: Provenance {
                source: "made here".to_owned(),
                vetting_report_sha256: croft_trust::digest::sha256(&vetting),
            },
            check_prompts: Vec::new(),
            usage_scope: UsageScope::default(),
            header: Header::default(),
            variants: Vec::new(),
        };
        let bom = format!(r#"{{"x":"{}"}}"#, Sha256Digest([3; 32]).hex()).into_bytes();
        Draft { manifest, vettings: vec![vetting], bom, sources: vec!["/models/starter.gguf".into()] }
    }

    fn folder() -> (tempfile::TempDir, FleetDir) {
        let temp = tempfile::tempdir().expect("a folder");
        let dir = FleetDir::locate(Some(temp.path().to_owned())).expect("a fleet folder");
        (temp, dir)
    }

    #[test]
    fn drafts_round_trip_and_are_never_overwritten() {
        let (_temp, dir) = folder();
        let draft = draft(1);
        draft.save(&dir, &Scratch::new(&dir)).expect("saved");
        assert_eq!(Draft::load(&dir, &draft.manifest.reference()).expect("loaded"), draft);
        assert!(matches!(draft.save(&dir, &Scratch::new(&dir)), Err(CtlError::Conflict { .. })));
        let other = "starter@2".parse().expect("a reference");
        assert!(matches!(Draft::load(&dir, &other), Err(CtlError::NotFound { .. })));
    }

    #[test]
    fn p2_a_draft_with_another_vetting_report_is_refused() {
        let (_temp, dir) = folder();
        let draft = draft(1);
        let path = draft.save(&dir, &Scratch::new(&dir)).expect("saved");
        fs::write(path.join("vetting.json"), b"{}").expect("written");
        assert!(matches!(Draft::load(&dir, &draft.manifest.reference()), Err(CtlError::FileParse { .. })));
    }

    #[test]
    fn the_newest_version_is_found_by_name() {
        let (_temp, dir) = folder();
        let name = "starter".parse().expect("a name");
        assert_eq!(newest_version(&dir, &name).expect("a version"), 0);
        for version in [2, 10, 9] {
            draft(version).save(&dir, &Scratch::new(&dir)).expect("saved");
        }
        fs::create_dir(dir.drafts().join("starter-large.30")).expect("made");
        assert_eq!(newest_version(&dir, &name).expect("a version"), 10);
    }

    #[test]
    fn p9_nothing_shows_before_a_draft_is_whole() {
        let (_temp, dir) = folder();
        let draft = draft(1);
        let scratch = Scratch::new(&dir);
        // Another process got as far as this, and was killed.
        let staged = dir.drafts().join(".unpacking-1/draft");
        fs::create_dir_all(&staged).expect("made");
        let path = dir.draft(&draft.manifest.reference());
        draft.write(&staged, &path, &scratch).expect("written");
        assert!(matches!(Draft::load(&dir, &draft.manifest.reference()), Err(CtlError::NotFound { .. })));
        assert_eq!(newest_version(&dir, &draft.manifest.name).expect("a version"), 0);
        draft.save(&dir, &scratch).expect("saved");
        assert!(!staged.exists(), "the next import cleans up");
        assert_eq!(Draft::load(&dir, &draft.manifest.reference()).expect("loaded"), draft);
    }
}
