//! `bundle import`: from files of strangers to a draft that a person can approve.
//!
//! Each file is opened once. What was vetted, hashed and measured is that open file, not whatever its path names later.

use croft_domain::bundle::{
    BundleFile, FileRole, Header, License, Manifest, Parameters, Provenance, Template, UsageScope,
};
use croft_domain::id::{BundleName, BundleRef};
use croft_domain::vetting::VettingExceptions;
use croft_trust::digest::{describe_file, sha256};
use croft_trust::keys::parse_public_key;
use croft_trust::limits::OMS_LEN_MAX;
use croft_trust::oms::{self, OmsError};
use croft_vetting::report::Report;

use crate::args::Import;
use crate::bom::{self, Particulars};
use crate::command::intake::{self, Step};
use crate::draft::{self, Draft};
use crate::error::CtlError;
use crate::fleet_dir::{FleetDir, read, read_text};
use crate::limits::{CONTEXT_DEFAULT_MAX, DOCUMENT_LEN_MAX, HUGE_FILE_LEN, SMALL_FILE_LEN, TEMPLATE_LEN_MAX};
use crate::output::{clean, length, print_data, say};
use crate::source::{self, Choice, Found, Piece, Scratch};
use crate::workbench::Workbench;
use crate::{clock, progress, random, vet};

/// Runs `bundle import`.
///
/// # Errors
/// The source holds no such model, the linter refuses a file, or an argument breaks a rule.
pub async fn run(dir: &FleetDir, arguments: Import) -> Result<(), CtlError> {
    let scratch = Scratch::new(dir);
    let choice = Choice { model: arguments.model.as_deref(), file: arguments.file.as_deref() };
    let Found { kind, pieces, template: apart, license_text, origin } =
        source::find(&arguments.from, choice, &scratch)?;
    if kind != "file" {
        say(&format!("source:   {kind}{}", origin.as_ref().map_or_else(String::new, |o| format!(", {o}"))));
    }
    let source = arguments.source.clone().or(origin).ok_or_else(|| CtlError::Input {
        what: "--source".to_owned(),
        expected: "where the model came from; this source does not say".to_owned(),
    })?;
    let exceptions = check_intake(dir, &arguments, &source)?;
    let Vetted { passed: vet::Passed { report, bytes: vetting }, lens } =
        vet_all(&arguments, &pieces, &exceptions).await?;
    let report = &report;
    let template = template(&arguments, apart, report)?;
    review(&arguments, &template).await?;
    let license = license(&arguments, license_text)?;
    let numbers = number(dir, &arguments)?;
    let (mut files, mut sources) = (Vec::new(), Vec::new());
    for (piece, len_bytes) in pieces.into_iter().zip(lens) {
        sources.push(piece.path.clone());
        files.push(describe(piece, len_bytes)?);
    }
    check_oms(&arguments, &files)?;
    let provenance = Provenance { source, vetting_report_sha256: sha256(&vetting) };
    let particulars = Particulars {
        base_model: arguments.base_model.clone(),
        quantization: report.quantization.clone(),
        at: clock::now(),
        serial: random::bytes()?,
    };
    let manifest = compose(arguments, report, (template, license, provenance), files, numbers);
    manifest
        .validate()
        .map_err(|e| CtlError::Input { what: e.field.clone(), expected: e.expected.to_owned() })?;
    let bom = bom::compose(&manifest, &particulars)?;
    let draft = Draft { manifest, vetting, bom, sources };
    draft.save(dir, &scratch)?;
    summarize(&draft, report);
    print_data(&format!("{}\n", draft.manifest.reference()))
}

/// Holds what comes in against its publisher's OMS signature, if one was named. Names may differ, digests may not.
fn check_oms(arguments: &Import, files: &[BundleFile]) -> Result<(), CtlError> {
    let (Some(signature), Some(key)) = (&arguments.oms, &arguments.key) else { return Ok(()) };
    let refused = |error: OmsError| CtlError::Oms { path: signature.clone(), source: error };
    let point = parse_public_key(&read_text(key, DOCUMENT_LEN_MAX)?).map_err(|e| CtlError::Key {
        operation: "use",
        path: key.clone(),
        source: Box::new(e),
    })?;
    let signed = oms::verify(&read(signature, OMS_LEN_MAX as u64)?, &point).map_err(refused)?;
    let missing = files.iter().find(|file| signed.iter().all(|resource| resource.sha256 != file.sha256));
    if let Some(file) = missing {
        return Err(refused(OmsError::Files(format!("{} was not signed", file.sha256))));
    }
    say(&format!("OMS:      holds under key {}", oms::key_hint(&point)));
    Ok(())
}

/// A model that passed.
struct Vetted {
    passed: vet::Passed,
    /// The length of each of its files, in bytes, as they were judged.
    lens: Vec<u64>,
}

/// Judges the model in a confined process; its shards together or not at all.
async fn vet_all(
    arguments: &Import,
    pieces: &[Piece],
    exceptions: &VettingExceptions,
) -> Result<Vetted, CtlError> {
    let mut lens = Vec::new();
    for piece in pieces {
        let metadata = piece.file.metadata();
        let fail = |source| CtlError::FileRead { path: piece.path.clone(), source };
        lens.push(metadata.map_err(fail)?.len());
    }
    let spinner = progress::spinner("vetting in a confined process");
    let passed = match pieces {
        [] => Err(CtlError::NotFound { what: "file of weights".to_owned(), hint: String::new() }),
        // The one file that was named is called as it was named.
        [one] if one.digest.is_none() => vet::vet(&arguments.from, &one.file, exceptions).await,
        [one] => vet::vet(&one.path, &one.file, exceptions).await,
        several => {
            let names =
                several.iter().enumerate().map(|(index, piece)| shard_name(piece, index, several.len()));
            let shards: Vec<_> = names.zip(several.iter().map(|piece| &piece.file)).collect();
            vet::vet_shards(&arguments.from, &shards, exceptions).await
        }
    };
    spinner.finish_and_clear();
    let passed = passed?;
    for finding in &passed.report.findings {
        say(&format!("note:{}", vet::finding_text(finding)));
    }
    Ok(Vetted { passed, lens })
}

/// What a shard is called. A store that names by digest says the order only.
fn shard_name(piece: &Piece, index: usize, count: usize) -> String {
    match (piece.path.file_name().and_then(|name| name.to_str()), piece.digest) {
        (Some(name), None) => name.to_owned(),
        _ => format!("model-{:05}-of-{count:05}.gguf", index + 1),
    }
}

/// Asks the fleet's lists early, where a fleet is known here, and gives what it allows beyond the built-in rules.
fn check_intake(dir: &FleetDir, arguments: &Import, source: &str) -> Result<VettingExceptions, CtlError> {
    intake::check_source(source)?;
    match Workbench::open(dir) {
        Ok(workbench) => {
            let fleet = workbench.fleet();
            match intake::admit(fleet, &arguments.license, source, Step::Import) {
                Err(refusal) if arguments.unlisted => say(&format!("note: {refusal}")),
                admitted => admitted?,
            }
            Ok(fleet.vetting.clone())
        }
        Err(CtlError::FleetMissing { .. }) => Ok(VettingExceptions::default()),
        Err(error) => Err(error),
    }
}

/// What the fleet allows beyond the built-in lists; nothing where there is no fleet.
pub fn exceptions(dir: &FleetDir) -> Result<VettingExceptions, CtlError> {
    match Workbench::open(dir) {
        Ok(workbench) => Ok(workbench.fleet().vetting.clone()),
        Err(CtlError::FleetMissing { .. }) => Ok(VettingExceptions::default()),
        Err(error) => Err(error),
    }
}

/// The template that will be approved: the file that was named, the one that came apart, or the one inside the weights.
fn template(arguments: &Import, apart: Option<String>, report: &Report) -> Result<Template, CtlError> {
    let source = match (&arguments.template, apart, &report.chat_template) {
        (Some(path), ..) => read_text(path, TEMPLATE_LEN_MAX)?,
        (None, Some(apart), _) => apart,
        (None, None, Some(inside)) => inside.clone(),
        (None, None, None) => String::new(),
    };
    if source.trim().is_empty() && croft_vetting::gguf::embeds(report.architecture.as_deref()) {
        if let Some(check) = arguments.checks.first() {
            return Err(CtlError::Input {
                what: format!("--check '{}'", clean(&check.prompt)),
                expected: "none: a model for embeddings without a chat template answers nothing".to_owned(),
            });
        }
        return Ok(Template { sha256: sha256(b""), source: String::new(), rendered: None });
    }
    if source.trim().is_empty() {
        return Err(CtlError::Input {
            what: format!("{} has no chat template", arguments.from.display()),
            expected: "one in --template FILE".to_owned(),
        });
    }
    Ok(Template { sha256: sha256(source.as_bytes()), source, rendered: None })
}

/// Has the template reviewed. What passes is bound by its digest, which nodes compare.
async fn review(arguments: &Import, template: &Template) -> Result<(), CtlError> {
    if template.source.is_empty() {
        say("template: none; this model makes embeddings, and chat with it is refused");
        return Ok(());
    }
    let path = arguments.template.as_ref().unwrap_or(&arguments.from);
    let report = vet::review_template(path, &template.source).await?;
    for finding in &report.findings {
        say(&format!("note:{}", vet::finding_text(finding)));
    }
    Ok(())
}

/// The terms, with the digest of the text that was named or came along.
fn license(arguments: &Import, came_along: Option<Vec<u8>>) -> Result<License, CtlError> {
    let text = match &arguments.license_text {
        Some(path) => Some(read(path, DOCUMENT_LEN_MAX)?),
        None => came_along,
    };
    let license = License {
        id: arguments.license.clone(),
        text_sha256: text.map(|text| sha256(&text)),
        redistribution: arguments.redistribution.map(Into::into),
        use_restrictions: arguments.use_restrictions.clone(),
        accepted_by: arguments.accepted_by.clone(),
    };
    for line in license.terms() {
        say(&format!("terms:    {}", clean(&line)));
    }
    Ok(license)
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

/// Measures a file, and holds it to what its store says it is.
fn describe(piece: Piece, len_bytes: u64) -> Result<BundleFile, CtlError> {
    let Piece { path, mut file, digest } = piece;
    let spinner = progress::spinner(&format!("hashing {}", length(len_bytes)));
    let chunk_len_bytes = chunk_len(len_bytes);
    let described = describe_file(&mut file, chunk_len_bytes);
    spinner.finish_and_clear();
    let fail = |source| CtlError::FileRead { path: path.clone(), source };
    let (sha256, len, chunks) = described.map_err(fail)?;
    if len != len_bytes {
        return Err(fail(std::io::Error::other("the file changed while it was read")));
    }
    match digest {
        Some(expected) if expected != sha256 => Err(CtlError::WrongDigest { path, expected, found: sha256 }),
        _ => Ok(BundleFile { role: FileRole::Weights, sha256, len_bytes, chunk_len_bytes, chunks }),
    }
}

fn compose(
    arguments: Import,
    report: &Report,
    (template, license, provenance): (Template, License, Provenance),
    files: Vec<BundleFile>,
    (version, epoch): (u32, u32),
) -> Manifest {
    let Import { name, aliases, checks, context, slots, temperature, data_class_max, .. } = arguments;
    let context_tokens = context
        .unwrap_or_else(|| report.context_length.unwrap_or(CONTEXT_DEFAULT_MAX).min(CONTEXT_DEFAULT_MAX));
    Manifest {
        schema: 1,
        name,
        version,
        epoch,
        architecture: report.architecture.clone().unwrap_or_default(),
        files,
        template,
        parameters: Parameters { context_tokens, slots, temperature },
        aliases,
        license,
        provenance,
        check_prompts: checks,
        usage_scope: UsageScope { data_class_max: data_class_max.map(Into::into) },
        header: Header {
            parameters: report.parameter_count,
            quantization: report.quantization.clone().unwrap_or_default(),
            context_length: report.context_length.unwrap_or(0),
        },
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
    if !manifest.template.source.is_empty() {
        say(&format!("template: {} ({} bytes)", manifest.template.sha256, manifest.template.source.len()));
    }
    say(&format!("context:  {} tokens, {} at once", parameters.context_tokens, parameters.slots));
    if manifest.check_prompts.is_empty() && !manifest.template.source.is_empty() {
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
