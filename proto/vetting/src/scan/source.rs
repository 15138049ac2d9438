//! A reader that knows where it is: over a window of a file, or over a stream that cannot go back.
//!
//! It holds one buffer. Nothing here allocates by what a file claims.

use std::io::{ErrorKind, Read, Seek, SeekFrom};

use super::limits::BUFFER_LEN;
use crate::report::{Finding, Rule, Severity};

/// What can be read in any order.
pub trait ReadSeek: Read + Seek {}

impl<T: Read + Seek> ReadSeek for T {}

/// Why judging this part does not go on.
#[derive(Debug)]
pub(super) enum Stop {
    /// A rule is broken.
    Refused(Finding),
    /// A rule is broken in a way that ends every reader's work here.
    Fatal(Finding),
    /// It cannot be judged. That is not a pass.
    Unknown(Finding),
}

impl Stop {
    pub(super) fn refused(rule: Rule, offset: u64, message: impl Into<String>) -> Self {
        Self::Refused(Finding {
            rule,
            severity: Severity::Refuse,
            offset: Some(offset),
            message: message.into(),
        })
    }

    pub(super) fn fatal(rule: Rule, offset: u64, message: impl Into<String>) -> Self {
        Self::Fatal(Finding {
            rule,
            severity: Severity::Refuse,
            offset: Some(offset),
            message: message.into(),
        })
    }

    pub(super) fn unknown(rule: Rule, offset: u64, message: impl Into<String>) -> Self {
        Self::Unknown(Finding {
            rule,
            severity: Severity::Warning,
            offset: Some(offset),
            message: message.into(),
        })
    }
}

enum Inner<'a> {
    Window { file: &'a mut dyn ReadSeek, base: u64 },
    Stream(&'a mut dyn Read),
}

/// The bytes under judgment.
pub(super) struct Source<'a> {
    inner: Inner<'a>,
    len: Option<u64>,
    buffer: Vec<u8>,
    start: usize,
    offset: u64,
    ended: bool,
}

impl<'a> Source<'a> {
    /// `len` bytes of a file, from `base` on.
    pub(super) fn window(file: &'a mut dyn ReadSeek, base: u64, len: u64) -> Self {
        Self {
            inner: Inner::Window { file, base },
            len: Some(len),
            buffer: Vec::new(),
            start: 0,
            offset: 0,
            ended: false,
        }
    }

    /// A stream, with its length if that is known.
    pub(super) fn stream(reader: &'a mut dyn Read, len: Option<u64>) -> Self {
        Self { inner: Inner::Stream(reader), len, buffer: Vec::new(), start: 0, offset: 0, ended: false }
    }

    /// A part of this window, read on its own. Nothing if this is a stream.
    pub(super) fn part(&mut self, from: u64, len: u64) -> Option<Source<'_>> {
        let whole = self.len.unwrap_or(0);
        if from.checked_add(len).is_none_or(|end| end > whole) {
            return None;
        }
        match &mut self.inner {
            Inner::Window { file, base } => Some(Source::window(&mut **file, *base + from, len)),
            Inner::Stream(_) => None,
        }
    }

    pub(super) const fn can_seek(&self) -> bool {
        matches!(self.inner, Inner::Window { .. })
    }

    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) const fn len(&self) -> Option<u64> {
        self.len
    }

    /// Bytes left, if the length is known.
    pub(super) fn remaining(&self) -> Option<u64> {
        self.len.map(|len| len.saturating_sub(self.offset))
    }

    /// Goes to a place of a window. A stream stays where it is.
    pub(super) fn seek(&mut self, to: u64) {
        if !self.can_seek() {
            return;
        }
        let begin = self.offset - self.start as u64;
        match to.checked_sub(begin).and_then(|at| usize::try_from(at).ok()) {
            // It is in the buffer still.
            Some(at) if at < self.buffer.len() => self.start = at,
            _ => {
                self.buffer.clear();
                self.start = 0;
                self.ended = false;
            }
        }
        self.offset = to;
    }

    pub(super) fn refuse(&self, rule: Rule, message: impl Into<String>) -> Stop {
        Stop::refused(rule, self.offset, message)
    }

    pub(super) fn unknown(&self, rule: Rule, message: impl Into<String>) -> Stop {
        Stop::unknown(rule, self.offset, message)
    }

    fn ready(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Makes at least `want` bytes ready, or as many as there are.
    fn fill(&mut self, want: usize) -> Result<(), Stop> {
        if self.ended {
            return Ok(());
        }
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let mut have = self.buffer.len();
        let at = self.offset + have as u64;
        let mut room = BUFFER_LEN.max(want);
        if let Inner::Window { file, base } = &mut self.inner {
            let left = self.len.unwrap_or(0).saturating_sub(at);
            room = room.min(have + usize::try_from(left).unwrap_or(usize::MAX));
            self.buffer.resize(room, 0);
            if let Err(error) = file.seek(SeekFrom::Start(*base + at)) {
                self.buffer.truncate(have);
                return Err(stopped(at, &error));
            }
        }
        self.buffer.resize(room, 0);
        while have < want {
            let Some(into) = self.buffer.get_mut(have..room).filter(|into| !into.is_empty()) else { break };
            let count = match &mut self.inner {
                Inner::Window { file, .. } => file.read(into),
                Inner::Stream(reader) => reader.read(into),
            };
            match count {
                Ok(0) => break,
                Ok(count) => have += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.buffer.truncate(have);
                    return Err(stopped(at, &error));
                }
            }
        }
        self.buffer.truncate(have);
        self.ended = have < want;
        Ok(())
    }

    /// The next `len` bytes without passing over them; fewer at the end.
    pub(super) fn peek(&mut self, len: usize) -> Result<&[u8], Stop> {
        if self.ready() < len {
            self.fill(len)?;
        }
        let ready = &self.buffer[self.start..];
        Ok(ready.get(..len).unwrap_or(ready))
    }

    /// Passes over `len` bytes that a peek has shown.
    pub(super) fn advance(&mut self, len: usize) {
        let len = len.min(self.ready());
        self.start += len;
        self.offset += len as u64;
    }

    /// One byte, none at the end.
    pub(super) fn next(&mut self) -> Result<Option<u8>, Stop> {
        if self.ready() == 0 {
            self.fill(1)?;
        }
        let byte = self.buffer.get(self.start).copied();
        self.advance(1);
        Ok(byte)
    }

    pub(super) fn at_end(&mut self) -> Result<bool, Stop> {
        Ok(self.peek(1)?.is_empty())
    }

    /// Exactly `N` bytes.
    pub(super) fn array<const N: usize>(&mut self, rule: Rule, what: &str) -> Result<[u8; N], Stop> {
        let bytes = self.peek(N)?;
        let Ok(array) = <[u8; N]>::try_from(bytes) else {
            return Err(Stop::fatal(rule, self.offset, format!("{what}: the data ends within it")));
        };
        self.advance(N);
        Ok(array)
    }

    /// Exactly `len` bytes, of which the first `keep` are given back.
    pub(super) fn take(&mut self, len: u64, keep: usize, rule: Rule, what: &str) -> Result<Vec<u8>, Stop> {
        let kept = usize::try_from(len).unwrap_or(usize::MAX).min(keep);
        let mut out = Vec::with_capacity(kept.min(BUFFER_LEN));
        while out.len() < kept {
            let want = (kept - out.len()).min(BUFFER_LEN);
            let bytes = self.peek(want)?;
            if bytes.is_empty() {
                return Err(Stop::fatal(rule, self.offset, format!("{what}: the data ends within it")));
            }
            let count = bytes.len();
            out.extend_from_slice(bytes);
            self.advance(count);
        }
        self.skip(len - kept as u64, rule, what)?;
        Ok(out)
    }

    /// Passes over exactly `len` bytes. In a window nothing is read.
    pub(super) fn skip(&mut self, len: u64, rule: Rule, what: &str) -> Result<(), Stop> {
        if self.remaining().is_some_and(|left| len > left) {
            let message = format!("{what}: {len} bytes are claimed, fewer are there");
            return Err(Stop::fatal(rule, self.offset, message));
        }
        let mut left = len;
        loop {
            let now = usize::try_from(left).unwrap_or(usize::MAX).min(self.ready());
            self.advance(now);
            left -= now as u64;
            if left == 0 {
                return Ok(());
            }
            if self.can_seek() {
                self.seek(self.offset + left);
                return Ok(());
            }
            self.fill(1)?;
            if self.ready() == 0 {
                return Err(Stop::fatal(rule, self.offset, format!("{what}: the data ends within it")));
            }
        }
    }

    /// Passes over the rest and gives its length.
    pub(super) fn drain(&mut self) -> Result<u64, Stop> {
        let before = self.offset;
        while !self.peek(1)?.is_empty() {
            let ready = self.ready();
            self.advance(ready);
        }
        Ok(self.offset - before)
    }
}

impl Read for Source<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let bytes = self.peek(1).map_err(|stop| match stop {
            Stop::Refused(finding) if finding.rule == Rule::F04 => {
                std::io::Error::new(ErrorKind::FileTooLarge, finding.message)
            }
            Stop::Refused(finding) | Stop::Fatal(finding) => {
                std::io::Error::new(ErrorKind::InvalidData, finding.message)
            }
            Stop::Unknown(finding) if finding.rule == Rule::F04 => ErrorKind::OutOfMemory.into(),
            Stop::Unknown(finding) => std::io::Error::other(finding.message),
        })?;
        if bytes.is_empty() {
            return Ok(0);
        }
        let ready = &self.buffer[self.start..];
        let count = ready.len().min(into.len());
        into[..count].copy_from_slice(&ready[..count]);
        self.advance(count);
        Ok(count)
    }
}

/// A decoder says through the kind of its error whether its input is bad or cannot be read.
pub(super) fn stopped(offset: u64, error: &std::io::Error) -> Stop {
    match error.kind() {
        ErrorKind::QuotaExceeded => {
            Stop::unknown(Rule::F04, offset, "it becomes longer than is decoded of a slow format")
        }
        ErrorKind::OutOfMemory => {
            Stop::unknown(Rule::F04, offset, "it takes more memory to decode than is spent on one file")
        }
        ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof => {
            Stop::refused(Rule::F05, offset, format!("compressed data is damaged: {error}"))
        }
        ErrorKind::FileTooLarge => Stop::refused(Rule::F04, offset, error.to_string()),
        _ => Stop::unknown(Rule::F02, offset, format!("reading failed: {error}")),
    }
}
