//! What a folder of a 7z archive is packed with.

use super::super::source::Stop;
use super::bytes::Bytes;

/// A coder that is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coder {
    /// The bytes as they are.
    Copy,
    /// With its properties and the length of its dictionary, in bytes.
    Lzma { properties: u8, dictionary: u32 },
    /// With the length of its dictionary, in bytes.
    Lzma2 { dictionary: u32 },
    /// As in zip archives.
    Deflate,
    /// One bzip2 stream.
    Bzip2,
}

/// What was done to the bytes before they were packed: it changes no length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    /// Relative addresses in x86 programs were made absolute.
    X86,
    /// Differences to the byte so many bytes before.
    Delta { distance: usize },
}

/// How a folder is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) coder: Coder,
    pub(super) filter: Option<Filter>,
}

enum Link {
    Coder(Coder),
    Filter(Filter),
}

impl Chain {
    /// Reads the description of a folder.
    pub(super) fn read(bytes: &mut Bytes<'_>) -> Result<Self, Stop> {
        let unknown = |bytes: &Bytes<'_>| {
            bytes.unknown("a 7z archive packed by several coders, or encrypted, is not judged")
        };
        match bytes.number()? {
            1 => match link(bytes)? {
                Link::Coder(coder) => Ok(Self { coder, filter: None }),
                Link::Filter(_) => Err(unknown(bytes)),
            },
            2 => {
                let links = (link(bytes)?, link(bytes)?);
                // What the filter reads is what the coder gives.
                let bound = (bytes.number()?, bytes.number()?);
                match (links, bound) {
                    ((Link::Filter(filter), Link::Coder(coder)), (0, 1))
                    | ((Link::Coder(coder), Link::Filter(filter)), (1, 0)) => {
                        Ok(Self { coder, filter: Some(filter) })
                    }
                    _ => Err(unknown(bytes)),
                }
            }
            _ => Err(unknown(bytes)),
        }
    }
}

fn link(bytes: &mut Bytes<'_>) -> Result<Link, Stop> {
    let flags = bytes.byte()?;
    if flags & 0xd0 != 0 {
        return Err(bytes.unknown("a 7z archive with a coder of several streams is not judged"));
    }
    let id = bytes.take((flags & 0x0f).into())?;
    let properties = if flags & 0x20 == 0 { &[] } else { bytes.part()?.rest() };
    let coder = match (id, properties) {
        ([0], []) => Coder::Copy,
        ([3, 1, 1], [properties, a, b, c, d]) => {
            Coder::Lzma { properties: *properties, dictionary: u32::from_le_bytes([*a, *b, *c, *d]) }
        }
        ([0x21], [size @ 0..=40]) => Coder::Lzma2 { dictionary: dictionary(*size) },
        ([4, 1, 8], _) => Coder::Deflate,
        ([4, 2, 2], _) => Coder::Bzip2,
        ([3, 3, 1, 3], []) => return Ok(Link::Filter(Filter::X86)),
        ([3], [less_one]) => return Ok(Link::Filter(Filter::Delta { distance: usize::from(*less_one) + 1 })),
        _ => return Err(bytes.unknown("a 7z archive with a coder that is not known here, or encrypted")),
    };
    Ok(Link::Coder(coder))
}

/// The length of an LZMA2 dictionary: 2 or 3 times a power of two.
fn dictionary(size: u8) -> u32 {
    if size == 40 { u32::MAX } else { (2 | u32::from(size & 1)) << (size / 2 + 11) }
}
