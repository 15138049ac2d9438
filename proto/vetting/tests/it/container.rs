//! The container rules, G01 to G14.

use croft_vetting::format::vet;
use croft_vetting::gguf::{Depth, lint, lint_gguf};
use croft_vetting::report::{Format, Rule, Verdict};

use crate::builder::*;

#[test]
fn a_valid_file_passes_and_is_described() {
    let report = Gguf::valid().passes();
    assert_eq!(report.architecture.as_deref(), Some("llama"));
    assert_eq!(report.context_length, Some(128));
    assert_eq!(report.quantization.as_deref(), Some("F32"));
    assert_eq!((report.tensor_count, report.parameter_count, report.tokens), (13, 716, Some(7)));
    assert_eq!(report.chat_template.as_deref(), Some("{{ messages }}\n"));
    assert!(report.findings.is_empty(), "{report:#?}");
}

#[test]
fn a_file_may_end_unpadded() {
    let file = Gguf::valid();
    let mut bytes = file.bytes();
    bytes.truncate(bytes.len() - 16);
    assert_eq!(lint_bytes(&bytes).verdict, Verdict::Pass);
}

#[test]
fn p2_the_header_lint_reads_no_weights() {
    let bytes = Gguf::valid().bytes();
    let (header, _) = bytes.split_at(Gguf::valid().data_start());
    assert_eq!(lint_gguf(header, bytes.len() as u64).verdict, Verdict::Pass);
}

#[test]
fn p2_g01_refuses_another_magic_version_or_byte_order() {
    let mut file = Gguf::valid();
    file.magic = *b"GGML";
    file.refused_by(Rule::G01);
    for version in [0, 1, 2, 4, 3_u32.swap_bytes()] {
        let mut file = Gguf::valid();
        file.version = version;
        file.refused_by(Rule::G01);
    }
    for len in 0..24 {
        let bytes = Gguf::valid().bytes();
        assert_eq!(lint_bytes(bytes.get(..len).unwrap()).first_refusal().unwrap().rule, Rule::G01, "{len}");
    }
}

#[test]
fn p2_g02_refuses_counts_that_cannot_fit_before_reading_on() {
    for count in [65_537, u64::MAX, 1 << 63] {
        let mut file = Gguf::valid();
        file.tensor_count = Some(count);
        file.refused_by(Rule::G02);
        let mut file = Gguf::valid();
        file.entry_count = Some(count);
        file.refused_by(Rule::G02);
    }
    let mut file = Gguf::valid();
    file.tensor_count = Some(65_536);
    file.refused_by(Rule::G02);
}

#[test]
fn p2_g03_refuses_keys_that_are_long_odd_or_twice() {
    for key in [&b""[..], b"general.Name", b"general name", b"a\0b", b"\xff", &[b'a'; 257], &[b'a'; 70_000]] {
        let mut file = Gguf::valid();
        file.entries.push((key.to_vec(), BOOL, vec![0]));
        file.refused_by(Rule::G03);
    }
    let mut file = Gguf::valid();
    file.entries.push((b"general.type".to_vec(), TEXT, text("adapter")));
    file.refused_by(Rule::G03);
    let mut file = Gguf::valid();
    file.entries.push((vec![b'a'; 256], BOOL, vec![0]));
    file.passes();
}

#[test]
fn p2_g04_refuses_unknown_types_and_nested_arrays() {
    for kind in [13, 14, 255, u32::MAX] {
        Gguf::valid().set("x.y", kind, vec![0; 8]).refused_by(Rule::G04);
        Gguf::valid().set("x.y", ARRAY, array(kind, &[])).refused_by(Rule::G04);
    }
    Gguf::valid().set("x.y", ARRAY, array(ARRAY, &[array(U8, &[])])).refused_by(Rule::G04);
}

#[test]
fn p2_g04_refuses_lengths_beyond_the_file_without_allocating_them() {
    for count in [1_u64 << 30, 1 << 62, u64::MAX] {
        for kind in [U8, U32, TEXT, 12] {
            let claim = [&kind.to_le_bytes()[..], &count.to_le_bytes()].concat();
            Gguf::valid().set("x.y", ARRAY, claim).refused_by(Rule::G04);
        }
        Gguf::valid().set("x.y", TEXT, count.to_le_bytes().to_vec()).refused_by(Rule::G04);
    }
}

#[test]
fn p2_a_long_stated_length_cannot_make_claims_cheap() {
    // The caller says 1 EiB, so the claim fits the file; the reader must still not allocate it.
    let claim = [&U8.to_le_bytes()[..], &(1_u64 << 40).to_le_bytes()].concat();
    let bytes = Gguf::valid().set("x.y", ARRAY, claim).bytes();
    let report = lint_gguf(&bytes[..], 1 << 60);
    assert_eq!(report.first_refusal().unwrap().rule, Rule::G06);
}

#[test]
fn p2_g05_refuses_text_that_hides_or_reorders() {
    for bad in ["a\0", "\u{1b}[2J", "\u{202e}gpj", "zero\u{200b}width", "\u{feff}", "\u{e0041}", "\u{85}"] {
        Gguf::valid().set("general.name", TEXT, text(bad)).refused_by(Rule::G05);
        Gguf::valid().set("tokenizer.chat_template", TEXT, text(bad)).refused_by(Rule::G05);
        Gguf::valid().set("general.tags", ARRAY, texts(&[bad])).refused_by(Rule::G05);
    }
    Gguf::valid().set("general.name", TEXT, text(b"\xc3\x28")).refused_by(Rule::G05);
    let tokens = [&b"<unk>"[..], b"<s>", b"</s>", b"a", b"b", b"\xc3\x28", b"<0x0A>"];
    Gguf::valid().set("tokenizer.ggml.tokens", ARRAY, texts(&tokens)).refused_by(Rule::G05);
    let tokens = ["<unk>", "<s>", "</s>", "\0", "\u{202e}", "\u{200b}", "<0x0A>"];
    Gguf::valid().set("tokenizer.ggml.tokens", ARRAY, texts(&tokens)).passes();
}

#[test]
fn p2_g05_does_not_accept_a_character_torn_over_two_tokens() {
    let tokens = [&b"<unk>"[..], b"<s>", b"</s>", b"a", b"\xc3", b"\xa9", b"<0x0A>"];
    Gguf::valid().set("tokenizer.ggml.tokens", ARRAY, texts(&tokens)).refused_by(Rule::G05);
}

#[test]
fn p2_g06_refuses_long_texts_at_their_bound() {
    for (key, max) in [
        ("general.description", 64 * 1024),
        ("tokenizer.chat_template", 256 * 1024),
        ("tokenizer.chat_template.tool_use", 256 * 1024),
        ("llama.note", 1024 * 1024),
    ] {
        Gguf::valid().set(key, TEXT, text("x".repeat(max))).passes();
        Gguf::valid().set(key, TEXT, text("x".repeat(max + 1))).refused_by(Rule::G06);
    }
    let long = "x".repeat(4097);
    let tokens = ["<unk>", "<s>", "</s>", "a", "b", &long, "<0x0A>"];
    Gguf::valid().set("tokenizer.ggml.tokens", ARRAY, texts(&tokens)).refused_by(Rule::G06);
    let huge = [&U8.to_le_bytes()[..], &(64_u64 << 20).to_le_bytes(), &vec![0; 64 << 20]].concat();
    Gguf::valid().set("llama.blob", ARRAY, huge).refused_by(Rule::G06);
}

#[test]
fn p2_g07_refuses_third_booleans_and_infinite_floats() {
    for value in [2, 0x80, 0xff] {
        Gguf::valid().set("tokenizer.ggml.add_bos_token", BOOL, vec![value]).refused_by(Rule::G07);
        Gguf::valid().set("x.y", ARRAY, array(BOOL, &[vec![1], vec![value]])).refused_by(Rule::G07);
    }
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let value = value.to_le_bytes().to_vec();
        Gguf::valid().set("llama.rope.freq_base", F32, value.clone()).refused_by(Rule::G07);
        Gguf::valid().set("tokenizer.ggml.scores", ARRAY, array(F32, &vec![value; 7])).refused_by(Rule::G07);
    }
    Gguf::valid().set("x.y", 12, f64::NAN.to_le_bytes().to_vec()).refused_by(Rule::G07);
}

#[test]
fn p2_g08_refuses_odd_alignments() {
    for alignment in [0_u32, 1, 4, 7, 33, 8192, u32::MAX] {
        Gguf::valid().set("general.alignment", U32, alignment.to_le_bytes().to_vec()).refused_by(Rule::G08);
    }
    Gguf::valid().set("general.alignment", I32, 32_i32.to_le_bytes().to_vec()).refused_by(Rule::G08);
    for alignment in [8_u32, 64, 4096] {
        let mut file = Gguf::valid();
        file.alignment = alignment as usize;
        file.set("general.alignment", U32, alignment.to_le_bytes().to_vec()).passes();
    }
}

#[test]
fn p2_g09_refuses_tensor_names_that_are_long_odd_or_twice() {
    for name in [&b""[..], b"a b", b"a\n", b"a\0b", b"\xc3\xa9", &[b'a'; 64], &[b'a'; 1 << 20]] {
        let mut file = Gguf::valid();
        file.tensors[0].name = name.to_vec();
        file.refused_by(Rule::G09);
    }
    let mut file = Gguf::valid();
    file.tensors.push(file.tensors[0].clone());
    file.refused_by(Rule::G09);
    let mut file = Gguf::valid();
    // Long enough for ggml; only that no model has such a tensor.
    file.tensors[0].name = vec![b'a'; 63];
    file.refused_by(Rule::S04);
}

#[test]
fn p2_g10_refuses_shapes_that_are_empty_or_overflow() {
    for dimensions in [
        vec![],
        vec![0],
        vec![8, 0],
        vec![1; 5],
        vec![(1 << 40) + 1],
        vec![1 << 40, 1 << 40],
        vec![1 << 32, 1 << 32],
        vec![u64::MAX, u64::MAX, u64::MAX, u64::MAX],
        vec![1 << 16, 1 << 16, 1 << 16, 2],
    ] {
        let mut file = Gguf::valid();
        file.tensors[0].dimensions = dimensions;
        file.refused_by(Rule::G10);
    }
}

#[test]
fn p2_g11_refuses_removed_types_and_broken_blocks() {
    for kind in [4, 5, 31, 32, 33, 36, 37, 38, 43, 1 << 31, u32::MAX] {
        let mut file = Gguf::valid();
        file.tensors[0].kind = kind;
        file.refused_by(Rule::G11);
    }
    let mut file = Gguf::valid();
    file.tensors[0].kind = TYPE_Q8_0;
    file.refused_by(Rule::G11);
}

#[test]
fn p2_g12_refuses_tensors_that_overlap_leave_gaps_or_lie_outside() {
    for (index, offset) in [(0, 32), (1, 0), (1, 32), (1, 256), (1, 225), (1, u64::MAX), (1, u64::MAX - 31)] {
        let mut file = Gguf::valid();
        file.tensors[index].offset = Some(offset);
        file.refused_by(Rule::G12);
    }
    let mut bytes = Gguf::valid().bytes();
    bytes.truncate(bytes.len() - 17);
    assert_eq!(lint_bytes(&bytes).first_refusal().unwrap().rule, Rule::G12);
}

#[test]
fn p2_g13_refuses_bytes_hidden_in_the_padding() {
    let mut file = Gguf::valid();
    file.padding = 1;
    file.refused_by(Rule::G13);
    // Only in the padding after the last tensor: a header lint does not look there, a deep one does.
    let mut bytes = Gguf::valid().bytes();
    *bytes.last_mut().unwrap() = 1;
    assert_eq!(lint_gguf(&bytes[..], bytes.len() as u64).verdict, Verdict::Pass);
    assert_eq!(lint_bytes(&bytes).first_refusal().unwrap().rule, Rule::G13);
}

#[test]
fn p2_g14_refuses_a_tail() {
    for tail in [1, 32, 4096] {
        let mut file = Gguf::valid();
        file.tail = vec![0; tail];
        file.refused_by(Rule::G14);
    }
}

#[test]
fn p2_a_file_cut_at_any_byte_is_refused() {
    let bytes = Gguf::valid().bytes();
    for len in 0..bytes.len() - 16 {
        let cut = bytes.get(..len).unwrap();
        assert_eq!(lint_bytes(cut).verdict, Verdict::Refuse, "{len}");
        // The same with a caller who was told the whole length.
        assert_ne!(lint(cut, bytes.len() as u64, Depth::Padding).verdict, Verdict::Pass, "{len}");
    }
}

#[test]
fn p2_what_is_not_gguf_is_refused_by_name() {
    for (bytes, format) in [
        (&b"PK\x03\x04archive/data.pkl"[..], Format::Zip),
        (b"\x80\x02}q\x00.", Format::Pickle),
        (b"\x10\0\0\0\0\0\0\0{\"a\":1}", Format::Safetensors),
        (b"", Format::Unrecognized),
        (b"GGU", Format::Unrecognized),
        (b"#!/bin/sh\n", Format::Unrecognized),
    ] {
        let report = vet(bytes, bytes.len() as u64, Depth::Header);
        assert_eq!((report.verdict, report.format), (Verdict::Refuse, format));
        assert_eq!(report.first_refusal().unwrap().rule, Rule::F01);
    }
    let bytes = Gguf::valid().bytes();
    assert!(vet(&bytes[..], bytes.len() as u64, Depth::Padding).passed());
}

#[test]
fn p5_a_reader_that_fails_is_unknown_and_not_pass() {
    struct Broken(usize);
    impl std::io::Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.0 == 0 {
                return Err(std::io::Error::other("disk on fire"));
            }
            let now = self.0.min(buffer.len());
            self.0 -= now;
            buffer[..now].copy_from_slice(&b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0"[..now]);
            Ok(now)
        }
    }
    assert_eq!(lint_gguf(Broken(16), 4096).verdict, Verdict::Unknown);
    assert_eq!(vet(Broken(0), 4096, Depth::Header).verdict, Verdict::Unknown);
    assert_eq!(vet(Broken(16), 4096, Depth::Header).verdict, Verdict::Unknown);
}

#[test]
fn a_report_survives_json() {
    let report = Gguf::valid().refused_twice();
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<croft_vetting::report::Report>(&json).unwrap(), report);
    assert!(json.contains("\"verdict\":\"refuse\"") && json.contains("\"rule\":\"S01\""), "{json}");
}

impl Gguf {
    fn refused_twice(mut self) -> croft_vetting::report::Report {
        self.set("general.type", TEXT, text("adapter")).set("llama.block_count", U32, vec![2, 0, 0, 0]).lint()
    }
}
