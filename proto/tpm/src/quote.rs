//! A quote as it is kept beside the evidence that it is bound to, so that an auditor can verify it years later.
//!
//! The firmware's log is not part of it: whoever has a log can replay it against the values here.

use crate::client::Signed;
use crate::error::ProofError;
use crate::limits::{ATTEST_LEN_MAX, PCRS, SIGNATURE_LEN_MAX};
use crate::proof::{quote_nonce, quoted};
use crate::public::POINT_LEN;
use crate::wire::{Reader, Short, Writer};

/// What a TPM said about a boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The statement, signed.
    pub signed: Signed,
    /// PCR values of the SHA-256 bank, ascending.
    pub values: Vec<(u8, [u8; 32])>,
}

impl Quote {
    /// Holds that the attestation key at `point` made it, for this challenge and exactly this evidence.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn verify(
        &self,
        point: &[u8; POINT_LEN],
        challenge: &[u8],
        evidence: &[u8],
    ) -> Result<(), ProofError> {
        quoted(point, &self.signed, &quote_nonce(challenge, evidence), &self.values)
    }

    /// As it is kept: statement and signature behind their 16-bit lengths, then each PCR's number and value.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let head = Writer::new().sized(&self.signed.statement).sized(&self.signed.signature);
        self.values.iter().fold(head, |writer, (pcr, value)| writer.u8(*pcr).bytes(value)).finish()
    }

    /// Reads what [`Quote::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`ProofError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProofError> {
        let detail = "it is cut, or longer than one can be";
        Self::read(bytes).map_err(|Short| ProofError::Malformed { what: "the kept quote", detail })
    }

    fn read(bytes: &[u8]) -> Result<Self, Short> {
        let mut reader = Reader::new(bytes);
        let statement = reader.sized(ATTEST_LEN_MAX)?.to_vec();
        let signature = reader.sized(SIGNATURE_LEN_MAX)?.to_vec();
        let mut values = Vec::new();
        while reader.end().is_err() {
            let pcr = reader.u8()?;
            values.push((pcr, reader.take(32)?.try_into().map_err(|_| Short)?));
            if values.len() > usize::from(PCRS) {
                return Err(Short);
            }
        }
        Ok(Self { signed: Signed { statement, signature }, values })
    }
}
