//! Cuts a GGUF file into shards as llama.cpp's own tool does: the first carries what the model is, each its part of the
//! tensors.

use std::path::{Path, PathBuf};

const STRING: u32 = 8;
const ARRAY: u32 = 9;

/// What has been read of a GGUF file.
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, len: usize) -> &'a [u8] {
        let part = &self.bytes[self.at..self.at + len];
        self.at += len;
        part
    }

    pub(super) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take(4).try_into().expect("four bytes"))
    }

    pub(super) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take(8).try_into().expect("eight bytes"))
    }

    pub(super) fn text(&mut self) -> &'a [u8] {
        let len = self.u64();
        self.take(usize::try_from(len).expect("a length"))
    }

    pub(super) fn skip_value(&mut self, kind: u32) {
        match kind {
            STRING => {
                self.text();
            }
            ARRAY => {
                let (kind, count) = (self.u32(), self.u64());
                (0..count).for_each(|_| self.skip_value(kind));
            }
            _ => {
                self.take(match kind {
                    0 | 1 | 7 => 1,
                    2 | 3 => 2,
                    10..=12 => 8,
                    _ => 4,
                });
            }
        }
    }
}

/// One tensor: its description up to the offset, and its bytes with their padding.
struct Tensor<'a> {
    described: &'a [u8],
    data: &'a [u8],
}

fn entry(key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    [&(key.len() as u64).to_le_bytes()[..], key.as_bytes(), &kind.to_le_bytes(), value].concat()
}

/// Writes `count` shards of the model at `path`, whose alignment is the usual one, to where `place` says.
pub fn split(path: &Path, count: usize, place: impl Fn(usize) -> PathBuf) {
    let bytes = std::fs::read(path).expect("the model");
    let mut reader = Reader { bytes: &bytes, at: 8 };
    let (tensor_count, entry_count) = (reader.u64(), reader.u64());
    let begin = reader.at;
    for _ in 0..entry_count {
        reader.text();
        let kind = reader.u32();
        reader.skip_value(kind);
    }
    let metadata = &bytes[begin..reader.at];
    let mut described = Vec::new();
    for _ in 0..tensor_count {
        let begin = reader.at;
        reader.text();
        let dimensions = reader.u32();
        reader.take(dimensions as usize * 8 + 4);
        let end = reader.at;
        described.push((&bytes[begin..end], usize::try_from(reader.u64()).expect("an offset")));
    }
    let data = &bytes[reader.at.next_multiple_of(32)..];
    let ends = described.iter().skip(1).map(|(_, offset)| *offset).chain([data.len()]);
    let tensors: Vec<Tensor<'_>> = described
        .iter()
        .zip(ends)
        .map(|((described, offset), end)| Tensor { described, data: &data[*offset..end] })
        .collect();
    for (index, tensors) in tensors.chunks(tensors.len().div_ceil(count)).enumerate() {
        let own = if index == 0 { metadata } else { &[] };
        let entries = if index == 0 { entry_count } else { 0 };
        let shard = write(own, entries, tensors, (index, count, tensor_count));
        std::fs::write(place(index + 1), shard).expect("a shard");
    }
}

fn write(
    own: &[u8],
    entries: u64,
    tensors: &[Tensor<'_>],
    (index, count, total): (usize, usize, u64),
) -> Vec<u8> {
    let mut out = b"GGUF\x03\0\0\0".to_vec();
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((entries + 3).to_le_bytes());
    out.extend(own);
    out.extend(entry("split.no", 2, &u16::try_from(index).expect("few").to_le_bytes()));
    out.extend(entry("split.count", 2, &u16::try_from(count).expect("few").to_le_bytes()));
    out.extend(entry("split.tensors.count", 5, &i32::try_from(total).expect("few").to_le_bytes()));
    let mut offset = 0_u64;
    for tensor in tensors {
        out.extend(tensor.described);
        out.extend(offset.to_le_bytes());
        offset += tensor.data.len().next_multiple_of(32) as u64;
    }
    out.resize(out.len().next_multiple_of(32), 0);
    for tensor in tensors {
        out.extend(tensor.data);
        out.resize(out.len().next_multiple_of(32), 0);
    }
    out
}
