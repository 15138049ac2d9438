//! `bundle import`: from a file of strangers to a draft that a person can approve.
//!
//! The file is opened once. What was vetted, hashed and measured is that open file, not whatever its path names later.

use std::fs::File;

use croft_domain::bundle::{BundleFile, FileRole, License, Manifest, Parameters, Provenance, Template};
use croft_domain::id::{BundleName, BundleRef};
use croft_trust::digest::{describe_file, sha256};
use croft_vetting::report::Report;

use crate::args::Import;
use crate::draft::{self, Draft};
use crate::error::CtlError;
use crate::fleet_dir::{FleetDir, read_text, real_path};
use crate::limits::{CONTEXT_DEFAULT_MAX, HUGE_FILE_LEN, SMALL_FILE_LEN, TEMPLATE_LEN_MAX};
use crate::output::{length, print_data, say};
use crate::workbench::Workbench;
use crate::{progress, vet};

/// Runs `bundle import`.
///
/// # Errors
/// The linter refuses the file, or an argument breaks a rule.
pub async fn run(dir: &FleetDir, arguments: Import) -> Result<(), CtlError> {
    let source = real_path(&arguments.file)?;
    let file = File::open(&source).map_err(|e| CtlError::FileRead { path: source.clone(), source: e })?;
    let spinner = progress::spinner("vetting in a confined process");
    let passed = vet::vet(&arguments.file, &file).await;
    spinner.finish_and_clear();
    let vet::Passed { report, bytes } = passed?;
    for finding in &report.findings {
        say(&format!("note:{}", vet::finding_text(finding)));
    }
    let template = template(&arguments, &report)?;
    let (version, epoch) = number(dir, &arguments)?;
    let described = describe(file, report.len_bytes)
        .map_err(|e| CtlError::FileRead { path: source.clone(), source: e })?;
    let manifest = compose(arguments, &report, template, described, (version, epoch), sha256(&bytes));
    manifest
        .validate()
        .map_err(|e| CtlError::Input { what: e.field.clone(), expected: e.expected.to_owned() })?;
    let draft = Draft { manifest, vetting: bytes, source };
    draft.save(dir)?;
    summarize(&draft, &report);
    print_data(&format!("{}\n", draft.manifest.reference()))
}

/// The template that will be approved: the file that was named, or the one inside the weights.
fn template(arguments: &Import, report: &Report) -> Result<Template, CtlError> {
    let source = match (&arguments.template, &report.chat_template) {
        (Some(path), _) => read_text(path, TEMPLATE_LEN_MAX)?,
        (None, Some(inside)) => inside.clone(),
        (None, None) => String::new(),
    };
    if source.trim().is_empty() {
        return Err(CtlError::Input {
            what: format!("{} has no chat template", arguments.file.display()),
            expected: "one in --template FILE".to_owned(),
        });
    }
    Ok(Template { sha256: sha256(source.as_bytes()), source })
}

/// Version and epoch. The epoch rises only when there shall be no way back.
fn number(dir: &FleetDir, arguments: &Import) -> Result<(u32, u32), CtlError> {
    let name = &arguments.name;
    // Importing needs no fleet: whoever prepares a draft need not be the one who signs.
    let approved = match Workbench::open(dir) {
        Ok(workbench) => approved(&workbench, name)?,
        Err(CtlError::FleetMissing { .. }) => Vec::new(),
        Err(error) => return Err(error),
    };
    let newest = approved.iter().map(|m| m.version).max().unwrap_or(0).max(draft::newest_version(dir, name)?);
    let version = arguments.version.unwrap_or(newest + 1);
    if approved.iter().any(|manifest| manifest.version == version) {
        return Err(CtlError::Conflict {
            message: format!("bundle {name}@{version} is approved already"),
            hint: "a signed version is never rewritten; leave --version out for the next one".to_owned(),
        });
    }
    let epoch = approved.iter().map(|manifest| manifest.epoch).max().unwrap_or(1);
    Ok((version, if arguments.no_return { epoch + 1 } else { epoch }))
}

fn approved(workbench: &Workbench, name: &BundleName) -> Result<Vec<Manifest>, CtlError> {
    let mut manifests = Vec::new();
    for version in workbench.bundle_versions(name) {
        manifests.extend(workbench.bundle(&BundleRef { name: name.clone(), version })?);
    }
    Ok(manifests)
}

/// Chunks small enough that a resumed fetch loses little, and few enough for the manifest's bound.
const fn chunk_len(len_bytes: u64) -> u64 {
    if len_bytes < SMALL_FILE_LEN {
        1 << 20
    } else if len_bytes <= HUGE_FILE_LEN {
        4 << 20
    } else {
        16 << 20
    }
}

fn describe(mut file: File, len_bytes: u64) -> std::io::Result<BundleFile> {
    let spinner = progress::spinner(&format!("hashing {}", length(len_bytes)));
    let chunk_len_bytes = chunk_len(len_bytes);
    let described = describe_file(&mut file, chunk_len_bytes);
    spinner.finish_and_clear();
    let (sha256, len, chunks) = described?;
    if len != len_bytes {
        return Err(std::io::Error::other("the file changed while it was read"));
    }
    Ok(BundleFile { role: FileRole::Weights, sha256, len_bytes, chunk_len_bytes, chunks })
}

fn compose(
    arguments: Import,
    report: &Report,
    template: Template,
    file: BundleFile,
    (version, epoch): (u32, u32),
    vetting_report_sha256: croft_domain::digest::Sha256Digest,
) -> Manifest {
    let Import { name, license, source, aliases, checks, context, slots, temperature, .. } = arguments;
    let context_tokens = context
        .unwrap_or_else(|| report.context_length.unwrap_or(CONTEXT_DEFAULT_MAX).min(CONTEXT_DEFAULT_MAX));
    Manifest {
        schema: 1,
        name,
        version,
        epoch,
        architecture: report.architecture.clone().unwrap_or_default(),
        files: vec![file],
        template,
        parameters: Parameters { context_tokens, slots, temperature },
        aliases,
        license: License { id: license, text_sha256: None },
        provenance: Provenance { source, vetting_report_sha256 },
        check_prompts: checks,
    }
}

fn summarize(draft: &Draft, report: &Report) {
    let manifest = &draft.manifest;
    let bundle = manifest.reference();
    let parameters = &manifest.parameters;
    say(&format!(
        "vetted: {}, {} weights, {}, {}",
        manifest.architecture,
        report.parameter_count,
        report.quantization.as_deref().unwrap_or("quantization unknown"),
        length(manifest.len_bytes())
    ));
    for file in &manifest.files {
        say(&format!("file:     {} in {} chunks", file.sha256, file.chunks.len()));
    }
    say(&format!("template: {} ({} bytes)", manifest.template.sha256, manifest.template.source.len()));
    say(&format!("context:  {} tokens, {} at once", parameters.context_tokens, parameters.slots));
    if manifest.check_prompts.is_empty() {
        say(
            "warning: no check prompts, so nodes cannot tell whether the model answers; add --check 'PROMPT=>TEXT'",
        );
    }
    say(&format!("next: croftctl bundle approve {bundle}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_grow_with_the_file() {
        assert_eq!(chunk_len(1), 1 << 20);
        assert_eq!(chunk_len(SMALL_FILE_LEN - 1), 1 << 20);
        assert_eq!(chunk_len(SMALL_FILE_LEN), 4 << 20);
        assert_eq!(chunk_len(HUGE_FILE_LEN), 4 << 20);
        assert_eq!(chunk_len(HUGE_FILE_LEN + 1), 16 << 20);
    }
}
