//! Hashing beside the programs that people measure by: SHA-256 beside `openssl speed`, the BLAKE3 chunk tree beside
//! `b3sum`. Pairs are interleaved, since a shared machine drifts; medians and their ratio are printed. A peer that is not
//! installed is named and left out (`B3SUM` says where it is, if not on the path).
//!
//! `cargo bench -p croft-trust --bench peers`. The file comes from the page cache, so this measures hashing and not disks.

use std::fs::File;
use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use croft_domain::bundle::{BundleFile, FileRole};
use croft_trust::digest::{describe_file, sha256, verify_file};

const PAIRS: usize = 7;
const BLOCK_LEN: usize = 1 << 20;
const SHA_LEN: usize = 1 << 30;
const FILE_LEN: u64 = 1 << 30;
const CHUNK_LEN: u64 = 4 << 20;

fn main() {
    sha256_beside_openssl();
    blake3_beside_b3sum();
}

/// Prints the medians of both in MB/s and the first over the second.
fn print(what: &str, peer: &str, ours: &mut [f64], theirs: &mut [f64]) {
    ours.sort_by(f64::total_cmp);
    theirs.sort_by(f64::total_cmp);
    let (own, other) = (ours[ours.len() / 2], theirs[theirs.len() / 2]);
    println!(
        "{what}: {own:.0} MB/s, {peer}: {other:.0} MB/s, ratio {:.2} (medians of {})",
        own / other,
        ours.len()
    );
}

fn megabytes_per_second(bytes: usize, run: impl FnOnce()) -> f64 {
    let began = Instant::now();
    run();
    bytes as f64 / 1e6 / began.elapsed().as_secs_f64()
}

fn sha256_beside_openssl() {
    let block = vec![0x5a_u8; BLOCK_LEN];
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for _ in 0..PAIRS {
        ours.push(megabytes_per_second(SHA_LEN, || {
            (0..SHA_LEN / BLOCK_LEN).for_each(|_| {
                black_box(sha256(black_box(&block)));
            });
        }));
        let Some(speed) = openssl_speed() else {
            println!("SHA-256: openssl is not installed, nothing to compare with");
            return;
        };
        theirs.push(speed);
    }
    print("SHA-256, one core", "openssl speed", &mut ours, &mut theirs);
}

/// MB/s of elapsed time, as ours are, as `openssl speed -mr` reports it; on one core as well.
fn openssl_speed() -> Option<f64> {
    let block = BLOCK_LEN.to_string();
    let arguments = ["speed", "-elapsed", "-mr", "-seconds", "1", "-bytes", &block, "-evp", "sha256"];
    let output = Command::new("openssl").args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.starts_with("+F:"))?;
    line.rsplit(':').next()?.trim().parse::<f64>().ok().map(|bytes| bytes / 1e6)
}

fn blake3_beside_b3sum() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model");
    let mut file = File::create_new(&path).expect("a file");
    let piece: Vec<u8> = (0..1 << 20).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    (0..FILE_LEN >> 20).for_each(|_| file.write_all(&piece).expect("written"));
    let mut file = File::open(&path).expect("opened");
    let (sha256, len_bytes, chunks) = describe_file(&mut file, CHUNK_LEN).expect("described");
    let expected =
        BundleFile { role: FileRole::Weights, sha256, len_bytes, chunk_len_bytes: CHUNK_LEN, chunks };
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for _ in 0..PAIRS {
        let length = usize::try_from(FILE_LEN).expect("it fits");
        ours.push(megabytes_per_second(length, || {
            verify_file(black_box(&file), black_box(&expected)).expect("the same bytes");
        }));
        let Some(speed) = b3sum_speed(&path, length) else {
            println!("BLAKE3: b3sum is not installed, nothing to compare with");
            return;
        };
        theirs.push(speed);
    }
    print("BLAKE3 chunk tree, all cores", "b3sum", &mut ours, &mut theirs);
}

fn b3sum_speed(path: &Path, length: usize) -> Option<f64> {
    let program = std::env::var_os("B3SUM").unwrap_or_else(|| "b3sum".into());
    let mut is_done = false;
    let speed = megabytes_per_second(length, || {
        is_done = Command::new(program).arg(path).output().is_ok_and(|output| output.status.success());
    });
    is_done.then_some(speed)
}
