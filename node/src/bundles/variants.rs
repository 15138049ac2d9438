//! Which variant of a bundle this machine serves: gathers what the pure choice asks for, and turns its answer into what
//! is kept, fetched and tried. What was measured can name no variant; it only has figures for those that the signed
//! manifest lists.

pub mod explain;

use croft_domain::bundle::Manifest;
use croft_domain::code::Code;
use croft_domain::digest::Sha256Digest;
use croft_domain::memory::{LoadSize, MemoryPlan, OverCeiling};
use croft_domain::recall::Recall;
use croft_domain::variant::VariantView;
use croft_domain::variant::choice::{Candidate, Choice, Outcome, choose};

use super::plan::OwnedDecision;
use crate::capacity::Capacity;
use crate::failure::Failure;
use crate::state::measured::{Measured, Record, Under};

/// What is known of this machine when a variant is chosen.
pub struct Ground<'a> {
    /// Recalls that are obeyed.
    pub recalls: &'a [Recall],
    /// What was measured.
    pub measured: &'a Measured,
    /// What fits; none before the daemon knows.
    pub capacity: Option<Capacity>,
    /// Circumstances of a measurement now.
    pub under: Option<&'a Under>,
    /// Whether a blob is in the store.
    pub is_here: &'a dyn Fn(&Sha256Digest) -> bool,
}

/// One variant and what is known of it.
pub struct Row<'a> {
    /// Which.
    pub variant: VariantView<'a>,
    /// What it takes by the signed header.
    pub plan: Option<MemoryPlan>,
    /// How the choice sees it.
    pub candidate: Candidate,
    /// Its measurement.
    pub record: Option<&'a Record>,
}

/// All variants of a bundle, and the choice among them.
pub struct Survey<'a> {
    /// In the approver's order.
    pub rows: Vec<Row<'a>>,
    /// The choice.
    pub choice: Choice,
    /// What one model may take, in bytes.
    pub ceiling_bytes: u64,
}

/// Looks at every variant of a manifest.
#[must_use]
pub fn survey<'a>(manifest: &'a Manifest, sha256: &Sha256Digest, ground: &Ground<'a>) -> Survey<'a> {
    let ceiling_bytes = ground.capacity.map_or(u64::MAX, |capacity| capacity.ceiling_bytes);
    let row = |variant: VariantView<'a>| {
        let record = variant.digest().and_then(|digest| ground.measured.of(sha256, &digest));
        let size = LoadSize {
            context_tokens: manifest.parameters.context_tokens,
            slots: manifest.parameters.slots,
            kv: ground.capacity.map(|capacity| capacity.kv).unwrap_or_default(),
        };
        let plan = variant.header.shape.map(|shape| MemoryPlan::of(&shape, &size));
        let candidate = Candidate {
            is_stopped: ground.recalls.iter().any(|recall| variant.is_stopped_by(recall)),
            needs_bytes: plan.map(|plan| plan.total_bytes()),
            is_here: variant.files.iter().all(|file| (ground.is_here)(&file.sha256)),
            outcome: record.map_or(Outcome::None, |record| record.outcome(ground.under)),
        };
        Row { variant, plan, candidate, record }
    };
    let rows: Vec<Row<'a>> = manifest.every_variant().map(row).collect();
    let candidates: Vec<Candidate> = rows.iter().map(|row| row.candidate).collect();
    let mut choice = choose(&candidates, ceiling_bytes);
    // What turns texts into vectors generates nothing whose speed could be measured.
    let is_encoder = rows.iter().any(|row| row.variant.header.shape.is_some_and(|shape| shape.embeds));
    if is_encoder || ground.capacity.is_none() {
        choice.trial = None;
    }
    Survey { rows, choice, ceiling_bytes }
}

/// What becomes of a bundle that belongs here.
#[must_use]
pub fn narrow(manifest: &Manifest, manifest_sha256: Sha256Digest, ground: &Ground<'_>) -> OwnedDecision {
    let survey = survey(manifest, &manifest_sha256, ground);
    let variant = |index: usize| manifest.in_variant(index).map(Box::new);
    let Some(chosen) = survey.choice.serve.and_then(variant) else {
        return OwnedDecision::Stop { failure: survey.refusal(), manifest_sha256: Some(manifest_sha256) };
    };
    // Whatever came here and was not measured yet would only be fetched again.
    let waits = |row: &&Row<'_>| {
        let Candidate { is_stopped, needs_bytes, is_here, outcome } = row.candidate;
        let fits = needs_bytes.is_none_or(|needs| needs <= survey.ceiling_bytes);
        is_here && !is_stopped && fits && outcome == Outcome::None
    };
    let spares = survey.rows.iter().filter(waits).flat_map(|row| row.variant.files);
    OwnedDecision::Keep {
        manifest: chosen,
        manifest_sha256,
        trial: survey.choice.trial.and_then(variant),
        spares: spares.map(|file| file.sha256).collect(),
    }
}

impl Survey<'_> {
    /// Why none can serve: the least that one would take.
    fn refusal(&self) -> Failure {
        let plans = self.rows.iter().filter(|row| !row.candidate.is_stopped).filter_map(|row| row.plan);
        let least = plans.min_by_key(MemoryPlan::total_bytes).unwrap_or_default();
        let over = OverCeiling { plan: least, ceiling_bytes: self.ceiling_bytes };
        Failure::new(Code::MemoryPlan, format!("no variant fits; the smallest {over}"))
    }
}

#[cfg(test)]
#[path = "variants_tests.rs"]
mod tests;
