//! bzip2, xz, lzma, lz4 and zstd streams: each of one piece, with nothing behind it. Memory is set aside before a
//! decoder takes it by what a header claims.

use std::io::{ErrorKind, Read};

use bzip2::bufread::BzDecoder;
use lz4_flex::frame::FrameDecoder;
use lzma_rust2::{LzmaReader, XzReader};
use ruzstd::decoding::StreamingDecoder;
use ruzstd::decoding::errors::FrameDecoderError;

use super::super::Scan;
use super::super::limits::{DECODER_LEN_MAX, DICTIONARY_KIB_MAX};
use super::super::source::{Source, Stop};
use super::{Buffered, Decoder, Pace, inner};
use crate::report::{Format, Rule};

/// Judges the content of a stream of that format.
pub(in super::super) fn judge(scan: &mut Scan, source: &mut Source<'_>, format: Format) -> Result<(), Stop> {
    let magic = source.peek(6)?.to_vec();
    let pace = if matches!(format, Format::Lz4 | Format::Zstd) { Pace::Fast } else { Pace::Slow };
    scan.hold(DECODER_LEN_MAX, source.offset())?;
    let result = inner(scan, source, pace, |buffered| open(buffered, format));
    scan.held -= DECODER_LEN_MAX;
    if result?.is_none() || source.at_end()? {
        return Ok(());
    }
    if source.peek(magic.len())?.starts_with(&magic) {
        return Err(source.unknown(Rule::F03, "another stream follows the first; only one is judged"));
    }
    Err(source.refuse(Rule::F03, "bytes follow the compressed data"))
}

fn open<'d>(buffered: &'d mut Buffered<'_, '_>, format: Format) -> std::io::Result<Decoder<'d>> {
    let damaged =
        |error: &dyn std::fmt::Display| std::io::Error::new(ErrorKind::InvalidData, error.to_string());
    Ok(match format {
        Format::Bzip2 => bzip2(buffered),
        Format::Xz => Box::new(XzReader::new_mem_limit(buffered, false, DICTIONARY_KIB_MAX)),
        Format::Lzma => {
            let reader = LzmaReader::new_mem_limit(buffered, DICTIONARY_KIB_MAX, None)?;
            Box::new(Whole(Some(reader)))
        }
        Format::Lz4 => Box::new(Lz4(Some(FrameDecoder::new(Seen { reader: buffered, is_at_end: false })))),
        _ => {
            let window_max = u64::from(DICTIONARY_KIB_MAX) * 1024;
            let decoder = StreamingDecoder::new_with_max_window_size(buffered, window_max);
            Box::new(Zstd(decoder.map_err(|error| match error {
                FrameDecoderError::WindowSizeTooBig { .. } => ErrorKind::OutOfMemory.into(),
                other => damaged(&other),
            })?))
        }
    })
}

/// A decoder of one bzip2 stream.
pub(in super::super) fn bzip2<'d>(reader: impl std::io::BufRead + 'd) -> Decoder<'d> {
    Box::new(BzDecoder::new(reader))
}

/// A decoder that reads ahead: what it read and did not need stands behind the stream.
pub(in super::super) struct Whole<R>(pub(in super::super) Option<LzmaReader<R>>);

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let Some(reader) = &mut self.0 else { return Ok(0) };
        let count = reader.read(into)?;
        let ended = count == 0 && !into.is_empty();
        if ended && self.0.take().is_some_and(|reader| !reader.into_parts().1.is_empty()) {
            return Err(std::io::Error::new(ErrorKind::InvalidData, "bytes follow the compressed data"));
        }
        Ok(count)
    }
}

/// A decoder that takes the end of its input for the end of a frame.
struct Lz4<R: Read>(Option<FrameDecoder<Seen<R>>>);

impl<R: Read> Read for Lz4<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let Some(decoder) = &mut self.0 else { return Ok(0) };
        let count = decoder.read(into)?;
        let ended = count == 0 && !into.is_empty();
        if ended && self.0.take().is_some_and(|decoder| decoder.get_ref().is_at_end) {
            return Err(std::io::Error::new(ErrorKind::UnexpectedEof, "the frame has no end"));
        }
        Ok(count)
    }
}

/// A reader that remembers whether more was asked of it than it had.
struct Seen<R> {
    reader: R,
    is_at_end: bool,
}

impl<R: Read> Read for Seen<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.reader.read(into)?;
        self.is_at_end |= count == 0 && !into.is_empty();
        Ok(count)
    }
}

/// A decoder that leaves comparing the checksum to its caller.
struct Zstd<R: Read>(StreamingDecoder<R, ruzstd::decoding::FrameDecoder>);

impl<R: Read> Read for Zstd<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.0.read(into)?;
        if count == 0 && !into.is_empty() {
            let stated = self.0.decoder.get_checksum_from_data();
            if stated.is_some() && stated != self.0.decoder.get_calculated_checksum() {
                return Err(std::io::Error::new(
                    ErrorKind::InvalidData,
                    "the checksum is not that of the data",
                ));
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use crate::report::Verdict;

    #[test]
    fn p2_a_frame_of_lz4_ends_with_its_mark_and_nothing_behind_it() {
        let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
        encoder.write_all(b"{\"a\": [1, 2, 3]}").expect("memory");
        let whole = encoder.finish().expect("memory");
        let verdict = |bytes: &[u8]| crate::scan::scan(&mut Cursor::new(bytes), bytes.len() as u64).verdict;
        assert_eq!(verdict(&whole), Verdict::Pass);
        for cut in 1..8 {
            assert_ne!(verdict(&whole[..whole.len() - cut]), Verdict::Pass, "{cut} bytes cut");
            assert_ne!(verdict(&[&whole[..], &vec![0; cut]].concat()), Verdict::Pass, "{cut} bytes more");
        }
    }
}
