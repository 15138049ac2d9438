//! Rule S13: an image projector whose patches a transformer can hold. Projectors are not served; one that is looked
//! at all the same is told what is wrong with it.

use super::metadata::Metadata;
use crate::limits::{IMAGE_SIZE_MAX, PATCH_SIZE_MAX, PATCHES_MAX};
use crate::report::{Findings, Rule};

const PATCH: &str = "clip.vision.patch_size";
const IMAGE: &str = "clip.vision.image_size";

/// Applies S13.
pub(super) fn judge(metadata: &Metadata, findings: &mut Findings) {
    if !metadata.keys().any(|key| key.starts_with("clip.vision.")) {
        return;
    }
    let patch = bounded(metadata, PATCH, PATCH_SIZE_MAX, findings);
    let image = bounded(metadata, IMAGE, IMAGE_SIZE_MAX, findings);
    if let (Some(patch), Some(image)) = (patch, image) {
        let side = u64::from(image / patch);
        if side == 0 || side * side > PATCHES_MAX {
            let message = format!("{side} by {side} patches, allowed are 1 to {PATCHES_MAX} in all");
            findings.refuse_at(Rule::S13, metadata.at(IMAGE), message);
        }
    }
}

fn bounded(metadata: &Metadata, key: &str, max: u32, findings: &mut Findings) -> Option<u32> {
    if !metadata.has(key) {
        findings.refuse(Rule::S13, format!("{key} is missing, expected is 1 to {max}"));
        return None;
    }
    let value = metadata.u32(key, findings)?;
    if !(1..=max).contains(&value) {
        findings.refuse_at(Rule::S13, metadata.at(key), format!("{key} is {value}, allowed are 1 to {max}"));
        return None;
    }
    Some(value)
}
