//! The models of this repository, which the project's own demos serve, must pass.

use std::fs::File;
use std::path::Path;

use croft_vetting::format::vet;
use croft_vetting::gguf::Depth;

#[test]
fn the_starter_models_pass() {
    for (name, quantization) in [("croft-starter-q8_0.gguf", "Q8_0"), ("croft-starter-f16.gguf", "F16")] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../playbooks/starter-model").join(name);
        let file = File::open(path).unwrap();
        let len_bytes = file.metadata().unwrap().len();
        let report = vet(file, len_bytes, Depth::Padding);
        assert!(report.passed() && report.findings.is_empty(), "{report:#?}");
        assert_eq!(report.quantization.as_deref(), Some(quantization));
        assert_eq!((report.context_length, report.tokens, report.tensor_count), (Some(1024), Some(1024), 47));
        assert!(report.chat_template.is_some_and(|template| template.contains("<|im_start|>")));
    }
}

#[test]
fn the_header_tells_how_much_memory_a_model_takes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../playbooks/starter-model");
    let measured = |name: &str| {
        let file = File::open(folder.join(name)).unwrap();
        let len_bytes = file.metadata().unwrap().len();
        (croft_vetting::gguf::measure(file, len_bytes).expect("a GGUF"), len_bytes)
    };
    let (small, len_bytes) = measured("croft-starter-q8_0.gguf");
    assert!(small.weights_bytes < len_bytes && small.weights_bytes > len_bytes / 2, "{small:?}");
    assert_eq!((small.vocabulary, small.context_trained, small.repacked_bytes), (1024, 1024, 0));
    let (large, _) = measured("croft-starter-f16.gguf");
    assert!(large.weights_bytes > small.weights_bytes);
    assert_eq!((large.kv_numbers, large.width), (small.kv_numbers, small.width));
    let nothing = croft_vetting::gguf::measure(&b"GGUF"[..], 4);
    assert_eq!(nothing, None);
}
