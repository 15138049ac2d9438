//! `croft models`: what of each model is here, which variant serves and why.

use croft_domain::bundle::Manifest;
use croft_domain::code::Code;
use croft_domain::digest::Sha256Digest;
use croft_domain::evidence::BundleState;
use croft_domain::id::BundleRef;
use croft_proto::grpc::{LocalModel, LocalVariant, ModelsResponse};

use crate::agent::memory::{BundleProgress, Memory, Shared};
use crate::bundles::variants::{Row, Survey};
use crate::config::Config;
use crate::failure::Failure;
use crate::state::measured::Measurement;

/// `croft models`.
#[must_use]
pub fn models(memory: &Memory, config: &Config) -> ModelsResponse {
    let models = memory.bundles.iter().map(|(reference, progress)| LocalModel {
        kv_type: config.worker.kv_type.to_string(),
        ..model(memory, reference, progress)
    });
    ModelsResponse { models: models.collect() }
}

fn model(memory: &Memory, reference: &BundleRef, progress: &BundleProgress) -> LocalModel {
    let approved = memory.trust.as_ref().and_then(|trust| trust.bundles.get(reference));
    let signed = approved.map(|approved| &approved.manifest);
    let several = signed.filter(|manifest| !manifest.variants.is_empty());
    // What is loaded serves, also while the one that was chosen since waits for it to be idle.
    let loaded = progress.weights.filter(|_| progress.state == BundleState::Loaded);
    let explained = several.and_then(|_| memory.survey(reference, |survey| explain(survey, loaded)));
    let (serves, why, variants) = explained.unwrap_or_default();
    let manifest: Option<Manifest> = signed.and_then(|manifest| manifest.in_variant(serves.unwrap_or(0)));
    let file = manifest.as_ref().and_then(|manifest| manifest.files.first());
    let manifest = manifest.as_ref();
    LocalModel {
        bundle: reference.to_string(),
        aliases: manifest.iter().flat_map(|m| m.aliases.iter().map(ToString::to_string)).collect(),
        state: match progress.state {
            BundleState::Fetching => "fetching",
            BundleState::Installed => "installed",
            BundleState::Loaded => "loaded",
            BundleState::Failed => "failed",
            BundleState::Recalled => "recalled",
        }
        .to_owned(),
        len_bytes: progress.len_bytes,
        fetched_bytes: progress.fetched_bytes,
        code: progress.problem.as_ref().map(|p| p.code().to_string()).unwrap_or_default(),
        detail: progress.problem.as_ref().map(|p| p.message().to_owned()).unwrap_or_default(),
        sha256: file.map(|file| file.sha256.to_string()).unwrap_or_default(),
        license: manifest.map(|m| m.license.id.clone()).unwrap_or_default(),
        terms: manifest.map(|m| m.license.terms()).unwrap_or_default(),
        terms_new: !memory.kept.terms_shown.contains(reference),
        origin: progress.origin.unwrap_or_default().to_owned(),
        verified_at: file.and_then(|file| memory.checked.verified.get(&file.sha256)).map_or(0, |at| at.0),
        context_tokens: manifest.map_or(0, |manifest| manifest.parameters.context_tokens),
        memory_bytes: progress.memory.map_or(0, |(plan, _)| plan.total_bytes()),
        memory_detail: progress.memory.map(|(plan, _)| plan.to_string()).unwrap_or_default(),
        checks: manifest.map_or(0, |m| u32::try_from(m.check_prompts.len()).unwrap_or(u32::MAX)),
        checks_passed: progress.checks_passed.unwrap_or(0),
        variant: manifest.map(|m| m.header.quantization.to_ascii_lowercase()).unwrap_or_default(),
        why,
        variants,
        cpu: if progress.state == BundleState::Loaded { memory.cpu.clone() } else { String::new() },
        ..LocalModel::default()
    }
}

fn explain(survey: &Survey<'_>, loaded: Option<Sha256Digest>) -> (Option<usize>, String, Vec<LocalVariant>) {
    let is_loaded = |row: &Row<'_>| loaded.is_some() && row.variant.digest() == loaded;
    let serves = survey.rows.iter().position(is_loaded).or(survey.choice.serve);
    let variants = survey.rows.iter().map(|row| variant(survey, row, serves)).collect();
    (serves, survey.why(), variants)
}

fn variant(survey: &Survey<'_>, row: &Row<'_>, serves: Option<usize>) -> LocalVariant {
    // Whole millitokens of a speed fit a double exactly.
    #[expect(clippy::cast_precision_loss, reason = "a speed for a person")]
    let per_second = |millitokens: u64| millitokens as f64 / 1000.0;
    let mut wire = LocalVariant {
        name: row.variant.name(),
        sha256: row.variant.digest().map(|digest| digest.to_string()).unwrap_or_default(),
        len_bytes: row.variant.len_bytes(),
        memory_bytes: row.candidate.needs_bytes.unwrap_or(0),
        standing: survey.standing(row).as_str().to_owned(),
        serves: serves == Some(row.variant.index),
        here: row.candidate.is_here,
        measured_at: row.record.map_or(0, |record| record.at.0),
        ..LocalVariant::default()
    };
    match row.record.map(|record| &record.measurement) {
        Some(Measurement::Rate { millitokens_per_s, prompt_millitokens_per_s, streams }) => {
            wire.tokens_per_s = per_second(*millitokens_per_s);
            wire.prompt_tokens_per_s = per_second(*prompt_millitokens_per_s);
            wire.streams = *streams;
        }
        Some(Measurement::Failed { reason }) => wire.detail.clone_from(reason),
        None => {}
    }
    wire
}

/// `croft models --measure`: forgets how fast the variants of a model were; gives the names of those that fit here.
///
/// # Errors
/// `E-INPUT` if no such model is here, or it comes in one variant.
pub fn measure(shared: &Shared, name: &str) -> Result<Vec<String>, Failure> {
    let refused = |message: String| Err(Failure::new(Code::Input, message));
    let (names, measured) = {
        let mut memory = shared.memory();
        let is_named = |bundle: &&BundleRef| bundle.name.as_str() == name || bundle.to_string() == name;
        // The newest of a name.
        let Some(bundle) = memory.bundles.keys().filter(is_named).max().cloned() else {
            return refused(format!("no model here is called {}", name.escape_default()));
        };
        let approved = memory.trust.as_ref().and_then(|trust| trust.bundles.get(&bundle));
        let several = approved.filter(|approved| !approved.manifest.variants.is_empty());
        let Some(manifest) = several.map(|approved| approved.sha256) else {
            return refused(format!("{bundle} comes in one variant: there is nothing to choose"));
        };
        memory.measured.forget(&manifest);
        let names = memory.survey(&bundle, |survey| {
            let unmeasured = |row: &&Row<'_>| survey.standing(row).as_str() == "unmeasured";
            survey.rows.iter().filter(unmeasured).map(|row| row.variant.name()).collect()
        });
        (names.unwrap_or_default(), memory.measured.clone())
    };
    measured.save(&shared.paths).map_err(|e| Failure::caused(e.code(), &e))?;
    shared.changed();
    shared.fetch.notify_one();
    Ok(names)
}
