//! Changed, cut and padded blobs.

use std::fs::File;
use std::io::Write as _;

use croft_domain::bundle::{BundleFile, FileRole};
use croft_trust::digest::{BlobError, describe_file, sha256, sha256_reader, verify_chunk, verify_file};
use tempfile::NamedTempFile;

const CHUNK: u64 = 1 << 16;

/// A blob of 40 chunks and a bit, with its description.
fn blob() -> (NamedTempFile, Vec<u8>, BundleFile) {
    let bytes: Vec<u8> =
        (0..40 * CHUNK as u32 + 7).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (file, described) = describe(&bytes);
    (file, bytes, described)
}

fn describe(bytes: &[u8]) -> (NamedTempFile, BundleFile) {
    let mut file = NamedTempFile::new().expect("a file");
    file.write_all(bytes).expect("written");
    let mut opened = File::open(file.path()).expect("opened");
    let (sha256, len_bytes, chunks) = describe_file(&mut opened, CHUNK).expect("described");
    (file, BundleFile { role: FileRole::Weights, sha256, len_bytes, chunk_len_bytes: CHUNK, chunks })
}

#[test]
fn description_agrees_with_hashing_in_one_piece() {
    let (file, bytes, described) = blob();
    assert_eq!((described.sha256, described.len_bytes), (sha256(&bytes), bytes.len() as u64));
    assert_eq!(sha256_reader(&bytes[..]).expect("read"), (described.sha256, described.len_bytes));
    assert_eq!(described.chunks.len(), 41);
    for (piece, digest) in bytes.chunks(CHUNK as usize).zip(&described.chunks) {
        assert!(verify_chunk(piece, digest) && !verify_chunk(&piece[1..], digest));
    }
    verify_file(file.as_file(), &described).expect("the approved bytes");
}

#[test]
fn description_of_more_than_one_window() {
    // 64 KiB chunks in windows of at most four for each core: this is several windows on any machine.
    let bytes = vec![7; (CHUNK * (4 * 64 + 3)) as usize];
    let (_file, described) = describe(&bytes);
    assert_eq!((described.sha256, described.chunks.len()), (sha256(&bytes), 259));
    let (_file, described) = describe(&bytes[..CHUNK as usize]);
    assert_eq!(described.chunks.len(), 1);
}

#[test]
fn p2_flipped_byte_names_its_chunk() {
    let (_file, bytes, described) = blob();
    for at in [0, CHUNK - 1, CHUNK, 17 * CHUNK + 5, bytes.len() as u64 - 1] {
        let mut changed = bytes.clone();
        changed[at as usize] ^= 1;
        let (file, _) = describe(&changed);
        match verify_file(file.as_file(), &described) {
            Err(error @ BlobError::Corrupt { chunk, offset }) => {
                assert_eq!((chunk as u64, offset), (at / CHUNK, at / CHUNK * CHUNK));
                assert_eq!(error.code().as_str(), "E-BLOB-CORRUPT");
            }
            other => panic!("byte {at}: {other:?}"),
        }
    }
}

#[test]
fn p2_first_of_several_bad_chunks_is_named() {
    let (_file, bytes, described) = blob();
    let mut changed = bytes;
    for chunk in [9, 10, 11, 30] {
        changed[(chunk * CHUNK) as usize] ^= 1;
    }
    let (file, _) = describe(&changed);
    for _ in 0..50 {
        assert!(matches!(verify_file(file.as_file(), &described), Err(BlobError::Corrupt { chunk: 9, .. })));
    }
}

#[test]
fn p2_truncated_or_padded() {
    let (_file, bytes, described) = blob();
    for len in [0, 1, CHUNK as usize, bytes.len() - 1] {
        let (file, _) = describe(&bytes[..len]);
        let error = verify_file(file.as_file(), &described).expect_err("refused");
        assert_eq!(error.code().as_str(), "E-BLOB-TRUNCATED", "{len}");
    }
    let (file, _) = describe(&[&bytes[..], b"x"].concat());
    let error = verify_file(file.as_file(), &described).expect_err("refused");
    assert_eq!(error.code().as_str(), "E-BLOB-CORRUPT");
}

#[test]
fn p2_too_few_listed_chunks_do_not_pass() {
    let (file, _, mut described) = blob();
    described.chunks.pop();
    // `Manifest::validate` refuses such a list; this shows what happens if somebody forgets to ask it.
    assert!(verify_file(file.as_file(), &described).is_err());
    described.chunks.clear();
    assert!(verify_file(file.as_file(), &described).is_err());
}
