//! LM Studio's folder: `models/PUBLISHER/MODEL/*.gguf`, plain files without digests. The publisher and model are what
//! the person typed, part by part.

use std::path::Path;

use super::{Choice, Found, choose, folder, is_plain, refused};
use crate::error::CtlError;

/// The chosen model.
pub fn find(path: &Path, choice: Choice<'_>) -> Result<Found, CtlError> {
    let Some((publisher, model)) = choice.model.and_then(|model| model.split_once('/')) else {
        return Err(choose(path, "--model PUBLISHER/MODEL", Vec::new()));
    };
    if !is_plain(publisher) || !is_plain(model) {
        return Err(refused(path, "models there are named PUBLISHER/MODEL"));
    }
    let below = if path.join("models").is_dir() { path.join("models") } else { path.to_owned() };
    let place = below.join(publisher).join(model);
    for part in [below.join(publisher), place.clone()] {
        if part.is_symlink() {
            return Err(refused(&part, "is a link"));
        }
    }
    let pieces = folder::one_model(&place, choice)?;
    let origin = Some(format!("lmstudio:{publisher}/{model}"));
    Ok(Found { origin, ..Found::of("LM Studio folder", pieces) })
}
