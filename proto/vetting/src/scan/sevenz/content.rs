//! What the members of a 7z archive hold, decoded while it is judged.

use std::io::Read;

use flate2::bufread::DeflateDecoder;
use lzma_rust2::filter::bcj::BcjReader;
use lzma_rust2::filter::delta::DeltaReader;
use lzma_rust2::{Lzma2Reader, LzmaReader};

use super::super::Scan;
use super::super::compressed::{Bounded, Buffered, Decoder, Pace, Whole, bzip2};
use super::super::limits::{DECODER_LEN_MAX, DICTIONARY_KIB_MAX, SEVENZ_HEADER_LEN_MAX};
use super::super::source::{Source, Stop, stopped};
use super::START_LEN;
use super::coder::{Coder, Filter};
use super::directory::{Folder, Member, Stream};
use crate::report::Rule;

/// Judges what one folder holds, under the names of the members that come next.
pub(super) fn judge<'m>(
    scan: &mut Scan,
    source: &mut Source<'_>,
    folder: &Folder,
    members: &mut impl Iterator<Item = &'m Member>,
) -> Result<(), Stop> {
    let pace = if folder.chain.coder == Coder::Copy { Pace::Fast } else { Pace::Slow };
    decoded(scan, source, folder, pace, |scan, decoder| {
        for stream in &folder.streams {
            let Some(member) = members.next() else { break };
            one(scan, decoder, stream, &member.name)?;
            if scan.findings.refused() {
                return Ok(());
            }
        }
        at_end(decoder)
    })
}

fn one(scan: &mut Scan, decoder: &mut dyn Read, stream: &Stream, name: &[u8]) -> Result<(), Stop> {
    let mut reader = Bounded::new(decoder.take(stream.len), stream.len);
    let mut content = Source::stream(&mut reader, Some(stream.len));
    scan.judge_inner(name, &mut content)?;
    if scan.findings.refused() {
        return Ok(());
    }
    content.drain()?;
    drop(content);
    let sum = reader.crc.clone().finalize();
    if reader.len != stream.len || stream.sum.is_some_and(|stated| stated != sum) {
        return Err(Stop::refused(Rule::X02, 0, "the content's length or checksum is not the stated one"));
    }
    Ok(())
}

/// A packed directory, unpacked.
pub(super) fn unpacked(scan: &mut Scan, source: &mut Source<'_>, folder: &Folder) -> Result<Vec<u8>, Stop> {
    if folder.len > SEVENZ_HEADER_LEN_MAX {
        return Err(Stop::unknown(Rule::F04, 0, "a directory that is too long to hold"));
    }
    let mut header = Vec::new();
    decoded(scan, source, folder, Pace::Slow, |_, decoder| {
        decoder.take(folder.len).read_to_end(&mut header).map_err(|error| stopped(0, &error))?;
        at_end(decoder)
    })?;
    super::check_sum(&header, folder.sum, 0)?;
    Ok(header)
}

fn at_end(decoder: &mut dyn Read) -> Result<(), Stop> {
    match decoder.read(&mut [0]).map_err(|error| stopped(0, &error))? {
        0 => Ok(()),
        _ => Err(Stop::refused(Rule::X02, 0, "a folder is longer than its members")),
    }
}

/// Lets `judge` read what a folder holds, then checks that all its packed bytes were needed.
fn decoded(
    scan: &mut Scan,
    source: &mut Source<'_>,
    folder: &Folder,
    pace: Pace,
    judge: impl FnOnce(&mut Scan, &mut dyn Read) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let at = START_LEN.saturating_add(folder.packed_at);
    let Some(mut part) = source.part(at, folder.packed_len) else {
        return Err(Stop::refused(Rule::X01, at, "a packed stream reaches beyond the archive"));
    };
    scan.hold(DECODER_LEN_MAX, at)?;
    let mut buffered = Buffered::new(&mut part);
    let result = open(folder, &mut buffered).map_err(|error| stopped(at, &error)).and_then(|decoder| {
        let room = if folder.chain.coder == Coder::Copy { folder.packed_len } else { scan.room(pace) };
        let mut bounded = Bounded::paced(decoder, room, pace);
        let result = judge(scan, &mut bounded);
        if folder.chain.coder != Coder::Copy {
            scan.spend(pace, bounded.len);
        }
        result
    });
    scan.held -= DECODER_LEN_MAX;
    result?;
    if !scan.findings.refused() && !part.at_end()? {
        return Err(Stop::refused(Rule::X02, at, "bytes follow the packed data of a folder"));
    }
    Ok(())
}

fn open<'d>(folder: &Folder, packed: &'d mut Buffered<'_, '_>) -> std::io::Result<Decoder<'d>> {
    // No match reaches further back than what was decoded.
    let dictionary = |claimed: u32| {
        let needed = claimed.min(u32::try_from(folder.len).unwrap_or(u32::MAX).max(4096));
        if needed / 1024 <= DICTIONARY_KIB_MAX { Ok(needed) } else { Err(std::io::ErrorKind::OutOfMemory) }
    };
    let decoder: Decoder<'d> = match folder.chain.coder {
        Coder::Copy => Box::new(packed),
        Coder::Lzma { properties, dictionary: claimed } => {
            let dictionary = dictionary(claimed)?;
            let mut reader = LzmaReader::new_with_props(packed, folder.len, properties, dictionary, None)?;
            reader.set_relaxed_end_condition(false);
            Box::new(Whole(Some(reader)))
        }
        Coder::Lzma2 { dictionary: claimed } => {
            Box::new(Lzma2Reader::new(packed, dictionary(claimed)?, None))
        }
        Coder::Deflate => Box::new(DeflateDecoder::new(packed)),
        Coder::Bzip2 => bzip2(packed),
    };
    Ok(match folder.chain.filter {
        None => decoder,
        Some(Filter::X86) => Box::new(BcjReader::new_x86(decoder, 0)),
        Some(Filter::Delta { distance }) => Box::new(DeltaReader::new(decoder, distance)),
    })
}
