//! A PNG image, as folders of models hold them beside their description: chunks with true checksums, and nothing behind
//! the last one. The picture itself is not decoded.

use super::source::{Source, Stop};
use crate::report::Rule;

/// The signature.
pub(super) const MAGIC: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Longest chunk, in bytes: the standard's own bound.
const CHUNK_LEN_MAX: u32 = 0x7fff_ffff;

pub(super) fn judge(source: &mut Source<'_>) -> Result<(), Stop> {
    source.skip(MAGIC.len() as u64, Rule::F05, "the signature of an image")?;
    let mut first = true;
    loop {
        let len = u32::from_be_bytes(source.array(Rule::F05, "a chunk of an image")?);
        let kind: [u8; 4] = source.array(Rule::F05, "a chunk of an image")?;
        let known = kind.iter().all(u8::is_ascii_alphabetic) && first == (&kind == b"IHDR");
        if len > CHUNK_LEN_MAX || !known {
            return Err(source.refuse(Rule::F05, "a chunk that no image has here"));
        }
        let mut sum = crc32fast::Hasher::new();
        sum.update(&kind);
        let mut left = len as usize;
        while left > 0 {
            let bytes = source.peek(left.min(64 * 1024))?;
            if bytes.is_empty() {
                return Err(source.refuse(Rule::F05, "a chunk of an image: the data ends within it"));
            }
            let count = bytes.len();
            sum.update(bytes);
            source.advance(count);
            left -= count;
        }
        if source.array(Rule::F05, "a checksum in an image")? != sum.finalize().to_be_bytes() {
            return Err(source.refuse(Rule::F05, "the checksum of a chunk is not that of its data"));
        }
        first = false;
        if &kind == b"IEND" {
            break;
        }
    }
    if !source.at_end()? {
        return Err(source.refuse(Rule::F03, "bytes follow the image"));
    }
    Ok(())
}
