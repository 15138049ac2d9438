//! What the supervisor is told of a model: which files to open, and what they must show before anybody may ask.

use std::sync::Arc;

use croft_domain::bundle::Manifest;
use croft_domain::id::BundleRef;

use crate::bundles::load::open_all;
use crate::state::paths::Paths;
use crate::supervisor::LoadOrder;

/// The order for a manifest in the variant that was chosen.
#[must_use]
pub fn order(paths: &Paths, bundle: &BundleRef, manifest: &Manifest, slot: u32) -> LoadOrder {
    let (paths, files) = (paths.clone(), manifest.files.clone());
    LoadOrder {
        bundle: bundle.clone(),
        slot,
        weights: manifest.files.first().map(|file| file.sha256),
        open: Arc::new(move || open_all(&paths, &files)),
        template: manifest.template.source.clone(),
        rendered: manifest.template.rendered,
        checks: manifest.check_prompts.clone(),
        context_tokens: manifest.parameters.context_tokens,
        conversations: manifest.parameters.slots,
    }
}
