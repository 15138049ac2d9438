//! The directory of a 7z archive: which streams are packed, and what the members are called.

use super::super::source::Stop;
use super::bytes::Bytes;
use super::coder::Chain;

/// What the directory describes.
pub(super) struct Archive {
    pub(super) folders: Vec<Folder>,
    pub(super) members: Vec<Member>,
}

/// One packed stream, in which members stand one behind the other.
pub(super) struct Folder {
    pub(super) chain: Chain,
    /// From the first packed byte of the file.
    pub(super) packed_at: u64,
    pub(super) packed_len: u64,
    pub(super) len: u64,
    pub(super) sum: Option<u32>,
    pub(super) streams: Vec<Stream>,
}

/// The content of one member.
#[derive(Clone, Copy)]
pub(super) struct Stream {
    pub(super) len: u64,
    pub(super) sum: Option<u32>,
}

/// One file or folder.
#[derive(Default)]
pub(super) struct Member {
    pub(super) name: Vec<u8>,
    pub(super) is_empty: bool,
}

const END: u8 = 0;

pub(super) fn archive(bytes: &mut Bytes<'_>) -> Result<Archive, Stop> {
    bytes.expect(1, "its beginning")?;
    let mut id = bytes.byte()?;
    if matches!(id, 2 | 3) {
        return Err(bytes.unknown("a 7z archive with properties or streams of its own is not judged"));
    }
    let mut folders = Vec::new();
    if id == 4 {
        folders = streams(bytes)?;
        id = bytes.byte()?;
    }
    if id != 5 {
        return Err(bytes.bad("an archive without members"));
    }
    let members = members(bytes)?;
    bytes.expect(END, "its end")?;
    let with_content = members.iter().filter(|member| !member.is_empty).count();
    if with_content != folders.iter().map(|folder| folder.streams.len()).sum::<usize>() {
        return Err(bytes.bad("a 7z archive should have as many contents as members"));
    }
    Ok(Archive { folders, members })
}

/// Reads the packed streams and how they are divided.
pub(super) fn streams(bytes: &mut Bytes<'_>) -> Result<Vec<Folder>, Stop> {
    bytes.expect(6, "where its streams lie")?;
    let begin = bytes.number()?;
    let count = bytes.count()?;
    let mut packed = Vec::new();
    loop {
        match bytes.byte()? {
            9 if packed.is_empty() => {
                packed = (0..count).map(|_| bytes.number()).collect::<Result<_, _>>()?;
            }
            0x0a => drop(bytes.sums(count)?),
            END => break,
            _ => return Err(bytes.bad("an unknown part in the directory of a 7z archive")),
        }
    }
    let mut folders = folders(bytes)?;
    if folders.len() != packed.len() {
        return Err(bytes.bad("a 7z archive should have as many packed streams as folders"));
    }
    let mut at = begin;
    for (folder, len) in folders.iter_mut().zip(packed) {
        (folder.packed_at, folder.packed_len) = (at, len);
        at = at.checked_add(len).ok_or_else(|| bytes.bad("a packed stream that is too long"))?;
    }
    match bytes.byte()? {
        8 => {
            divide(bytes, &mut folders)?;
            bytes.expect(END, "the end of its streams")?;
        }
        END => {}
        _ => return Err(bytes.bad("an unknown part in the directory of a 7z archive")),
    }
    Ok(folders)
}

fn folders(bytes: &mut Bytes<'_>) -> Result<Vec<Folder>, Stop> {
    bytes.expect(7, "its coders")?;
    bytes.expect(0x0b, "its folders")?;
    let count = bytes.count()?;
    bytes.expect(0, "its folders in this place")?;
    let mut chains = Vec::new();
    for _ in 0..count {
        chains.push(Chain::read(bytes)?);
    }
    bytes.expect(0x0c, "the lengths of its folders")?;
    let mut folders = Vec::new();
    for chain in chains {
        let len = bytes.number()?;
        if chain.filter.is_some() && bytes.number()? != len {
            return Err(bytes.bad("a filter should change no length"));
        }
        let streams = vec![Stream { len, sum: None }];
        folders.push(Folder { chain, packed_at: 0, packed_len: 0, len, sum: None, streams });
    }
    loop {
        match bytes.byte()? {
            0x0a => {
                for (folder, sum) in folders.iter_mut().zip(bytes.sums(count)?) {
                    folder.sum = sum;
                    folder.streams[0].sum = sum;
                }
            }
            END => return Ok(folders),
            _ => return Err(bytes.bad("an unknown part in the directory of a 7z archive")),
        }
    }
}

/// Divides folders into the contents of members.
fn divide(bytes: &mut Bytes<'_>, folders: &mut [Folder]) -> Result<(), Stop> {
    let mut id = bytes.byte()?;
    if id == 0x0d {
        let mut total = 0;
        for folder in &mut *folders {
            let count = bytes.count()?;
            total += count;
            if total > usize::try_from(super::super::limits::MEMBERS_MAX).unwrap_or(usize::MAX) {
                return Err(bytes.bad("a 7z archive with too many members"));
            }
            folder.streams.resize(count, Stream { len: 0, sum: None });
            if count > 1 {
                folder.streams.fill(Stream { len: 0, sum: None });
            }
        }
        id = bytes.byte()?;
    }
    let are_given = id == 9;
    for folder in &mut *folders {
        let Some((last, others)) = folder.streams.split_last_mut() else { continue };
        if !others.is_empty() && !are_given {
            return Err(bytes.bad("the directory of a 7z archive lacks the lengths of its members"));
        }
        let mut left = Some(folder.len);
        for stream in others {
            stream.len = bytes.number()?;
            left = left.and_then(|left| left.checked_sub(stream.len));
        }
        last.len = left.ok_or_else(|| bytes.bad("members longer than their folder"))?;
    }
    if are_given {
        id = bytes.byte()?;
    }
    if id == 0x0a {
        let is_known = |folder: &Folder| folder.streams.len() == 1 && folder.sum.is_some();
        let mut unknown: Vec<&mut Stream> = folders
            .iter_mut()
            .filter(|folder| !is_known(folder))
            .flat_map(|folder| &mut folder.streams)
            .collect();
        let sums = bytes.sums(unknown.len())?;
        unknown.iter_mut().zip(sums).for_each(|(stream, sum)| stream.sum = sum);
        id = bytes.byte()?;
    }
    if id == END { Ok(()) } else { Err(bytes.bad("an unknown part in the directory of a 7z archive")) }
}

fn members(bytes: &mut Bytes<'_>) -> Result<Vec<Member>, Stop> {
    let count = bytes.count()?;
    let mut members: Vec<Member> = (0..count).map(|_| Member::default()).collect();
    let mut seen = 0_u32;
    loop {
        let id = bytes.byte()?;
        if id == END {
            break;
        }
        let mut part = bytes.part()?;
        if !matches!(id, 0x0e..=0x15 | 0x18 | 0x19) || (id != 0x19 && seen & (1 << id) != 0) {
            return Err(bytes.bad("a part of the directory of a 7z archive that is unknown or stands twice"));
        }
        seen |= 1 << id;
        match id {
            0x0e => {
                let empty = part.bits(count)?;
                members.iter_mut().zip(empty).for_each(|(member, is_empty)| member.is_empty = is_empty);
                part.end()?;
            }
            0x10 => return Err(bytes.bad("a 7z archive that deletes files")),
            0x11 => names(&mut part, &mut members)?,
            0x15 => attributes(&mut part, count)?,
            0x19 if part.rest().iter().any(|byte| *byte != 0) => {
                return Err(bytes.bad("padding in the directory of a 7z archive should be zero"));
            }
            _ => {}
        }
    }
    Ok(members)
}

fn names(part: &mut Bytes<'_>, members: &mut [Member]) -> Result<(), Stop> {
    part.expect(0, "its names in this place")?;
    let mut units = part.rest().chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    for member in &mut *members {
        let name: Vec<u16> = units.by_ref().take_while(|unit| *unit != 0).collect();
        let name = String::from_utf16(&name).map_err(|_| part.bad("a name that is no text"))?;
        member.name = name.into_bytes();
    }
    if units.next().is_some() || !part.rest().len().is_multiple_of(2) {
        return Err(part.bad("a 7z archive should have as many names as members"));
    }
    Ok(())
}

/// Where the attributes carry a Unix mode, members are files or folders.
fn attributes(part: &mut Bytes<'_>, count: usize) -> Result<(), Stop> {
    let given = part.all_or_bits(count)?;
    part.expect(0, "its attributes in this place")?;
    for _ in given.into_iter().filter(|given| *given) {
        let word = part.u32()?;
        let kind = word >> 28;
        if word & 0x8000 != 0 && !matches!(kind, 0x4 | 0x8) {
            return Err(part.bad("a link, device or unknown kind of member"));
        }
    }
    part.end()
}
