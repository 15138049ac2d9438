//! Ollama's store: `manifests/HOST/NAMESPACE/MODEL/TAG` lists layers by digest, `blobs/sha256-HEX` holds them.
//!
//! Its chat templates are written in Go's template language, which nothing here renders: the one inside the weights, or
//! the one that the person names, is taken.

use std::path::Path;

use croft_domain::digest::Sha256Digest;
use serde::Deserialize;

use super::blobs::{Blobs, Naming};
use super::{Choice, Found, choose, is_plain, refused};
use crate::error::CtlError;
use crate::fleet_dir;
use crate::limits::{DOCUMENT_LEN_MAX, LAYERS_MAX};

const MODEL: &str = "application/vnd.ollama.image.model";
const LICENSE: &str = "application/vnd.ollama.image.license";

/// What is read of a manifest (Docker Image Manifest V2, Schema 2). The rest says how Ollama runs it.
#[derive(Debug, Deserialize)]
struct Manifest {
    layers: Vec<Layer>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: String,
    digest: Sha256Digest,
}

/// The chosen model.
pub fn find(store: &Path, choice: Choice<'_>) -> Result<Found, CtlError> {
    let Some(typed) = choice.model else {
        return Err(choose(store, "--model NAME:TAG", Vec::new()));
    };
    let name = full_name(typed)
        .ok_or_else(|| refused(store, "models there are named [HOST/NAMESPACE/]MODEL[:TAG]"))?;
    let mut path = store.join("manifests");
    for part in &name {
        path.push(part);
        if path.is_symlink() {
            return Err(refused(&path, "is a link"));
        }
    }
    let bytes = fleet_dir::read(&path, DOCUMENT_LEN_MAX)?;
    let manifest: Manifest =
        serde_json::from_slice(&bytes).map_err(|e| refused(&path, format!("is no manifest: {e}")))?;
    if manifest.layers.len() > LAYERS_MAX {
        return Err(refused(&path, format!("lists more than {LAYERS_MAX} layers")));
    }
    let other =
        |layer: &&Layer| layer.media_type.ends_with(".adapter") || layer.media_type.ends_with(".projector");
    if let Some(layer) = manifest.layers.iter().find(other) {
        return Err(refused(&path, format!("needs a layer that is not taken in: {}", layer.media_type)));
    }
    let blobs = Blobs::open(&store.join("blobs"), Naming::Dash)?;
    let of_type = |kind: &'static str| manifest.layers.iter().filter(move |layer| layer.media_type == kind);
    let pieces: Vec<_> = of_type(MODEL).map(|layer| blobs.piece(layer.digest)).collect::<Result<_, _>>()?;
    if pieces.is_empty() {
        return Err(refused(&path, "lists no weights"));
    }
    let license = of_type(LICENSE).next().map(|layer| blobs.read(layer.digest, DOCUMENT_LEN_MAX));
    let [host, namespace, model, tag] = name;
    Ok(Found {
        license_text: license.transpose()?,
        origin: Some(format!("ollama:{host}/{namespace}/{model}:{tag}")),
        ..Found::of("Ollama store", pieces)
    })
}

/// Host, namespace, model and tag, with Ollama's defaults for what was left out.
fn full_name(typed: &str) -> Option<[String; 4]> {
    let (name, tag) = match typed.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (typed, "latest"),
    };
    let parts: Vec<&str> = name.split('/').collect();
    let (host, namespace, model) = match parts.as_slice() {
        [model] => ("registry.ollama.ai", "library", *model),
        [namespace, model] => ("registry.ollama.ai", *namespace, *model),
        [host, namespace, model] => (*host, *namespace, *model),
        _ => return None,
    };
    let name = [host, namespace, model, tag];
    name.iter().all(|part| is_plain(part)).then(|| name.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p2_names_have_defaults_and_never_climb() {
        let joined = |typed: &str| full_name(typed).map(|name| name.join(" "));
        assert_eq!(joined("llama3").as_deref(), Some("registry.ollama.ai library llama3 latest"));
        assert_eq!(joined("me/llama3:8b").as_deref(), Some("registry.ollama.ai me llama3 8b"));
        assert_eq!(joined("host.example/me/m:1").as_deref(), Some("host.example me m 1"));
        for bad in
            ["", "..", "../../etc/passwd", "a/../b", "a:..", "a/b/c/d", "a:b/c", ".hidden", "a//b", "a\\b"]
        {
            assert_eq!(joined(bad), None, "{bad}");
        }
    }
}
