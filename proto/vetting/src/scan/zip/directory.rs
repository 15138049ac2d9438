//! Both directories of a zip: the central one at the end, and the header before each member.

use super::super::limits::{MEMBERS_MAX, NAME_LEN_MAX};
use super::super::source::{Source, Stop};
use crate::report::{Rule, excerpt};

const END_LEN: u64 = 22;
const LOCATOR_LEN: u64 = 20;
const END_64_LEN: u64 = 56;
const LOCAL_LEN: u64 = 30;
/// Lengths follow the data.
const FLAG_DESCRIPTOR: u16 = 8;
/// The two bits of the compression level, the descriptor, UTF-8.
const FLAGS_KNOWN: u16 = 0b110 | FLAG_DESCRIPTOR | 0x800;

/// One member, as the central directory describes it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    flags: u16,
    pub(super) method: u16,
    pub(super) crc: u32,
    /// Length in the archive.
    pub(super) packed_len: u64,
    /// Length of the content.
    pub(super) len: u64,
    /// Where its local header begins.
    pub(super) header_at: u64,
    /// Where its data begins.
    pub(super) data_at: u64,
}

/// The central directory.
pub(super) struct Directory {
    /// Where it begins.
    pub(super) begin: u64,
    pub(super) entries: Vec<Entry>,
}

/// Little-endian fields of a record, one behind the other.
struct Fields<'f>(&'f [u8]);

impl Fields<'_> {
    fn number(&mut self, len: usize) -> u64 {
        let (field, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn u16(&mut self) -> u16 {
        self.number(2) as u16
    }

    fn u32(&mut self) -> u32 {
        self.number(4) as u32
    }
}

/// Reads the end record and the central directory, which must reach exactly to it.
pub(super) fn read(source: &mut Source<'_>) -> Result<Directory, Stop> {
    let len = source.len().unwrap_or(0);
    let Some(end_at) = len.checked_sub(END_LEN) else {
        return Err(Stop::refused(Rule::Z01, 0, "too short for a zip archive"));
    };
    source.seek(end_at);
    let record: [u8; 22] = source.array(Rule::Z01, "the end record")?;
    if record[..4] != *b"PK\x05\x06" || record[20..] != [0, 0] {
        let message =
            "the end record should be the last 22 bytes, without a comment; bytes follow, or it is missing";
        return Err(Stop::refused(Rule::Z01, end_at, message));
    }
    let mut fields = Fields(&record[4..]);
    let disks = (fields.u16(), fields.u16());
    let (here, mut count) = (fields.number(2), fields.number(2));
    let (mut directory_len, mut begin) = (fields.number(4), fields.number(4));
    let mut directory_end = end_at;
    if disks != (0, 0) || here != count {
        return Err(Stop::refused(Rule::Z01, end_at, "an archive of several volumes"));
    }
    if let Some(wide) = end_64(source, end_at)? {
        let agrees = |short: u64, wide: u64, mark: u64| short == mark || short == wide;
        if !agrees(count, wide.count, 0xffff)
            || !agrees(directory_len, wide.len, 0xffff_ffff)
            || !agrees(begin, wide.begin, 0xffff_ffff)
        {
            return Err(Stop::refused(Rule::Z02, end_at, "the two end records differ"));
        }
        (count, directory_len, begin, directory_end) = (wide.count, wide.len, wide.begin, wide.at);
    }
    if begin.checked_add(directory_len) != Some(directory_end) {
        return Err(Stop::refused(Rule::Z05, end_at, "the directory should reach exactly to the end record"));
    }
    if count > MEMBERS_MAX {
        return Err(Stop::refused(Rule::F04, end_at, format!("{count} members, at most {MEMBERS_MAX}")));
    }
    source.seek(begin);
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.push(central(source)?);
    }
    if source.offset() != directory_end {
        return Err(source.refuse(Rule::Z05, "the directory is longer than its members"));
    }
    Ok(Directory { begin, entries })
}

struct End64 {
    at: u64,
    count: u64,
    len: u64,
    begin: u64,
}

/// The end record for long archives, which must stand right before its locator.
fn end_64(source: &mut Source<'_>, end_at: u64) -> Result<Option<End64>, Stop> {
    let Some(locator_at) = end_at.checked_sub(LOCATOR_LEN) else { return Ok(None) };
    source.seek(locator_at);
    let locator: [u8; 20] = source.array(Rule::Z01, "the locator")?;
    if locator[..4] != *b"PK\x06\x07" {
        return Ok(None);
    }
    let mut fields = Fields(&locator[4..]);
    let (disk, at, disks) = (fields.u32(), fields.number(8), fields.u32());
    let refuse = |message: &str| Err(Stop::refused(Rule::Z01, locator_at, message));
    if disk != 0 || disks > 1 || at.checked_add(END_64_LEN) != Some(locator_at) {
        return refuse("the long end record should stand right before its locator");
    }
    source.seek(at);
    let record: [u8; 56] = source.array(Rule::Z01, "the long end record")?;
    let mut fields = Fields(&record[4..]);
    if record[..4] != *b"PK\x06\x06" || fields.number(8) != END_64_LEN - 12 {
        return refuse("the long end record is not one of 56 bytes");
    }
    let _versions = fields.u32();
    let (disk, of, here, count) = (fields.u32(), fields.u32(), fields.number(8), fields.number(8));
    if disk != 0 || of != 0 || here != count {
        return refuse("an archive of several volumes");
    }
    Ok(Some(End64 { at, count, len: fields.number(8), begin: fields.number(8) }))
}

fn central(source: &mut Source<'_>) -> Result<Entry, Stop> {
    let at = source.offset();
    let record: [u8; 46] = source.array(Rule::Z01, "a directory entry")?;
    if record[..4] != *b"PK\x01\x02" {
        return Err(Stop::refused(Rule::Z01, at, "a directory entry should begin with its mark"));
    }
    let mut fields = Fields(&record[8..]);
    let (flags, method, _time) = (fields.u16(), fields.u16(), fields.u32());
    let (crc, packed_len, len) = (fields.u32(), fields.number(4), fields.number(4));
    let (name_len, extra_len, comment_len, disk) =
        (fields.number(2), fields.number(2), fields.u16(), fields.u16());
    let (_internal, attributes, header_at) = (fields.u16(), fields.u32(), fields.number(4));
    if disk != 0 || comment_len != 0 {
        return Err(Stop::refused(Rule::Z04, at, "a member with a comment or on another volume"));
    }
    if name_len > NAME_LEN_MAX as u64 {
        return Err(Stop::refused(Rule::Z08, at, "a name that is too long"));
    }
    let name = source.take(name_len, NAME_LEN_MAX, Rule::Z01, "a name")?;
    let extra = source.take(extra_len, usize::from(u16::MAX), Rule::Z01, "an extra field")?;
    let mut wide = [len, packed_len, header_at];
    extras(&extra, &mut wide, at)?;
    let kind = attributes >> 16 & 0o170_000;
    if !matches!(kind, 0 | 0o100_000 | 0o040_000) {
        return Err(Stop::refused(Rule::Z08, at, format!("'{}' is a link or device", excerpt(&name))));
    }
    check_flags(flags, method, at)?;
    Ok(Entry { name, flags, method, crc, packed_len: wide[1], len: wide[0], header_at: wide[2], data_at: 0 })
}

fn check_flags(flags: u16, method: u16, at: u64) -> Result<(), Stop> {
    if flags & 0x2041 != 0 {
        return Err(Stop::refused(Rule::Z04, at, "an encrypted member"));
    }
    if flags & !FLAGS_KNOWN != 0 {
        return Err(Stop::refused(Rule::Z04, at, format!("unknown flags 0x{flags:04x}")));
    }
    if method != 0 && method != 8 {
        return Err(Stop::refused(Rule::Z07, at, format!("compression method {method} is not judged")));
    }
    Ok(())
}

/// Long lengths in an extra field take the place of short ones that say 0xffffffff, in order. No unknown fields.
fn extras(mut extra: &[u8], wide: &mut [u64], at: u64) -> Result<(), Stop> {
    let mut found = false;
    while !extra.is_empty() {
        let mut fields = Fields(extra);
        let (id, len) = (fields.u16(), fields.number(2) as usize);
        let Some(value) = fields.0.get(..len).filter(|_| extra.len() >= 4) else {
            return Err(Stop::refused(Rule::Z04, at, "an extra field that is cut off"));
        };
        match id {
            1 if !found => {
                found = true;
                let mut value = Fields(value);
                for number in wide.iter_mut().filter(|number| **number == 0xffff_ffff) {
                    if value.0.len() < 8 {
                        return Err(Stop::refused(Rule::Z04, at, "a long length is missing"));
                    }
                    *number = value.number(8);
                }
            }
            // PyTorch's and Android's alignment, times, owners.
            0x4246 | 0xd935 | 0x5455 | 0x7875 | 0x5855 | 0x000a => {}
            _ => return Err(Stop::refused(Rule::Z04, at, format!("unknown extra field 0x{id:04x}"))),
        }
        extra = fields.0.get(len..).unwrap_or_default();
    }
    Ok(())
}

/// Compares a member's own header with the directory, and gives the place where the member ends.
pub(super) fn check_local(source: &mut Source<'_>, entry: &mut Entry) -> Result<u64, Stop> {
    let at = entry.header_at;
    source.seek(at);
    let record: [u8; 30] = source.array(Rule::Z01, "a member's header")?;
    if record[..4] != *b"PK\x03\x04" {
        return Err(Stop::refused(Rule::Z01, at, "a member should begin with its header"));
    }
    let mut fields = Fields(&record[6..]);
    let (flags, method, _time) = (fields.u16(), fields.u16(), fields.u32());
    let (crc, packed_len, len) = (fields.u32(), fields.number(4), fields.number(4));
    let (name_len, extra_len) = (fields.number(2), fields.number(2));
    let name = source.take(name_len, NAME_LEN_MAX + 1, Rule::Z01, "a name")?;
    let extra = source.take(extra_len, usize::from(u16::MAX), Rule::Z01, "an extra field")?;
    let mut wide = [len, packed_len];
    extras(&extra, &mut wide, at)?;
    let differs =
        |what: &str| Err(Stop::refused(Rule::Z02, at, format!("its own header gives another {what}")));
    if name != entry.name {
        return differs("name");
    }
    if flags != entry.flags {
        return differs("set of flags");
    }
    if method != entry.method {
        return differs("compression method");
    }
    let later = flags & FLAG_DESCRIPTOR != 0;
    if crc != entry.crc && !(later && crc == 0) {
        return differs("checksum");
    }
    if wide != [entry.len, entry.packed_len] && !(later && wide == [0, 0]) {
        return differs("length");
    }
    entry.data_at = at + LOCAL_LEN + name_len + extra_len;
    let Some(data_end) =
        entry.data_at.checked_add(entry.packed_len).filter(|end| *end <= source.len().unwrap_or(0))
    else {
        return Err(Stop::refused(Rule::Z06, at, "a member reaches beyond the archive"));
    };
    if !later {
        return Ok(data_end);
    }
    source.seek(data_end);
    descriptor(source, entry)
}

/// The lengths behind the data: with or without a mark, short or long.
fn descriptor(source: &mut Source<'_>, entry: &Entry) -> Result<u64, Stop> {
    let at = source.offset();
    let bytes = source.peek(24)?;
    for (mark, width) in [(4, 4), (4, 8), (0, 4), (0, 8)] {
        let Some(rest) = bytes.get(mark..mark + 4 + 2 * width) else { continue };
        if mark == 4 && bytes[..4] != *b"PK\x07\x08" {
            continue;
        }
        let mut fields = Fields(rest);
        let found = (fields.u32(), fields.number(width), fields.number(width));
        if found == (entry.crc, entry.packed_len, entry.len) {
            // The shorter form also fits the beginning of the longer one if the length is zero.
            let next = bytes.get(mark + 4 + 2 * width..).unwrap_or_default();
            if width == 4 && next.len() >= 4 && next[..4] == [0; 4] {
                continue;
            }
            return Ok(at + (mark + 4 + 2 * width) as u64);
        }
    }
    Err(Stop::refused(Rule::Z02, at, "what stands behind the data differs from the directory"))
}
