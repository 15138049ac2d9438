//! Time and memory of the scanner for its worst inputs. Prints milliseconds beside the bound of 50 ms a megabyte plus
//! 20 ms; nothing is asserted. Run with `cargo bench -p croft-vetting --bench scan`.

use std::io::{Cursor, Write};
use std::time::Instant;

use bzip2::write::BzEncoder;
use croft_vetting::report::Verdict;
use croft_vetting::scan::scan;
use flate2::Compression;
use flate2::write::{DeflateEncoder, ZlibEncoder};

const MIB: usize = 1 << 20;

fn main() {
    println!("{:<34} {:>9} {:>8} {:>9} {:>9}  verdict", "input", "bytes", "ms", "bound ms", "peak MiB");
    for (name, bytes) in inputs() {
        let before = memory_mib("VmRSS:");
        // The kernel then counts the highest memory anew.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        let begin = Instant::now();
        let report = scan(&mut Cursor::new(&bytes), bytes.len() as u64);
        let took = begin.elapsed().as_secs_f64() * 1000.0;
        let bound = bytes.len() as f64 / 1e6 * 50.0 + 20.0;
        let verdict = match report.verdict {
            Verdict::Pass => "pass",
            Verdict::Refuse => "refuse",
            Verdict::Unknown => "unknown",
        };
        let peak = memory_mib("VmHWM:").saturating_sub(before);
        println!("{name:<34} {:>9} {took:>8.1} {bound:>9.1} {peak:>9}  {verdict}", bytes.len());
    }
}

/// Memory of this process, in MiB, or 0 where the kernel does not say.
fn memory_mib(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn inputs() -> Vec<(&'static str, Vec<u8>)> {
    let pickle = |body: &[u8]| [b"\x80\x04", body, b"."].concat();
    let memo: Vec<u8> =
        (0..200_000_u32).flat_map(|i| [&b"Nr"[..], &i.to_le_bytes(), b"0"].concat()).collect();
    let globals = b"ca\nb\n0".repeat(MIB / 6);
    let lines = b"I1\n0".repeat(MIB / 4);
    let texts: Vec<u8> =
        (0..40_000).flat_map(|i| [b"\x8c\x18", format!("{i:024}").as_bytes(), b"\x94"].concat()).collect();
    let tensors: Vec<String> = (0..10_000)
        .map(|i| format!(r#""t{i}":{{"dtype":"U8","shape":[1],"data_offsets":[{i},{}]}}"#, i + 1))
        .collect();
    let header = format!("{{{}}}", tensors.join(","));
    let safetensors = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; 10_000]].concat();
    let mut hdf5 = b"\x89HDF\r\n\x1a\n\0\0\0\0\0\x08\x08\0\x04\0\x10\0\0\0\0\0".to_vec();
    hdf5.extend([0; 8]);
    hdf5.extend([0xff; 8]);
    hdf5.extend((MIB as u64).to_le_bytes());
    hdf5.resize(MIB, b'm');
    vec![
        ("pickle of one-byte opcodes", pickle(&b"N0".repeat(MIB / 2))),
        ("pickle with a full stack", pickle(&vec![b'N'; MIB])),
        ("pickle of marks", pickle(&vec![b'('; MIB])),
        ("pickle with a large memo", pickle(&memo)),
        ("pickle that remembers texts", pickle(&texts)),
        ("pickle of refused imports", pickle(&globals)),
        ("pickle of text lines", pickle(&lines)),
        ("10,000,001 opcodes", pickle(&b"N0".repeat(5_000_001))),
        ("JSON of small values", [&b"["[..], &b"1,".repeat(MIB / 2), b"1]"].concat()),
        ("JSON of texts", [&b"["[..], &b"\"a\",".repeat(MIB / 4), b"1]"].concat()),
        ("safetensors of 10,000 tensors", safetensors),
        ("HDF5 of near hits", hdf5),
        ("zip of 5,000 members", zip(5_000, b"{}", false)),
        ("zip that expands 36 times", zip(1, &dense(90 * MIB), true)),
        ("bzip2 of JSON of small values", {
            let mut encoder = BzEncoder::new(Vec::new(), bzip2::Compression::best());
            encoder.write_all(&numbers(4 * MIB)).expect("memory");
            encoder.finish().expect("memory")
        }),
        ("zlib of JSON of small values", {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(&numbers(6 * MIB)).expect("memory");
            encoder.finish().expect("memory")
        }),
        ("zlib that expands 36 times", {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(&dense(90 * MIB)).expect("memory");
            encoder.finish().expect("memory")
        }),
    ]
}

/// A pickle's bytes that shrink about 36 times: runs with some noise between them.
fn dense(len: usize) -> Vec<u8> {
    let mut out = b"\x80\x04".to_vec();
    let mut state = 1_u32;
    while out.len() < len {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise: Vec<u8> = (0..8).map(|i| b'a' + (state >> (i * 3)) as u8 % 26).collect();
        out.extend(b"C\xff");
        out.extend(&noise);
        out.extend([0; 247]);
        out.push(b'0');
    }
    out.extend(b"N.");
    out
}

fn zip(count: usize, content: &[u8], deflate: bool) -> Vec<u8> {
    let packed = if deflate {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(content).expect("memory");
        encoder.finish().expect("memory")
    } else {
        content.to_vec()
    };
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    let method: [u8; 2] = if deflate { [8, 0] } else { [0, 0] };
    let crc = crc32fast::hash(content).to_le_bytes();
    let lens = [(packed.len() as u32).to_le_bytes(), (content.len() as u32).to_le_bytes()].concat();
    for index in 0..count {
        let name = format!("m{index:06}");
        let fields = [&[0, 0], &method[..], &[0; 4], &crc, &lens, &[7, 0, 0, 0]].concat();
        directory.extend(
            [&b"PK\x01\x02\x14\0\x14\0"[..], &fields, &[0; 10], &(out.len() as u32).to_le_bytes()].concat(),
        );
        directory.extend(name.as_bytes());
        out.extend([&b"PK\x03\x04\x14\0"[..], &fields, name.as_bytes(), &packed].concat());
    }
    let begin = out.len() as u32;
    let counts = [(count as u16).to_le_bytes(); 2].concat();
    out.extend(&directory);
    out.extend(
        [
            &b"PK\x05\x06\0\0\0\0"[..],
            &counts,
            &(directory.len() as u32).to_le_bytes(),
            &begin.to_le_bytes(),
            &[0, 0],
        ]
        .concat(),
    );
    out
}

/// A list of digits in an order that hardly repeats.
fn numbers(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let digits = (0..len / 2).flat_map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        [b',', b'0' + (state >> 24) as u8 % 10]
    });
    let mut list: Vec<u8> = digits.collect();
    list[0] = b'[';
    list.push(b']');
    list
}
