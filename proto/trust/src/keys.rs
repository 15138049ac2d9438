//! Where private keys come from: files today, a token or a key service tomorrow.
//!
//! Key files are PKCS#8 (RFC 5958), DER or PEM, readable by their owner only. With a passphrase they are PBES2
//! (RFC 8018) with scrypt and AES-256-CBC, which `openssl pkcs8` reads; files that it wrote (PBKDF2 with HMAC-SHA-256)
//! are read as well. A key without a passphrase is a choice that its maker names. No passphrase is kept here.

mod encrypted;
mod public;

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use pkcs8::{ObjectIdentifier, PrivateKeyInfoRef};
use zeroize::Zeroizing;

use crate::disk::write_durable;
use crate::limits::KEY_FILE_LEN_MAX;
use crate::sign::{KeyError, POINT_LEN, Signer, SigningKey};

pub use encrypted::seal;
pub use public::{parse_public_key, public_key_pem};

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");

/// Whoever knows passphrases.
pub trait Passphrases {
    /// The passphrase of the key in `path`, the `attempt`-th one, counted from 0; none when there is no further one.
    ///
    /// # Errors
    /// [`KeyError::Passphrase`] when it cannot be had.
    fn next(&self, path: &Path, attempt: u32) -> Result<Option<Zeroizing<String>>, KeyError>;

    /// Says that `passphrase` has opened a key, so that it can be offered first for the next one.
    fn opened(&self, _passphrase: &Zeroizing<String>) {}
}

/// Knows none.
#[derive(Clone, Copy, Debug)]
pub struct NoPassphrase;

impl Passphrases for NoPassphrase {
    fn next(&self, _path: &Path, _attempt: u32) -> Result<Option<Zeroizing<String>>, KeyError> {
        Ok(None)
    }
}

/// Holds private keys by name. Callers see public points and signers, so that a PKCS#11 token or a key service, whose
/// keys never leave it, can stand where the folder stands.
pub trait KeySource {
    /// The public point of the key `name`, without its private part and so without a passphrase where that is possible;
    /// none when there is no such key.
    ///
    /// # Errors
    /// When what is there is not a key.
    fn point(&self, name: &str) -> Result<Option<[u8; POINT_LEN]>, KeyError>;

    /// Opens the key `name` for signing.
    ///
    /// # Errors
    /// When there is none, or it does not open.
    fn signer(&self, name: &str) -> Result<Box<dyn Signer>, KeyError>;

    /// Where the key `name` is, for people.
    fn place(&self, name: &str) -> String;
}

/// Keys in a folder: `NAME.pk8` and beside it `NAME.pub`, its public part in PEM.
#[derive(Clone, Debug)]
pub struct KeyFolder<P> {
    /// The folder.
    pub dir: PathBuf,
    /// Who knows the passphrases.
    pub passphrases: P,
}

impl<P: Passphrases> KeyFolder<P> {
    fn file(&self, name: &str, extension: &str) -> PathBuf {
        self.dir.join(format!("{name}.{extension}"))
    }

    /// Opens a key whose private bytes are needed as such, which only a connection's key is.
    ///
    /// # Errors
    /// As [`read`].
    pub fn key(&self, name: &str) -> Result<SigningKey, KeyError> {
        read(&self.file(name, "pk8"), &self.passphrases)
    }

    /// Saves `key` as `name`, encrypted unless `passphrase` is none, and its public part beside it.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn save(&self, name: &str, key: &SigningKey, passphrase: Option<&str>) -> Result<(), KeyError> {
        let public = public_key_pem(&key.point());
        write_durable(&self.file(name, "pub"), public.as_bytes(), 0o644).map_err(KeyError::Save)?;
        match passphrase {
            Some(passphrase) => {
                write_durable(&self.file(name, "pk8"), &seal(key, passphrase)?, 0o600).map_err(KeyError::Save)
            }
            None => key.save(&self.file(name, "pk8")),
        }
    }
}

impl<P: Passphrases> KeySource for KeyFolder<P> {
    fn point(&self, name: &str) -> Result<Option<[u8; POINT_LEN]>, KeyError> {
        let path = self.file(name, "pub");
        if path.exists() {
            return public::read(&path).map(Some);
        }
        // Folders of earlier versions have no public parts.
        if self.file(name, "pk8").exists() { self.key(name).map(|key| Some(key.point())) } else { Ok(None) }
    }

    fn signer(&self, name: &str) -> Result<Box<dyn Signer>, KeyError> {
        Ok(Box::new(self.key(name)?))
    }

    fn place(&self, name: &str) -> String {
        self.file(name, "pk8").display().to_string()
    }
}

/// Reads a key file, asking `passphrases` when it is encrypted.
///
/// # Errors
/// When anybody but its owner may read or write it, no passphrase opens it, or it does not hold a P-256 key.
pub fn read(path: &Path, passphrases: &dyn Passphrases) -> Result<SigningKey, KeyError> {
    let bytes = read_private(path)?;
    let malformed = || KeyError::MalformedFile { path: path.to_owned() };
    let der = if bytes.starts_with(b"-----BEGIN ") {
        let text = std::str::from_utf8(&bytes).map_err(|_| malformed())?;
        let (_, document) = pkcs8::SecretDocument::from_pem(text).map_err(|_| malformed())?;
        Zeroizing::new(document.as_bytes().to_vec())
    } else {
        bytes
    };
    if !encrypted::is_encrypted(&der) {
        return of_file(SigningKey::from_pkcs8(&der), path);
    }
    let mut attempt = 0;
    while let Some(passphrase) = passphrases.next(path, attempt)? {
        match encrypted::open(&der, passphrase.as_bytes(), path) {
            Ok(plain) => {
                passphrases.opened(&passphrase);
                return of_file(SigningKey::from_pkcs8(&plain), path);
            }
            Err(KeyError::PassphraseWrong { .. }) => attempt += 1,
            Err(error) => return Err(error),
        }
    }
    let path = path.to_owned();
    Err(if attempt == 0 { KeyError::PassphraseMissing { path } } else { KeyError::PassphraseWrong { path } })
}

/// Names the file where the error knows none.
fn of_file(result: Result<SigningKey, KeyError>, path: &Path) -> Result<SigningKey, KeyError> {
    result.map_err(|error| match error {
        KeyError::Malformed => KeyError::MalformedFile { path: path.to_owned() },
        other => other,
    })
}

/// Reads a small file that nobody else may read or write.
///
/// # Errors
/// When others may, it is too long, or it cannot be read.
pub fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let unreadable = |source| KeyError::Read { path: path.to_owned(), source };
    // Permissions are asked of the open file, so that it cannot be exchanged in between.
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed { path: path.to_owned(), mode });
    }
    // Room for all of it from the start: growing would leave copies behind that nobody wipes.
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_FILE_LEN_MAX as usize + 2));
    file.take(KEY_FILE_LEN_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > KEY_FILE_LEN_MAX {
        return Err(KeyError::MalformedFile { path: path.to_owned() });
    }
    Ok(bytes)
}

/// Refuses a key that is not on P-256, by name of what it is.
pub(crate) fn check_curve(pkcs8: &[u8]) -> Result<(), KeyError> {
    let info = PrivateKeyInfoRef::try_from(pkcs8).map_err(|_| KeyError::Malformed)?;
    if info.algorithm.oid != EC_PUBLIC_KEY {
        return Err(KeyError::Curve { found: info.algorithm.oid.to_string() });
    }
    match info.algorithm.parameters_oid() {
        Ok(curve) if curve == P256 => Ok(()),
        Ok(curve) => Err(KeyError::Curve { found: curve.to_string() }),
        Err(_) => Err(KeyError::Malformed),
    }
}
