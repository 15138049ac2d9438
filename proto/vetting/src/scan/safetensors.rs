//! Safetensors: strict JSON of the stated length, then tensors one behind the other to the end of the file.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use super::json::{Event, Reader};
use super::limits::{SAFETENSORS_HEADER_LEN_MAX, SAFETENSORS_METADATA_MAX, SAFETENSORS_TENSORS_MAX};
use super::source::{Source, Stop};
use crate::report::{Rule, excerpt};

/// Names as keyed hashes: a million long ones take no more room than short ones.
struct Names {
    keys: (RandomState, RandomState),
    seen: HashSet<(u64, u64)>,
}

impl Names {
    fn new() -> Self {
        Self { keys: (RandomState::new(), RandomState::new()), seen: HashSet::new() }
    }

    fn insert(&mut self, name: &[u8]) -> bool {
        self.seen.insert((self.keys.0.hash_one(name), self.keys.1.hash_one(name)))
    }
}

/// Judges a whole file.
pub(super) fn judge(source: &mut Source<'_>) -> Result<(), Stop> {
    let len = u64::from_le_bytes(source.array(Rule::W01, "the header's length")?);
    if len > SAFETENSORS_HEADER_LEN_MAX || source.remaining().is_some_and(|left| len > left) {
        return Err(source.refuse(Rule::W01, format!("a header of {len} bytes")));
    }
    let header_end = source.offset() + len;
    let ranges = header(source)?;
    while source.offset() < header_end {
        if source.next()? != Some(b' ') {
            return Err(source.refuse(Rule::W01, "only spaces may follow the header's JSON"));
        }
    }
    if source.offset() != header_end {
        return Err(source.refuse(Rule::W01, "the JSON should end within the stated length"));
    }
    let data_len = contiguous(source, ranges)?;
    source.skip(data_len, Rule::W03, "the tensors")?;
    if !source.at_end()? {
        return Err(source.refuse(Rule::W03, "bytes follow the last tensor"));
    }
    Ok(())
}

/// Where the last tensor ends, if there is neither gap nor overlap.
fn contiguous(source: &Source<'_>, mut ranges: Vec<(u64, u64)>) -> Result<u64, Stop> {
    ranges.sort_unstable();
    let mut end = 0;
    for (from, to) in ranges {
        if from != end {
            let message = format!("a tensor begins at {from}, the one before it ends at {end}");
            return Err(source.refuse(Rule::W03, message));
        }
        end = to;
    }
    Ok(end)
}

fn header(source: &mut Source<'_>) -> Result<Vec<(u64, u64)>, Stop> {
    let mut reader = Reader::new();
    let mut names = Names::new();
    let mut ranges = Vec::new();
    if source.peek(1)? != b"{" || reader.next(source)? != Event::ObjectStart {
        return Err(source.refuse(Rule::W01, "the header should be a JSON object"));
    }
    loop {
        let name = match reader.next(source)? {
            Event::Key(name) => name,
            Event::ObjectEnd => return Ok(ranges),
            _ => return Err(source.refuse(Rule::W01, "a tensor's name is expected")),
        };
        if name.len() > 4096 || !names.insert(&name) {
            return Err(
                source.refuse(Rule::W01, format!("\"{}\" stands twice or is too long", excerpt(&name)))
            );
        }
        if ranges.len() >= SAFETENSORS_TENSORS_MAX {
            return Err(source.refuse(Rule::F04, format!("more than {SAFETENSORS_TENSORS_MAX} tensors")));
        }
        if reader.next(source)? != Event::ObjectStart {
            return Err(source.refuse(Rule::W01, "an object should describe each tensor"));
        }
        if name == b"__metadata__" {
            metadata(&mut reader, source)?;
        } else {
            ranges.push(tensor(&mut reader, source, &name)?);
        }
    }
}

/// Texts only, each under a name of its own.
fn metadata(reader: &mut Reader, source: &mut Source<'_>) -> Result<(), Stop> {
    let mut names = Names::new();
    loop {
        match reader.next(source)? {
            Event::Key(name) if !names.insert(&name) => {
                return Err(
                    source.refuse(Rule::W01, format!("\"{}\" stands twice in the metadata", excerpt(&name)))
                );
            }
            Event::Key(_) | Event::Text(_) if names.seen.len() <= SAFETENSORS_METADATA_MAX => {}
            Event::ObjectEnd => return Ok(()),
            _ => return Err(source.refuse(Rule::W01, "metadata should be texts")),
        }
    }
}

/// One tensor's description; gives its place.
fn tensor(reader: &mut Reader, source: &mut Source<'_>, name: &[u8]) -> Result<(u64, u64), Stop> {
    let (mut bits, mut count, mut place) = (None, None, None);
    loop {
        let key = match reader.next(source)? {
            Event::Key(key) => key,
            Event::ObjectEnd => break,
            _ => return Err(source.refuse(Rule::W01, "a tensor's description is expected")),
        };
        match &key[..] {
            b"dtype" if bits.is_none() => {
                let Event::Text(kind) = reader.next(source)? else {
                    return Err(source.refuse(Rule::W02, "\"dtype\" should be a text"));
                };
                let Some(width) = width_bits(&kind) else {
                    return Err(source.refuse(Rule::W02, format!("unknown type {}", excerpt(&kind))));
                };
                bits = Some(width);
            }
            b"shape" if count.is_none() => {
                let sizes = numbers(reader, source)?;
                count = sizes.iter().try_fold(1_u64, |product, size| product.checked_mul(*size));
                if count.is_none() {
                    return Err(source.refuse(Rule::W02, "the shape is larger than any file"));
                }
            }
            b"data_offsets" if place.is_none() => {
                let numbers = numbers(reader, source)?;
                let [from, to] = numbers[..] else {
                    return Err(source.refuse(Rule::W02, "\"data_offsets\" should be two numbers"));
                };
                place = Some((from, to));
            }
            _ => {
                let message = format!("\"{}\" stands twice or is unknown", excerpt(&key));
                return Err(source.refuse(Rule::W01, message));
            }
        }
    }
    let (Some(bits), Some(count), Some((from, to))) = (bits, count, place) else {
        return Err(source.refuse(Rule::W02, "a tensor needs dtype, shape and data_offsets"));
    };
    let needed = u128::from(count) * u128::from(bits);
    let has = to.checked_sub(from).map(|len| u128::from(len) * 8);
    if has != Some(needed) {
        return Err(
            source.refuse(Rule::W02, format!("\"{}\" has not the length of its shape", excerpt(name)))
        );
    }
    Ok((from, to))
}

fn numbers(reader: &mut Reader, source: &mut Source<'_>) -> Result<Vec<u64>, Stop> {
    let mut numbers = Vec::new();
    if reader.next(source)? != Event::ArrayStart {
        return Err(source.refuse(Rule::W02, "a list of numbers is expected"));
    }
    loop {
        match reader.next(source)? {
            Event::ArrayEnd => return Ok(numbers),
            Event::Scalar if numbers.len() < 64 => {
                let number = std::str::from_utf8(&reader.number).ok().and_then(|text| text.parse().ok());
                let Some(number) = number else {
                    return Err(source.refuse(Rule::W02, "a whole number is expected"));
                };
                numbers.push(number);
            }
            _ => return Err(source.refuse(Rule::W02, "a list of numbers is expected")),
        }
    }
}

/// Bits of one element.
fn width_bits(kind: &[u8]) -> Option<u64> {
    Some(match kind {
        b"F4" => 4,
        b"F6_E2M3" | b"F6_E3M2" => 6,
        b"BOOL" | b"U8" | b"I8" | b"F8_E5M2" | b"F8_E4M3" | b"F8_E8M0" | b"F8_E4M3FNUZ" | b"F8_E5M2FNUZ" => 8,
        b"I16" | b"U16" | b"F16" | b"BF16" => 16,
        b"I32" | b"U32" | b"F32" => 32,
        b"I64" | b"U64" | b"F64" | b"C64" => 64,
        _ => return None,
    })
}
