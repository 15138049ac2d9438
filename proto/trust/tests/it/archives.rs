//! Archives for air gaps: what is written is read again, and what somebody changed on the way is refused.

use std::collections::BTreeMap;
use std::io::Read;

use croft_domain::code::Code;
use croft_domain::digest::Sha256Digest;
use croft_domain::id::{FleetId, NodeId, RecallId};
use croft_domain::signed::Envelope;
use croft_trust::archive::{ArchiveError, Documents, Header, Incoming, Outgoing};
use croft_trust::digest::sha256;
use croft_trust::tar::Writer;

const BLOB: &[u8] = b"the bytes of a model";

fn documents() -> Documents {
    let envelope = |text: &str| Envelope {
        payload: text.as_bytes().to_vec(),
        signature: vec![1, 2, 3],
        key_id: Sha256Digest([7; 32]),
    };
    let long = format!("{}.bundle.{}.1.json", "a".repeat(64), "n".repeat(63));
    Documents {
        header: Header {
            schema: 1,
            fleet: FleetId([9; 16]),
            bundles: vec!["starter@1".parse().expect("a reference")],
        },
        trust: BTreeMap::from([
            ("1.root.json".to_owned(), b"{}".to_vec()),
            ("timestamp.json".to_owned(), vec![b'x'; 3000]),
            (long, b"manifest".to_vec()),
        ]),
        recalls: BTreeMap::from([(RecallId([3; 16]), envelope("recall"))]),
        leases: BTreeMap::from([(NodeId([4; 16]), envelope("lease"))]),
    }
}

fn archive() -> Vec<u8> {
    let mut outgoing = Outgoing::begin(Vec::new(), &documents()).expect("begun");
    outgoing.blob(sha256(BLOB), BLOB.len() as u64, &mut &BLOB[..]).expect("written");
    outgoing.finish().expect("finished")
}

type Blobs = Vec<(Sha256Digest, Vec<u8>)>;

/// Reads to the end, as a node does.
fn read(bytes: &[u8]) -> Result<(Documents, Blobs), ArchiveError> {
    let (mut incoming, documents) = Incoming::open(bytes)?;
    let mut blobs = Vec::new();
    while let Some((digest, _)) = incoming.next_blob()? {
        let mut content = Vec::new();
        let read = incoming.read_to_end(&mut content);
        read.map_err(|source| croft_trust::tar::TarError::Io { offset: 0, source })?;
        blobs.push((digest, content));
    }
    Ok((documents, blobs))
}

fn refused(bytes: &[u8], what: &str) -> String {
    let error = read(bytes).expect_err(what);
    assert_eq!(error.code(), Code::ArchiveRefused, "{what}");
    error.to_string()
}

/// An archive of these entries, under whatever names.
fn of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (name, bytes) in entries {
        writer.file(name, bytes.len() as u64, &mut &bytes[..]).expect("written");
    }
    writer.finish().expect("finished")
}

fn header() -> Vec<u8> {
    serde_json::to_vec(&documents().header).expect("a header")
}

#[test]
fn what_is_written_is_read_again_and_is_the_same_twice() {
    assert_eq!(archive(), archive());
    let (read_documents, blobs) = read(&archive()).expect("read");
    assert_eq!(read_documents, documents());
    assert_eq!(blobs, [(sha256(BLOB), BLOB.to_vec())]);
}

#[test]
fn p2_names_that_climb_or_are_unknown_are_refused() {
    let header = header();
    for name in [
        "trust/../../etc/passwd",
        "../trust/1.root.json",
        "/trust/1.root.json",
        "trust//1.root.json",
        "trust/.hidden",
        "trust/a\u{202e}b",
        "./trust/1.root.json",
        "blobs/sha256/../x",
        "blobs/sha256/ABCDEF",
        "recalls/x.json",
        "leases/../x.json",
        "identity/key",
        "readme",
    ] {
        refused(&of(&[("croft-archive.json", &header), (name, b"x")]), name);
    }
    let upper = format!("blobs/sha256/{}", sha256(BLOB).hex().to_uppercase());
    refused(&of(&[("croft-archive.json", &header), (&upper, BLOB)]), "another spelling of a digest");
}

#[test]
fn p2_doubles_and_another_order_are_refused() {
    let header = header();
    let blob = format!("blobs/sha256/{}", sha256(BLOB).hex());
    let h: (&str, &[u8]) = ("croft-archive.json", &header);
    for (what, entries) in [
        ("two headers", vec![h, h]),
        ("no header", vec![("trust/1.root.json", b"{}".as_slice())]),
        ("a file twice", vec![h, ("trust/1.root.json", b"{}"), ("trust/1.root.json", b"[]")]),
        ("a blob twice", vec![h, (&blob, BLOB), (&blob, BLOB)]),
        ("metadata behind blobs", vec![h, (&blob, BLOB), ("trust/1.root.json", b"{}")]),
        ("falling names", vec![h, ("trust/b", b""), ("trust/a", b"")]),
    ] {
        refused(&of(&entries), what);
    }
}

#[test]
fn p9_an_archive_cut_anywhere_is_refused() {
    let whole = archive();
    for len in (0..whole.len()).step_by(61).chain(whole.len() - 1025..whole.len()) {
        refused(&whole[..len], &format!("cut at {len}"));
    }
}

#[test]
fn p2_what_lies_behind_the_end_is_refused() {
    for extra in [vec![0], vec![1], vec![0; 512], archive()] {
        refused(&[archive(), extra].concat(), "extra bytes");
    }
}

#[test]
fn p2_links_are_refused() {
    for kind in *b"1234567S" {
        let mut bytes = archive();
        bytes[156] = kind;
        let sum: u32 =
            (0..512).map(|at| if (148..156).contains(&at) { 32 } else { u32::from(bytes[at]) }).sum();
        bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        refused(&bytes, "a link");
    }
}

#[test]
fn p2_giant_lengths_cost_nothing() {
    // Base 256: 2^63 bytes of metadata, and the same of a recall; nothing is allocated for a claim.
    for name in ["trust/1.root.json", "recalls/03030303030303030303030303030303.json"] {
        let mut bytes = of(&[("croft-archive.json", &header()), (name, b"x")]);
        let at = bytes.len() - 4 * 512;
        bytes[at + 124..at + 136].copy_from_slice(&[0x80, 0, 0, 0, 0x7f, 255, 255, 255, 255, 255, 255, 255]);
        let sum: u32 =
            (0..512).map(|i| if (148..156).contains(&i) { 32 } else { u32::from(bytes[at + i]) }).sum();
        bytes[at + 148..at + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        assert!(refused(&bytes, "a giant").contains("shorter file"));
    }
}

#[test]
fn p2_too_many_recalls_are_refused() {
    let envelope = br#"{"payload":"","signature":"","key_id":"sha256:0000000000000000000000000000000000000000000000000000000000000000"}"#;
    let header = header();
    let names: Vec<String> = (0..1025).map(|i| format!("recalls/{i:032x}.json")).collect();
    let mut entries: Vec<(&str, &[u8])> = vec![("croft-archive.json", &header)];
    entries.extend(names.iter().map(|name| (name.as_str(), envelope.as_slice())));
    assert!(refused(&of(&entries), "too many").contains("fewer files"));
    entries.pop();
    assert_eq!(read(&of(&entries)).expect("as many as allowed").0.recalls.len(), 1024);
}
