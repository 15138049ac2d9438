//! What a TPM signs about itself (`TPMS_ATTEST`) and the signature over it (`TPMT_SIGNATURE`), read with bounds.

use crate::error::ProofError;
use crate::limits::{ATTEST_LEN_MAX, PCRS, SIGNATURE_LEN_MAX};
use crate::public::algorithm;
use crate::wire::{Reader, Short};

/// `TPM_GENERATED_VALUE`: a restricted key signs nothing of an outsider's that begins with it.
const GENERATED: u32 = 0xFF54_4347;
const CERTIFY: u16 = 0x8017;
const QUOTE: u16 = 0x8018;

/// What was attested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attested {
    /// That a key with this name is in the TPM.
    Key(Vec<u8>),
    /// That the selected PCRs of the SHA-256 bank have this digest together.
    Pcrs {
        /// Which, ascending.
        selected: Vec<u8>,
        /// SHA-256 over their values, in that order.
        digest: Vec<u8>,
    },
}

/// A statement of a TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// What whoever asked put in.
    pub qualifying: Vec<u8>,
    /// What it says.
    pub attested: Attested,
}

impl Statement {
    /// Reads the whole of `bytes`.
    ///
    /// # Errors
    /// [`ProofError::Malformed`] with `what` in it.
    pub fn parse(what: &'static str, bytes: &[u8]) -> Result<Self, ProofError> {
        let malformed = |detail| ProofError::Malformed { what, detail };
        if bytes.len() > ATTEST_LEN_MAX {
            return Err(malformed("it is too long"));
        }
        Self::read(bytes).map_err(|Short| malformed("it is no quote or certification of SHA-256"))
    }

    fn read(bytes: &[u8]) -> Result<Self, Short> {
        let mut reader = Reader::new(bytes);
        if reader.u32()? != GENERATED {
            return Err(Short);
        }
        let kind = reader.u16()?;
        reader.sized(68)?;
        let qualifying = reader.sized(64)?.to_vec();
        // Clock, resets, restarts, whether the clock is safe, and the version of the firmware.
        reader.take(8 + 4 + 4 + 1 + 8)?;
        let attested = match kind {
            CERTIFY => {
                let name = reader.sized(68)?.to_vec();
                reader.sized(68)?;
                Attested::Key(name)
            }
            QUOTE => {
                let selected = selection(&mut reader)?;
                Attested::Pcrs { selected, digest: reader.sized(64)?.to_vec() }
            }
            _ => return Err(Short),
        };
        reader.end()?;
        Ok(Self { qualifying, attested })
    }
}

/// Reads a selection of exactly one bank, SHA-256.
pub(crate) fn selection(reader: &mut Reader<'_>) -> Result<Vec<u8>, Short> {
    if reader.u32()? != 1 || reader.u16()? != algorithm::SHA256 {
        return Err(Short);
    }
    let len = reader.u8()?;
    let bits = reader.take(usize::from(len))?;
    let is_set = |pcr: &u8| bits.get(usize::from(pcr / 8)).is_some_and(|byte| byte >> (pcr % 8) & 1 == 1);
    Ok((0..PCRS).filter(is_set).collect())
}

/// Reads an ECDSA signature into the fixed form `r ‖ s` of P-256.
///
/// # Errors
/// [`ProofError::Malformed`] with `what` in it.
pub fn signature(what: &'static str, bytes: &[u8]) -> Result<[u8; 64], ProofError> {
    let malformed = |detail| ProofError::Malformed { what, detail };
    if bytes.len() > SIGNATURE_LEN_MAX {
        return Err(malformed("its signature is too long"));
    }
    let mut reader = Reader::new(bytes);
    let fixed = read_signature(&mut reader).and_then(|fixed| reader.end().map(|()| fixed));
    fixed.map_err(|Short| malformed("its signature is not ECDSA with SHA-256"))
}

pub(crate) fn read_signature(reader: &mut Reader<'_>) -> Result<[u8; 64], Short> {
    if reader.u16()? != algorithm::ECDSA || reader.u16()? != algorithm::SHA256 {
        return Err(Short);
    }
    let (r, s) = (reader.sized(32)?, reader.sized(32)?);
    let mut fixed = [0; 64];
    fixed[32 - r.len()..32].copy_from_slice(r);
    fixed[64 - s.len()..].copy_from_slice(s);
    Ok(fixed)
}
