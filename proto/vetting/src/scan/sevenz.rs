//! 7z archives. The directory stands at the end and is itself compressed; it is read first, within bounds, and must
//! describe every byte of the file. Members are judged by content in the order in which they were packed.
//!
//! Judged: the coders that model files are packed with (copy, LZMA, LZMA2, deflate, bzip2), alone or behind one filter.
//! Other coders and longer chains, among them encryption, are unknown. The format is in `7zFormat.txt` of the LZMA SDK, public domain.

mod bytes;
mod coder;
mod content;
mod directory;

use std::collections::HashSet;

use super::Scan;
use super::limits::SEVENZ_HEADER_LEN_MAX;
use super::source::{Source, Stop};
use super::zip::check_name;
use crate::report::{Rule, excerpt};
use bytes::Bytes;
use directory::{Archive, Folder};

/// Bytes before the first packed stream.
const START_LEN: u64 = 32;

/// Judges an archive and each of its members.
pub(super) fn judge(scan: &mut Scan, source: &mut Source<'_>) -> Result<(), Stop> {
    let Archive { folders, members } = read(scan, source)?;
    let mut names = HashSet::new();
    for member in &members {
        scan.count_member(0)?;
        check_name(&member.name, 0)?;
        if !names.insert(member.name.to_ascii_lowercase()) {
            let message = format!("'{}' stands twice", excerpt(&member.name));
            return Err(Stop::refused(Rule::Z03, 0, message));
        }
    }
    let mut with_content = members.iter().filter(|member| !member.is_empty);
    for folder in &folders {
        content::judge(scan, source, folder, &mut with_content)?;
        if scan.findings.refused() {
            return Ok(());
        }
    }
    Ok(())
}

/// Reads the directory and checks that nothing is in the file but what it describes.
fn read(scan: &mut Scan, source: &mut Source<'_>) -> Result<Archive, Stop> {
    let start: [u8; 32] = source.array(Rule::X01, "the beginning of a 7z archive")?;
    let bad = |at: u64, message: &str| Stop::refused(Rule::X01, at, message);
    let mut fields = Bytes::new(&start[6..], 6);
    let (major, _minor) = (fields.byte()?, fields.byte()?);
    let start_sum = fields.u32()?;
    let (offset, len, sum) = (fields.u64()?, fields.u64()?, fields.u32()?);
    if major != 0 || crc32fast::hash(&start[12..]) != start_sum {
        return Err(bad(0, "the beginning of a 7z archive has another version or checksum"));
    }
    let end = START_LEN.checked_add(offset).and_then(|at| at.checked_add(len));
    if end != source.len() {
        return Err(bad(12, "the directory of a 7z archive should end where the file does"));
    }
    if len == 0 {
        return Err(bad(12, "an archive without members"));
    }
    let mut header = plain(source, START_LEN + offset, len)?;
    check_sum(&header, Some(sum), START_LEN + offset)?;
    let mut described = offset;
    if header.first() == Some(&0x17) {
        let mut bytes = Bytes::new(&header[1..], START_LEN + offset);
        let folders = directory::streams(&mut bytes)?;
        bytes.end()?;
        let [folder] = folders.as_slice() else {
            return Err(bad(START_LEN + offset, "a packed directory should be one stream"));
        };
        if folder.packed_at.checked_add(folder.packed_len) != Some(offset) {
            return Err(bad(START_LEN + offset, "bytes stand between the members and the directory"));
        }
        described = folder.packed_at;
        header = content::unpacked(scan, source, folder)?;
    }
    let mut bytes = Bytes::new(&header, START_LEN + described);
    let archive = directory::archive(&mut bytes)?;
    bytes.end()?;
    let mut at = 0;
    for Folder { packed_at, packed_len, .. } in &archive.folders {
        if *packed_at != at {
            return Err(bad(START_LEN + at, "a packed stream does not begin where the one before it ends"));
        }
        at = at.checked_add(*packed_len).ok_or_else(|| bad(0, "a packed stream that is too long"))?;
    }
    if at != described {
        return Err(bad(START_LEN + at, "bytes that no member holds"));
    }
    Ok(archive)
}

/// A directory as it stands in the file.
fn plain(source: &mut Source<'_>, at: u64, len: u64) -> Result<Vec<u8>, Stop> {
    if len > SEVENZ_HEADER_LEN_MAX {
        return Err(Stop::unknown(Rule::F04, at, "a directory that is too long to hold"));
    }
    source.seek(at);
    source.take(len, usize::MAX, Rule::X01, "the directory of a 7z archive")
}

fn check_sum(bytes: &[u8], stated: Option<u32>, at: u64) -> Result<(), Stop> {
    if stated.is_some_and(|stated| stated != crc32fast::hash(bytes)) {
        return Err(Stop::refused(Rule::X02, at, "the checksum is not that of the directory"));
    }
    Ok(())
}
