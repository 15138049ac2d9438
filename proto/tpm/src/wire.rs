//! The byte order of TPMs: big-endian integers and buffers behind a 16-bit length. Reading is bounded by what is there;
//! nothing is allocated by what a length claims.

/// The bytes end early, go on too long, or a length is beyond its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short;

/// Reads from the front of a slice.
#[derive(Clone, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// A reader of all of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// If there are fewer.
    pub const fn take(&mut self, len: usize) -> Result<&'a [u8], Short> {
        match self.0.split_at_checked(len) {
            Some((taken, rest)) => {
                self.0 = rest;
                Ok(taken)
            }
            None => Err(Short),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        self.take(N)?.try_into().map_err(|_| Short)
    }

    /// An 8-bit integer.
    ///
    /// # Errors
    /// If nothing is left.
    pub fn u8(&mut self) -> Result<u8, Short> {
        self.array().map(u8::from_be_bytes)
    }

    /// A 16-bit integer.
    ///
    /// # Errors
    /// If less is left.
    pub fn u16(&mut self) -> Result<u16, Short> {
        self.array().map(u16::from_be_bytes)
    }

    /// A 32-bit integer.
    ///
    /// # Errors
    /// If less is left.
    pub fn u32(&mut self) -> Result<u32, Short> {
        self.array().map(u32::from_be_bytes)
    }

    /// A 64-bit integer.
    ///
    /// # Errors
    /// If less is left.
    pub fn u64(&mut self) -> Result<u64, Short> {
        self.array().map(u64::from_be_bytes)
    }

    /// A buffer behind its 16-bit length (`TPM2B`), of at most `len_max` bytes.
    ///
    /// # Errors
    /// If it is longer than that, or than what is left.
    pub fn sized(&mut self, len_max: usize) -> Result<&'a [u8], Short> {
        let len = usize::from(self.u16()?);
        if len > len_max { Err(Short) } else { self.take(len) }
    }

    /// What is left.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// Holds that nothing is left.
    ///
    /// # Errors
    /// If something is.
    pub const fn end(&self) -> Result<(), Short> {
        if self.0.is_empty() { Ok(()) } else { Err(Short) }
    }
}

/// Writes at the end of a buffer.
#[derive(Clone, Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds bytes as they are.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Adds an 8-bit integer.
    #[must_use]
    pub fn u8(self, value: u8) -> Self {
        self.bytes(&[value])
    }

    /// Adds a 16-bit integer.
    #[must_use]
    pub fn u16(self, value: u16) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Adds a 32-bit integer.
    #[must_use]
    pub fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Adds a buffer behind its 16-bit length. What we write is far below 64 KiB; a longer one is cut.
    #[must_use]
    pub fn sized(self, bytes: &[u8]) -> Self {
        let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.u16(len).bytes(&bytes[..usize::from(len)])
    }

    /// What was written.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_claims_more_than_is_there_is_refused() {
        assert_eq!(Reader::new(&[0xFF, 0xFF, 1]).sized(usize::MAX), Err(Short));
        assert_eq!(Reader::new(&[0, 3, 1, 2, 3]).sized(2), Err(Short));
        assert_eq!(Reader::new(&[0, 3, 1, 2, 3]).sized(3), Ok(&[1, 2, 3][..]));
        assert_eq!(Reader::new(&[0]).u16(), Err(Short));
        assert_eq!(Reader::new(&[0]).end(), Err(Short));
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = Writer::new().u8(1).u16(2).u32(3).sized(b"four").finish();
        let mut reader = Reader::new(&bytes);
        assert_eq!((reader.u8(), reader.u16(), reader.u32()), (Ok(1), Ok(2), Ok(3)));
        assert_eq!(reader.sized(4), Ok(&b"four"[..]));
        assert_eq!(reader.end(), Ok(()));
    }
}
