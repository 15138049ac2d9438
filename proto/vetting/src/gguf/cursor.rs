//! A reader that knows where it is and how much is left, so that work is refused before it is done.

use std::io::{BufReader, ErrorKind, Read};

use super::element::Element;
use super::scales;
use crate::limits::READ_STEP;
use crate::report::{Finding, Rule, Severity};

/// Why reading does not go on.
#[derive(Debug)]
pub(super) enum Stop {
    /// A container rule is broken: nothing after it can be understood.
    Refused(Finding),
    /// The reader failed.
    Unreadable { offset: u64, source: std::io::Error },
}

pub(super) struct Cursor<R> {
    reader: BufReader<R>,
    offset: u64,
    len: u64,
}

impl<R: Read> Cursor<R> {
    pub(super) fn new(reader: R, len: u64) -> Self {
        Self { reader: BufReader::with_capacity(READ_STEP, reader), offset: 0, len }
    }

    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) const fn remaining(&self) -> u64 {
        self.len.saturating_sub(self.offset)
    }

    /// A refusal at the present place.
    pub(super) fn refuse(&self, rule: Rule, message: impl Into<String>) -> Stop {
        Stop::Refused(Finding {
            rule,
            severity: Severity::Refuse,
            offset: Some(self.offset),
            message: message.into(),
        })
    }

    /// Refuses unless `len` more bytes exist. `len` may be absurd.
    pub(super) fn expect(&self, len: u128, rule: Rule, what: &str) -> Result<(), Stop> {
        if len > u128::from(self.remaining()) {
            return Err(self
                .refuse(rule, format!("{what} claims {len} bytes, but only {} are left", self.remaining())));
        }
        Ok(())
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Stop> {
        match self.reader.read_exact(buffer) {
            Ok(()) => {
                self.offset = self.offset.saturating_add(buffer.len() as u64);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(self
                .refuse(Rule::F02, format!("the file ends before its stated length of {} bytes", self.len))),
            Err(source) => Err(Stop::Unreadable { offset: self.offset, source }),
        }
    }

    pub(super) fn array<const N: usize>(&mut self, rule: Rule, what: &str) -> Result<[u8; N], Stop> {
        self.expect(N as u128, rule, what)?;
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self, rule: Rule, what: &str) -> Result<u32, Stop> {
        self.array(rule, what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, rule: Rule, what: &str) -> Result<u64, Stop> {
        self.array(rule, what).map(u64::from_le_bytes)
    }

    /// `len` bytes appended to `into`. The buffer grows one step ahead of the bytes that arrive,
    /// never by what the file claims.
    pub(super) fn append(
        &mut self,
        into: &mut Vec<u8>,
        len: u64,
        rule: Rule,
        what: &str,
    ) -> Result<(), Stop> {
        self.expect(u128::from(len), rule, what)?;
        let mut left = len;
        while left > 0 {
            let now = usize::try_from(left).unwrap_or(usize::MAX).min(READ_STEP);
            let start = into.len();
            into.resize(start + now, 0);
            let (_, part) = into.split_at_mut(start);
            self.fill(part)?;
            left -= now as u64;
        }
        Ok(())
    }

    /// Reads `len` bytes and refuses if one is not zero.
    pub(super) fn zeros(&mut self, len: u64, what: &str) -> Result<(), Stop> {
        let mut padding = Vec::new();
        self.append(&mut padding, len, Rule::G13, what)?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(self.refuse(Rule::G13, format!("{what} is not zero")));
        }
        Ok(())
    }

    /// Reads `len` bytes of whole blocks and refuses if a floating-point number in them is not finite.
    pub(super) fn finite(&mut self, len: u64, element: Element, what: &str) -> Result<(), Stop> {
        self.expect(u128::from(len), Rule::G12, what)?;
        // Bounded by READ_STEP, so they fit.
        let block_len = usize::try_from(element.block_len).unwrap_or(READ_STEP);
        let mut step = vec![0; READ_STEP / block_len * block_len];
        let mut left = len;
        while left > 0 {
            let now = usize::try_from(left).unwrap_or(usize::MAX).min(step.len());
            let (part, _) = step.split_at_mut(now);
            let start = self.offset;
            self.fill(part)?;
            if let Some(at) = scales::first_not_finite(element, part) {
                return Err(Stop::Refused(Finding {
                    rule: Rule::S11,
                    severity: Severity::Refuse,
                    offset: Some(start.saturating_add(at as u64)),
                    message: format!("{what} holds a number that is not finite"),
                }));
            }
            left -= now as u64;
        }
        Ok(())
    }

    /// Passes over `len` bytes.
    pub(super) fn skip(&mut self, len: u64, rule: Rule, what: &str) -> Result<(), Stop> {
        self.expect(u128::from(len), rule, what)?;
        let mut step = vec![0; READ_STEP];
        let mut left = len;
        while left > 0 {
            let now = usize::try_from(left).unwrap_or(usize::MAX).min(step.len());
            let (part, _) = step.split_at_mut(now);
            self.fill(part)?;
            left -= now as u64;
        }
        Ok(())
    }
}
