//! The keys that Croft has a TPM make, as public areas with nothing made yet. See
//! `docs/decisions/0013-identity-keys-in-a-tpm.md` for why these.

use crate::public::{algorithm, attribute};
use crate::wire::Writer;

/// Policy of the TCG's default endorsement keys: whoever may use the endorsement hierarchy (TCG EK Credential Profile,
/// B.3.3, `PolicyA` for SHA-256).
const ENDORSEMENT_POLICY: [u8; 32] = [
    0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xB3, 0xF8, 0x1A, 0x90, 0xCC, 0x8D, 0x46, 0xA5, 0xD7, 0x24, 0xFD,
    0x52, 0xD7, 0x6E, 0x06, 0x52, 0x0B, 0x64, 0xF2, 0xA1, 0xDA, 0x1B, 0x33, 0x14, 0x69, 0xAA,
];

/// Attributes of the TCG's default endorsement keys.
pub const ENDORSEMENT: u32 =
    attribute::RESIDENT | attribute::ADMIN_WITH_POLICY | attribute::RESTRICTED | attribute::DECRYPT;

/// Attributes of the key that signs quotes and certifies other keys: restricted, so that it signs nothing that only
/// looks like a quote.
pub const ATTESTATION: u32 = attribute::RESIDENT
    | attribute::USER_WITH_AUTH
    | attribute::NO_DA
    | attribute::RESTRICTED
    | attribute::SIGN;

/// Attributes of the node's identity key: it signs what the daemon gives it.
pub const IDENTITY: u32 =
    attribute::RESIDENT | attribute::USER_WITH_AUTH | attribute::NO_DA | attribute::SIGN;

const STORAGE: u32 = attribute::RESIDENT
    | attribute::USER_WITH_AUTH
    | attribute::NO_DA
    | attribute::RESTRICTED
    | attribute::DECRYPT;

fn head(kind: u16, attributes: u32, policy: &[u8]) -> Writer {
    Writer::new().u16(kind).u16(algorithm::SHA256).u32(attributes).sized(policy)
}

fn storage_cipher(writer: Writer) -> Writer {
    writer.u16(algorithm::AES).u16(128).u16(algorithm::CFB)
}

fn p256(writer: Writer, scheme: Option<u16>, x: &[u8], y: &[u8]) -> Vec<u8> {
    let writer = match scheme {
        Some(scheme) => writer.u16(scheme).u16(algorithm::SHA256),
        None => writer.u16(algorithm::NULL),
    };
    writer.u16(algorithm::P256).u16(algorithm::NULL).sized(x).sized(y).finish()
}

/// The default RSA 2048 endorsement key (template L-1).
#[must_use]
pub fn endorsement_rsa() -> Vec<u8> {
    storage_cipher(head(algorithm::RSA, ENDORSEMENT, &ENDORSEMENT_POLICY))
        .u16(algorithm::NULL)
        .u16(2048)
        .u32(0)
        .sized(&[0; 256])
        .finish()
}

/// The default P-256 endorsement key (template L-2).
#[must_use]
pub fn endorsement_p256() -> Vec<u8> {
    let head = storage_cipher(head(algorithm::ECC, ENDORSEMENT, &ENDORSEMENT_POLICY));
    p256(head, None, &[0; 32], &[0; 32])
}

/// The attestation key for one fleet: a primary key, so that it is the same at every start and nothing is stored, and
/// salted with the fleet, so that two fleets cannot tell by it that a machine is in both.
#[must_use]
pub fn attestation(fleet: &[u8; 32]) -> Vec<u8> {
    let head = head(algorithm::ECC, ATTESTATION, &[]).u16(algorithm::NULL);
    p256(head, Some(algorithm::ECDSA), fleet, &[])
}

/// The storage root key under which identity keys are wrapped (TCG's default, P-256).
#[must_use]
pub fn storage_root() -> Vec<u8> {
    p256(storage_cipher(head(algorithm::ECC, STORAGE, &[])), None, &[0; 32], &[0; 32])
}

/// A node's identity key.
#[must_use]
pub fn identity() -> Vec<u8> {
    p256(head(algorithm::ECC, IDENTITY, &[]).u16(algorithm::NULL), Some(algorithm::ECDSA), &[], &[])
}
