//! What a judgement allocates, counted: it stays within 64 MB whatever the file claims or holds.
#![allow(unsafe_code)] // A counting allocator can only be written so.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Read;

use croft_vetting::gguf::{Depth, lint};
use croft_vetting::limits;
use croft_vetting::report::Report;
use proptest::prelude::*;

use crate::builder::*;

/// What a judgement may take.
const MEMORY_MAX: usize = limits::MEMORY_MAX as usize;

thread_local! {
    /// Bytes that this thread holds, and the most it has held. Tests beside it count their own.
    static HELD: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(change: impl Fn(usize) -> usize) {
    // A thread that is ending counts no more.
    let _ = HELD.try_with(|held| {
        let (now, most) = held.get();
        let now = change(now);
        held.set((now, most.max(now)));
    });
}

// SAFETY: every call goes on to the system's allocator with the caller's own arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(|held| held.saturating_add(layout.size()));
        // SAFETY: the caller keeps the contract, and it is passed on unchanged.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(|held| held.saturating_sub(layout.size()));
        // SAFETY: the caller keeps the contract, and it is passed on unchanged.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// The report, and the most that was held on the way to it.
fn measured(judge: impl FnOnce() -> Report) -> (Report, usize) {
    HELD.with(|held| held.set((0, 0)));
    let report = judge();
    (report, HELD.with(Cell::get).1)
}

/// Counts what is read.
struct Counted<R> {
    reader: R,
    read: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.reader.read(into)?;
        self.read += count as u64;
        Ok(count)
    }
}

/// Of a model of ten gigabytes nothing is read but the header: that it takes milliseconds follows.
#[test]
fn p2_the_weights_of_a_large_model_are_not_read_for_its_header() {
    let (header, len) = Gguf::family("llama", 4096, 20).header();
    assert!(len > 10_000_000_000, "{len} bytes");
    let weights = std::io::repeat(0x5a).take(len - header.len() as u64);
    let mut file = Counted { reader: header.chain(weights), read: 0 };
    let (report, held) = measured(|| lint(&mut file, len, Depth::Header));
    assert!(report.passed(), "{report:#?}");
    assert!(
        file.read <= header.len() as u64 + (1 << 20),
        "{} of {} bytes of header",
        file.read,
        header.len()
    );
    assert!(held < 4 << 20, "{held} bytes held");
}

/// A file that goes on forever, for claims that nothing stands behind.
fn endless(bytes: &[u8]) -> impl Read {
    bytes.chain(std::io::repeat(b'a'))
}

/// A vocabulary of so many tokens, with as many merges.
pub fn vocabulary(tokens: u32) -> Gguf {
    let mut file = Gguf::family("qwen2", 8, 1);
    let names: Vec<String> = (0..tokens).map(|id| format!("t{id:x}")).collect();
    file.set("tokenizer.ggml.tokens", ARRAY, texts(&names));
    file.set("tokenizer.ggml.scores", ARRAY, array(F32, &vec![vec![0; 4]; tokens as usize]));
    let types: Vec<Vec<u8>> = (0..tokens).map(|id| vec![if id == 2 { 3 } else { 1 }, 0, 0, 0]).collect();
    file.set("tokenizer.ggml.token_type", ARRAY, array(I32, &types));
    let merges: Vec<String> = (0..tokens / 2).map(|id| format!("t{id:x} t{:x}", id + 1)).collect();
    file.set("tokenizer.ggml.merges", ARRAY, texts(&merges));
    file.tensors[0] = tensor("token_embd.weight", &[8, u64::from(tokens)]);
    file
}

#[test]
fn p2_a_large_vocabulary_stays_within_its_memory() {
    let bytes = vocabulary(262_144).bytes();
    let (report, most) = measured(|| lint(&bytes[..], bytes.len() as u64, Depth::Full));
    assert!(report.passed(), "{report:#?}");
    println!("memory for 256 k tokens: {:.1} MB", most as f64 / 1e6);
    assert!(most < MEMORY_MAX, "{most}");
}

#[test]
fn p2_no_claim_and_no_content_takes_more_than_64_mb() {
    let mut cases = Vec::new();
    for kind in [U8, U32, F32, TEXT, 12] {
        let claim = [&kind.to_le_bytes()[..], &(1_u64 << 24).to_le_bytes()].concat();
        cases.push(Gguf::empty().set("x.y", ARRAY, claim).bytes());
    }
    cases.push(Gguf::empty().set("x.y", TEXT, (1_u64 << 40).to_le_bytes().to_vec()).bytes());
    let mut many = Gguf::empty();
    many.tensor_count = Some(65_536);
    cases.push(many.bytes());
    for bytes in cases {
        let (report, most) = measured(|| lint(endless(&bytes), 1 << 50, Depth::Full));
        assert!(!report.passed());
        assert!(most < MEMORY_MAX, "{most}");
    }
    // As many, and as short, as they come: a million tokens of few bytes, and metadata up to its bound.
    let mut full = vocabulary(1 << 20);
    full.set("x.blob", ARRAY, array(U8, &vec![vec![0]; 4 << 20]));
    let bytes = full.remove("tokenizer.ggml.merges").bytes();
    let (_, most) = measured(|| lint(&bytes[..], bytes.len() as u64, Depth::Header));
    println!("memory for {} MB of metadata: {:.1} MB", bytes.len() / 1_000_000, most as f64 / 1e6);
    assert!(most < MEMORY_MAX, "{most}");
}

#[test]
fn p2_no_file_of_the_corpora_takes_more_than_64_mb() {
    let all = crate::corpus::hostile().into_iter().chain(crate::corpus::honest());
    let (name, most) = all
        .map(|sample| {
            let (_, most) = measured(|| crate::corpus::judge(&sample.bytes));
            (format!("{}: {}", sample.technique, sample.name), most)
        })
        .max_by_key(|(_, most)| *most)
        .unwrap();
    println!("the most of the corpora: {:.1} MB, {name}", most as f64 / 1e6);
    assert!(most < MEMORY_MAX, "{most}: {name}");
}

#[test]
fn p2_no_archive_and_no_pickle_takes_more_than_64_mb() {
    let zeros = vec![0; 30 << 20];
    let member = crate::corpus::write::member("a", &zeros);
    let held = crate::corpus::write::gzip(&crate::corpus::write::zip(&[member]));
    let memo: Vec<u8> = (0..1_000_000_u32).flat_map(|i| [&b"Nr"[..], &i.to_le_bytes()].concat()).collect();
    let texts: Vec<u8> = (0..400_000)
        .flat_map(|i| [b"\x8c\x18", format!("{i:024}").as_bytes(), b"\x94\x85\x94"].concat())
        .collect();
    let cases = [
        ("a long zip in gzip", held),
        ("a full memo", [b"\x80\x04", &memo[..], b"."].concat()),
        ("texts and tuples", [b"\x80\x04", &texts[..], b"."].concat()),
        ("a full stack", [b"\x80\x04", &b"N".repeat(1 << 20)[..]].concat()),
        ("a long text in JSON", [b"[\"", &b"a".repeat(30 << 20)[..], b"\"]"].concat()),
        ("zeros in gzip in gzip", crate::corpus::write::gzip(&crate::corpus::write::gzip(&zeros))),
    ];
    for (name, bytes) in cases {
        let (_, most) = measured(|| crate::corpus::judge(&bytes));
        println!("{name}: {:.1} MB", most as f64 / 1e6);
        assert!(most < MEMORY_MAX, "{most}: {name}");
    }
}

#[test]
fn p2_a_header_of_ten_gigabytes_is_judged_without_its_weights() {
    let path = std::env::temp_dir().join(format!("croft-sparse-{}.gguf", std::process::id()));
    let mut file = Gguf::family("llama", 4096, 1);
    // Wide enough that the output alone takes ten gigabytes, of which none is written.
    let rows = 640_000_u64;
    let names: Vec<String> = (0..rows).map(|id| format!("{id:x}")).collect();
    file.set("tokenizer.ggml.tokens", ARRAY, texts(&names));
    file.set("tokenizer.ggml.scores", ARRAY, array(F32, &vec![vec![0; 4]; names.len()]));
    let types: Vec<Vec<u8>> = (0..rows).map(|id| vec![if id == 2 { 3 } else { 1 }, 0, 0, 0]).collect();
    file.set("tokenizer.ggml.token_type", ARRAY, array(I32, &types));
    let mut header = file.clone();
    let mut len = 0_u64;
    for tensor in &mut header.tensors {
        if matches!(&tensor.name[..], b"token_embd.weight" | b"output.weight") {
            tensor.dimensions[1] = rows;
        }
        tensor.offset = Some(len);
        len += tensor.dimensions.iter().product::<u64>() * 4;
        // What the writer would put there is left out: the file is as long, and has no such bytes.
        tensor.len = 0;
    }
    let header = header.bytes();
    let total = header.len() as u64 + len;
    let written = std::fs::File::create(&path).and_then(|out| {
        std::io::Write::write_all(&mut &out, &header)?;
        out.set_len(total)
    });
    let opened = written.and_then(|()| std::fs::File::open(&path)).unwrap();
    std::fs::remove_file(&path).unwrap();
    let before = std::time::Instant::now();
    let (report, most) = measured(|| lint(&opened, total, Depth::Header));
    println!("header of {} GB: {:?}, {:.1} MB", total / 1_000_000_000, before.elapsed(), most as f64 / 1e6);
    assert!(report.passed(), "{report:#?}");
    assert!(total > 10_000_000_000 && most < MEMORY_MAX, "{most}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn p2_damage_anywhere_in_any_family_never_panics_and_never_takes_memory(
        family in 0..crate::families::FAMILIES.len(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u64>(), 0_u32..64), 1..6),
    ) {
        let name = crate::families::FAMILIES[family];
        let mut bytes = Gguf::family(name, 8, 1).bytes();
        for (index, value, shift) in damage {
            let at = index.index(bytes.len() - 8);
            bytes[at..at + 8].copy_from_slice(&(value >> shift).to_le_bytes());
        }
        let (report, most) = measured(|| lint(endless(&bytes), 1 << 40, Depth::Header));
        prop_assert!(report.findings.len() <= croft_vetting::limits::FINDINGS_MAX);
        prop_assert!(most < MEMORY_MAX);
        let (_, most) = measured(|| lint(&bytes[..], bytes.len() as u64, Depth::Full));
        // A small file takes little: what it holds, and the buffers.
        prop_assert!(most < 4_000_000, "{}", most);
    }
}
