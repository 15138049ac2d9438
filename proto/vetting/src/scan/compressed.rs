//! Compressed streams: decoded while they are judged, never longer than they may become.

mod packed;

use std::io::{ErrorKind, Read};

use flate2::bufread::{DeflateDecoder, ZlibDecoder};

use super::Scan;
use super::source::{Source, Stop, stopped};
use crate::report::Rule;
pub(super) use packed::{Whole, bzip2, judge as packed};

/// How fast a decoder is, by which it is decided how much it may give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Hundreds of megabytes a second.
    Fast,
    /// Tens.
    Slow,
}

/// What reads a compressed stream: it counts, sums, and ends before too much comes out.
pub(super) struct Bounded<R> {
    reader: R,
    left: u64,
    pace: Pace,
    pub(super) len: u64,
    pub(super) crc: crc32fast::Hasher,
}

impl<R: Read> Bounded<R> {
    pub(super) fn new(reader: R, len_max: u64) -> Self {
        Self::paced(reader, len_max, Pace::Fast)
    }

    /// The same, for a decoder of that pace.
    pub(super) fn paced(reader: R, len_max: u64, pace: Pace) -> Self {
        Self { reader, left: len_max, pace, len: 0, crc: crc32fast::Hasher::new() }
    }

    pub(super) fn into_inner(self) -> R {
        self.reader
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.reader.read(into).map_err(|error| match error.kind() {
            ErrorKind::Interrupted | ErrorKind::OutOfMemory => error,
            _ => std::io::Error::new(ErrorKind::InvalidData, error),
        })?;
        self.len += count as u64;
        self.crc.update(&into[..count]);
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| match self.pace {
            Pace::Fast => {
                std::io::Error::new(ErrorKind::FileTooLarge, "the data becomes more than 100 times longer")
            }
            Pace::Slow => std::io::Error::from(ErrorKind::QuotaExceeded),
        })?;
        Ok(count)
    }
}

/// Judges the content of a gzip file of one member.
pub(super) fn gzip(scan: &mut Scan, source: &mut Source<'_>) -> Result<(), Stop> {
    header(source)?;
    let Some((len, crc)) =
        inner(scan, source, Pace::Fast, |buffered| Ok(Box::new(DeflateDecoder::new(buffered))))?
    else {
        return Ok(());
    };
    let trailer: [u8; 8] = source.array(Rule::F05, "the checksum of a gzip stream")?;
    let [a, b, c, d, e, f, g, h] = trailer;
    let stated = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    if stated != (crc, u32::try_from(len & 0xffff_ffff).unwrap_or(0)) {
        return Err(
            source.refuse(Rule::F05, "the checksum or length of a gzip stream is not that of its data")
        );
    }
    end(source)
}

/// Judges the content of a zlib stream. The decoder checks its sum.
pub(super) fn zlib(scan: &mut Scan, source: &mut Source<'_>) -> Result<(), Stop> {
    match inner(scan, source, Pace::Fast, |buffered| Ok(Box::new(ZlibDecoder::new(buffered))))? {
        Some(_) => end(source),
        None => Ok(()),
    }
}

fn end(source: &mut Source<'_>) -> Result<(), Stop> {
    if source.at_end()? {
        return Ok(());
    }
    Err(source.refuse(Rule::F03, "bytes follow the compressed data"))
}

pub(super) type Decoder<'d> = Box<dyn Read + 'd>;

/// Decodes and judges; leaves `source` right behind the compressed data. Nothing if the content was refused.
fn inner(
    scan: &mut Scan,
    source: &mut Source<'_>,
    pace: Pace,
    decoder: impl for<'d> FnOnce(&'d mut Buffered<'_, '_>) -> std::io::Result<Decoder<'d>>,
) -> Result<Option<(u64, u32)>, Stop> {
    let before = source.offset();
    let mut buffered = Buffered::new(source);
    let decoder = decoder(&mut buffered).map_err(|error| stopped(before, &error))?;
    let mut bounded = Bounded::paced(decoder, scan.room(pace), pace);
    let result = scan.enter(b"compressed data", before).and_then(|()| {
        let mut content = Source::stream(&mut bounded, None);
        scan.judge(&mut content);
        scan.leave();
        // A refused beginning needs no further look.
        if scan.findings.refused() { Ok(0) } else { content.drain() }
    });
    let (len, crc) = (bounded.len, bounded.crc.clone().finalize());
    scan.spend(pace, len);
    drop(bounded);
    if result? > 0 {
        scan.refuse(Rule::F03, before, "bytes follow what the compressed data begins with");
    }
    if scan.findings.refused() {
        return Ok(None);
    }
    Ok(Some((len, crc)))
}

/// Hands a decoder our own buffer, so that it takes no byte too many.
pub(super) struct Buffered<'b, 's> {
    source: &'b mut Source<'s>,
    unread: Vec<u8>,
    start: usize,
}

impl<'b, 's> Buffered<'b, 's> {
    pub(super) const fn new(source: &'b mut Source<'s>) -> Self {
        Self { source, unread: Vec::new(), start: 0 }
    }
}

impl Read for Buffered<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = std::io::BufRead::fill_buf(self)?.read(into)?;
        std::io::BufRead::consume(self, count);
        Ok(count)
    }
}

impl std::io::BufRead for Buffered<'_, '_> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        if self.start == self.unread.len() {
            let bytes = self.source.peek(4096).map_err(|_| ErrorKind::UnexpectedEof)?;
            self.unread.clear();
            self.unread.extend_from_slice(bytes);
            self.start = 0;
        }
        Ok(&self.unread[self.start..])
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
        self.source.advance(count);
    }
}

/// Passes over a gzip header.
fn header(source: &mut Source<'_>) -> Result<(), Stop> {
    let [_, _, method, flags, ..]: [u8; 10] = source.array(Rule::F05, "a gzip header")?;
    if method != 8 || flags & 0xe0 != 0 {
        return Err(source.refuse(Rule::F05, "a gzip header of an unknown kind"));
    }
    if flags & 4 != 0 {
        let len = u16::from_le_bytes(source.array(Rule::F05, "a gzip header")?);
        source.skip(len.into(), Rule::F05, "a gzip header")?;
    }
    for flag in [8, 16] {
        if flags & flag != 0 {
            let text = source.peek(4096)?;
            let Some(len) = text.iter().position(|byte| *byte == 0) else {
                return Err(source.refuse(Rule::F05, "a name in a gzip header that does not end"));
            };
            source.advance(len + 1);
        }
    }
    if flags & 2 != 0 {
        source.skip(2, Rule::F05, "a gzip header")?;
    }
    Ok(())
}
