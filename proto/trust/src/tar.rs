//! The part of the tar format (POSIX.1-2017 pax, "ustar") that archives of models need: regular files with flat names.
//!
//! Links, devices and sparse files are refused, not skipped. Nothing is ever unpacked under a name of the archive's
//! choosing: a reader gets names and bytes, and decides itself what they are.

use std::io::{self, Read, Write};

use crate::limits::{TAR_EXTENSION_LEN_MAX, TAR_NAME_LEN_MAX};

const BLOCK: usize = 512;

/// Longest name that fits into a header of its own, in bytes.
const SHORT_NAME_LEN_MAX: usize = 99;

/// A file in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, as written there: a claim.
    pub name: String,
    /// Its length, in bytes.
    pub len_bytes: u64,
}

/// An archive cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// It breaks a rule.
    #[error("archive at byte {offset}: {expected}")]
    Malformed {
        /// Where, in bytes.
        offset: u64,
        /// What was expected.
        expected: &'static str,
    },
    /// It ends early, or the disk fails.
    #[error("archive at byte {offset}")]
    Io {
        /// Where, in bytes.
        offset: u64,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Reads an archive from its beginning to its end.
#[derive(Debug)]
pub struct Reader<R> {
    inner: R,
    offset: u64,
    left: u64,
    padding: u64,
}

impl<R: Read> Reader<R> {
    /// A reader at the beginning of an archive.
    pub const fn new(inner: R) -> Self {
        Self { inner, offset: 0, left: 0, padding: 0 }
    }

    /// The next file, whose bytes [`Read`] then gives; none at the end of the archive. What was not read of the file
    /// before is skipped.
    ///
    /// # Errors
    /// [`TarError`].
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        let (mut long_name, mut long_len) = (None, None);
        loop {
            self.skip_rest()?;
            let Some(header) = self.header()? else { return Ok(None) };
            let len = number(&header[124..136]).ok_or_else(|| self.malformed("a length"))?;
            match header[156] {
                b'0' | 0 => {
                    let name = long_name.take().map_or_else(|| self.name_of(&header), Ok)?;
                    let len_bytes = long_len.take().unwrap_or(len);
                    self.begin(len_bytes);
                    return Ok(Some(Entry { name, len_bytes }));
                }
                b'5' => {
                    self.begin(len);
                    (long_name, long_len) = (None, None);
                }
                kind @ (b'x' | b'g' | b'L') => {
                    if len > TAR_EXTENSION_LEN_MAX {
                        return Err(self.malformed("an extension of at most 64 KiB"));
                    }
                    self.begin(len);
                    let mut body = Vec::new();
                    self.read_to_end(&mut body).map_err(|source| self.failed(source))?;
                    match kind {
                        b'L' => long_name = Some(self.text(body.split(|b| *b == 0).next().unwrap_or(&[]))?),
                        b'x' => (long_name, long_len) = self.extension(&body)?,
                        _ => {}
                    }
                }
                _ => return Err(self.malformed("a regular file: links and devices are refused")),
            }
        }
    }

    /// How far it was read, in bytes.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Checks, after the last file, that the archive ends there as [`Writer`] ends it: nothing follows.
    ///
    /// # Errors
    /// [`TarError`] if the end is cut, or anything is behind it.
    pub fn finish(mut self) -> Result<(), TarError> {
        let mut rest = Vec::new();
        let read = (&mut self.inner).take(BLOCK as u64 + 1).read_to_end(&mut rest);
        read.map_err(|source| self.failed(source))?;
        if rest.len() < BLOCK {
            return Err(self.failed(io::ErrorKind::UnexpectedEof.into()));
        }
        if rest.len() > BLOCK || rest.iter().any(|byte| *byte != 0) {
            return Err(self.malformed("nothing behind the end"));
        }
        Ok(())
    }

    const fn begin(&mut self, len: u64) {
        self.left = len;
        self.padding = (BLOCK as u64 - len % BLOCK as u64) % BLOCK as u64;
    }

    fn skip_rest(&mut self) -> Result<(), TarError> {
        let rest = self.left.saturating_add(self.padding);
        let skipped = io::copy(&mut (&mut self.inner).take(rest), &mut io::sink());
        let skipped = skipped.map_err(|source| self.failed(source))?;
        self.offset += skipped;
        (self.left, self.padding) = (0, 0);
        if skipped == rest { Ok(()) } else { Err(self.failed(io::ErrorKind::UnexpectedEof.into())) }
    }

    fn header(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        let mut block = [0_u8; BLOCK];
        self.inner.read_exact(&mut block).map_err(|source| self.failed(source))?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        // The sum counts its own field as spaces.
        let sum: u64 = block
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) })
            .sum();
        if number(&block[148..156]) != Some(sum) {
            return Err(self.malformed("a header whose checksum holds"));
        }
        self.offset += BLOCK as u64;
        Ok(Some(block))
    }

    fn name_of(&self, header: &[u8; BLOCK]) -> Result<String, TarError> {
        let field = |bytes: &[u8]| bytes.split(|b| *b == 0).next().unwrap_or(&[]).to_vec();
        let name = self.text(&field(&header[..100]))?;
        let prefix = if header[257..263] == *b"ustar\0" { field(&header[345..500]) } else { Vec::new() };
        if prefix.is_empty() { Ok(name) } else { Ok(format!("{}/{name}", self.text(&prefix)?)) }
    }

    fn text(&self, bytes: &[u8]) -> Result<String, TarError> {
        let is_short = !bytes.is_empty() && bytes.len() <= TAR_NAME_LEN_MAX;
        let text = std::str::from_utf8(bytes).ok().filter(|_| is_short);
        text.map(str::to_owned).ok_or_else(|| self.malformed("a name of 1 to 1024 bytes of UTF-8"))
    }

    /// The records of a pax header: `LENGTH KEY=VALUE\n`.
    fn extension(&self, mut body: &[u8]) -> Result<(Option<String>, Option<u64>), TarError> {
        let (mut name, mut len_bytes) = (None, None);
        while !body.is_empty() {
            let broken = || self.malformed("pax records: LENGTH KEY=VALUE");
            let space = body.iter().position(|b| *b == b' ').ok_or_else(broken)?;
            let digits = std::str::from_utf8(&body[..space]).map_err(|_| broken())?;
            let record_len: usize = digits.parse().map_err(|_| broken())?;
            let record = body.get(space + 1..record_len).ok_or_else(broken)?;
            let record = record.strip_suffix(b"\n").ok_or_else(broken)?;
            let equals = record.iter().position(|b| *b == b'=').ok_or_else(broken)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"path" => name = Some(self.text(value)?),
                b"size" => {
                    let text = std::str::from_utf8(value).map_err(|_| broken())?;
                    len_bytes = Some(text.parse().map_err(|_| broken())?);
                }
                key if key.starts_with(b"GNU.sparse") => return Err(self.malformed("no sparse file")),
                _ => {}
            }
            body = &body[record_len..];
        }
        Ok((name, len_bytes))
    }

    const fn malformed(&self, expected: &'static str) -> TarError {
        TarError::Malformed { offset: self.offset, expected }
    }

    const fn failed(&self, source: io::Error) -> TarError {
        TarError::Io { offset: self.offset, source }
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if len == 0 {
            return Ok(0);
        }
        let count = self.inner.read(&mut buffer[..len])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= count as u64;
        self.offset += count as u64;
        Ok(count)
    }
}

/// Octal digits, or base 256 with the first bit set for what octal cannot hold.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        let mut value = u64::from(field[0] & 0x7f);
        for byte in &field[1..] {
            value = value.checked_mul(256)?.checked_add(u64::from(*byte))?;
        }
        return Some(value);
    }
    let text = std::str::from_utf8(field).ok()?.trim_matches([' ', '\0']);
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

/// Writes an archive.
#[derive(Debug)]
pub struct Writer<W> {
    inner: W,
}

impl<W: Write> Writer<W> {
    /// A writer at the beginning of an archive.
    pub const fn new(inner: W) -> Self {
        Self { inner }
    }

    /// Writes one file: everything that `content` gives, which must be `len_bytes` bytes.
    ///
    /// # Errors
    /// The name is empty or longer than 1024 bytes, `content` has another length, or writing fails.
    pub fn file(&mut self, name: &str, len_bytes: u64, content: &mut dyn Read) -> io::Result<()> {
        if name.is_empty() || name.len() > TAR_NAME_LEN_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a name of 1 to 1024 bytes"));
        }
        let mut short = name;
        if name.len() > SHORT_NAME_LEN_MAX {
            // The name goes into an extension before the file; readers without extensions see a part of it.
            let record = pax_record("path", name);
            self.inner.write_all(&header("pax", record.len() as u64, b'x'))?;
            self.inner.write_all(record.as_bytes())?;
            self.pad(record.len() as u64)?;
            short = &name[..name.floor_char_boundary(SHORT_NAME_LEN_MAX)];
        }
        self.inner.write_all(&header(short, len_bytes, b'0'))?;
        let written = io::copy(&mut content.take(len_bytes), &mut self.inner)?;
        let mut beyond = [0_u8; 1];
        if written != len_bytes || content.read(&mut beyond)? != 0 {
            return Err(io::Error::other("the content has another length than was said"));
        }
        self.pad(len_bytes)
    }

    fn pad(&mut self, len_bytes: u64) -> io::Result<()> {
        let padding = (BLOCK as u64 - len_bytes % BLOCK as u64) % BLOCK as u64;
        io::copy(&mut io::repeat(0).take(padding), &mut self.inner)?;
        Ok(())
    }

    /// Writes the end, and gives back what was written to.
    ///
    /// # Errors
    /// Writing fails.
    pub fn finish(mut self) -> io::Result<W> {
        self.inner.write_all(&[0; 2 * BLOCK])?;
        self.inner.flush()?;
        Ok(self.inner)
    }
}

/// `LENGTH KEY=VALUE\n`, where the length counts its own digits.
fn pax_record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while len != rest + len.to_string().len() {
        len = rest + len.to_string().len();
    }
    format!("{len} {key}={value}\n")
}

fn header(name: &str, len_bytes: u64, kind: u8) -> [u8; BLOCK] {
    let mut block = [0_u8; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    // No owner, no group and no time: two exports of one bundle are the same bytes.
    for (at, value) in [(100, "0000644\0"), (108, "0000000\0"), (116, "0000000\0"), (136, "00000000000\0")] {
        put(at, value.as_bytes());
    }
    if len_bytes < 1 << 33 {
        put(124, format!("{len_bytes:011o}\0").as_bytes());
    } else {
        put(124, &[0x80, 0, 0, 0]);
        put(128, &len_bytes.to_be_bytes());
    }
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        for (name, content) in files {
            writer.file(name, content.len() as u64, &mut &content[..]).expect("written");
        }
        writer.finish().expect("finished")
    }

    #[test]
    fn what_is_written_is_read_again() {
        let long = vec![7; 1500];
        let bytes = archive(&[("a", b"one"), ("b/c", &long), ("empty", b"")]);
        assert_eq!(bytes.len() % BLOCK, 0);
        let mut reader = Reader::new(bytes.as_slice());
        let entry = reader.next_entry().expect("read").expect("an entry");
        assert_eq!((entry.name.as_str(), entry.len_bytes), ("a", 3));
        // What is not read is skipped.
        let entry = reader.next_entry().expect("read").expect("an entry");
        let mut content = Vec::new();
        reader.read_to_end(&mut content).expect("read");
        assert_eq!((entry.name.as_str(), content), ("b/c", long));
        assert_eq!(reader.next_entry().expect("read").expect("an entry").name, "empty");
        assert_eq!(reader.next_entry().expect("read"), None);
    }

    #[test]
    fn names_of_any_length_are_read_again() {
        for len in [1, 98, 99, 100, 101, 118, 255, 1000, 1024] {
            let name = "n".repeat(len);
            let bytes = archive(&[(&name, b"content"), ("after", b"")]);
            let mut reader = Reader::new(bytes.as_slice());
            assert_eq!(reader.next_entry().expect("read").expect("an entry").name, name);
            assert_eq!(reader.next_entry().expect("read").expect("an entry").name, "after");
            assert_eq!(reader.next_entry().expect("read"), None);
            reader.finish().expect("the end");
        }
        assert!(Writer::new(Vec::new()).file(&"n".repeat(1025), 0, &mut io::empty()).is_err());
    }

    #[test]
    fn lengths_beyond_octal_are_written_in_base_256() {
        for len in [0, 1, (1 << 33) - 1, 1 << 33, 1 << 40] {
            assert_eq!(number(&header("x", len, b'0')[124..136]), Some(len));
        }
    }

    #[test]
    fn p2_links_devices_and_damage_are_refused() {
        for kind in [b'1', b'2', b'3', b'4', b'6', b'7', b'S'] {
            let mut bytes = archive(&[("a", b"one")]);
            bytes[156] = kind;
            let sum: u32 =
                (0..BLOCK).map(|at| if (148..156).contains(&at) { 32 } else { u32::from(bytes[at]) }).sum();
            bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            assert!(matches!(Reader::new(bytes.as_slice()).next_entry(), Err(TarError::Malformed { .. })));
        }
        let good = archive(&[("a", b"one"), ("b", b"two")]);
        for at in 0..BLOCK {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            assert!(Reader::new(bytes.as_slice()).next_entry().is_err(), "byte {at}");
        }
        // Cut anywhere: an error and never an end, because the end is two empty blocks.
        for len in 0..good.len() - 2 * BLOCK {
            let mut reader = Reader::new(&good[..len]);
            let end = loop {
                match reader.next_entry() {
                    Ok(Some(_)) => {}
                    end => break end,
                }
            };
            assert!(end.is_err(), "cut at {len}");
        }
    }
}
