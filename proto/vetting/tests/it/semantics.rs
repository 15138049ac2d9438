//! What the values must mean together, S01 to S11.

use croft_vetting::gguf::{Depth, lint};
use croft_vetting::report::{Rule, Severity};

use crate::builder::*;

fn u(value: u32) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}

#[test]
fn p2_s01_refuses_architectures_nobody_looked_at() {
    for name in ["gpt-j", "mamba", "", "LLAMA", "llama ", "clip"] {
        Gguf::valid().set("general.architecture", TEXT, text(name)).refused_by(Rule::S01);
    }
    Gguf::valid().remove("general.architecture").refused_by(Rule::S01);
    Gguf::valid().set("general.architecture", U32, u(1)).refused_by(Rule::S02);
    for kind in ["adapter", "mmproj", "vocab", ""] {
        Gguf::valid().set("general.type", TEXT, text(kind)).refused_by(Rule::S01);
    }
    Gguf::valid().remove("general.type").passes();
}

#[test]
fn p2_a_template_that_attacks_its_renderer_is_refused_with_its_file() {
    let attacks = [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{% set x = '__cla' ~ 'ss__' %}{{ ''[x ~ ''] }}",
        "{{ ''|attr('__class__') }}",
        "{{ messages[0]['_' ~ '_class_' ~ '_'] }}",
        "{{ '{0.__class__}'.format(messages) }}",
        "{{ (messages|list)[0]() }}",
        "{% include '/etc/passwd' %}",
        "{% set x = '_' ~ '_class_' ~ '_' %}{{ ''[x] }}",
        "{{ 'a' * 999999999 }}",
        // What does not parse here is still rendered elsewhere.
        "{% generation %}{{ x.__globals__ }}{% endgeneration %}",
    ];
    for attack in attacks {
        for key in ["tokenizer.chat_template", "tokenizer.chat_template.tool_use"] {
            Gguf::valid().set(key, TEXT, text(attack)).refused_by(Rule::T01);
        }
    }
    let honest = "{% for m in messages %}{{ '<|' + m['role'] + '|>' ~ m.content | trim }}{% endfor %}";
    Gguf::valid().set("tokenizer.chat_template", TEXT, text(honest)).passes();
    // A template that Croft would not render harms nobody inside a file.
    Gguf::valid().set("tokenizer.chat_template", TEXT, text("{% block x %}{% endblock %}")).passes();
}

#[test]
fn s02_shows_keys_of_no_known_namespace() {
    let report = Gguf::valid().set("acme.secret", BOOL, vec![1]).passes();
    assert_eq!(report.findings.len(), 1);
    assert_eq!((report.findings[0].rule, report.findings[0].severity), (Rule::S02, Severity::Note));
}

#[test]
fn p2_s03_refuses_hyperparameters_that_contradict() {
    let refused = |key: &str, value: u32| Gguf::valid().set(key, U32, u(value)).refused_by(Rule::S03);
    for value in [0, 2, 513, u32::MAX] {
        refused("llama.block_count", value);
    }
    for value in [0, 3, 16, u32::MAX] {
        refused("llama.attention.head_count", value);
    }
    for value in [0, 3, 8] {
        refused("llama.attention.head_count_kv", value);
    }
    for value in [0, (1 << 24) + 1, u32::MAX] {
        refused("llama.context_length", value);
    }
    refused("llama.embedding_length", 0);
    refused("llama.embedding_length", 9);
    refused("llama.expert_count", 513);
    refused("llama.expert_used_count", 1);
    for key in ["context_length", "embedding_length", "block_count", "attention.head_count"] {
        Gguf::valid().remove(&format!("llama.{key}")).refused_by(Rule::S03);
    }
    Gguf::valid().set("llama.block_count", 10, vec![1, 0, 0, 0, 0, 0, 0, 0]).refused_by(Rule::S02);
}

#[test]
fn p2_s03_refuses_floats_that_would_divide_by_nothing() {
    for key in ["attention.layer_norm_rms_epsilon", "rope.freq_base", "rope.scaling.factor"] {
        for value in [0.0_f32, -1.0] {
            let value = value.to_le_bytes().to_vec();
            Gguf::valid().set(&format!("llama.{key}"), F32, value).refused_by(Rule::S03);
        }
    }
    Gguf::valid().remove("llama.attention.layer_norm_rms_epsilon").refused_by(Rule::S03);
}

#[test]
fn p2_s03_refuses_blocks_that_are_missing_or_spelled_twice() {
    for name in
        ["blk.1.attn_norm.weight", "blk.01.attn_norm.weight", "blk..x", "blk.-1.x", "blk.99999999999.x"]
    {
        let mut file = Gguf::valid();
        file.tensors[1].name = name.into();
        file.refused_by(Rule::S03);
    }
}

#[test]
fn p2_s05_refuses_vocabularies_that_are_empty_double_or_uneven() {
    Gguf::valid().remove("tokenizer.ggml.model").refused_by(Rule::S05);
    Gguf::valid().set("tokenizer.ggml.model", TEXT, text("rwkv")).refused_by(Rule::S05);
    Gguf::valid().remove("tokenizer.ggml.tokens").refused_by(Rule::S05);
    Gguf::valid().remove("tokenizer.ggml.scores").refused_by(Rule::S05);
    for tokens in [
        vec![],
        vec!["<unk>", "<s>", "</s>", "a", "b", "", "<0x0A>"],
        vec!["<unk>", "<s>", "</s>", "a", "b", "a", "<0x0A>"],
        vec!["<unk>", "<s>", "</s>", "a"],
    ] {
        Gguf::valid().set("tokenizer.ggml.tokens", ARRAY, texts(&tokens)).refused_by(Rule::S05);
    }
    for bad in [0_i32, 7, -1] {
        let types = [bad, 3, 3, 1, 1, 1, 6].map(|kind| kind.to_le_bytes().to_vec());
        Gguf::valid().set("tokenizer.ggml.token_type", ARRAY, array(I32, &types)).refused_by(Rule::S05);
    }
    Gguf::valid().set("tokenizer.ggml.token_type", ARRAY, array(I32, &[])).refused_by(Rule::S05);
    Gguf::valid().set("tokenizer.ggml.scores", ARRAY, array(F32, &[])).refused_by(Rule::S05);
    Gguf::valid().set("tokenizer.ggml.tokens", ARRAY, array(U32, &[])).refused_by(Rule::S02);
}

#[test]
fn s05_warns_of_ordinary_tokens_that_look_like_control_tokens() {
    let tokens = ["<unk>", "<s>", "</s>", "<|im_end|>", "b", "ab", "<0x0A>"];
    let report = Gguf::valid().set("tokenizer.ggml.tokens", ARRAY, texts(&tokens)).passes();
    assert_eq!((report.findings[0].rule, report.findings[0].severity), (Rule::S05, Severity::Warning));
}

#[test]
fn p2_s06_refuses_special_tokens_outside_the_vocabulary() {
    for key in ["bos_token_id", "eos_token_id", "fim_pre_token_id", "seperator_token_id", "any_token_id"] {
        for id in [7, u32::MAX] {
            Gguf::valid().set(&format!("tokenizer.ggml.{key}"), U32, u(id)).refused_by(Rule::S06);
        }
    }
    Gguf::valid().set("tokenizer.ggml.eos_token_id", U32, u(3)).refused_by(Rule::S06);
}

#[test]
fn p2_s06_refuses_a_default_that_is_no_token() {
    // The loader would take 11 for both, and there are 7 tokens.
    let mut file = Gguf::valid();
    file.set("tokenizer.ggml.model", TEXT, text("gpt2")).set("tokenizer.ggml.merges", ARRAY, texts(&["a b"]));
    file.refused_by(Rule::S06);
    file.set("tokenizer.ggml.bos_token_id", U32, u(1)).passes();
}

#[test]
fn p2_s07_refuses_byte_tokens_that_are_not_bytes() {
    for bad in ["<0x0a>", "<0x0AA>", "<0xG0>", "0x0A", "<0x>", "x"] {
        let tokens = ["<unk>", "<s>", "</s>", "a", "b", "ab", bad];
        Gguf::valid().set("tokenizer.ggml.tokens", ARRAY, texts(&tokens)).refused_by(Rule::S07);
    }
}

#[test]
fn p2_s08_refuses_merges_of_unknown_tokens() {
    let mut file = Gguf::valid();
    file.set("tokenizer.ggml.model", TEXT, text("gpt2")).set("tokenizer.ggml.bos_token_id", U32, u(1));
    file.refused_by(Rule::S08);
    for merge in ["", " ", "ab", "a  b", "a b ", "a c", "a b a"] {
        file.clone().set("tokenizer.ggml.merges", ARRAY, texts(&[merge])).refused_by(Rule::S08);
    }
}

#[test]
fn p2_s11_refuses_quantized_tensors_of_another_version() {
    let mut file = Gguf::family("llama", 32, 1);
    file.tensors[0] = quantized("token_embd.weight", &[32, 7]);
    file.refused_by(Rule::S11);
    file.clone().set("general.quantization_version", U32, u(1)).refused_by(Rule::S11);
    file.set("general.quantization_version", U32, u(2)).passes();
}

#[test]
fn p2_s11_refuses_weights_that_are_not_finite_when_it_looks_at_them() {
    let mut file = Gguf::family("llama", 32, 1);
    file.tensors[0] = quantized("token_embd.weight", &[32, 7]);
    file.set("general.quantization_version", U32, u(2));
    for (at, bytes) in [(34 * 3, &[0x00, 0x7c][..]), (34 * 6, &[0x01, 0xfe]), (256, &[0, 0, 0x80, 0x7f])] {
        let mut whole = file.bytes();
        let start = file.data_start() + at;
        whole[start..start + bytes.len()].copy_from_slice(bytes);
        let len = whole.len() as u64;
        assert!(lint(&whole[..], len, Depth::Header).passed());
        assert!(lint(&whole[..], len, Depth::Padding).passed());
        let report = lint(&whole[..], len, Depth::Full);
        let finding = report.first_refusal().unwrap();
        assert_eq!((finding.rule, finding.offset), (Rule::S11, Some(start as u64)), "{finding:?}");
    }
}

#[test]
fn p2_s09_refuses_character_maps_that_declare_more_than_they_hold() {
    let valid = |map: &[u8]| {
        let mut file = Gguf::valid();
        file.set("tokenizer.ggml.model", TEXT, text("t5"));
        let bytes: Vec<Vec<u8>> = map.iter().map(|byte| vec![*byte]).collect();
        file.set("tokenizer.ggml.precompiled_charsmap", ARRAY, array(U8, &bytes));
        file
    };
    valid(&[4, 0, 0, 0, 9, 9, 9, 9, b'a', 0]).passes();
    for map in [
        &[][..],
        &[4, 0],
        &[4, 0, 0, 0],
        &[4, 0, 0, 0, 9, 9, 9, 9],
        &[3, 0, 0, 0, 9, 9, 9, 9, b'a', 0],
        &[0xff, 0xff, 0xff, 0xff, 0, 0],
        &[0xfc, 0xff, 0xff, 0xff, 0, 0],
        &[4, 0, 0, 0, 9, 9, 9, 9, b'a', b'b'],
    ] {
        valid(map).refused_by(Rule::S09);
    }
    valid(&[]).set("tokenizer.ggml.precompiled_charsmap", ARRAY, array(F32, &[])).refused_by(Rule::S02);
}

#[test]
fn p2_s10_refuses_suppressed_tokens_outside_the_vocabulary() {
    let ids = |id: i32| array(I32, &[id.to_le_bytes().to_vec()]);
    Gguf::valid().set("tokenizer.ggml.suppress_tokens", ARRAY, ids(6)).passes();
    for id in [7, -1, i32::MAX, i32::MIN] {
        Gguf::valid().set("tokenizer.ggml.suppress_tokens", ARRAY, ids(id)).refused_by(Rule::S10);
    }
}

#[test]
fn p2_s12_refuses_links_that_are_not_https() {
    for key in ["general.url", "general.source.url", "general.base_model.0.repo_url", "general.license.link"]
    {
        Gguf::valid().set(key, TEXT, text("https://models.test/x")).passes();
        for link in ["http://models.test", "javascript:alert(1)", "file:///etc/passwd", "HTTPS:x", "//a:1"] {
            Gguf::valid().set(key, TEXT, text(link)).refused_by(Rule::S12);
        }
    }
    Gguf::valid().set("general.license.link", TEXT, text("LICENSE")).passes();
}

#[test]
fn p2_s13_refuses_projectors_of_endless_patches() {
    let projector = |patch: u32, image: u32| {
        let mut file = Gguf::valid();
        file.set("clip.vision.patch_size", U32, u(patch)).set("clip.vision.image_size", U32, u(image));
        file
    };
    projector(14, 896).passes();
    for (patch, image) in [(0, 896), (65, 896), (14, 8193), (1, 8192), (14, 0), (14, 13)] {
        projector(patch, image).refused_by(Rule::S13);
    }
    projector(14, 896).remove("clip.vision.image_size").refused_by(Rule::S13);
}

#[test]
fn p2_p01_refuses_one_shard_of_several() {
    Gguf::valid().set("split.count", 2, vec![2, 0]).refused_by(Rule::P01);
    Gguf::valid().set("split.count", TEXT, text("2")).refused_by(Rule::P01);
    Gguf::valid().set("split.count", U16, vec![1, 0]).refused_by(Rule::P01);
}
