//! Encrypted PKCS#8: PBES2 (RFC 8018) with scrypt (RFC 7914) and AES-256-CBC.
//!
//! The parameters of scrypt are those that OpenSSL still reads within its 32 MiB: N = 2^14, r = 8. Five of them in a row
//! (p = 5) cost a guesser as much as one with N = 2^17 does.

use std::path::Path;

use pkcs8::pkcs5::pbes2::{Kdf, Parameters};
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use zeroize::Zeroizing;

use crate::limits::{PASSPHRASE_LEN_MAX, PBKDF2_ROUNDS_MAX, SCRYPT_MEMORY_MAX, SCRYPT_WORK_MAX};
use crate::sign::{KeyError, SigningKey};

const LOG_N: u8 = 14;
const R: u32 = 8;
const P: u32 = 5;

/// `key` as encrypted PKCS#8, DER.
///
/// # Errors
/// When the passphrase is empty or longer than 1024 bytes, or there are no random numbers.
pub fn seal(key: &SigningKey, passphrase: &str) -> Result<Vec<u8>, KeyError> {
    if passphrase.is_empty() || passphrase.len() > PASSPHRASE_LEN_MAX {
        return Err(KeyError::Passphrase("expected 1 to 1024 bytes".to_owned()));
    }
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    getrandom::fill(&mut salt).and_then(|()| getrandom::fill(&mut iv)).map_err(|_| KeyError::Generate)?;
    let scrypt = scrypt::Params::new(LOG_N, R, P).map_err(|_| KeyError::Malformed)?;
    let parameters =
        Parameters::generate_scrypt_aes256cbc(scrypt, &salt, iv).map_err(|_| KeyError::Malformed)?;
    let info = PrivateKeyInfoRef::try_from(key.pkcs8()).map_err(|_| KeyError::Malformed)?;
    let sealed =
        info.encrypt_with_params(parameters, passphrase.as_bytes()).map_err(|_| KeyError::Malformed)?;
    Ok(sealed.as_bytes().to_vec())
}

/// Whether `der` is an encrypted key rather than a plain one.
pub(super) fn is_encrypted(der: &[u8]) -> bool {
    PrivateKeyInfoRef::try_from(der).is_err() && EncryptedPrivateKeyInfoRef::try_from(der).is_ok()
}

/// Opens an encrypted key. What the file asks for is bounded before any work is done.
pub(super) fn open(der: &[u8], passphrase: &[u8], path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let info = EncryptedPrivateKeyInfoRef::try_from(der)
        .map_err(|_| KeyError::MalformedFile { path: path.to_owned() })?;
    let other = |method: &str| KeyError::Encryption { path: path.to_owned(), method: method.to_owned() };
    let parameters = info.encryption_algorithm.pbes2().ok_or_else(|| other("PBES1, which is too weak"))?;
    check_cost(&parameters.kdf).map_err(other)?;
    let plain = info.decrypt(passphrase).map_err(|_| KeyError::PassphraseWrong { path: path.to_owned() })?;
    Ok(Zeroizing::new(plain.as_bytes().to_vec()))
}

fn check_cost(kdf: &Kdf) -> Result<(), &'static str> {
    if let Some(scrypt) = kdf.scrypt() {
        let memory = u128::from(scrypt.cost_parameter) * u128::from(scrypt.block_size) * 128;
        if memory > SCRYPT_MEMORY_MAX || memory * u128::from(scrypt.parallelization) > SCRYPT_WORK_MAX {
            return Err("scrypt parameters beyond 1 GiB of memory or 4 GiB of work");
        }
        return Ok(());
    }
    match kdf.pbkdf2() {
        Some(pbkdf2) if pbkdf2.iteration_count <= PBKDF2_ROUNDS_MAX => Ok(()),
        Some(_) => Err("more than 10 million rounds of PBKDF2"),
        None => Err("an unknown key derivation"),
    }
}
