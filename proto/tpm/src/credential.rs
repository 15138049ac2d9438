//! MakeCredential (Part 1, 24): a secret that only the TPM can open which has both this endorsement key and a key of this
//! name. The controller needs no TPM of its own for it.

use aws_lc_rs::agreement::{self, ECDH_P256, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rsa::{
    OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey, PublicKeyComponents,
};
use ring::digest::{SHA256, digest};
use ring::hmac;

use crate::error::ProofError;
use crate::public::{POINT_LEN, Public, Unique};
use crate::template;
use crate::wire::Writer;

/// Labels of the specification; the NUL at the end belongs to them.
const IDENTITY: &[u8] = b"IDENTITY\0";
const STORAGE: &[u8] = b"STORAGE\0";
const INTEGRITY: &[u8] = b"INTEGRITY\0";

/// A secret for one TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// `TPMS_ID_OBJECT`: the secret, encrypted and bound to the key's name.
    pub blob: Vec<u8>,
    /// What the endorsement key opens to get at it.
    pub secret: Vec<u8>,
}

/// Encrypts `value` (at most 32 bytes) for the TPM with `endorsement`, if it also has the key named `name`.
///
/// # Errors
/// [`ProofError::Kind`] if `endorsement` is no default endorsement key.
pub fn make(endorsement: &Public, name: &[u8; 34], value: &[u8; 32]) -> Result<Credential, ProofError> {
    let kind = |detail| ProofError::Kind { what: "the endorsement key", detail };
    if !endorsement.has(template::ENDORSEMENT) || endorsement.scheme.is_some() {
        return Err(kind("it is not a restricted decryption key that its TPM made"));
    }
    let (seed, secret) = match &endorsement.unique {
        Unique::Rsa(modulus) => by_rsa(modulus).map_err(|_| kind("its modulus is of no use"))?,
        Unique::P256(point) => by_p256(point).map_err(|_| kind("its point is not on the curve"))?,
    };
    let mut identity = Writer::new().sized(value).finish();
    let key: [u8; 16] = kdf_a(&seed, STORAGE, name);
    encrypt(&key, &mut identity).map_err(|_| ProofError::Random)?;
    let integrity: [u8; 32] = kdf_a(&seed, INTEGRITY, &[]);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &integrity), &[&identity, &name[..]].concat());
    Ok(Credential { blob: Writer::new().sized(tag.as_ref()).bytes(&identity).finish(), secret })
}

/// A random seed, and it encrypted by RSA-OAEP.
fn by_rsa(modulus: &[u8]) -> Result<([u8; 32], Vec<u8>), aws_lc_rs::error::Unspecified> {
    let key: PublicEncryptingKey = PublicKeyComponents { n: modulus, e: &[1, 0, 1][..] }.try_into()?;
    let key = OaepPublicEncryptingKey::new(key)?;
    let mut seed = [0; 32];
    aws_lc_rs::rand::fill(&mut seed)?;
    let mut secret = vec![0; key.ciphertext_size()];
    let len = key.encrypt(&OAEP_SHA256_MGF1SHA256, &seed, &mut secret, Some(IDENTITY))?.len();
    secret.truncate(len);
    Ok((seed, secret))
}

/// A seed agreed on with a fresh key, and that key's point.
fn by_p256(point: &[u8; POINT_LEN]) -> Result<([u8; 32], Vec<u8>), aws_lc_rs::error::Unspecified> {
    let own = PrivateKey::generate(&ECDH_P256)?;
    let public = own.compute_public_key()?;
    let (own_x, own_y) = public.as_ref()[1..].split_at(32);
    let peer = UnparsedPublicKey::new(&ECDH_P256, point);
    let seed = agreement::agree(&own, peer, aws_lc_rs::error::Unspecified, |shared| {
        // KDFe (Part 1, 11.4.10.3), of which one round is enough for 256 bits.
        let input = [&[0, 0, 0, 1], shared, IDENTITY, own_x, &point[1..33]].concat();
        let mut seed = [0; 32];
        seed.copy_from_slice(digest(&SHA256, &input).as_ref());
        Ok(seed)
    })?;
    Ok((seed, Writer::new().sized(own_x).sized(own_y).finish()))
}

/// KDFa (Part 1, 11.4.10.2) for at most 256 bits, of which one round is enough.
fn kdf_a<const N: usize>(seed: &[u8; 32], label: &[u8], context: &[u8]) -> [u8; N] {
    const { assert!(N <= 32) };
    let bits = u32::try_from(N * 8).unwrap_or(u32::MAX).to_be_bytes();
    let input = [&[0, 0, 0, 1], label, context, &bits].concat();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, seed), &input);
    let mut key = [0; N];
    key.copy_from_slice(&tag.as_ref()[..N]);
    key
}

fn encrypt(key: &[u8; 16], bytes: &mut [u8]) -> Result<(), aws_lc_rs::error::Unspecified> {
    let key = EncryptingKey::cfb128(UnboundCipherKey::new(&AES_128, key)?)?;
    // The specification says zero: each key encrypts one secret.
    key.less_safe_encrypt(bytes, EncryptionContext::Iv128(FixedLength::from([0; 16]))).map(drop)
}
