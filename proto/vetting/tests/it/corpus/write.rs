//! Writers of the formats, right and wrong.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

pub fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// `BINUNICODE`.
pub fn unicode(text: &str) -> Vec<u8> {
    join(&[b"X", &(text.len() as u32).to_le_bytes(), text.as_bytes()])
}

/// `SHORT_BINUNICODE`.
pub fn short(text: &str) -> Vec<u8> {
    join(&[b"\x8c", &[text.len() as u8], text.as_bytes()])
}

/// `GLOBAL`.
pub fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

/// A framed pickle of protocol 4.
pub fn framed(body: &[u8]) -> Vec<u8> {
    join(&[b"\x80\x04\x95", &(body.len() as u64).to_le_bytes(), body])
}

/// One member of a zip, with whatever is wrong about it.
#[derive(Clone, Default)]
pub struct Member {
    pub name: Vec<u8>,
    pub content: Vec<u8>,
    pub deflate: bool,
    pub flags: u16,
    /// Lengths and checksum follow the data, as PyTorch writes it.
    pub descriptor: bool,
    pub local_name: Option<Vec<u8>>,
    pub local_flags: Option<u16>,
    pub local_method: Option<u16>,
    pub local_len: Option<u32>,
    pub method: Option<u16>,
    pub crc: Option<u32>,
    pub local_crc: Option<u32>,
    pub central_len: Option<u32>,
    pub extra: Vec<u8>,
    pub central_extra: Vec<u8>,
    pub attributes: u32,
    pub gap: Vec<u8>,
    pub comment: Vec<u8>,
    pub only_local: bool,
}

pub fn member(name: &str, content: &[u8]) -> Member {
    Member { name: name.into(), content: content.to_vec(), ..Member::default() }
}

pub fn deflated(name: &str, content: &[u8]) -> Member {
    Member { deflate: true, ..member(name, content) }
}

/// An archive, with bytes before, between, and after if asked for.
#[derive(Clone, Default)]
pub struct Zip {
    pub members: Vec<Member>,
    pub before: Vec<u8>,
    pub before_directory: Vec<u8>,
    pub after: Vec<u8>,
    pub comment: Vec<u8>,
    pub count: Option<u16>,
}

pub fn zip(members: &[Member]) -> Vec<u8> {
    Zip { members: members.to_vec(), ..Zip::default() }.bytes()
}

impl Zip {
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = self.before.clone();
        let mut directory = Vec::new();
        let mut count = 0_u16;
        for m in &self.members {
            let at = out.len() as u32;
            let packed = if m.deflate { deflate(&m.content) } else { m.content.clone() };
            let crc = m.crc.unwrap_or_else(|| crc32fast::hash(&m.content));
            let method = m.method.unwrap_or(if m.deflate { 8 } else { 0 });
            let flags = m.flags | if m.descriptor { 8 } else { 0 };
            let len = m.central_len.unwrap_or(m.content.len() as u32);
            let name = m.local_name.as_ref().unwrap_or(&m.name);
            let local =
                if m.descriptor { (0, 0, 0) } else { (m.local_crc.unwrap_or(crc), packed.len() as u32, len) };
            out.extend(b"PK\x03\x04\x14\0");
            out.extend(m.local_flags.unwrap_or(flags).to_le_bytes());
            out.extend(m.local_method.unwrap_or(method).to_le_bytes());
            out.extend([0; 4]);
            out.extend(local.0.to_le_bytes());
            out.extend(local.1.to_le_bytes());
            out.extend(m.local_len.unwrap_or(local.2).to_le_bytes());
            out.extend((name.len() as u16).to_le_bytes());
            out.extend((m.extra.len() as u16).to_le_bytes());
            out.extend(name);
            out.extend(&m.extra);
            out.extend(&packed);
            if m.descriptor {
                out.extend(b"PK\x07\x08");
                out.extend(crc.to_le_bytes());
                out.extend((packed.len() as u32).to_le_bytes());
                out.extend(len.to_le_bytes());
            }
            out.extend(&m.gap);
            if m.only_local {
                continue;
            }
            count += 1;
            directory.extend(b"PK\x01\x02\x14\x03\x14\0");
            directory.extend(flags.to_le_bytes());
            directory.extend(method.to_le_bytes());
            directory.extend([0; 4]);
            directory.extend(crc.to_le_bytes());
            directory.extend((packed.len() as u32).to_le_bytes());
            directory.extend(len.to_le_bytes());
            directory.extend((m.name.len() as u16).to_le_bytes());
            directory.extend((m.central_extra.len() as u16).to_le_bytes());
            directory.extend((m.comment.len() as u16).to_le_bytes());
            directory.extend([0; 4]);
            directory.extend(m.attributes.to_le_bytes());
            directory.extend(at.to_le_bytes());
            directory.extend(&m.name);
            directory.extend(&m.central_extra);
            directory.extend(&m.comment);
        }
        out.extend(&self.before_directory);
        let begin = out.len() as u32;
        out.extend(&directory);
        out.extend(b"PK\x05\x06\0\0\0\0");
        let count = self.count.unwrap_or(count);
        out.extend(count.to_le_bytes());
        out.extend(count.to_le_bytes());
        out.extend((directory.len() as u32).to_le_bytes());
        out.extend(begin.to_le_bytes());
        out.extend((self.comment.len() as u16).to_le_bytes());
        out.extend(&self.comment);
        out.extend(&self.after);
        out
    }
}

pub fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

pub fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// One member of a tar archive.
pub fn tar_member(name: &str, kind: u8, content: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..108].copy_from_slice(b"0000644\0");
    header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
    header[156] = kind;
    header[257..265].copy_from_slice(b"ustar\x0000");
    header[148..156].copy_from_slice(b"        ");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut out = header.to_vec();
    out.extend(content);
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

pub fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out: Vec<u8> =
        members.iter().flat_map(|(name, content)| tar_member(name, b'0', content)).collect();
    out.resize(out.len() + 1024, 0);
    out
}

pub fn npy(header: &str, data: &[u8]) -> Vec<u8> {
    let mut header = header.to_owned();
    while !(10 + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    join(&[b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes(), header.as_bytes(), data])
}

pub fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    join(&[&(header.len() as u64).to_le_bytes(), header.as_bytes(), data])
}

/// A file with the outside of HDF5 as h5py writes it, and that content.
pub fn hdf5(content: &[u8]) -> Vec<u8> {
    let mut out = b"\x89HDF\r\n\x1a\n\0\0\0\0\0\x08\x08\0\x04\0\x10\0\0\0\0\0".to_vec();
    out.extend([0; 8]);
    out.extend([0xff; 8]);
    out.extend((96 + content.len() as u64).to_le_bytes());
    out.extend([0xff; 8]);
    out.resize(96, 0);
    out.extend(content);
    out
}

/// A field of a protocol-buffer message that holds bytes.
pub fn field(number: u32, content: &[u8]) -> Vec<u8> {
    join(&[&varint(u64::from(number << 3 | 2)), &varint(content.len() as u64), content])
}

/// A field that holds a number.
pub fn number(field: u32, value: u64) -> Vec<u8> {
    join(&[&varint(u64::from(field << 3)), &varint(value)])
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value > 0x7f {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}
