//! The bill of materials of a bundle: CycloneDX 1.6 with one machine-learning model, for programs that take inventory.
//!
//! It says nothing that the manifest and the vetting report do not say; nodes do not read it. It is signed as the target
//! `bom.NAME.VERSION.json`, so what an inventory shows is what the publishers approved.

use croft_domain::bundle::{BundleFile, License, Manifest};
use croft_domain::time::Timestamp;
use serde_json::{Value, json};

use crate::error::CtlError;

/// What a bill of materials says beyond the manifest.
#[derive(Clone, Debug)]
pub struct Particulars {
    /// The model this one was made from, as the person named it.
    pub base_model: Option<String>,
    /// How the weights are quantized.
    pub quantization: Option<String>,
    /// When it was composed.
    pub at: Timestamp,
    /// Random bytes for its serial number.
    pub serial: [u8; 16],
}

/// Composes the document.
///
/// # Errors
/// It cannot be serialized.
pub fn compose(manifest: &Manifest, particulars: &Particulars) -> Result<Vec<u8>, CtlError> {
    let bundle = json!({
        "type": "data",
        "bom-ref": "bundle",
        "name": manifest.name.as_str(),
        "version": manifest.version.to_string(),
    });
    let document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", uuid(particulars.serial)),
        "version": 1,
        "metadata": { "timestamp": crate::clock::written(particulars.at), "component": bundle },
        "components": [model(manifest, particulars)],
        "dependencies": [{ "ref": "bundle", "dependsOn": ["model"] }, { "ref": "model" }],
    });
    serde_json::to_vec(&document).map_err(|e| CtlError::AnswerWrite { source: Box::new(e) })
}

fn model(manifest: &Manifest, particulars: &Particulars) -> Value {
    let mut model = json!({
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": manifest.name.as_str(),
        "version": manifest.version.to_string(),
        "licenses": [license(&manifest.license)],
        "modelCard": { "modelParameters": { "modelArchitecture": manifest.architecture } },
        "properties": properties(manifest, particulars),
    });
    let hash = |file: &BundleFile| json!([{ "alg": "SHA-256", "content": file.sha256.hex() }]);
    if let ([file], true) = (manifest.files.as_slice(), manifest.variants.is_empty()) {
        model["hashes"] = hash(file);
    } else {
        // One component has one hash of a kind, so each file is a part of its own.
        let files = manifest.every_variant().flat_map(|variant| {
            let stem = if manifest.variants.is_empty() { String::new() } else { variant.name() + "-" };
            variant.files.iter().enumerate().map(move |(at, file)| (format!("{stem}weights-{at}"), file))
        });
        let part = |(number, (name, file)): (usize, (String, &BundleFile))| json!({ "type": "file", "bom-ref": format!("file-{number}"), "name": name, "hashes": hash(file) });
        model["components"] = files.enumerate().map(part).collect();
    }
    let source = &manifest.provenance.source;
    if is_address(source) {
        model["externalReferences"] = json!([{ "type": "distribution", "url": source }]);
    }
    if let Some(owner) =
        source.strip_prefix("https://huggingface.co/").and_then(|rest| rest.split('/').next())
    {
        model["supplier"] = json!({ "name": owner });
    }
    if let Some(base) = &particulars.base_model {
        let ancestor = json!({ "type": "machine-learning-model", "bom-ref": "base", "name": base });
        model["pedigree"] = json!({ "ancestors": [ancestor] });
    }
    model
}

/// By its identifier where that is surely on the SPDX list, else by name: the schema knows no others.
fn license(license: &License) -> Value {
    let key = if License::of(license.id.as_str()).is_open_source() { "id" } else { "name" };
    json!({ "license": { key: license.id } })
}

fn properties(manifest: &Manifest, particulars: &Particulars) -> Vec<Value> {
    let mut pairs = vec![
        ("croft:source", manifest.provenance.source.clone()),
        ("croft:vetting-report-sha256", manifest.provenance.vetting_report_sha256.hex()),
        ("gguf:template-sha256", manifest.template.sha256.hex()),
    ];
    for variant in &manifest.variants {
        pairs.push(("croft:vetting-report-sha256", variant.vetting_report_sha256.hex()));
        pairs.push(("gguf:quantization", variant.header.quantization.clone()));
    }
    pairs.extend(particulars.quantization.iter().map(|q| ("gguf:quantization", q.clone())));
    pairs.extend(manifest.license.text_sha256.map(|text| ("croft:license-text-sha256", text.hex())));
    pairs.extend(manifest.license.terms().into_iter().map(|line| ("croft:terms", line)));
    pairs.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect()
}

/// Whether a source is an address without anything that an IRI may not hold.
fn is_address(source: &str) -> bool {
    source.starts_with("https://")
        && source.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=".contains(&b))
}

/// A random UUID (RFC 9562, version 4).
fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex::encode(bytes);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_are_random_uuids() {
        assert_eq!(uuid([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }

    #[test]
    fn only_addresses_are_addresses() {
        assert!(is_address("https://huggingface.co/org/repo@0123"));
        for bad in ["made here", "https://a b", "http://a", "https://a/<b>", "ollama:x"] {
            assert!(!is_address(bad), "{bad}");
        }
    }
}
