//! Public areas (`TPMT_PUBLIC`): what a TPM says about a key that it holds, and the name that stands for it.
//!
//! Only what Croft makes or asks for is read: SHA-256 names, RSA 2048, and P-256.

use ring::digest::{SHA256, digest};

use crate::error::ProofError;
use crate::limits::PUBLIC_LEN_MAX;
use crate::wire::{Reader, Short};

/// Algorithm identifiers (TCG Algorithm Registry).
pub mod algorithm {
    /// RSA.
    pub const RSA: u16 = 0x0001;
    /// AES.
    pub const AES: u16 = 0x0006;
    /// SHA-256.
    pub const SHA256: u16 = 0x000B;
    /// None.
    pub const NULL: u16 = 0x0010;
    /// ECDSA.
    pub const ECDSA: u16 = 0x0018;
    /// Elliptic curves.
    pub const ECC: u16 = 0x0023;
    /// Cipher feedback.
    pub const CFB: u16 = 0x0043;
    /// The curve P-256.
    pub const P256: u16 = 0x0003;
}

/// Attributes of an object (`TPMA_OBJECT`, Part 2, 8.3).
pub mod attribute {
    /// It never leaves its TPM.
    pub const FIXED_TPM: u32 = 1 << 1;
    /// It never gets another parent.
    pub const FIXED_PARENT: u32 = 1 << 4;
    /// The TPM made its private part.
    pub const SENSITIVE_DATA_ORIGIN: u32 = 1 << 5;
    /// It is used by its password, which is empty for our keys.
    pub const USER_WITH_AUTH: u32 = 1 << 6;
    /// It is administered by a policy only.
    pub const ADMIN_WITH_POLICY: u32 = 1 << 7;
    /// Wrong passwords lock nothing.
    pub const NO_DA: u32 = 1 << 10;
    /// It handles nothing but what its TPM made.
    pub const RESTRICTED: u32 = 1 << 16;
    /// It decrypts.
    pub const DECRYPT: u32 = 1 << 17;
    /// It signs.
    pub const SIGN: u32 = 1 << 18;

    /// Of a key whose private part was made in one TPM and stays there.
    pub const RESIDENT: u32 = FIXED_TPM | FIXED_PARENT | SENSITIVE_DATA_ORIGIN;
}

/// Length of an uncompressed P-256 point (SEC 1), in bytes.
pub const POINT_LEN: usize = 65;

/// The public part of a key itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unique {
    /// An RSA 2048 modulus; the exponent is 65537.
    Rsa(Vec<u8>),
    /// A point on P-256, uncompressed.
    P256([u8; POINT_LEN]),
}

/// A public area that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Public {
    /// Its attributes.
    pub attributes: u32,
    /// The key.
    pub unique: Unique,
    /// The signing scheme, if one is fixed: algorithm and hash.
    pub scheme: Option<(u16, u16)>,
    name: [u8; 34],
}

impl Public {
    /// Reads the whole of `bytes` as a public area.
    ///
    /// # Errors
    /// [`ProofError::Malformed`] with `what` in it, if it is none, or of an algorithm that Croft does not use.
    pub fn parse(what: &'static str, bytes: &[u8]) -> Result<Self, ProofError> {
        let malformed = |detail| ProofError::Malformed { what, detail };
        if bytes.len() > PUBLIC_LEN_MAX {
            return Err(malformed("it is too long"));
        }
        Self::read(bytes).map_err(|Short| malformed("it is no public area of RSA 2048 or P-256"))
    }

    fn read(bytes: &[u8]) -> Result<Self, Short> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u16()?;
        if reader.u16()? != algorithm::SHA256 {
            return Err(Short);
        }
        let attributes = reader.u32()?;
        reader.sized(64)?;
        if reader.u16()? != algorithm::NULL {
            reader.take(4)?;
        }
        let scheme = match reader.u16()? {
            algorithm::NULL => None,
            scheme => Some((scheme, reader.u16()?)),
        };
        let unique = match kind {
            algorithm::RSA => {
                let bits = reader.u16()?;
                let exponent = reader.u32()?;
                let modulus = reader.sized(256)?;
                if bits != 2048 || !matches!(exponent, 0 | 65_537) || modulus.len() != 256 {
                    return Err(Short);
                }
                Unique::Rsa(modulus.to_vec())
            }
            algorithm::ECC => {
                if reader.u16()? != algorithm::P256 || reader.u16()? != algorithm::NULL {
                    return Err(Short);
                }
                let (x, y) = (reader.sized(32)?, reader.sized(32)?);
                Unique::P256(point(x, y))
            }
            _ => return Err(Short),
        };
        reader.end()?;
        Ok(Self { attributes, unique, scheme, name: name(bytes) })
    }

    /// The name: algorithm identifier and SHA-256 of the public area (Part 1, 16).
    #[must_use]
    pub const fn name(&self) -> &[u8; 34] {
        &self.name
    }

    /// Whether all of `attributes` are set.
    #[must_use]
    pub const fn has(&self, attributes: u32) -> bool {
        self.attributes & attributes == attributes
    }

    /// The point, if it is a P-256 key.
    #[must_use]
    pub const fn point(&self) -> Option<&[u8; POINT_LEN]> {
        match &self.unique {
            Unique::P256(point) => Some(point),
            Unique::Rsa(_) => None,
        }
    }
}

fn name(public: &[u8]) -> [u8; 34] {
    let mut name = [0; 34];
    name[..2].copy_from_slice(&algorithm::SHA256.to_be_bytes());
    name[2..].copy_from_slice(digest(&SHA256, public).as_ref());
    name
}

// A TPM may leave out leading zeros.
fn point(x: &[u8], y: &[u8]) -> [u8; POINT_LEN] {
    let mut point = [0; POINT_LEN];
    point[0] = 4;
    point[33 - x.len()..33].copy_from_slice(x);
    point[65 - y.len()..].copy_from_slice(y);
    point
}
