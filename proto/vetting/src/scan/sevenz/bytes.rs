//! The numbers of a 7z directory, read within its bounds.

use super::super::limits::MEMBERS_MAX;
use super::super::source::Stop;
use crate::report::Rule;

/// What is left of a directory.
pub(super) struct Bytes<'b> {
    rest: &'b [u8],
    /// Where the directory stands, for findings.
    at: u64,
}

impl<'b> Bytes<'b> {
    pub(super) const fn new(rest: &'b [u8], at: u64) -> Self {
        Self { rest, at }
    }

    pub(super) fn bad(&self, message: &str) -> Stop {
        Stop::refused(Rule::X01, self.at, message)
    }

    pub(super) fn unknown(&self, message: &str) -> Stop {
        Stop::unknown(Rule::F01, self.at, message)
    }

    pub(super) fn take(&mut self, len: u64) -> Result<&'b [u8], Stop> {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let Some((taken, rest)) = self.rest.split_at_checked(len) else {
            return Err(self.bad("the directory of a 7z archive ends within one of its parts"));
        };
        self.rest = rest;
        Ok(taken)
    }

    /// A part of stated length, read on its own.
    pub(super) fn part(&mut self) -> Result<Bytes<'b>, Stop> {
        let len = self.number()?;
        Ok(Bytes { rest: self.take(len)?, at: self.at })
    }

    pub(super) fn byte(&mut self) -> Result<u8, Stop> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(super) fn expect(&mut self, byte: u8, what: &str) -> Result<(), Stop> {
        if self.byte()? == byte {
            return Ok(());
        }
        Err(self.bad(&format!("the directory of a 7z archive lacks {what}")))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Stop> {
        let bytes = self.take(4)?;
        Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Stop> {
        let bytes = self.take(8)?;
        Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// A number: as many leading ones of the first byte, as many bytes follow; its other bits are the highest.
    pub(super) fn number(&mut self) -> Result<u64, Stop> {
        let first = self.byte()?;
        let more = first.leading_ones();
        let low = self.take(more.into())?;
        let low = low.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        let high = if more >= 7 { 0 } else { u64::from(first & (0x7f >> more)) << (8 * more) };
        Ok(high | low)
    }

    /// A number of things, each of which takes room in the directory or in memory.
    pub(super) fn count(&mut self) -> Result<usize, Stop> {
        let number = self.number()?;
        if number > MEMBERS_MAX {
            return Err(Stop::refused(Rule::F04, self.at, format!("more than {MEMBERS_MAX} members")));
        }
        Ok(usize::try_from(number).unwrap_or(usize::MAX))
    }

    /// As many bits, the highest first.
    pub(super) fn bits(&mut self, count: usize) -> Result<Vec<bool>, Stop> {
        let bytes = self.take(count.div_ceil(8) as u64)?;
        Ok((0..count).map(|at| bytes[at / 8] & (0x80 >> (at % 8)) != 0).collect())
    }

    /// The same, where one byte may say that all are set.
    pub(super) fn all_or_bits(&mut self, count: usize) -> Result<Vec<bool>, Stop> {
        if self.byte()? == 0 { self.bits(count) } else { Ok(vec![true; count]) }
    }

    /// As many checksums, some of which may be missing.
    pub(super) fn sums(&mut self, count: usize) -> Result<Vec<Option<u32>>, Stop> {
        let is_there = self.all_or_bits(count)?;
        is_there.into_iter().map(|there| there.then(|| self.u32()).transpose()).collect()
    }

    pub(super) fn rest(&self) -> &'b [u8] {
        self.rest
    }

    pub(super) fn end(&self) -> Result<(), Stop> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.bad("bytes follow the directory of a 7z archive"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_the_format_says() {
        let read = |bytes: &[u8]| Bytes::new(bytes, 0).number().ok();
        assert_eq!(read(&[0x7f]), Some(127));
        assert_eq!(read(&[0x80, 0x80]), Some(128));
        assert_eq!(read(&[0xa1, 0x02]), Some(0x2102));
        assert_eq!(read(&[0xff, 1, 2, 3, 4, 5, 6, 7, 8]), Some(0x0807_0605_0403_0201));
        assert_eq!(read(&[0xfe, 1, 2, 3, 4, 5, 6, 7]), Some(0x0007_0605_0403_0201));
        assert_eq!(read(&[0xc0, 1]), None);
        assert_eq!(read(&[]), None);
    }
}
