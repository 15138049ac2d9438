//! `bundle import`: from files of strangers to a draft that a person can approve.
//!
//! Each file is opened once. What was vetted, hashed and measured is that open file, not whatever its path names later.

mod take;

use croft_domain::bundle::{BundleFile, License, Manifest, Parameters, Provenance, Template, UsageScope};
use croft_domain::id::{BundleName, BundleRef};
use croft_domain::variant::Variant;
use croft_domain::vetting::VettingExceptions;
use croft_trust::digest::sha256;
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
use crate::limits::{CONTEXT_DEFAULT_MAX, DOCUMENT_LEN_MAX, TEMPLATE_LEN_MAX};
use crate::output::{clean, length, print_data, say};
use crate::source::{self, Choice, Found, Scratch};
use crate::workbench::Workbench;
use crate::{clock, random, vet};
use take::{Taken, vet_all};

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
    let vetted = vet_all(&arguments.from, &pieces, &exceptions).await?;
    let template = template(&arguments, apart, &vetted.passed.report)?;
    review(&arguments, &template).await?;
    let license = license(&arguments, license_text)?;
    let numbers = number(dir, &arguments)?;
    let taken = Taken::of(vetted, pieces)?;
    let others = take_variants(dir, &arguments, &scratch, &taken).await?;
    check_oms(&arguments, std::iter::once(&taken).chain(&others).flat_map(|taken| &taken.files))?;
    let provenance = Provenance { source, vetting_report_sha256: sha256(&taken.vetting) };
    let particulars = Particulars {
        base_model: arguments.base_model.clone(),
        quantization: taken.report.quantization.clone(),
        at: clock::now(),
        serial: random::bytes()?,
    };
    let mut manifest = compose(arguments, &taken, (template, license, provenance), numbers);
    manifest.variants = others.iter().map(variant).collect();
    manifest
        .validate()
        .map_err(|e| CtlError::Input { what: e.field.clone(), expected: e.expected.to_owned() })?;
    let bom = bom::compose(&manifest, &particulars)?;
    let all = std::iter::once(&taken).chain(&others);
    let vettings = all.clone().map(|taken| taken.vetting.clone()).collect();
    let sources = all.flat_map(|taken| taken.sources.clone()).collect();
    let draft = Draft { manifest, vettings, bom, sources };
    draft.save(dir, &scratch)?;
    summarize(&draft);
    print_data(&format!("{}\n", draft.manifest.reference()))
}

/// Holds what comes in against its publisher's OMS signature, if one was named. Names may differ, digests may not.
fn check_oms<'a>(
    arguments: &Import,
    mut files: impl Iterator<Item = &'a BundleFile>,
) -> Result<(), CtlError> {
    let (Some(signature), Some(key)) = (&arguments.oms, &arguments.key) else { return Ok(()) };
    let refused = |error: OmsError| CtlError::Oms { path: signature.clone(), source: error };
    let point = parse_public_key(&read_text(key, DOCUMENT_LEN_MAX)?).map_err(|e| CtlError::Key {
        operation: "use",
        path: key.clone(),
        source: Box::new(e),
    })?;
    let signed = oms::verify(&read(signature, OMS_LEN_MAX as u64)?, &point).map_err(refused)?;
    let missing = files.find(|file| signed.iter().all(|resource| resource.sha256 != file.sha256));
    if let Some(file) = missing {
        return Err(refused(OmsError::Files(format!("{} was not signed", file.sha256))));
    }
    say(&format!("OMS:      holds under key {}", oms::key_hint(&point)));
    Ok(())
}

/// Takes in the same model in the other quantizations that were named, each judged like the first.
async fn take_variants(
    dir: &FleetDir,
    arguments: &Import,
    scratch: &Scratch,
    first: &Taken,
) -> Result<Vec<Taken>, CtlError> {
    let mut others = Vec::new();
    for path in &arguments.variants {
        let pieces = source::find(path, Choice::default(), scratch)?.pieces;
        let vetted = vet_all(path, &pieces, &exceptions(dir)?).await?;
        let taken = Taken::of(vetted, pieces)?;
        let refused =
            |expected: String| CtlError::Input { what: format!("--variant {}", path.display()), expected };
        if !taken.is_sibling_of(first) {
            return Err(refused("it is another model: architecture, sizes or vocabulary differ".to_owned()));
        }
        let quantization = taken.quantization();
        if std::iter::once(first).chain(&others).any(|other| other.quantization() == quantization) {
            let expected =
                format!("it is {quantization} like another; name the same model in another quantization");
            return Err(refused(expected));
        }
        others.push(taken);
    }
    Ok(others)
}

fn variant(taken: &Taken) -> Variant {
    Variant {
        files: taken.files.clone(),
        header: taken.header(),
        vetting_report_sha256: sha256(&taken.vetting),
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

fn compose(
    arguments: Import,
    taken: &Taken,
    (template, license, provenance): (Template, License, Provenance),
    (version, epoch): (u32, u32),
) -> Manifest {
    let Import { name, aliases, checks, context, slots, temperature, data_class_max, .. } = arguments;
    let report = &taken.report;
    let context_tokens = context
        .unwrap_or_else(|| report.context_length.unwrap_or(CONTEXT_DEFAULT_MAX).min(CONTEXT_DEFAULT_MAX));
    Manifest {
        schema: 1,
        name,
        version,
        epoch,
        architecture: report.architecture.clone().unwrap_or_default(),
        files: taken.files.clone(),
        template,
        parameters: Parameters { context_tokens, slots, temperature },
        aliases,
        license,
        provenance,
        check_prompts: checks,
        usage_scope: UsageScope { data_class_max: data_class_max.map(Into::into) },
        header: taken.header(),
        variants: Vec::new(),
    }
}

fn summarize(draft: &Draft) {
    let manifest = &draft.manifest;
    let bundle = manifest.reference();
    let parameters = &manifest.parameters;
    for variant in manifest.every_variant() {
        let quantization = &variant.header.quantization;
        say(&format!(
            "vetted: {}, {} weights, {}, {}",
            manifest.architecture,
            variant.header.parameters,
            if quantization.is_empty() { "quantization unknown" } else { quantization },
            length(variant.len_bytes())
        ));
        for file in variant.files {
            say(&format!("file:     {} in {} chunks", file.sha256, file.chunks.len()));
        }
    }
    if !manifest.variants.is_empty() {
        say(
            "variants: each machine serves the fastest that fits, and one named earlier if it is nearly as fast",
        );
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
