//! An OCI image layout (image-spec 1.1): Docker's GGUF artifacts, and ModelPack's raw and tar layers.
//!
//! `index.json` names a manifest by digest, the manifest names layers by digest, and each is `blobs/sha256/HEX`. Tar layers
//! may be compressed by gzip or zstd; an index in an index, or a layer of another kind, is refused with its name.

use std::collections::BTreeMap;
use std::path::Path;

use croft_domain::digest::Sha256Digest;
use serde::Deserialize;

use super::blobs::{Blobs, Naming};
use super::tar_layer::{self, Packing};
use super::{Choice, Found, Piece, Scratch, choose, refused};
use crate::error::CtlError;
use crate::fleet_dir;
use crate::limits::{DOCUMENT_LEN_MAX, LAYERS_MAX, TEMPLATE_LEN_MAX};

const REF_NAME: &str = "org.opencontainers.image.ref.name";
const SOURCE: &str = "org.opencontainers.image.source";

const RAW: &[&str] = &[
    "application/vnd.docker.ai.gguf.v3",
    "application/vnd.cncf.model.weight.v1.raw",
    "application/vnd.cncf.model.weight.v1.gguf",
];
const TAR: &[(&str, Packing)] = &[
    ("application/vnd.cncf.model.weight.v1.tar", Packing::Plain),
    ("application/vnd.cncf.model.weight.v1.tar+gzip", Packing::Gzip),
    ("application/vnd.cncf.model.weight.v1.tar+zstd", Packing::Zstd),
];
const TEMPLATE: &str = "application/vnd.docker.ai.chat.template.jinja";
const LICENSE: &[&str] = &["application/vnd.docker.ai.license", "application/vnd.docker.ai.license.v1"];

#[derive(Debug, Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Debug, Deserialize)]
struct Manifest {
    layers: Vec<Descriptor>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: Sha256Digest,
    size: u64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// The chosen model.
pub fn find(path: &Path, choice: Choice<'_>, scratch: &Scratch) -> Result<Found, CtlError> {
    if path.join("blobs").is_symlink() {
        return Err(refused(&path.join("blobs"), "is a link"));
    }
    let blobs = Blobs::open(&path.join("blobs").join("sha256"), Naming::Hex)?;
    let index: Index =
        parse(path, "index.json", &fleet_dir::read(&path.join("index.json"), DOCUMENT_LEN_MAX)?)?;
    let chosen = select(path, &index, choice)?;
    let name = chosen.digest.to_string();
    let manifest: Manifest = parse(path, &name, &document(&blobs, chosen, DOCUMENT_LEN_MAX)?)?;
    if manifest.layers.len() > LAYERS_MAX {
        return Err(refused(path, format!("{name} lists more than {LAYERS_MAX} layers")));
    }
    let mut found = Found::of("OCI layout", Vec::new());
    for layer in &manifest.layers {
        take(path, layer, &blobs, scratch, &mut found)?;
    }
    if found.pieces.is_empty() {
        return Err(refused(path, format!("{name} lists no layer of weights")));
    }
    found.origin = manifest.annotations.get(SOURCE).cloned();
    Ok(found)
}

/// A blob of the length that its descriptor gives (image-spec, descriptor.md: `size`).
fn sized(blobs: &Blobs, descriptor: &Descriptor) -> Result<Piece, CtlError> {
    let piece = blobs.piece(descriptor.digest)?;
    let found = piece.file.metadata();
    let found = found.map_err(|source| CtlError::FileRead { path: piece.path.clone(), source })?.len();
    if found != descriptor.size {
        let message = format!("is {found} bytes long, its descriptor says {}", descriptor.size);
        return Err(refused(&piece.path, message));
    }
    Ok(piece)
}

fn document(blobs: &Blobs, descriptor: &Descriptor, len_max: u64) -> Result<Vec<u8>, CtlError> {
    sized(blobs, descriptor)?;
    blobs.read(descriptor.digest, len_max)
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path, name: &str, bytes: &[u8]) -> Result<T, CtlError> {
    serde_json::from_slice(bytes).map_err(|e| refused(path, format!("{name}: {e}")))
}

fn select<'a>(path: &Path, index: &'a Index, choice: Choice<'_>) -> Result<&'a Descriptor, CtlError> {
    let name = |manifest: &Descriptor| {
        manifest.annotations.get(REF_NAME).cloned().unwrap_or_else(|| manifest.digest.to_string())
    };
    let names = || index.manifests.iter().map(name).collect();
    match (choice.model, index.manifests.as_slice()) {
        (Some(wanted), all) => {
            let is_wanted = |m: &&Descriptor| name(m) == wanted || m.digest.to_string() == wanted;
            all.iter().find(is_wanted).ok_or_else(|| choose(path, "--model", names()))
        }
        (None, [one]) => Ok(one),
        (None, _) => Err(choose(path, "--model", names())),
    }
}

fn take(
    path: &Path,
    layer: &Descriptor,
    blobs: &Blobs,
    scratch: &Scratch,
    found: &mut Found,
) -> Result<(), CtlError> {
    let kind = layer.media_type.as_str();
    if RAW.contains(&kind) {
        found.pieces.push(sized(blobs, layer)?);
    } else if let Some((_, packing)) = TAR.iter().find(|(name, _)| *name == kind) {
        let layer: Piece = sized(blobs, layer)?;
        found.pieces.push(tar_layer::unpack(layer, *packing, scratch, found.pieces.len())?);
    } else if kind == TEMPLATE {
        let bytes = document(blobs, layer, TEMPLATE_LEN_MAX)?;
        let text = String::from_utf8(bytes);
        found.template = Some(text.map_err(|_| refused(path, "its chat template is not UTF-8"))?);
    } else if LICENSE.contains(&kind) {
        found.license_text = Some(document(blobs, layer, DOCUMENT_LEN_MAX)?);
    } else if kind.contains(".weight.") || kind.contains("mmproj") || kind.contains("lora") {
        return Err(refused(path, crate::output::clean(&format!("a layer's type is not taken in: {kind}"))));
    }
    // Documentation and configuration are not needed to run it, and what is needed comes from the signed manifest.
    Ok(())
}
