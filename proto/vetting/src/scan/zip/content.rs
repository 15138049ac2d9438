//! What the members hold: each judged by content, PyTorch's archives by their own layout.

use flate2::read::DeflateDecoder;

use super::super::Scan;
use super::super::compressed::Bounded;
use super::super::limits::{EXPANSION_FREE_LEN, EXPANSION_MAX};
use super::super::pickle::{self, Persistent};
use super::super::source::{Source, Stop};
use super::{Entry, Storages};
use crate::report::{Format, Rule};

/// How a member is looked at.
enum Look<'l> {
    ByContent,
    Weights,
    /// A version or byte order in a line of text.
    Marker,
    Pickle(&'l mut Storages),
}

pub(super) fn judge(scan: &mut Scan, source: &mut Source<'_>, entries: &[Entry]) -> Result<Format, Stop> {
    let main = entries.iter().position(|entry| entry.name.ends_with(b"/data.pkl"));
    let mut storages = Storages::new();
    let mut prefix: &[u8] = &[];
    if let Some(entry) = main.and_then(|index| entries.get(index)) {
        prefix = entry.name.strip_suffix(b"data.pkl").unwrap_or_default();
        one(scan, source, entry, Look::Pickle(&mut storages))?;
    }
    let mut seen = 0;
    for (index, entry) in entries.iter().enumerate() {
        if main == Some(index) {
            continue;
        }
        let inner = entry.name.strip_prefix(prefix).filter(|_| main.is_some()).unwrap_or_default();
        let storage = inner.strip_prefix(b"data/").and_then(|key| storages.get(key));
        let look = match (storage, inner) {
            (Some(len), _) if *len != entry.len => {
                let message = format!("a storage of {} bytes, but the pickle describes {len}", entry.len);
                return Err(Stop::refused(Rule::Z09, entry.header_at, message));
            }
            (Some(_), _) => {
                seen += 1;
                Look::Weights
            }
            (
                None,
                b"version"
                | b"byteorder"
                | b".format_version"
                | b".storage_alignment"
                | b".data/serialization_id",
            ) => Look::Marker,
            _ => Look::ByContent,
        };
        if entry.name.ends_with(b"/") && entry.len == 0 {
            continue;
        }
        if let Err(stop) = one(scan, source, entry, look) {
            scan.stopped(stop);
        }
    }
    if seen < storages.len() {
        scan.refuse(Rule::Z09, 0, "the pickle describes storages that are not in the archive");
    }
    Ok(if main.is_some() { Format::TorchZip } else { Format::Zip })
}

fn one(scan: &mut Scan, source: &mut Source<'_>, entry: &Entry, look: Look<'_>) -> Result<(), Stop> {
    let at = entry.header_at;
    if entry.method == 0 {
        if entry.len != entry.packed_len {
            return Err(Stop::refused(Rule::Z06, at, "a stored member of two lengths"));
        }
        check_sum(source, entry)?;
        let Some(mut part) = source.part(entry.data_at, entry.len) else {
            return Err(Stop::refused(Rule::Z06, at, "a member reaches beyond the archive"));
        };
        return content(scan, &mut part, entry, look);
    }
    let limit = entry.packed_len.saturating_mul(EXPANSION_MAX).max(EXPANSION_FREE_LEN);
    if entry.len > limit || entry.len > scan.expansion_left {
        return Err(Stop::refused(Rule::F04, at, "the member becomes more than 100 times longer"));
    }
    scan.expansion_left -= entry.len;
    let Some(mut part) = source.part(entry.data_at, entry.packed_len) else {
        return Err(Stop::refused(Rule::Z06, at, "a member reaches beyond the archive"));
    };
    let mut decoder = Bounded::new(DeflateDecoder::new(&mut part), entry.len);
    let mut inner = Source::stream(&mut decoder, Some(entry.len));
    content(scan, &mut inner, entry, look)?;
    if scan.findings.refused() {
        return Ok(());
    }
    inner.drain()?;
    drop(inner);
    if decoder.len != entry.len || decoder.crc.clone().finalize() != entry.crc {
        return Err(Stop::refused(Rule::Z06, at, "the content's length or checksum is not the stated one"));
    }
    let deflate = decoder.into_inner();
    if deflate.total_in() != entry.packed_len {
        return Err(Stop::refused(Rule::Z05, at, "bytes follow the compressed data of a member"));
    }
    Ok(())
}

fn content(scan: &mut Scan, source: &mut Source<'_>, entry: &Entry, look: Look<'_>) -> Result<(), Stop> {
    match look {
        Look::Weights => Ok(()),
        Look::Marker => {
            let text = source.peek(65)?;
            let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'\n');
            if text.len() > 64 || !text.iter().all(plain) {
                return Err(Stop::refused(Rule::Z09, entry.header_at, "a version should be a short text"));
            }
            Ok(())
        }
        Look::ByContent => scan.judge_inner(&entry.name, source).map(|_| ()),
        Look::Pickle(storages) => {
            scan.enter(&entry.name, entry.header_at)?;
            let result = pickle::judge(scan, source, Persistent::Storages, storages);
            if let Err(stop) = result {
                scan.stopped(stop);
            }
            scan.leave();
            Ok(())
        }
    }
}

fn check_sum(source: &mut Source<'_>, entry: &Entry) -> Result<(), Stop> {
    let mut sum = crc32fast::Hasher::new();
    source.seek(entry.data_at);
    let mut left = entry.len;
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(64 * 1024);
        let bytes = source.peek(want)?;
        if bytes.is_empty() {
            return Err(source.refuse(Rule::Z06, "a member reaches beyond the archive"));
        }
        let count = bytes.len();
        sum.update(bytes);
        source.advance(count);
        left -= count as u64;
    }
    if sum.finalize() != entry.crc {
        return Err(Stop::refused(Rule::Z06, entry.header_at, "the checksum is not that of the content"));
    }
    Ok(())
}
